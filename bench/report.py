"""The report of a comparison, in Markdown: goals first, then every figure."""
import datetime
import os
import platform
from pathlib import Path

from engines import STEPS

# The goals: what, how it is read from (engine, step), how much of the best rival's figure is the most, and the most in
# itself. The figures are those of the project's plan for this benchmark.
GOALS = (
    ("archive after the first pass, MB", "first", "size", 0.25, None),
    ("archive growth in a day, MB", "day", "growth", 0.40, None),
    ("first pass, s", "first", "wall", 0.33, None),
    ("first pass, CPU s", "first", "cpu", 0.45, None),
    ("unchanged pass, s", "unchanged", "wall", 0.02, None),
    ("day's pass, s", "day", "wall", 0.10, None),
    ("check of all data, s", "check", "wall", 1.0, None),
    ("check of all data, MiB", "check", "peak", 1.0, None),
    ("one message out, s", "one message", "wall", 0.10, 0.05),
    ("full import, s", "everything", "wall", 0.60, None),
    ("second import, nothing new, s", "second import", "wall", None, 0.5),
    ("peak memory, every step, MiB", None, "peak", None, 96),
)


def machine():
    """Cores, memory, kernel; nothing that names the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB of memory, Linux {platform.release().split('-')[0]}"


def figure(engine, step, what):
    """A median of this engine, or None where there is none."""
    if what == "size":
        return engine.bytes[step] / 1e6 if step in engine.bytes else None
    if what == "growth":
        return (engine.bytes[step] - engine.bytes["unchanged"]) / 1e6 if step in engine.bytes else None
    if step is None:
        return max(max(cost.peak for cost in runs) for runs in engine.costs.values() if runs)
    median = engine.median(step)
    return median and getattr(median, what)


def number(value):
    return "" if value is None else f"{value:.3f}" if value < 0.1 else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def goals(engines):
    lines = ["| | wagon | best rival | of it | goal | |", "|---|---|---|---|---|---|"]
    ours, rivals = engines[0], engines[1:]
    for name, step, what, ratio, most in GOALS:
        mine = figure(ours, step, what)
        theirs = [(value, rival.name) for rival in rivals if (value := figure(rival, step, what)) is not None]
        goal = " and ".join(([f"{ratio} ×"] if ratio else []) + ([f"{most:g}"] if most else []))
        if mine is None:
            lines.append(f"| {name} | | | | at most {goal} | not measured |")
            continue
        best, of, verdict = "", "", []
        if theirs:
            value, rival = min(theirs)
            best = f"{number(value)} ({rival})"
            of = f"{mine / value:.3f}" if value > 0 else ""
            verdict += [mine <= ratio * value] if ratio else []
        elif ratio:
            verdict = [None]
        verdict += [mine <= most] if most else []
        word = "not measured" if None in verdict else "met" if all(verdict) else "missed"
        lines.append(f"| {name} | {number(mine)} | {best} | {of} | at most {goal} | {word} |")
    return lines


def every_figure(engines):
    lines = ["| step | program | wall s: median (range) | CPU s | peak MiB | repository MB | grew MB |", "|---|---|---|---|---|---|---|"]
    before = None
    for step in STEPS:
        for engine in engines:
            median = engine.median(step)
            if not median:
                continue
            walls = [cost.wall for cost in engine.costs[step]]
            spread = f" ({min(walls):.3f}–{max(walls):.3f})" if len(walls) > 1 else ""
            size = f"{engine.bytes[step] / 1e6:.2f}" if step in engine.bytes else ""
            earlier = {"unchanged": "first", "day": "unchanged"}.get(step)
            grew = f"{(engine.bytes[step] - engine.bytes[earlier]) / 1e6:.3f}" if earlier and size else ""
            lines.append(f"| {step if step != before else ''} | {engine.name} | {median.wall:.3f}{spread} | {median.cpu:.3f} "
                         f"| {median.peak:.0f} | {size} | {grew} |")
            before = step
    return lines


def comparison(engines, title, runs, day, missing, picture):
    lines = [f"# {title}", ""]
    lines += [f"![the same as a picture]({picture})", ""] if picture else []
    lines += [f"{datetime.date.today()}, {machine()}, warm cache, {runs} run{'s' * (runs > 1)} of each step, the programs taking "
              "turns, medians. Made by `bench/compare.py`, which says how.", "",
              "Versions: " + "; ".join(engine.version for engine in engines) + "."]
    lines += [f"Not installed, so not measured: {', '.join(missing)}."] if missing else []
    lines += [] if day else ["No command for a day of change was given, so that step is left out."]
    lines += ["", "## Goals", "", *goals(engines), "", "## Every figure", "", *every_figure(engines), "",
              "## What came back", ""]
    lines += [f"- {engine.name}: {'; '.join(engine.faults) or 'exactly what was given'}" for engine in engines]
    return "\n".join(lines) + "\n"


def write(name, text, picture=None):
    """Puts a report, and its picture if there is one, into results/."""
    results = Path(__file__).resolve().parent / "results"
    (results / f"{name}.md").write_text(text)
    if picture:
        (results / f"{name}.svg").write_text(picture)
