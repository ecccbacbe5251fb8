#!/usr/bin/env python3
"""Measure wagon beside restic, borg and rustic on one mail site, all in the same run.

    bench/compare.py SITE WORK [--wagon PATH] [--day COMMAND] [--runs N] [--name NAME]

SITE is a directory site (mail/DOMAIN/USER/Maildir ...); it is read, and changed by COMMAND alone. WORK is an empty
folder for repositories and restored trees (about four times the site). COMMAND applies one day of change to SITE.
Programs that are not installed are left out, and the table says so.

Each step is a whole process: wall time, user + system time, peak resident memory. The site is read once beforehand, so
everybody finds it in the page cache (a warm cache). With --runs N the steps that can be repeated on a fresh repository
(first, unchanged) are, the engines taking turns, and the median is shown with the range. The table goes to standard
output and, with --name, into bench/results/NAME.md.

restic and rustic always encrypt, which costs a few per cent of their CPU; borg runs with encryption off, zstd level 3.
wagon's import is checked by `wagon verify`, the others' trees file by file.
"""
import argparse
import datetime
import filecmp
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

STEPS = ("first", "unchanged", "day", "one message", "everything")


class Engine:
    """One program: how it does each step, and what that cost."""

    def __init__(self, name, work, site, message, version, env=None):
        self.name, self.work, self.site, self.message = name, work, site, message
        self.env = {**os.environ, **(env or {})}
        self.version = subprocess.run(version, capture_output=True, text=True).stdout.split("\n")[0]
        self.figures = {step: [] for step in STEPS}
        self.sizes, self.exact = {}, "not compared"
        self.repo, self.out = work / name / "repo", work / name / "out"

    def fresh(self):
        shutil.rmtree(self.work / self.name, ignore_errors=True)
        (self.work / self.name).mkdir(parents=True)

    def timed(self, step, argv, cwd=None):
        log = (self.work / self.name / "log").open("ab")
        started = time.monotonic()
        child = subprocess.Popen(argv, env=self.env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        figure = (time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
        if child.returncode != 0:
            raise SystemExit(f"{self.name}, {step}: exit status {child.returncode}, see {log.name}")
        self.figures[step].append(figure)
        self.sizes[step] = sum(f.stat().st_size for f in self.repo.rglob("*") if f.is_file())
        print(f"{step:12} {self.name:8} {figure[0]:8.2f} s  CPU {figure[1]:8.2f} s  {figure[2]:6.0f} MiB", file=sys.stderr)

    def run(self, *argv, cwd=None):
        subprocess.run(argv, env=self.env, cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Wagon(Engine):
    def __init__(self, path, work, site, message):
        cache = {"WAGON_CACHE_DIR": str(work / "wagon" / "cache")}
        super().__init__("wagon", work, site, message, [path, "--version"], cache)
        self.path = path

    def backup(self, step):
        self.timed(step, [self.path, "-q", "export", "--from", str(self.site), "--archive", str(self.repo)])

    def restore(self):
        _, domain, user, *_ = self.message.parts
        item = f"{user}@{domain}:INBOX/{self.message.name.split(':2,')[0]}"
        one = self.out / "one"
        self.out.mkdir()
        self.timed("one message", [self.path, "-q", "extract", "--archive", str(self.repo), item, "--output", str(one)])
        assert filecmp.cmp(one, self.site / self.message, shallow=False)
        new = str(self.out / "site")
        self.timed("everything", [self.path, "-q", "import", "--archive", str(self.repo), "--to", new])
        verified = subprocess.run([self.path, "-q", "verify", "--archive", str(self.repo), "--to", new], env=self.env)
        self.exact = "exact" if verified.returncode == 0 else f"verify: exit status {verified.returncode}"


class Rival(Engine):
    """A program that restores trees."""

    init, save, one, everything = [], [], [], []

    def backup(self, step):
        if not self.repo.exists():
            self.run(*self.init)
        self.timed(step, self.save)

    def restore(self):
        for step, argv in (("one message", self.one), ("everything", self.everything)):
            shutil.rmtree(self.out, ignore_errors=True)
            self.out.mkdir()
            self.timed(step, argv, cwd=self.out)
        found = [p.parent for p in self.out.rglob("etc") if (p.parent / "mail").is_dir()]
        self.exact = compare(self.site, found[0]) if found else "no tree found"


def restic(work, site, message):
    repo = work / "restic"
    engine = Rival("restic", work, site, message, ["restic", "version"], {
        "RESTIC_PASSWORD": "bench", "RESTIC_REPOSITORY": str(repo / "repo"), "RESTIC_CACHE_DIR": str(repo / "cache")})
    engine.init = ["restic", "init", "--repository-version", "2"]
    engine.save = ["restic", "backup", "-q", str(site)]
    engine.one = ["restic", "restore", "latest", "-i", str(site / message), "-t", str(engine.out)]
    engine.everything = ["restic", "restore", "latest", "-t", str(engine.out)]
    return engine


def borg(work, site, message):
    engine = Rival("borg", work, site, message, ["borg", "--version"], {
        "BORG_REPO": str(work / "borg" / "repo"), "BORG_BASE_DIR": str(work / "borg" / "base"),
        "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"})
    engine.init = ["borg", "init", "-e", "none"]
    engine.save = ["sh", "-c", 'exec borg create -C zstd,3 "::at-$(date +%s%N)" "$0"', str(site)]
    last = 'exec borg extract "::$(borg list --last 1 --short)" "$@"'
    engine.one = ["sh", "-c", last, "sh", str(site / message).lstrip("/")]
    engine.everything = ["sh", "-c", last, "sh"]
    return engine


def rustic(work, site, message):
    repo = work / "rustic"
    engine = Rival("rustic", work, site, message, ["rustic", "--version"], {
        "RUSTIC_PASSWORD": "bench", "RUSTIC_REPOSITORY": str(repo / "repo"), "RUSTIC_CACHE_DIR": str(repo / "cache"),
        "RUSTIC_NO_PROGRESS": "true", "RUSTIC_LOG_LEVEL": "error"})
    engine.init = ["rustic", "init"]
    engine.save = ["rustic", "backup", str(site)]
    engine.one = ["rustic", "restore", f"latest:{site / message}", str(engine.out / "one")]
    engine.everything = ["rustic", "restore", f"latest:{site}", str(engine.out / "site")]
    return engine


def compare(site, copy):
    """'exact', or in how many files the trees differ."""
    def files(root):
        return {p.relative_to(root) for p in root.rglob("*") if p.is_file() and not p.is_symlink()}
    ours, theirs = files(site), files(copy)
    differ = sum(not filecmp.cmp(site / p, copy / p, shallow=False) for p in ours & theirs)
    return "exact" if ours == theirs and not differ else f"{differ} differ, {len(ours ^ theirs)} on one side only"


def table(engines, raw, runs, site):
    found = {e.name for e in engines}
    missing = [name for name in ("restic", "borg", "rustic") if name not in found]
    lines = [f"Site {site.name}: {raw[0]} files, {raw[1] / 1e6:.1f} MB. {datetime.date.today()}, {os.cpu_count()} cores "
             f"({platform.machine()}), warm cache, {runs} run(s), median (range).",
             "Versions: " + "; ".join(f"{e.name}: {e.version}" for e in engines) + ".",
             f"Not installed, so not measured: {', '.join(missing)}." if missing else "", "",
             "| step | engine | wall s | CPU s | peak MiB | archive MB | of the best rival: wall, CPU, size |",
             "|---|---|---|---|---|---|---|"]
    for step in STEPS:
        done = [e for e in engines if e.figures[step]]
        for e in done:
            wall, cpu, rss = (statistics.median(f[k] for f in e.figures[step]) for k in range(3))
            spread = "" if len(e.figures[step]) == 1 else \
                f" ({min(f[0] for f in e.figures[step]):.2f}-{max(f[0] for f in e.figures[step]):.2f})"
            ratio = ""
            rivals = [r for r in done if r.name != "wagon"]
            if e.name == "wagon" and rivals:
                best = [min(statistics.median(f[k] for f in r.figures[step]) for r in rivals) for k in range(2)]
                ratio = f"{wall / best[0]:.3f}, {cpu / best[1]:.3f}, " \
                        f"{e.sizes[step] / min(r.sizes[step] for r in rivals):.3f}"
            lines.append(f"| {step} | {e.name} | {wall:.2f}{spread} | {cpu:.2f} | {rss:.0f} | "
                         f"{e.sizes[step] / 1e6:.1f} | {ratio} |")
    return "\n".join(lines + [""] + [f"What {e.name} gave back: {e.exact}." for e in engines]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--wagon", default="target/release/wagon")
    parser.add_argument("--day")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--name")
    args = parser.parse_args()
    site, work = args.site.resolve(), args.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    if any(work.iterdir()):
        parser.error(f"{args.work} is not empty")
    messages = sorted(p for p in site.glob("mail/*/*/Maildir/cur/*") if p.is_file())
    if not messages:
        parser.error(f"{args.site} holds no message in an inbox")
    message = messages[len(messages) // 2].relative_to(site)
    files = [p for p in site.rglob("*") if p.is_file() and not p.is_symlink()]
    raw = len(files), sum(len(p.read_bytes()) for p in files)

    engines = [Wagon(str(Path(args.wagon).resolve()), work, site, message)]
    engines += [make(work, site, message) for name, make in (("restic", restic), ("borg", borg), ("rustic", rustic))
                if shutil.which(name)]
    for _ in range(args.runs):
        for engine in engines:
            engine.fresh()
            engine.backup("first")
            engine.backup("unchanged")
    if args.day:
        subprocess.run(args.day, shell=True, check=True, stdout=subprocess.DEVNULL)
        for engine in engines:
            engine.backup("day")
    for engine in engines:
        engine.restore()
        shutil.rmtree(engine.out, ignore_errors=True)
    text = table(engines, raw, args.runs, site)
    print(text)
    if args.name:
        (Path(__file__).parent / "results" / f"{args.name}.md").write_text(text)


if __name__ == "__main__":
    main()
