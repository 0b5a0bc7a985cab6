"""Performance measured and estimated -> figures with their intervals, and one time line that shows what is unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from seamark.core.performance import Estimate, Performance, PerformanceMetric
from seamark.core.windows import format_duration
from seamark.engine.performance_history import PerformanceStep
from seamark.web.page_words import Moment, known, moment, number, percent, plural, span

METRICS_DRAWN = 3
LABELS_SHOWN = 5
HEIGHT = 120  # of one metric's plot, in pixels
ROOM = 10  # above and below its figures
STRIP = 26  # the height of coverage and lag


@dataclass(frozen=True)
class PerformanceView:
    """Metrics with their intervals, and how much of the truth is known."""

    metrics: tuple[tuple[str, str, str], ...]  # name, value, interval
    estimated: tuple[tuple[str, str, str], ...]
    not_estimated: str | None  # why there is no estimate
    task: str | None
    coverage: str | None
    coverage_width: str | None
    labelled: str
    lag: str | None
    known_up_to: Moment | None
    window: str


def performance_view(found: Performance, estimate: Estimate | None, at: datetime) -> PerformanceView:
    """Return the metrics with their 95 % intervals, the coverage behind them and up to when it is complete."""
    coverage, lag_s = known(found.coverage), known(found.label_lag_p50_s)
    return PerformanceView(
        metrics=_figures(found.metrics),
        estimated=_figures(estimate.metrics) if estimate else (),
        not_estimated=estimate.state.value.replace("_", " ") if estimate and not estimate.metrics else None,
        task=found.task,
        coverage=percent(coverage),
        coverage_width=f"{coverage * 100:.1f}%" if coverage is not None else None,
        labelled=f"{found.labelled:,} of {found.predictions:,} predictions",
        lag=span(lag_s) if lag_s is not None else None,
        known_up_to=moment(found.known_up_to, at),
        window=f"last {format_duration(round(found.window.span_s))}",
    )


def _figures(metrics: Mapping[str, PerformanceMetric]) -> tuple[tuple[str, str, str], ...]:
    return tuple((metric_words(name), number(one.value) or "unknown", _interval(one)) for name, one in metrics.items())


def metric_words(name: str) -> str:
    """A metric's name for people: `macro_f1` as `macro f1`."""
    return name.replace("_", " ")


def _interval(metric: PerformanceMetric) -> str:
    return f"{number(metric.low)} to {number(metric.high)}"


# --- the time line ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mark:
    """A figure of one window: a line from left to right at `y`, its interval a band around it, heights in pixels."""

    left: str
    right: str
    width: str
    y: float
    band_y: float
    band_height: float
    middle: str


@dataclass(frozen=True)
class Joint:
    """The upright between the figures of two windows that follow one another."""

    x: str
    y1: float
    y2: float


@dataclass(frozen=True)
class Gap:
    """A window whose truth is not known."""

    left: str
    width: str


@dataclass(frozen=True)
class MetricPlot:
    """One metric over time. `said` tells a screen reader what the plot shows."""

    name: str
    said: str
    measured: tuple[Mark, ...]
    measured_joints: tuple[Joint, ...]
    estimated: tuple[Mark, ...]
    estimated_joints: tuple[Joint, ...]
    gaps: tuple[Gap, ...]
    grid: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class StripPart:
    """Coverage and lag of one window, as heights in a strip; None is unknown."""

    left: str
    width: str
    covered_y: float | None
    covered_height: float | None
    lag_y: float | None
    lag_height: float | None


@dataclass(frozen=True)
class StepRow:
    """One window in figures."""

    at: Moment | None
    figures: tuple[tuple[str | None, str | None, str | None, str | None], ...]  # measured, its interval, estimated, its
    coverage: str | None
    labelled: str
    lag: str | None


