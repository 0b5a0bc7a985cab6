"""Points -> an SVG plot that stands in a page by itself: no script, no font, no picture from anywhere.

Colours are classes (`due`, `send`, `bad`, `plain`, `good`) that the page's style sheet fills, so that a plot follows
the reader's light or dark scheme, and prints. A value that is not known (None) breaks its line; it is never drawn as
zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from seamark.delivery.reports.figures import number

WIDTH, HEIGHT = 640, 280  # the drawing's own units; the page scales it
LEFT, RIGHT, TOP, BOTTOM = 68, 18, 12, 46
LOG_OVER = 50.0  # values that span more than this are drawn on a log scale: a linear one would hide the lower half
TICKS = 5


@dataclass(frozen=True)
class Axis:
    """A scale: `low` and `high` are its ends, `ticks` the values that are written out, as (value, text)."""

    title: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    log: bool = False

    def share(self, value: float) -> float:
        """Where a value lies between the ends, 0 to 1; beyond them it lies at the end."""
        if self.log:
            low, high, value = math.log(self.low), math.log(self.high), math.log(max(value, self.low))
        else:
            low, high = self.low, self.high
        return min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.0


@dataclass(frozen=True)
class Line:
    """A named line through points, or steps that each hold until the next point."""

    name: str
    css: str
    points: Sequence[tuple[float, float | None]]
    dashed: bool = False
    steps: bool = False


@dataclass(frozen=True)
class Spread:
    """A shaded area between two lines, as (x, low, high); where either is not known it is interrupted."""

    css: str
    points: Sequence[tuple[float, float | None, float | None]]


@dataclass(frozen=True)
class Mark:
    """A point of its own with what it says when pointed at: `solid`, `hollow` or `cross`."""

    x: float
    y: float
    shape: str
    css: str
    says: str


@dataclass(frozen=True)
class Rule:
    """A dashed line across the plot at one value, with its name; across at a y, or upright at an x."""

    name: str
    css: str
    at: float
    upright: bool = False


@dataclass(frozen=True)
class Plot:
    """What is drawn, from back to front. `says` tells the same in a sentence to who cannot see it."""

    says: str
    x: Axis
    y: Axis
    lines: Sequence[Line] = ()
    marks: Sequence[Mark] = ()
    rules: Sequence[Rule] = ()
    band: tuple[float, float] | None = None  # a stretch of x that is shaded
    spreads: Sequence[Spread] = ()


def linear(title: str, values: Sequence[float | None], *, from_zero: bool = True) -> Axis:
    """Return an axis over all known values, with ticks at round steps."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    low = min([0.0, *known]) if from_zero or not known else min(known)
    high = max(known, default=1.0)
    high = high if high > low else low + 1.0
    step = _round_step((high - low) / TICKS)
    first, last = math.floor(low / step), math.ceil(high / step - 1e-9)
    ticks = [(index * step, number(index * step)) for index in range(first, last + 1)]
    return Axis(title, ticks[0][0], ticks[-1][0], ticks)


def logarithmic(title: str, values: Sequence[float | None]) -> Axis:
    """Return a log axis over all known values above zero, with ticks at 1, 2 and 5 of each decade, or at decades."""
    known = [value for value in values if value is not None and math.isfinite(value) and value > 0]
    if not known:
        return linear(title, values)
    low, high = min(known), max(known)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    marks = (1, 2, 5) if len(decades) <= 4 else (1,)
    grid = [mark * 10.0**decade for decade in decades for mark in marks]
    start = max((value for value in grid if value <= low * (1 + 1e-9)), default=low)
    end = min((value for value in grid if value >= high * (1 - 1e-9)), default=high)
    end = end if end > start else start * 10
    return Axis(title, start, end, [(v, number(v)) for v in grid if start <= v <= end], log=True)


