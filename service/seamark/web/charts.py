"""Points -> plotly figures as plain data; colours and fonts are left to the browser, which knows the theme."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from seamark.core.baseline import PastRun
from seamark.core.findings import CapacityStep, LatencyPoint
from seamark.web.page_words import known

Figure = dict[str, Any]

VERSIONS_DRAWN = 6
RATE_OVER_S = 0.5  # the last line of a run may follow the one before it at once
QUANTILES = (("p50", "p50_ms", "dot"), ("p95", "p95_ms", "dash"), ("p99", "p99_ms", "solid"))


def plot_text(text: str) -> str:
    """Return text as plotly shows it literally: it reads a little HTML in names and titles."""
    return html.escape(text if len(text) <= 60 else text[:59] + "…", quote=False)


def latency_figure(points: Sequence[LatencyPoint], step_s: float) -> Figure:
    """Return p50, p95 and p99 in milliseconds over time: a colour per version, a dash per quantile."""
    traces = []
    for index, (version, series) in enumerate(_by_version(points, step_s)):
        for name, field, dash in QUANTILES:
            label = f"{name} {version}" if version else name
            values = [known(getattr(point, field)) for point in series]
            traces.append(trace_of(label, _times(series), values, color=index, dash=dash, unit=" ms"))
    return {"traces": traces, "y": {"title": "latency, ms", "from_zero": True}, "x": {"title": "time, UTC"}}


def traffic_figure(points: Sequence[LatencyPoint], step_s: float) -> Figure:
    """Return requests per second by version, and below them the share that failed."""
    traces = []
    for index, (version, series) in enumerate(_by_version(points, step_s)):
        rates = [point.count / step_s if point.count else None for point in series]
        errors = [None if (ratio := known(point.error_ratio)) is None else ratio * 100 for point in series]
        name = version or "requests"
        traces.append(trace_of(f"{name}, requests/s", _times(series), rates, color=index, fill=True, unit="/s"))
        failed = trace_of(f"{name}, failed", _times(series), errors, color="bad", dash="dash", unit=" %")
        traces.append({**failed, "axis": 2})
    return {
        "traces": traces,
        "y": {"title": "requests/s", "from_zero": True},
        "y2": {"title": "failed, %", "from_zero": True, "at_least": 1.0},
        "x": {"title": "time, UTC"},
    }


def progress_figures(lines: Sequence[Mapping[str, Any]], *, asked: bool = True) -> dict[str, Figure]:
    """Return the plots of a run from its lines of progress; the browser appends to them while it runs.

    `asked` False: no rate was asked for, and none is drawn.
    """
    seconds = [_number(line, "t_s") for line in lines]
    latency = [
        trace_of(name, seconds, [_number(line, field) for line in lines], color=0, dash=dash, unit=" ms", key=field)
        for name, field, dash in QUANTILES
    ]
    lateness = [_number(line, "lateness_p99_ms") for line in lines]
    latency.append(
        trace_of("sent late, p99", seconds, lateness, color="bad", dash="dash", key="lateness_p99_ms", unit=" ms")
    )
    rates = [
        trace_of(
            "asked",
            seconds,
            _series(lines, "asked_rps"),
            color="muted",
            dash="dash",
            key="asked_rps",
            step=True,
            unit="/s",
        ),
        trace_of("answered", seconds, _per_second(lines, seconds, "done"), color=0, key="done", unit="/s"),
        trace_of("failed", seconds, _per_second(lines, seconds, "failed"), color="bad", key="failed", unit="/s"),
        {
            **trace_of("in flight", seconds, _series(lines, "in_flight"), color=1, dash="dot", key="in_flight"),
            "axis": 2,
        },
    ]
    if not asked:
        rates = [line for line in rates if line["key"] != "asked_rps"]
    x = {"title": "seconds since the start", "numbers": True}
    return {
        "latency": {"traces": latency, "y": {"title": "latency, ms", "from_zero": True}, "x": x},
        "rate": {
            "traces": rates,
            "y": {"title": "requests/s", "from_zero": True},
            "y2": {"title": "in flight", "from_zero": True, "at_least": 1.0},
            "x": x,
        },
    }


def capacity_figure(steps: Sequence[CapacityStep]) -> Figure:
    """Return p99 against the asked rate, a marker per step: filled held, hollow did not, a cross unknown."""
    ordered = sorted(steps, key=lambda step: step.asked_rps)
    symbols = {True: "circle", False: "x", None: "circle-open"}
    trace = trace_of(
        "p99",
        [step.asked_rps for step in ordered],
        [known(step.latency.p99) for step in ordered],
        color=0,
        unit=" ms",
    )
    trace |= {"markers": [symbols[step.held] for step in ordered]}
    return {
        "traces": [trace],
        "y": {"title": "p99, ms", "from_zero": True},
        "x": {"title": "asked requests/s", "numbers": True},
    }


def baseline_figure(history: Sequence[PastRun]) -> Figure:
    """The last runs of a plan by when they ended: each quantile, or the capacity; earlier runs are hollow."""
    names = dict.fromkeys(name for run in history for name in run.values if name != "error_ratio")
    at = [plotly_time(run.ended_at) for run in history]
    markers = ["circle-open" if run.role == "baseline" else "circle" for run in history]
    latency = any("latency_ms" in name for name in names)
    traces = [
        trace_of(
            name,
            at,
            [known(run.values.get(name)) for run in history],
            color=place,
            dash="dot",
            unit=" ms" if latency else "/s",
        )
        | {"markers": markers}
        for place, name in enumerate(names)
    ]
    title = "latency, ms" if latency else "requests/s of one replica"
    return {"traces": traces, "y": {"title": title, "from_zero": True}, "x": {"title": ""}}


def _by_version(points: Sequence[LatencyPoint], step_s: float) -> list[tuple[str, list[LatencyPoint]]]:
    """Points in time order by version: the versions with most requests, by name; a silent stretch breaks the line."""
    series: dict[str, list[LatencyPoint]] = {}
    for point in points:
        series.setdefault(point.by.get("version", ""), []).append(point)
    busiest = sorted(series, key=lambda name: sum(point.count for point in series[name]), reverse=True)
    return [(name, _broken(series[name], step_s)) for name in sorted(busiest[:VERSIONS_DRAWN])]


def _broken(points: Sequence[LatencyPoint], step_s: float) -> list[LatencyPoint]:
    """Points in time order, with one that knows nothing in every stretch that has none."""
    found: list[LatencyPoint] = []
    for point in sorted(points, key=lambda p: p.at):
        if found and (point.at - found[-1].at).total_seconds() > 1.5 * step_s:
            found.append(LatencyPoint(found[-1].at + timedelta(seconds=step_s), 0, None, None, None, None))
        found.append(point)
    return found


def versions_left_out(points: Sequence[LatencyPoint]) -> int:
    """How many versions the plots do not draw."""
    return max(len({point.by.get("version", "") for point in points}) - VERSIONS_DRAWN, 0)


def _times(points: Iterable[LatencyPoint]) -> list[str]:
    return [plotly_time(point.at) for point in points]


def plotly_time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S")


def trace_of(
    name: str,
    x: Sequence[Any],
    y: Sequence[float | None],
    *,
    color: int | str,
    dash: str = "solid",
    unit: str = "",
    fill: bool = False,
    step: bool = False,
    key: str | None = None,
) -> dict[str, Any]:
    """One trace in our own words; plots.js turns it into plotly's with the theme's colours."""
    return {
        "name": plot_text(name),
        "x": list(x),
        "y": list(y),
        "color": color,
        "dash": dash,
        "unit": unit,
        "fill": fill,
        "step": step,
        "key": key,
    }


def _number(line: Mapping[str, Any], field: str) -> float | None:
    value = line.get(field)
    return known(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _series(lines: Sequence[Mapping[str, Any]], field: str) -> list[float | None]:
    return [_number(line, field) for line in lines]


def _per_second(lines: Sequence[Mapping[str, Any]], seconds: Sequence[float | None], field: str) -> list[float | None]:
    """Counts that only grow -> their increase per second from line to line; a moment too short to say is None."""
    found: list[float | None] = []
    before: tuple[float, float] | None = None
    for line, second in zip(lines, seconds, strict=True):
        count = _number(line, field)
        if second is None or count is None:
            found.append(None)
            continue
        lapsed = second - before[0] if before else second
        if lapsed < RATE_OVER_S:
            found.append(None)
            continue
        found.append((count - (before[1] if before else 0.0)) / lapsed)
        before = (second, count)
    return found
