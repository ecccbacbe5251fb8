#!/usr/bin/env python3
"""Measure whole moves from one running IMAP server to another: wagon (an export and an import) beside mbsync.

    bench/moves.py SITE WORK --start START_SH [--runs N] [--accounts N] [--name NAME] [--wagon PATH]

SITE is a directory site that Dovecot can serve (it is copied, and never written to). START_SH starts a Dovecot: `START_SH DIR SITE`,
as a development testbed has it, with a `stop.sh` beside it; it prints DOVECOT_IMAP_PORT=... and DOVECOT_MASTER_PASSWORD=.... The source is
served by one, and every program fills an empty one of its own. WORK is an empty folder.

Steps: `first` (the target has nothing), `unchanged` (all is there), `day` (in each inbox five letters have arrived, ten got another
flag, two were removed), `next day` (the same once more). wagon goes through an archive, which stays; mbsync (isync) copies from server to server. doveadm has no way from one
IMAP server into another. They take turns; medians of N runs (3). Wall times have both servers' work in them; CPU is the program's
own. In the end the messages of each target are counted.
"""
import argparse
import datetime
import imaplib
import os
import shutil
import statistics
import subprocess
from pathlib import Path
from types import SimpleNamespace

import report
from servers import a_day

STEPS = ("first", "unchanged", "day", "next day")


class Dovecot:
    def __init__(self, start, place, site):
        self.start, self.place = start, place
        env = {**os.environ, "IMAP_PORT": "auto", "IMAPS_PORT": "auto", "LMTP_PORT": "auto", "SIEVE_PORT": "auto"}
        told = subprocess.run([start, place, site], env=env, check=True, stdout=subprocess.PIPE, text=True).stdout
        about = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
        self.port, self.password = int(about["DOVECOT_IMAP_PORT"]), about["DOVECOT_MASTER_PASSWORD"]

    def stop(self):
        subprocess.run([Path(self.start).parent / "stop.sh", self.place], check=True, stdout=subprocess.DEVNULL)

    def messages(self, accounts):
        count = 0
        for account in accounts:
            with imaplib.IMAP4("127.0.0.1", self.port) as server:
                server.login(f"{account}*master", self.password)
                for folder in own_folders(server):
                    count += int(server.select(f'"{folder}"', readonly=True)[1][0])
        return count


def own_folders(server):
    names = [line.decode().rsplit(' "/" ', 1)[1].strip('"') for line in server.list()[1] if b"\\NoSelect" not in line and b"\\Noselect" not in line]
    return [name for name in names if not name.startswith("shared/")]


