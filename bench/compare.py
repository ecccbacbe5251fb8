#!/usr/bin/env python3
"""Measure wagon beside restic, borg and rustic on one mail site, all in the same run.

    bench/compare.py SITE WORK [--runs N] [--day COMMAND] [--name NAME] [--wagon PATH]

SITE is a directory site (mail/DOMAIN/USER/Maildir ...). It is read; only COMMAND, which applies one day of change to it,
ever writes there, and without COMMAND the day is left out. WORK is an empty folder, on a disk with room for about
fifteen times the site. Programs that are not installed are left out, and the report says so.

Every step is one whole process; the programs take turns, and each step is done N times (3), the median shown. The site is
read once beforehand, and repositories are read soon after they were written, so everybody works from the page cache (a
warm cache); before each step all that is still to be written is (sync). Before the day is repeated, a program gets back
its repository and caches of before. What a program gives back is compared with SITE: files one by one; wagon's import,
which names files anew, by `wagon verify` and by the contents of all messages.

restic and rustic always encrypt, which costs a few per cent of their CPU; borg runs with encryption off, zstd level 3.
The report goes to standard output and, with --name, with a picture into bench/results/NAME.md and NAME.svg.
"""
import argparse
import datetime
import shutil
import subprocess
from pathlib import Path

import chart
import report
from engines import RIVALS, Wagon, files_below


def run(engines, runs, day):
    """All steps, the engines taking turns, each run beginning with another one."""
    turns = [engines[at % len(engines):] + engines[:at % len(engines)] for at in range(runs)]
    for turn in turns:
        for engine in turn:
            engine.fresh()
            engine.backup("first")
            engine.backup("unchanged")
    if day:
        for engine in engines:
            engine.keep()
        subprocess.run(day, shell=True, check=True, stdout=subprocess.DEVNULL)
        for turn in turns:
            for engine in turn:
                engine.go_back()
                engine.backup("day")
    for turn in turns:
        for engine in turn:
            engine.check()
    for turn in turns:
        for engine in turn:
            engine.restore_one()
    for turn in turns:
        for engine in turn:
            engine.restore_all()


def inbox_messages(site):
    return sorted(path for path in site.glob("mail/*/*/Maildir/cur/*") if path.is_file())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--day", help="a shell command")
    parser.add_argument("--name")
    parser.add_argument("--only", help="these programs beside wagon, with commas; for trying out")
    parser.add_argument("--wagon", default=Path(__file__).resolve().parents[1] / "target/release/wagon", type=Path)
    args = parser.parse_args()
    site, work = args.site.resolve(), args.work.resolve()
    if not args.wagon.is_file():
        parser.error(f"there is no {args.wagon}; cargo build --release makes it")
    if args.runs < 1:
        parser.error("--runs is at least 1")
    work.mkdir(parents=True, exist_ok=True)
    if any(work.iterdir()):
        parser.error(f"{args.work} is not empty")
    if site == work or site in work.parents:
        parser.error("WORK lies in SITE")
    found = inbox_messages(site)
    if not found:
        parser.error(f"{args.site} holds no message in an inbox (mail/DOMAIN/USER/Maildir/cur)")
    message = found[len(found) // 2].relative_to(site)
    files = files_below(site)
    size = sum(len((site / path).read_bytes()) for path in files)  # which also warms the cache

    wanted = args.only.split(",") if args.only is not None else list(RIVALS)
    engines = [Wagon(str(args.wagon.resolve()), work, site, message)]
    engines += [make(work, site, message) for name, make in RIVALS.items() if name in wanted and shutil.which(name)]
    run(engines, args.runs, args.day)

    title = f"{args.name or 'a site'}: {len(files)} files, {size / 1e6:.1f} MB"
    text = report.comparison(engines, title, args.runs, bool(args.day), [name for name in RIVALS if not shutil.which(name)],
                             picture=args.name and f"{args.name}.svg")
    print(text)
    if args.name:
        report.write(args.name, text, chart.comparison(engines, title, f"{datetime.date.today()}, {report.machine()}"))


if __name__ == "__main__":
    main()
