"""A model's headroom -> its two plots: load beside the safe line and the forecasts, and replicas beside an HPA's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from seamark.core.advice import Forecast
from seamark.core.headroom import Headroom
from seamark.web.charts import Figure, plotly_time, trace_of
from seamark.web.page_words import known, rate

P99 = "forecast, p99"
TALLER = 1.25  # than all but p99, whose rare heights would press all else to the ground: it may leave the plot
EDGE = 0.01  # of the width, so that the first label does not lie on the axis
APART_STEPS = 3  # forecasts further apart are not joined by a band

Run = list[tuple[datetime, float, float, float, float]]  # at, p10, p50, p90, p99


def load_figure(seen: Headroom) -> Figure:
    """Return the load beside the safe lines, and what was and is foreseen: a band from p10 to p90, and p99.

    Past forecasts stand at the step they were made for, so that each lies over the load that came.
    """
    steps = seen.steps
    at = [plotly_time(step.at) for step in steps]
    load = [known(step.arrivals_rps) for step in steps]
    safe = [known(step.safe_rps) for step in steps]
    one = [known(step.capacity_rps) for step in steps]
    traces = [
        *_foreseen(seen),
        trace_of("load", at, load, color=0, unit="/s"),
        trace_of("safe for the replicas that ran", at, safe, color="ink", step=True, unit="/s"),
        trace_of("safe for one replica", at, one, color="ink", dash="dot", step=True, unit="/s"),
        trace_of("over the safe line", at, _over(load, safe), color="bad", unit="/s") | {"width": 4},
    ]
    y: Figure = {"title": "requests/s", "from_zero": True}
    shown = [value for trace in traces if trace["name"] != P99 for value in trace["y"] if value is not None]
    if shown:
        y["top"] = TALLER * max(shown)
    return {"traces": _drawn(traces), "y": y, "x": _time_axis(seen)}


def _time_axis(seen: Headroom) -> Figure:
    """One axis for both plots, so that what stands below each other happened at once."""
    until = max((coming.at for coming in seen.ahead), default=seen.window.end)
    until = max(until, seen.window.end)
    ends = [plotly_time(seen.window.start - EDGE * (until - seen.window.start)), plotly_time(until)]
    now = {"now": plotly_time(seen.window.end)} if seen.ahead else {}
    return {"title": "time, UTC", "range": ends, **now}


def replicas_figure(seen: Headroom) -> Figure:
    """Return replicas over time: advised, running, needed before bounds, and what an HPA would have had."""
    at = [plotly_time(step.at) for step in seen.steps]
    wanted: tuple[tuple[str, str, int | str, str], ...] = (
        ("needed, before bounds and waits", "needed", "muted", "dot"),
        ("HPA, simulated", "hpa", 1, "dash"),
        ("running", "current", "ink", "solid"),
        ("recommended", "recommended", 0, "solid"),
    )
    traces = [
        trace_of(name, at, [getattr(step, field) for step in seen.steps], color=color, dash=dash, step=True)
        for name, field, color, dash in wanted
    ]
    return {
        "traces": _drawn(traces),
        "y": {"title": "replicas", "from_zero": True, "at_least": 2.0, "whole": True},
        "x": _time_axis(seen),
    }


def _drawn(traces: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for one in traces if any(value is not None for value in one["y"])]


def _over(load: Sequence[float | None], safe: Sequence[float | None]) -> list[float | None]:
    return [
        value if value is not None and line is not None and value > line else None
        for value, line in zip(load, safe, strict=True)
    ]


def _foreseen(seen: Headroom) -> list[dict[str, Any]]:
    """The band, its median with all quantiles to be read, and p99; nothing where nothing was foreseen."""
    runs = [*_made(seen), *_to_come(seen)]
    if not runs:
        return []
    band_x: list[str | None] = []
    band_y: list[float | None] = []
    x: list[str | None] = []
    median: list[float | None] = []
    highest: list[float | None] = []
    told: list[str] = []
    for run in runs:
        times = [plotly_time(point[0]) for point in run]
        band_x += [*times, *reversed(times), None]
        band_y += [*(point[3] for point in run), *(point[1] for point in reversed(run)), None]
        x += [*times, None]
        median += [*(point[2] for point in run), None]
        highest += [*(point[4] for point in run), None]
        told += [*(_told(point[1:]) for point in run), ""]
    return [
        trace_of("forecast, p10 to p90", band_x, band_y, color=1) | {"band": True},
        trace_of("forecast, p50", x, median, color=1, dash="dash", unit="/s") | {"told": told},
        trace_of(P99, x, highest, color=1, dash="dot", unit="/s"),
    ]


def _told(quantiles: Sequence[float]) -> str:
    p10, p50, p90, _p99 = quantiles
    return f"{rate(p50)}/s (p10 {rate(p10)}, p90 {rate(p90)})"


def _made(seen: Headroom) -> list[Run]:
    """Past forecasts by the step they were for, in stretches without a hole."""
    step = timedelta(seconds=seen.step_s)
    placed: dict[datetime, Forecast] = {}
    for coming in seen.forecasts:
        at = seen.window.start + (coming.at - seen.window.start) // step * step
        if at < seen.window.end:
            placed[at] = coming
    runs: list[Run] = []
    for at, coming in sorted(placed.items()):
        point = _point(at, coming)
        if point is None:
            continue
        if runs and at - runs[-1][-1][0] <= APART_STEPS * step:
            runs[-1].append(point)
        else:
            runs.append([point])
    return runs


def _to_come(seen: Headroom) -> list[Run]:
    """Forecasts ahead, fanned out from the last load that is known."""
    points = [point for coming in seen.ahead if (point := _point(coming.at, coming)) is not None]
    last = next((step for step in reversed(seen.steps) if known(step.arrivals_rps) is not None), None)
    if points and last is not None and last.arrivals_rps is not None:
        now = last.arrivals_rps
        points = [(last.at, now, now, now, now), *(point for point in points if point[0] > last.at)]
    return [points] if points else []


def _point(at: datetime, coming: Forecast) -> tuple[datetime, float, float, float, float] | None:
    p10, p50, p90, p99 = known(coming.p10), known(coming.p50), known(coming.p90), known(coming.p99)
    if p10 is None or p50 is None or p90 is None or p99 is None:
        return None
    return at, p10, p50, max(p90, p10), p99
