#!/usr/bin/env python3
"""Measure wagon beside mbsync, doveadm backup and doveadm sync: all mail of an IMAP server, copied to this machine.

    bench/servers.py HOST PORT MASTER PASSWORD_FILE ACCOUNTS WORK [--runs N] [--name NAME] [--wagon PATH]
                     [--day] [--latency MS] [--without PROGRAM]

HOST:PORT is an IMAP server that speaks without TLS on this machine or a trusted network and knows a Dovecot master user
(`ACCOUNT*MASTER`); nothing is written there without --day. ACCOUNTS is a file with an address a line, WORK an empty folder.

Steps: `first` (nothing is here yet), `unchanged` (all is here and nothing has changed) and, with --day, `day`: in each
inbox five letters have arrived, ten got another flag and two were removed since. wagon writes its archive (`wagon
export`); mbsync (isync), doveadm backup and doveadm sync (one way, `-1`), one account after the other, write Maildirs. With --latency everybody
reaches the server through a relay that holds what passes for so many milliseconds there and back together, as a network
does. Programs that are not installed are left out, and the report says so. They take turns; each step is done N times (3), the median shown. CPU is
that of the program and what it starts, not of the server. Afterwards each step is done once more through a proxy that
counts bytes on the wire and round trips (how often a client speaks after the server has); that run is not timed.
"""
import argparse
import imaplib
import json
import os
import queue
import re
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path


class Counter:
    """A proxy that counts what goes through it, and holds each piece for `delay` seconds without holding up the next."""

    def __init__(self, upstream, delay=0.0):
        self.upstream, self.delay = upstream, delay
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.reset()
        threading.Thread(target=self.serve, daemon=True).start()

    def reset(self):
        self.up = self.down = self.turns = self.connections = 0

    def serve(self):
        while True:
            client, _ = self.listener.accept()
            server = socket.create_connection(self.upstream)
            with self.lock:
                self.connections += 1
            state = {"heard": True}
            for source, sink, is_up in ((client, server, True), (server, client, False)):
                held = queue.SimpleQueue()
                threading.Thread(target=self.take, args=(source, held, state, is_up), daemon=True).start()
                threading.Thread(target=self.give, args=(held, source, sink), daemon=True).start()

    def take(self, source, held, state, is_up):
        try:
            while data := source.recv(65536):
                with self.lock:
                    if is_up:
                        self.up += len(data)
                        self.turns += state["heard"]
                    else:
                        self.down += len(data)
                    state["heard"] = not is_up
                held.put((time.monotonic() + self.delay, data))
        except OSError:
            pass
        held.put((time.monotonic() + self.delay, b""))

    def give(self, held, source, sink):
        try:
            while (piece := held.get())[1]:
                time.sleep(max(0.0, piece[0] - time.monotonic()))
                sink.sendall(piece[1])
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Engine:
    """A program with a folder of its own below WORK."""

    def __init__(self, args, accounts):
        self.args, self.accounts = args, accounts
        self.dir = args.work / self.name
        self.log = args.work / f"{self.name}.log"
        self.cpu = self.peak = self.uneasy = self.held = 0

    def fresh(self):
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir()

    def run(self, argv, env=None, fine=(0,)):
        with open(self.log, "ab") as out:
            child = subprocess.Popen(list(map(str, argv)), env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                                     stdout=out, stderr=out)
            _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode not in fine:
            raise subprocess.CalledProcessError(child.returncode, argv[0])
        self.uneasy += child.returncode != 0
        self.cpu += usage.ru_utime + usage.ru_stime
        self.peak = max(self.peak, usage.ru_maxrss / 1024)

    def messages(self):
        """How many messages lie in the Maildirs."""
        return sum(len(files) for dir, _, files in os.walk(self.dir) if os.path.basename(dir) in ("cur", "new"))