@dataclass(frozen=True)
class TimeLine:
    """Every metric, what labels there are and what is not known yet, window by window."""

    plots: tuple[MetricPlot, ...]
    strip: tuple[StripPart, ...]
    most_lag: str | None
    ticks: tuple[tuple[str, str, str], ...]
    known_x: str | None
    known_up_to: Moment | None
    names: tuple[str, ...]
    rows: tuple[StepRow, ...]
    step: str
    left_out: tuple[str, ...]
    estimated: bool
    measured: bool


def time_line(steps: Sequence[PerformanceStep], at: datetime) -> TimeLine | None:
    """Return the line of two windows or more, oldest first; None where there are fewer or none had predictions."""
    names = _names(steps)
    if len(steps) < 2 or not any(step.measured.predictions for step in steps):
        return None
    known_up_to = max((s.measured.known_up_to for s in steps if s.measured.known_up_to), default=None)
    return TimeLine(
        plots=tuple(_plot(name, steps) for name in names[:METRICS_DRAWN]),
        strip=_strip(steps),
        most_lag=span(lag) if (lag := _most_lag_s(steps)) is not None else None,
        ticks=_ticks(steps),
        known_x=_place(known_up_to, steps),
        known_up_to=moment(known_up_to, at),
        names=tuple(map(metric_words, names)),
        rows=tuple(_row(step, names, at) for step in reversed(steps)),
        step=format_duration(round(steps[-1].window.span_s)),
        left_out=tuple(map(metric_words, names[METRICS_DRAWN:])),
        estimated=any(step.estimated for step in steps),
        measured=any(step.measured.metrics for step in steps),
    )


def _names(steps: Sequence[PerformanceStep]) -> list[str]:
    """The metrics in the order they are told: those that are both measured and estimated first."""
    measured = [name for step in steps for name in step.measured.metrics]
    estimated = [name for step in steps for name in step.estimated]
    both = [name for name in measured if name in set(estimated)]
    return list(dict.fromkeys([*both, *measured, *estimated]))


def _plot(name: str, steps: Sequence[PerformanceStep]) -> MetricPlot:
    sides = [
        [_finite(step.measured.metrics.get(name)) for step in steps],
        [_finite(step.estimated.get(name)) for step in steps],
    ]
    ends = [end for side in sides for one in side if one for end in (one.low, one.high)]
    low, high = _range(min(ends, default=0.0), max(ends, default=1.0))
    marks = [_marks(side, low, high) for side in sides]
    last = [next((number(one.value) for one in reversed(side) if one), None) for side in sides]
    unknown = sum(one is None for one in sides[0])
    said = f"{metric_words(name)}: last measured {last[0] or 'not at all'}, last estimated {last[1] or 'not at all'}"
    return MetricPlot(
        name=metric_words(name),
        said=f"{said}; of {plural(len(steps), 'window')} {unknown} cannot be measured",
        measured=tuple(mark for mark in marks[0] if mark),
        measured_joints=_joints(marks[0]),
        estimated=tuple(mark for mark in marks[1] if mark),
        estimated_joints=_joints(marks[1]),
        gaps=tuple(Gap(*_slot(place, len(steps))) for place, one in enumerate(sides[0]) if one is None),
        grid=tuple((_y(value, low, high), number(value) or "") for value in _grid(low, high)),
    )


def _finite(metric: PerformanceMetric | None) -> PerformanceMetric | None:
    if metric is None or known(metric.value) is None:
        return None
    low, high = known(metric.low), known(metric.high)
    return PerformanceMetric(metric.value, metric.value if low is None else low, metric.value if high is None else high)


def _range(low: float, high: float) -> tuple[float, float]:
    """The figures' range with some air, so that a flat line lies in the middle."""
    air = (high - low) * 0.08 or abs(high) * 0.05 or 1.0
    return low - air, high + air


