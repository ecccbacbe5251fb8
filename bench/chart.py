"""Draws results as SVG, without any library: bars and lines on a logarithmic scale, readable in light and in dark."""
import math
from html import escape

from engines import STEPS

WIDTH, LEFT, RIGHT = 900, 60, 20

LIGHT = ("#1f2328", "#d0d7de", "#ffffff", ("#0969da", "#9a6700", "#6e7781", "#8250df", "#1a7f37"))
DARK = ("#e6edf3", "#3d444d", "#0d1117", ("#58a6ff", "#d29922", "#8b949e", "#bc8cff", "#3fb950"))


def colours(ink, faint, paper, series):
    rules = f"text {{ fill: {ink}; }} .grid {{ stroke: {faint}; }} .paper {{ fill: {paper}; }}"
    return rules + "".join(f" .c{at} {{ fill: {c}; }} .l{at} {{ stroke: {c}; fill: none; stroke-width: 2; }}"
                           for at, c in enumerate(series))


STYLE = f"""<style>
text {{ font: 12px system-ui, sans-serif; }} .title {{ font-size: 17px; font-weight: 600; }}
.head {{ font-weight: 600; }} .small {{ font-size: 10px; }}
{colours(*LIGHT)}
@media (prefers-color-scheme: dark) {{ {colours(*DARK)} }}
</style>"""


class Page:
    """Panels one below the other."""

    def __init__(self, title, subtitle):
        self.title, self.parts, self.y = title, [], 62
        self.text(LEFT, 28, title, "title")
        self.text(LEFT, 48, subtitle)

    def text(self, x, y, text, style="", anchor="start"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">{escape(text)}</text>')

    def legend(self, names):
        x = LEFT
        for at, name in enumerate(names):
            self.parts.append(f'<rect x="{x}" y="{self.y}" width="12" height="12" class="c{at % 5}"/>')
            self.text(x + 17, self.y + 10, name)
            x += 40 + 7 * len(name)
        self.y += 30

    def scale(self, head, values, height):
        """Draws a panel's heading and grid; gives the function from a value to its y."""
        self.text(LEFT, self.y + 10, head, "head")
        top, bottom = self.y + 26, self.y + 26 + height
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        high = max(high, low + 1)
        for power in range(low, high + 1):
            y = bottom - (power - low) / (high - low) * height
            self.parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" class="grid"/>')
            self.text(LEFT - 6, y + 4, f"{10.0**power:.{max(-power, 0)}f}", "small", "end")
        self.y = bottom
        return lambda value: bottom - (math.log10(value) - low) / (high - low) * height if value > 0 else bottom

    def bars(self, head, groups, series, height=170):
        """`groups` are names; `series` pairs a name with one value a group, None for none."""
        values = [value for _, row in series for value in row if value and value > 0]
        if not values:
            return
        at_y = self.scale(head, values, height)
        room = (WIDTH - LEFT - RIGHT) / len(groups)
        wide = min(34, room * 0.86 / len(series))
        for group, name in enumerate(groups):
            middle = LEFT + room * (group + 0.5)
            self.text(middle, self.y + 16, name, anchor="middle")
            shown = [(at, row[group]) for at, (_, row) in enumerate(series) if row[group] is not None]
            for place, (at, value) in enumerate(shown):
                x, y = middle + (place - len(shown) / 2) * wide, min(at_y(value), self.y - 1)
                label = f"{value:.3f}" if value < 0.1 else f"{value:.2g}" if value < 10 else f"{value:.0f}"
                self.parts.append(f'<rect x="{x + 1:.1f}" y="{y:.1f}" width="{wide - 2:.1f}" height="{self.y - y:.1f}" '
                                  f'class="c{at % 5}"><title>{escape(series[at][0])}, {escape(name)}: {label}</title></rect>')
                self.text(x + wide / 2, y - 4, label, "small", "middle")
        self.y += 46

    def lines(self, head, marks, series, height=190):
        """`marks` are the places along the x axis, evenly apart; `series` as for bars."""
        values = [value for _, row in series for value in row if value and value > 0]
        if not values:
            return
        at_y = self.scale(head, values, height)
        step = (WIDTH - LEFT - RIGHT - 160) / max(len(marks) - 1, 1)
        at_x = [LEFT + 40 + step * at for at in range(len(marks))]
        for x, mark in zip(at_x, marks):
            self.text(x, self.y + 16, mark, anchor="middle")
        for at, (name, row) in enumerate(series):
            points = [(x, at_y(value)) for x, value in zip(at_x, row) if value]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            self.parts.append(f'<polyline points="{path}" class="l{at % 5}"/>')
            self.parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" class="c{at % 5}"/>' for x, y in points]
        self.y += 46

    def svg(self):
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.y:.0f}" width="{WIDTH}" role="img">\n'
                f"<title>{escape(self.title)}</title>\n{STYLE}\n"
                f'<rect width="100%" height="100%" class="paper"/>\n' + "\n".join(self.parts) + "\n</svg>\n")


def comparison(engines, title, about):
    page = Page(title, f"{about}; warm cache, medians; logarithmic scales, shorter is better")
    page.legend([engine.version for engine in engines])
    steps = [step for step in STEPS if any(engine.costs[step] for engine in engines)]

    def rows(what):
        return [(engine.name, [getattr(engine.median(step), what) if engine.costs[step] else None for step in steps])
                for engine in engines]
    page.bars("Time, s", steps, rows("wall"))
    page.bars("CPU time, s", steps, rows("cpu"))
    page.bars("Peak memory, MiB", steps, rows("peak"))
    sizes = [("archive after the first pass", "first", None)]
    sizes += [("growth in a day", "day", "unchanged")] if "day" in steps else []
    page.bars("Archive, MB", [name for name, _, _ in sizes],
              [(engine.name, [(engine.bytes[step] - engine.bytes.get(base, 0)) / 1e6 for _, step, base in sizes])
               for engine in engines])
    return page.svg()


def growth(title, subtitle, sizes, panels):
    """`panels`: heading, and pairs of a name and one value a size."""
    page = Page(title, subtitle)
    page.legend([name for name, _ in panels[0][1]])
    for head, series in panels:
        page.lines(head, [f"{size:,} messages" for size in sizes], series)
    return page.svg()