class Wagon(Engine):
    name = "wagon"

    def messages(self):
        shown = subprocess.run([self.args.wagon, "snapshots", "--json", "--archive", self.dir / "archive"], capture_output=True,
                               text=True, check=True).stdout
        counts = [snapshot["counts"] for snapshot in json.loads(shown.splitlines()[-1])["report"]]
        return sum(count["items_added"] - count["items_removed"] for count in counts)

    def step(self, port):
        site = self.dir / "site.toml"
        listed = ", ".join(f'{{ address = "{account}" }}' for account in self.accounts)
        site.write_text(f'state = "state"\n[accounts]\nlist = [{listed}]\n[mail]\nimap = "imap://{self.args.host}:{port}"\n'
                        f'insecure = true\nlogin = "master"\nuser = "{self.args.master}"\n'
                        f'password = {{ file = "{self.args.password.resolve()}" }}\n')
        # Its place in the catalog is named after the server; the proxy is the same server.
        self.run([self.args.wagon, "export", "--quiet", "--from", site, "--archive", self.dir / "archive", "--source", "bench",
                  "--cache-dir", self.dir / "cache"])

    def version(self):
        return subprocess.run([self.args.wagon, "--version"], capture_output=True, text=True, check=True).stdout.strip()


class Mbsync(Engine):
    name = "mbsync"

    def step(self, port):
        lines = []
        for at, account in enumerate(self.accounts):
            home = self.dir / account
            home.mkdir(exist_ok=True)
            lines += [f"IMAPStore far{at}", f"Host {self.args.host}", f"Port {port}", f"User \"{account}*{self.args.master}\"",
                      f"PassCmd \"cat {self.args.password.resolve()}\"", "SSLType None", "AuthMechs LOGIN", "",
                      f"MaildirStore near{at}", f"Path {home}/", f"Inbox {home}/INBOX", "SubFolders Verbatim", "",
                      f"Channel c{at}", f"Far :far{at}:", f"Near :near{at}:",
                      "Patterns *" + (f' "!{self.args.shared}*"' if self.args.shared else ""), "Create Near", "Sync Pull",
                      "SyncState *", "CopyArrivalDate yes", ""]
        config = self.dir / "mbsyncrc"
        config.write_text("\n".join(lines))
        self.run(["mbsync", "-c", config, "-a", "-q"])

    def version(self):
        return subprocess.run(["mbsync", "--version"], capture_output=True, text=True, check=True).stdout.strip()


class Doveadm(Engine):
    name = "doveadm backup"
    verb = ("backup", "-R")
    nobody = 65534

    def own(self, folder):
        """doveadm writes no mail as root; started by root, it becomes nobody."""
        folder.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            os.chown(folder, self.nobody, self.nobody)

    def fresh(self):
        super().fresh()
        self.own(self.dir)

    def step(self, port):
        config = self.dir / "dovecot.conf"
        owner = os.stat(self.dir)
        config.write_text(f"base_dir = {self.dir}/run\nstate_dir = {self.dir}/run\nlog_path = {self.dir}/log\nprotocols =\n"
                          f"ssl = no\nfirst_valid_uid = 0\nfirst_valid_gid = 0\nmail_uid = {owner.st_uid}\n"
                          f"mail_gid = {owner.st_gid}\nmail_prefetch_count = 20\nnamespace inbox {{\n  inbox = yes\n"
                          f"  separator = /\n}}\n")
        secret = self.args.password.read_text().splitlines()[0]
        for account in self.accounts:
            home = self.dir / account
            self.own(home)
            options = {"mail_location": f"maildir:{home}/Maildir", "imapc_host": self.args.host, "imapc_port": port,
                       "imapc_user": f"{account}*{self.args.master}", "imapc_password": secret,
                       "imapc_features": "rfc822.size fetch-headers"}
            argv = ["doveadm", "-c", config]
            for key, value in options.items():
                argv += ["-o", f"{key}={value}"]
            # 2: it wants to be run again, which it does not get.
            leave = ["-x", f"{self.args.shared}*"] if self.args.shared else []
            self.run(argv + [*self.verb, *leave, "imapc:"], {"USER": account, "HOME": str(home)}, fine=(0, 2))

    def version(self):
        return "dovecot " + subprocess.run(["dovecot", "--version"], capture_output=True, text=True, check=True).stdout.strip()


class DoveadmSync(Doveadm):
    name = "doveadm sync"
    verb = ("sync", "-1", "-R")


def a_day(args, account, number):
    """What happens to an account in a day, the same for everybody who reads it afterwards."""
    with imaplib.IMAP4(args.host, args.port) as server:
        server.login(f"{account}*{args.master}", args.password.read_text().splitlines()[0])
        for letter in range(5):
            text = f"From: x@example.org\r\nSubject: day {number}\r\nMessage-ID: <{number}.{letter}.{account}>\r\n\r\n"
            server.append("INBOX", None, None, (text + f"line of letter {letter}\r\n" * 100).encode())
        _, [count] = server.select("INBOX")
        seen = "+FLAGS" if number % 2 == 0 else "-FLAGS"
        server.store(f"1:{min(10, int(count))}", seen, "(\\Flagged)")
        server.store(f"{max(1, int(count) - 6)}:{max(1, int(count) - 5)}", "+FLAGS", "(\\Deleted)")
        server.expunge()