def either(title: str, values: Sequence[float | None]) -> Axis:
    """Return a linear axis, or a log one where the values span more than LOG_OVER; the title says which."""
    known = [value for value in values if value is not None and math.isfinite(value) and value > 0]
    if known and max(known) / min(known) > LOG_OVER:
        return logarithmic(f"{title}, log scale", values)
    return linear(title, values)


def percentiles(shares: Sequence[float]) -> Axis:
    """Return the axis of a percentile curve: 1/(1-share) on a log scale, so that each nine takes the same room."""
    most = max((1 / (1 - share) for share in shares if share < 1), default=10.0)
    nines = [(1.0, "0"), (2.0, "50"), (10.0, "90"), (100.0, "99")]
    nines += [(10.0**power, f"99.{'9' * (power - 2)}") for power in range(3, 9)]
    return Axis("percentile", 1.0, max(most, 10.0), [tick for tick in nines if tick[0] <= max(most, 10.0)], log=True)


def upto(points: Iterable[tuple[float, float | None]], top: float) -> list[tuple[float, float | None]]:
    """Return a curve up to where it first rises above `top`, which it reaches on a straight line: not flat along it.

    >>> upto([(1.0, 10.0), (2.0, 30.0), (3.0, 5.0)], 20.0)
    [(1.0, 10.0), (1.5, 20.0)]
    """
    kept: list[tuple[float, float | None]] = []
    for x, y in points:
        if y is not None and y > top:
            before = kept[-1] if kept else None
            if before is not None and before[1] is not None:
                kept.append((before[0] + (x - before[0]) * (top - before[1]) / (y - before[1]), top))
            return kept
        kept.append((x, y))
    return kept


def draw(plot: Plot) -> Markup:
    """Return the plot with its legend."""
    parts = [
        *_grid(plot),
        *_band(plot),
        *(_spread(plot, spread) for spread in plot.spreads),
        *(_line(plot, line) for line in plot.lines),
        *(_rule(plot, rule) for rule in plot.rules),
        *(_mark(plot, mark) for mark in plot.marks),
    ]
    svg = Markup('<svg role="img" aria-label="{}" viewBox="0 0 {} {}">{}</svg>').format(
        plot.says, WIDTH, HEIGHT, Markup("").join(parts)
    )
    return Markup('{}<div class="plot" tabindex="0">{}</div>').format(_legend(plot), svg)


