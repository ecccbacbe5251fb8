#!/usr/bin/env python3
"""Measure what one folder of very many messages costs wagon in time and memory.

    bench/large_folder.py WORK [--sizes 100000,300000] [--name large-folder] [--wagon PATH] [--dovecot START_SH]

For each size a site is made in WORK whose one account has so many messages of about 80 bytes in one folder, with file names
of about 50 bytes and a UID list. Measured, each step one whole process and done once: exports from the directory (first,
unchanged, after one more message), imports into an empty directory site and once more, `verify`, `check`, `ls` and an export of
one message; exports, an import, `verify` and `ls` of an archive that is encrypted (where age-keygen is installed); and the same from and into a running
server where --dovecot names a script that starts one (`START_SH DIR SITE` as a development testbed has it, with a `stop.sh` beside it: it
prints DOVECOT_IMAP_PORT=... and DOVECOT_MASTER_PASSWORD=..., and its dovecot.conf lies in DIR; its processes may then take 4 GB, since
Dovecot's default does not open a folder of a million messages). WORK in memory (tmpfs) spares the disk: a size of 300,000 takes 3 GB there.

The report goes to standard output and, with --name, into bench/results/NAME.md.
"""
import argparse
import datetime
import os
import shutil
import subprocess
import sys
from pathlib import Path

import report
from engines import measure

ACCOUNT = "ann@big.test"
EPOCH = 1_500_000_000


class Site:
    """A directory site with one account and one folder."""

    def __init__(self, root):
        self.root, self.next = root, 1
        self.inbox = root / "mail/big.test/ann/Maildir"

    def make(self, count):
        for name in ("cur", "new", "tmp"):
            (self.inbox / name).mkdir(parents=True)
        (self.root / "etc").mkdir()
        (self.root / "etc/passwd").write_text(f"{ACCOUNT}:{{PLAIN}}secret:5000:5000::::\n")
        (self.root / "etc/virtual_domains").write_text("big.test\n")
        with open(self.inbox / "dovecot-uidlist", "w") as uids:
            uids.write(f"3 V1600000000 N{count + 1} G{'ab' * 16}\n")
            for _ in range(count):
                uids.write(f"{self.next} :{self.add()}\n")

    def add(self):
        number, self.next = self.next, self.next + 1
        text = f"From: bob@big.test\nSubject: letter {number}\nMessage-ID: <{number}@big.test>\n\nhello {number}\n".encode()
        date = EPOCH + number * 60
        base = f"{date}.M{number * 7919 % 1_000_000}P{1000 + number % 30_000}.store1,S={len(text)},W={len(text) + 5}"
        path = self.inbox / "cur" / f"{base}:2,S"
        path.write_bytes(text)
        os.utime(path, (date, date))
        return base


class Server:
    """A running Dovecot over a directory site, and its description."""

    def __init__(self, start, place, site):
        self.start, self.place = start, place
        place.mkdir()
        env = {**os.environ, "IMAP_PORT": "auto", "IMAPS_PORT": "auto", "LMTP_PORT": "auto", "SIEVE_PORT": "auto"}
        told = subprocess.run([start, place / "run", site], env=env, check=True, stdout=subprocess.PIPE, text=True).stdout
        self.about = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
        config = place / "run/dovecot.conf"
        with open(config, "a") as out:
            out.write("default_vsz_limit = 4 G\n")
        subprocess.run(["doveadm", "-c", config, "reload"], check=True)
        (place / "secret").write_text(self.about["DOVECOT_MASTER_PASSWORD"])
        self.toml = place / "site.toml"
        self.toml.write_text(f'state = "state"\n[accounts]\nlist = [{{ address = "{ACCOUNT}" }}]\n[mail]\n'
                             f'imap = "imap://127.0.0.1:{self.about["DOVECOT_IMAP_PORT"]}"\ninsecure = true\nlogin = "master"\n'
                             f'user = "master"\npassword = {{ file = "{place}/secret" }}\n')

    def stop(self):
        subprocess.run([Path(self.start).parent / "stop.sh", self.place / "run"], check=True, stdout=subprocess.DEVNULL)