def shared_prefix(args, account):
    """Where the folders of other users begin, as the server says (RFC 2342); None: nowhere."""
    with imaplib.IMAP4(args.host, args.port) as server:
        server.login(f"{account}*{args.master}", args.password.read_text().splitlines()[0])
        _, [said] = server.namespace()
    found = re.match(rb'.*?\)\) \(\("([^"]+)"', said)
    return found and found[1].decode()


def timed(engine, port):
    """Wall and CPU seconds of a step, and the peak of the largest of its processes in MiB."""
    engine.cpu = engine.peak = 0
    began = time.monotonic()
    engine.step(port)
    return time.monotonic() - began, engine.cpu, engine.peak


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("master")
    parser.add_argument("password", type=Path)
    parser.add_argument("accounts", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--name")
    parser.add_argument("--day", action="store_true")
    parser.add_argument("--latency", type=float, default=0.0, metavar="MS")
    parser.add_argument("--without", action="append", default=[])
    parser.add_argument("--wagon", default=str(Path(__file__).parent.parent / "target/release/wagon"))
    args = parser.parse_args()
    accounts = args.accounts.read_text().split()
    args.work = args.work.resolve()
    args.work.mkdir(exist_ok=True)
    args.shared = shared_prefix(args, accounts[0])
    engines, missing = [], []
    for kind, program in ((Wagon, args.wagon), (Mbsync, "mbsync"), (Doveadm, "doveadm"), (DoveadmSync, "doveadm")):
        if kind.name in args.without:
            continue
        if shutil.which(program):
            engines.append(kind(args, accounts))
        else:
            missing.append(kind.name)
    steps = ["first", "unchanged"] + ["day"] * bool(args.day)
    costs = {(engine.name, step): [] for engine in engines for step in steps}
    wire = {}
    counter = Counter((args.host, args.port), args.latency / 2000)
    timed_port = counter.port if args.latency else args.port
    for at in range(args.runs + 1):
        turn = at % len(engines)
        turns = engines[turn:] + engines[:turn]
        for engine in turns:
            engine.fresh()
        for step in steps:
            if step == "day":
                for account in accounts:
                    a_day(args, account, at)
            for engine in turns:
                if at < args.runs:
                    costs[engine.name, step].append(timed(engine, timed_port))
                    if step == "first":
                        engine.held = engine.messages()
                else:
                    counter.reset()
                    engine.step(counter.port)
                    time.sleep(0.2)
                    wire[engine.name, step] = (counter.connections, counter.turns, counter.up + counter.down)
    lines = [f"# {len(accounts)} accounts over IMAP", "",
             f"{os.cpu_count()} cores; {', '.join(dict.fromkeys(engine.version() for engine in engines))}; {args.runs} runs, medians (range)."]
    if args.latency:
        lines.append(f"Everybody is {args.latency:g} ms away from the server.")
    if args.without:
        lines.append(f"Left out: {', '.join(args.without)}.")
    if missing:
        lines.append(f"Not installed: {', '.join(missing)}.")
    for step in steps:
        lines += ["", f"## {step}", "", "| | wall s | messages/s | CPU s | peak MiB | connections | round trips | an account | MB on the wire |",
                  "|---|---|---|---|---|---|---|---|---|"]
        for engine in engines:
            def show(values):
                return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"
            walls, cpus, peaks = zip(*costs[engine.name, step])
            connections, turns, size = wire[engine.name, step]
            speed = f"{engine.held / statistics.median(walls):,.0f}" if step == "first" else ""
            lines.append(f"| {engine.name} | {show(walls)} | {speed} | {show(cpus)} | {max(peaks):.0f} | {connections} | {turns} | "
                         f"{turns / len(accounts):.1f} | {size / 1e6:.2f} |")
    lines += ["", "Messages held in the end: " + ", ".join(f"{engine.name} {engine.messages()}" for engine in engines) + "."]
    lines += [f"{engine.name} ended {engine.uneasy} times with a status that asks for another run."
              for engine in engines if engine.uneasy]
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    if args.name:
        (Path(__file__).parent / "results" / f"{args.name}.md").write_text(text)


if __name__ == "__main__":
    main()
