#!/usr/bin/env python3
"""Measure how wagon's cost grows with the number of messages.

    bench/growth.py WORK [--sizes 30000,300000] [--runs N] [--name growth] [--wagon PATH] [--make-site PATH]

For each size a site of small messages is made in WORK (examples/make-site; 300,000 messages take 1.6 GB on disk, and the
whole run three times that), and measured: the first pass, a second one over the unchanged site, one after a day of
change, an import into an empty site, and a second import with nothing new. Each step is one whole process, done N times
(3), medians shown; the page cache is warm, and what is still to be written is written before each step. The import is
compared with the site by `wagon verify` and by the contents of all messages.

The report goes to standard output and, with --name, with a picture into bench/results/NAME.md and NAME.svg.
"""
import argparse
import datetime
import shutil
import subprocess
from pathlib import Path

import chart
import report
from engines import STEPS, Wagon

OURS = [step for step in STEPS if step not in ("check", "one message")]

# How much more a message, a folder, or the memory may cost at the largest site than at the smallest.
FLAT = 1.10


def measure(size, runs, work, wagon, make_site):
    """All steps on a site of this size: the engine with its costs, and the number of folders."""
    site = work / f"site-{size}"
    subprocess.run([make_site, "--messages", str(size), str(site)], check=True)
    folders = sum(1 for _ in site.glob("mail/*/*/Maildir/**/cur"))
    for path in site.rglob("*"):  # the cache is warm
        if path.is_file():
            path.read_bytes()
    engine = Wagon(str(wagon), work, site, None)
    for _ in range(runs):
        engine.fresh()
        engine.backup("first")
        engine.backup("unchanged")
    engine.keep()
    subprocess.run([make_site, "--day", str(site)], check=True)
    for _ in range(runs):
        engine.go_back()
        engine.backup("day")
    for _ in range(runs):
        engine.restore_all()
    shutil.rmtree(engine.dir)
    shutil.rmtree(site)
    return engine, folders


def verdict(first, last, what):
    grew = last / first
    return f"- {what}: {grew:.2f} times from the smallest to the largest site; {'flat' if grew <= FLAT else 'not flat'} (within 10 %)."


def table(sizes, measured):
    lines = ["| step | messages | wall s | µs a message | CPU µs a message | µs a folder | peak MiB |", "|---|---|---|---|---|---|---|"]
    for step in OURS:
        for at, size in enumerate(sizes):
            engine, folders = measured[size]
            cost = engine.median(step)
            lines.append(f"| {step if at == 0 else ''} | {size:,} | {cost.wall:.3f} | {cost.wall / size * 1e6:.1f} | "
                         f"{cost.cpu / size * 1e6:.1f} | {cost.wall / folders * 1e6:.1f} | {cost.peak:.0f} |")
    return lines


def verdicts(sizes, measured):
    def of(size, step, what):
        return getattr(measured[size][0].median(step), what)
    small, large = sizes[0], sizes[-1]
    lines = [verdict(of(small, step, "wall") / small, of(large, step, "wall") / large, f"time a message, {step}")
             for step in ("first", "day", "everything")]
    lines += [verdict(of(small, step, "wall") / measured[small][1], of(large, step, "wall") / measured[large][1],
                      f"time a folder, {step}") for step in ("unchanged", "second import")]
    return lines + [verdict(of(small, step, "peak"), of(large, step, "peak"), f"peak memory, {step}") for step in OURS]


def main():
    here = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--sizes", default="30000,300000", help="numbers of messages, with commas; 3000000 takes 16 GB and more")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--name")
    parser.add_argument("--wagon", default=here / "target/release/wagon", type=Path)
    parser.add_argument("--make-site", default=here / "target/release/examples/make-site", type=Path)
    args = parser.parse_args()
    for program in (args.wagon, args.make_site):
        if not program.is_file():
            parser.error(f"there is no {program}; cargo build --release --bin wagon --example make-site makes it")
    args.work.mkdir(parents=True, exist_ok=True)
    if any(args.work.iterdir()):
        parser.error(f"{args.work} is not empty")
    try:
        sizes = sorted({int(size) for size in args.sizes.split(",")})
    except ValueError:
        parser.error("--sizes are numbers with commas between them")
    if args.runs < 1 or sizes[0] < 1:
        parser.error("sizes and runs are at least 1")
    work = args.work.resolve()
    measured = {size: measure(size, args.runs, work, args.wagon.resolve(), args.make_site.resolve()) for size in sizes}

    about = f"{datetime.date.today()}, {report.machine()}, warm cache, medians of {args.runs}"
    picture = [f"![the same as a picture]({args.name}.svg)", ""] if args.name else []
    faults = sorted({fault for engine, _ in measured.values() for fault in engine.faults})
    folders = ", ".join(f"{count:,} folders in {size:,} messages" for size, (_, count) in measured.items())
    lines = ["# How cost grows", "", *picture, f"{about}; {measured[sizes[0]][0].version}. {folders}. Made by `bench/growth.py`, "
             "which says how.", "", *table(sizes, measured), ""]
    lines += [*verdicts(sizes, measured), ""] if len(sizes) > 1 else []
    lines += [f"What came back: {'; '.join(faults) or 'exactly what was given, at each size'}."]
    text = "\n".join(lines) + "\n"
    print(text)
    if args.name:
        def series(figure):
            return [(step, [figure(measured[size][0].median(step), size) for size in sizes]) for step in OURS]
        report.write(args.name, text, chart.growth("How cost grows with the number of messages", about, sizes, [
            ("Time a message, µs", series(lambda cost, size: cost.wall / size * 1e6)),
            ("Peak memory, MiB", series(lambda cost, _: cost.peak))]))


if __name__ == "__main__":
    main()