class Bench:
    def __init__(self, args, size):
        self.args, self.size, self.costs = args, size, {}
        self.work = args.work / str(size)
        self.work.mkdir()
        self.archive, self.key = None, []

    def step(self, name, *words):
        argv = [self.args.wagon, "-q", *words, "--archive", self.archive, *self.key]
        env = {**os.environ, "WAGON_CACHE_DIR": f"{self.archive}-cache"}
        status, cost = measure(argv, self.work / "log", env)
        if status not in (0, 3):
            raise SystemExit(f"{name}: exit status {status}, see {self.work / 'log'}")
        self.costs[name] = (status, cost)
        print(f"{self.size:9,} {name:40} {cost.wall:8.2f} s  CPU {cost.cpu:8.2f} s  {cost.peak:6.0f} MiB", file=sys.stderr)

    def passes(self, kind, source, site):
        self.step(f"{kind}: first export", "export", "--from", source)
        self.step(f"{kind}: unchanged", "export", "--from", source)
        site.add()
        self.step(f"{kind}: one new message", "export", "--from", source)

    def run(self):
        site = Site(self.work / "site")
        site.make(self.size)
        self.archive = self.work / "archive"
        self.passes("directory", site.root, site)
        copy = self.work / "copy"
        self.step("import into a directory", "import", "--to", copy)
        self.step("the same with nothing new", "import", "--to", copy)
        self.step("verify", "verify", "--to", copy)
        self.step("check", "check")
        self.step("ls", "ls", f"{ACCOUNT}:INBOX")
        shutil.rmtree(copy)
        self.encrypted(site)
        if self.args.dovecot:
            self.over_imap(site)
        shutil.rmtree(self.work)
        return self.costs

    def encrypted(self, site):
        if not shutil.which("age-keygen"):
            return
        secret = self.work / "key"
        subprocess.run(["age-keygen", "-o", secret], check=True, stderr=subprocess.DEVNULL)
        public = subprocess.run(["age-keygen", "-y", secret], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        plain, self.archive = self.archive, self.work / "archive-encrypted"
        # Whoever exports needs no more than this.
        self.key = ["--recipient", public]
        self.passes("encrypted", site.root, site)
        self.key = ["--identity", secret]
        copy = self.work / "copy-encrypted"
        self.step("encrypted: import into a directory", "import", "--to", copy)
        self.step("encrypted: verify", "verify", "--to", copy)
        self.step("encrypted: ls", "ls", f"{ACCOUNT}:INBOX")
        shutil.rmtree(copy)
        self.archive, self.key = plain, []

    def over_imap(self, site):
        empty = Site(self.work / "empty")
        empty.make(0)
        # Its own index files do not count as changes of the site.
        target = Server(self.args.dovecot, self.work / "target", empty.root)
        try:
            self.step("import over IMAP", "import", "--to", target.toml)
            self.step("the same with nothing new over IMAP", "import", "--to", target.toml)
        finally:
            target.stop()
        shutil.rmtree(empty.root)
        source = Server(self.args.dovecot, self.work / "source", site.root)
        try:
            self.archive = self.work / "archive-imap"
            self.passes("IMAP", source.toml, site)
        finally:
            source.stop()


def table(sizes, measured):
    lines = ["| step | " + " | ".join(f"{size:,}: s | CPU s | MiB" for size in sizes) + " |", "|---" * (1 + 3 * len(sizes)) + "|"]
    for step in measured[sizes[0]]:
        costs = [measured[size][step][1] for size in sizes]
        lines.append(f"| {step} | " + " | ".join(f"{cost.wall:.2f} | {cost.cpu:.2f} | {cost.peak:.0f}" for cost in costs) + " |")
    return lines


def main():
    here = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--sizes", default="100000,300000", help="numbers of messages, with commas")
    parser.add_argument("--name")
    parser.add_argument("--wagon", default=here / "target/release/wagon", type=Path)
    parser.add_argument("--dovecot", type=Path, help="a script that starts Dovecot on a site")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if any(args.work.iterdir()):
        parser.error(f"{args.work} is not empty")
    args.work, args.wagon = args.work.resolve(), args.wagon.resolve()
    sizes = sorted({int(size) for size in args.sizes.split(",")})
    version = subprocess.run([args.wagon, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    measured = {size: Bench(args, size).run() for size in sizes}
    text = "\n".join(["# One folder of very many messages", "",
                      f"{datetime.date.today()}, {report.machine()}; {version}; one run each. Made by `bench/large_folder.py`, which says "
                      "how.", "", *table(sizes, measured)]) + "\n"
    print(text)
    if args.name:
        report.write(args.name, text)


if __name__ == "__main__":
    main()