def _round_step(least: float) -> float:
    """The smallest 1, 2 or 5 times a power of ten that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(mark * power for mark in (1, 2, 5, 10) if mark * power >= least * (1 - 1e-9))


def _x(plot: Plot, value: float) -> float:
    return round(LEFT + plot.x.share(value) * (WIDTH - LEFT - RIGHT), 1)


def _y(plot: Plot, value: float) -> float:
    return round(HEIGHT - BOTTOM - plot.y.share(value) * (HEIGHT - TOP - BOTTOM), 1)


def _grid(plot: Plot) -> list[Markup]:
    floor, end = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for value, text in plot.y.ticks:
        y = _y(plot, value)
        parts.append(Markup('<path class="grid" d="M{} {}H{}"/>').format(LEFT, y, end))
        parts.append(
            Markup('<text class="tick" x="{}" y="{}" text-anchor="end">{}</text>').format(LEFT - 7, y + 4, text)
        )
    for value, text in plot.x.ticks:
        x = _x(plot, value)
        parts.append(Markup('<path class="grid" d="M{} {}V{}"/>').format(x, floor, floor + 5))
        ends = x > end - 4 and len(text) > 4  # in the middle of its tick it would be cut off at the edge
        label = Markup('<text class="tick" x="{}" y="{}" text-anchor="{}">{}</text>')
        parts.append(label.format(end + 12 if ends else x, floor + 18, "end" if ends else "middle", text))
    parts.append(Markup('<path class="axis" d="M{} {}V{}H{}"/>').format(LEFT, TOP, floor, end))
    middle = (LEFT + end) / 2
    parts.append(
        Markup('<text class="title" x="{}" y="{}" text-anchor="middle">{}</text>').format(
            middle, HEIGHT - 6, plot.x.title
        )
    )
    upright = Markup('<text class="title" transform="translate(13 {}) rotate(-90)" text-anchor="middle">{}</text>')
    parts.append(upright.format((TOP + floor) / 2, plot.y.title))
    return parts


def _band(plot: Plot) -> list[Markup]:
    if plot.band is None:
        return []
    left, right = (_x(plot, value) for value in plot.band)
    rect = Markup('<rect class="band" x="{}" y="{}" width="{}" height="{}"/>')
    return [rect.format(left, TOP, round(max(right - left, 2.0), 1), HEIGHT - TOP - BOTTOM)]


def _spread(plot: Plot, spread: Spread) -> Markup:
    """One closed path for each stretch in which both lines are known: along the upper one, and back along the lower."""
    stretches: list[list[tuple[float, float, float]]] = [[]]
    for at, low, high in spread.points:
        if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
            stretches.append([])
        else:
            stretches[-1].append((_x(plot, at), _y(plot, low), _y(plot, high)))
    path = "".join(
        "M" + "L".join([f"{x} {high}" for x, _, high in one] + [f"{x} {low}" for x, low, _ in reversed(one)]) + "Z"
        for one in stretches
        if len(one) > 1
    )
    return Markup('<path class="spread {}" d="{}"/>').format(spread.css, path) if path else Markup("")


def _line(plot: Plot, line: Line) -> Markup:
    path, pen_down, last_y = [], False, 0.0
    for at, value in line.points:
        if value is None or not math.isfinite(value):
            pen_down = False
            continue
        x, y = _x(plot, at), _y(plot, value)
        if not pen_down:
            path.append(f"M{x} {y}")
        elif line.steps:
            path.append(f"L{x} {last_y}L{x} {y}")
        else:
            path.append(f"L{x} {y}")
        pen_down, last_y = True, y
    return Markup('<path class="line {}{}" d="{}"/>').format(line.css, " dashed" if line.dashed else "", "".join(path))


def _rule(plot: Plot, rule: Rule) -> Markup:
    if rule.upright:
        x = _x(plot, rule.at)
        left = x > WIDTH * 0.7
        return Markup(
            '<path class="line {} dashed" d="M{} {}V{}"/><text class="note" x="{}" y="{}" text-anchor="{}">{}</text>'
        ).format(
            rule.css, x, TOP, HEIGHT - BOTTOM, x - 6 if left else x + 6, TOP + 17, "end" if left else "start", rule.name
        )
    y = _y(plot, rule.at)
    return Markup('<path class="line {} dashed" d="M{} {}H{}"/><text class="note" x="{}" y="{}">{}</text>').format(
        rule.css, LEFT, y, WIDTH - RIGHT, LEFT + 6, y - 5 if y > TOP + 18 else y + 14, rule.name
    )


def _mark(plot: Plot, mark: Mark) -> Markup:
    x, y = _x(plot, mark.x), _y(plot, mark.y)
    if mark.shape == "cross":
        shape = Markup('<path class="line {}" d="M{} {}l9 9m0 -9l-9 9">').format(mark.css, x - 4.5, y - 4.5)
        return shape + Markup("<title>{}</title></path>").format(mark.says)
    return Markup('<circle class="{} {}" cx="{}" cy="{}" r="5"><title>{}</title></circle>').format(
        mark.shape, mark.css, x, y, mark.says
    )


def _legend(plot: Plot) -> Markup:
    named = [line for line in plot.lines if line.name]
    if not named:
        return Markup("")
    item = Markup('<li><svg aria-hidden="true" viewBox="0 0 26 8"><path class="line {}{}" d="M1 4H25"/></svg>{}</li>')
    items = Markup("").join(item.format(line.css, " dashed" if line.dashed else "", line.name) for line in named)
    return Markup('<ul class="legend">{}</ul>').format(items)