def _grid(low: float, high: float) -> list[float]:
    """Two to five round figures inside the range."""
    rough = (high - low) / 4
    size = 10.0 ** _exponent(rough)
    step = next(size * times for times in (1, 2, 5, 10) if size * times >= rough)
    first = -(-low // step)
    return [round((first + n) * step, 12) for n in range(6) if (first + n) * step <= high]


def _exponent(value: float) -> int:
    return int(f"{value:e}".partition("e")[2])


def _y(value: float, low: float, high: float) -> float:
    return round(ROOM + (HEIGHT - 2 * ROOM) * (1 - (value - low) / (high - low)), 1)


def _slot(place: int, slots: int) -> tuple[str, str]:
    return f"{100 * place / slots:.3f}%", f"{100 / slots:.3f}%"


def _marks(side: Sequence[PerformanceMetric | None], low: float, high: float) -> list[Mark | None]:
    slots = len(side)
    found: list[Mark | None] = []
    for place, one in enumerate(side):
        if one is None:
            found.append(None)
            continue
        left, width = _slot(place, slots)
        top, bottom = _y(one.high, low, high), _y(one.low, low, high)
        found.append(
            Mark(
                left=left,
                right=_slot(place + 1, slots)[0],
                width=width,
                y=_y(one.value, low, high),
                band_y=top,
                band_height=round(max(bottom - top, 1.0), 1),
                middle=f"{100 * (place + 0.5) / slots:.3f}%",
            )
        )
    return found


def _joints(marks: Sequence[Mark | None]) -> tuple[Joint, ...]:
    return tuple(Joint(after.left, before.y, after.y) for before, after in pairwise(marks) if before and after)


def _most_lag_s(steps: Sequence[PerformanceStep]) -> float | None:
    lags = [known(step.measured.label_lag_p50_s) for step in steps]
    return max((lag for lag in lags if lag is not None), default=None)


def _strip(steps: Sequence[PerformanceStep]) -> tuple[StripPart, ...]:
    most = _most_lag_s(steps) or 1.0
    parts = []
    for place, step in enumerate(steps):
        covered = known(step.measured.coverage)
        lag_s = known(step.measured.label_lag_p50_s)
        high = None if covered is None else round(STRIP * covered, 1)
        long = None if lag_s is None else round(max(STRIP * lag_s / most, 2.0), 1)
        left, width = _slot(place, len(steps))
        parts.append(
            StripPart(
                left, width, None if high is None else STRIP - high, high, None if long is None else STRIP - long, long
            )
        )
    return tuple(parts)


def _ticks(steps: Sequence[PerformanceStep]) -> tuple[tuple[str, str, str], ...]:
    """Instants under the line, at edges between windows."""
    slots, day = len(steps), steps[-1].window.span_s >= 86_400
    edges = [steps[0].window.start, *(step.window.end for step in steps)]
    places = sorted({round(n * slots / (LABELS_SHOWN - 1)) for n in range(LABELS_SHOWN)})
    anchors = {0: "start", slots: "end"}
    pattern = "%d %b" if day else "%H:%M"
    return tuple((f"{100 * p / slots:.2f}%", anchors.get(p, "middle"), edges[p].strftime(pattern)) for p in places)


def _place(instant: datetime | None, steps: Sequence[PerformanceStep]) -> str | None:
    if instant is None:
        return None
    start, end = steps[0].window.start, steps[-1].window.end
    share = (instant - start) / max(end - start, timedelta(seconds=1))
    return f"{100 * share:.2f}%" if 0 <= share <= 1 else None


def _row(step: PerformanceStep, names: Sequence[str], at: datetime) -> StepRow:
    measured = step.measured
    lag_s = known(measured.label_lag_p50_s)
    figures = []
    for name in names:
        sides = (_finite(measured.metrics.get(name)), _finite(step.estimated.get(name)))
        figures.append(
            tuple(text for one in sides for text in ((number(one.value), _interval(one)) if one else (None, None)))
        )
    return StepRow(
        at=moment(step.window.end, at),
        figures=tuple((a, b, c, d) for a, b, c, d in figures),
        coverage=percent(measured.coverage),
        labelled=f"{measured.labelled:,} of {measured.predictions:,}",
        lag=span(lag_s) if lag_s is not None else None,
    )