class Engine:
    def __init__(self, args, accounts, source):
        self.args, self.accounts, self.source = args, accounts, source
        self.dir = args.work / self.name
        self.target = None

    def fresh(self):
        self.close()
        self.dir.mkdir()
        for account in self.accounts:
            user, domain = account.split("@")
            (self.dir / "site/mail" / domain / user / "Maildir").mkdir(parents=True)
        self.target = Dovecot(self.args.start, self.dir / "run", self.dir / "site")
        self.prepare()

    def close(self):
        if self.target:
            self.target.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def run(self, *argv):
        with open(self.dir / "log", "ab") as out:
            child = subprocess.Popen(list(map(str, argv)), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
            _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode not in self.fine:
            raise SystemExit(f"{self.name}: exit status {child.returncode}, see {self.dir / 'log'}")
        self.cpu += usage.ru_utime + usage.ru_stime
        self.peak = max(self.peak, usage.ru_maxrss / 1024)

    def timed(self):
        self.cpu = self.peak = 0
        began = datetime.datetime.now()
        self.step()
        return (datetime.datetime.now() - began).total_seconds(), self.cpu, self.peak


class Wagon(Engine):
    name, fine = "wagon", (0, 3)

    def prepare(self):
        listed = ", ".join(f'{{ address = "{account}" }}' for account in self.accounts)
        for name, server in (("old", self.source), ("new", self.target)):
            (self.dir / f"{name}.secret").write_text(server.password)
            (self.dir / f"{name}.toml").write_text(
                f'insecure = true\n[accounts]\nlist = [{listed}]\n[mail]\nimap = "imap://127.0.0.1:{server.port}"\nlogin = "master"\n'
                f'user = "master"\npassword = {{ file = "{self.dir}/{name}.secret" }}\n')

    def step(self):
        shared = ("--archive", self.dir / "archive", "--cache-dir", self.dir / "cache")
        self.run(self.args.wagon, "export", "-q", "--from", self.dir / "old.toml", *shared)
        self.run(self.args.wagon, "import", "-q", "--to", self.dir / "new.toml", "--delete", *shared)


class Mbsync(Engine):
    name, fine = "mbsync", (0,)

    def prepare(self):
        lines = []
        for at, account in enumerate(self.accounts):
            for side, server in (("far", self.source), ("near", self.target)):
                lines += [f"IMAPStore {side}{at}", "Host 127.0.0.1", f"Port {server.port}", f'User "{account}*master"',
                          f"Pass {server.password}", "SSLType None", "AuthMechs LOGIN", ""]
            state = self.dir / f"state-{account}"
            state.mkdir()
            lines += [f"Channel c{at}", f"Far :far{at}:", f"Near :near{at}:", 'Patterns * "!shared/*"', "Create Near", "Sync Pull", "Expunge Near",
                      f"SyncState {state}/", "CopyArrivalDate yes", ""]
        (self.dir / "mbsyncrc").write_text("\n".join(lines))

    def step(self):
        self.run("mbsync", "-c", self.dir / "mbsyncrc", "-a", "-q")


def main():
    here = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--accounts", type=int, default=30)
    parser.add_argument("--name")
    parser.add_argument("--wagon", default=here / "target/release/wagon", type=Path)
    args = parser.parse_args()
    args.work, args.wagon = args.work.resolve(), args.wagon.resolve()
    args.work.mkdir(exist_ok=True)
    if any(args.work.iterdir()):
        parser.error(f"{args.work} is not empty")
    shutil.copytree(args.site, args.work / "site", symlinks=True)
    found = sorted(f"{path.name}@{path.parent.name}" for path in (args.work / "site/mail").glob("*/*") if (path / "Maildir").is_dir())
    accounts = [account for account in found if account.isascii() and "'" not in account and " " not in account][:args.accounts]
    source = Dovecot(args.start, args.work / "source", args.work / "site")
    login = SimpleNamespace(host="127.0.0.1", port=source.port, master="master", password=args.work / "secret")
    login.password.write_text(source.password)
    engines = [kind(args, accounts, source) for kind in (Wagon, Mbsync) if kind is Wagon or shutil.which("mbsync")]
    costs = {(engine.name, step): [] for engine in engines for step in STEPS}
    held = {}
    for at in range(args.runs):
        turns = engines[at % len(engines):] + engines[:at % len(engines)]
        for engine in turns:
            engine.fresh()
        for step in STEPS:
            if step in ("day", "next day"):
                for account in accounts:
                    a_day(login, account, 2 * at + STEPS.index(step) % 2)
            for engine in turns:
                os.sync()
                costs[engine.name, step].append(engine.timed())
                if step == "first":
                    held[engine.name] = engine.target.messages(accounts)
        counts = {engine.name: engine.target.messages(accounts) for engine in engines}
    counts["the source"] = source.messages(accounts)
    versions = [subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip().split("\n")[0]
                for program in [args.wagon, "mbsync", "dovecot"] if shutil.which(program)]
    lines = ["# Moves from a Dovecot to a Dovecot", "",
             f"{datetime.date.today()}, {report.machine()}; {', '.join(versions)}; {len(accounts)} accounts of {args.site.name}; medians (range) of "
             f"{args.runs}. Made by `bench/moves.py`, which says how.", "",
             "| step | | wall s | messages/s | CPU s | peak MiB |", "|---|---|---|---|---|---|"]
    for step in STEPS:
        for engine in engines:
            walls, cpus, peaks = zip(*costs[engine.name, step])
            middle = statistics.median(walls)
            speed = f"{held[engine.name] / middle:,.0f}" if step == "first" else ""
            lines.append(f"| {step} | {engine.name} | {middle:.2f} ({min(walls):.2f}–{max(walls):.2f}) | {speed} | "
                         f"{statistics.median(cpus):.2f} | {max(peaks):.0f} |")
    lines += ["", "Messages in the end: " + ", ".join(f"{name} {count:,}" for name, count in counts.items()) + "."]
    text = "\n".join(lines) + "\n"
    print(text)
    for engine in engines:
        engine.close()
    source.stop()
    if args.name:
        report.write(args.name, text)


if __name__ == "__main__":
    main()
