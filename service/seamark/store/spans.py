"""Spans of the lake to findings: latency, arrivals, SLO counts.

A sender that retries may store a span twice: every count here is over distinct (trace_id, span_id). Where the lake
knows that nothing is stored twice it need not look, which makes a read of many rows four times as fast.
"""

# ruff: noqa: S608 - the SQL is put together from texts of this file; every value is a parameter

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from seamark.core.errors import Invalid, Problem
from seamark.core.findings import LatencyPoint, SloCounts
from seamark.core.windows import Window
from seamark.store.lake import Lake

GROUPINGS = {"version": "version", "route": "route", "instance": "coalesce(instance, '')"}
OTHER = "other"  # what groups beyond the busiest fold into
GROUPS_MAX = 50
STEPS_MAX = 11_000
STEPS_BY_GROUP_MAX = 2_000  # times the groups

_REQUESTS = "FROM lake.spans WHERE model = $model AND is_request AND start_at >= $start AND start_at < $end"
_SYNTHETIC = {None: "", True: " AND synthetic", False: " AND NOT synthetic"}


def latency_points(
    lake: Lake,
    model: str,
    window: Window,
    step_s: float,
    by: Sequence[str] = (),
    *,
    synthetic: bool | None = False,
) -> list[LatencyPoint]:
    """Return exact latency quantiles (linear between ranks) and error ratios of requests per step, oldest first.

    Steps count from `window.start`; failed requests are counted in both. `by` names some of GROUPINGS; beyond the
    GROUPS_MAX busiest groups all fold into one of OTHER. Without `by` a step that had no request is there with a count
    of 0. `synthetic`: None takes all traffic, True only load tests and probes. Invalid where step or `by` are wrong.
    """
    steps = _steps(window, step_s, steps_max=STEPS_BY_GROUP_MAX if by else STEPS_MAX)
    problems = [Problem("by", f"{name!r} is not one of {', '.join(GROUPINGS)}") for name in by if name not in GROUPINGS]
    if problems:
        raise Invalid("; ".join(map(str, problems)), problems)
    names = list(dict.fromkeys(by))
    parameters = {**_range(model, window), "step_us": round(step_s * 1e6)}
    if names:
        parameters["groups_max"] = GROUPS_MAX
    sql = _latency_sql(names, once(lake, window), synthetic=synthetic)
    found = lake.query(sql, parameters, within=window.bounds).to_pylist()
    points = [_point(window, step_s, row, names) for row in found]
    if not names:
        seen = {point.at: point for point in points}
        instants = (window.start + timedelta(seconds=step_s * index) for index in range(steps))
        points = [seen.get(at) or LatencyPoint(at, 0, None, None, None, None) for at in instants]
    return points


def arrivals(lake: Lake, model: str, window: Window, step_s: float) -> npt.NDArray[np.float64]:
    """Return real requests per second for each step of the window, by start; shape (steps,), the last may be shorter.

    A step without rows is 0: whether the model was heard of at all is for store/heard.py to say.
    """
    steps = _steps(window, step_s)
    found = lake.query(
        "SELECT (epoch_us(start_at) - epoch_us($start::TIMESTAMPTZ)) // $step_us AS step, count(*) AS n"
        f" FROM (SELECT{once(lake, window)} start_at {_REQUESTS} AND NOT synthetic) GROUP BY ALL",
        {**_range(model, window), "step_us": round(step_s * 1e6)},
        within=window.bounds,
    )
    counts: npt.NDArray[np.float64] = np.zeros(steps)
    counts[found["step"].to_numpy()] = found["n"].to_numpy()
    lengths_s: npt.NDArray[np.float64] = np.full(steps, float(step_s))
    lengths_s[-1] = window.span_s - step_s * (steps - 1)
    rates: npt.NDArray[np.float64] = counts / lengths_s
    return rates


def slo_counts(
    lake: Lake, model: str, at: datetime, windows_s: Sequence[float], slow_ms: float | None
) -> list[SloCounts]:
    """Return real requests of each trailing window [at - window, at): all, failed, and answered in `slow_ms` or more.

    One scan over the longest window. Without `slow_ms` none is slow.
    """
    if not windows_s:
        return []
    longest = Window.trailing(at, max(windows_s))
    parameters: dict[str, Any] = {**_range(model, longest), "slow_ms": slow_ms}
    sums = []
    for index, window_s in enumerate(windows_s):
        parameters[f"from_{index}"] = at - timedelta(seconds=window_s)
        inside = f"start_at >= $from_{index}"
        sums += [
            f"count(*) FILTER ({inside}) AS total_{index}",
            f"count(*) FILTER ({inside} AND failed) AS failed_{index}",
            f"count(*) FILTER ({inside} AND duration_ns / 1e6 >= $slow_ms::DOUBLE) AS slow_{index}",
        ]
    row = lake.query(
        f"SELECT {', '.join(sums)} FROM (SELECT{once(lake, longest)} start_at, failed, duration_ns"
        f" {_REQUESTS} AND NOT synthetic)",
        parameters,
        within=longest.bounds,
    ).to_pylist()[0]
    return [
        SloCounts(window_s, row[f"total_{index}"], row[f"failed_{index}"], row[f"slow_{index}"])
        for index, window_s in enumerate(windows_s)
    ]


def instances(lake: Lake, model: str, window: Window) -> int | None:
    """Return how many instances answered real requests; None where no row names its instance.

    A pod that only a load test asks takes no live traffic, and is not one of those that share it.
    """
    counted = f"SELECT count(DISTINCT instance) AS n {_REQUESTS} AND NOT synthetic"
    found = lake.query(counted, _range(model, window), within=window.bounds)
    return found["n"][0].as_py() or None


def once(lake: Lake, window: Window, of: str = "trace_id, span_id, start_at") -> str:
    """Return what makes a SELECT of the window's spans take each once: nothing, where each is stored once.

    A SELECT of several models names `model` in `of` too: some tracers give a call's two sides one id.
    """
    return f" DISTINCT ON ({of})" if lake.may_repeat(window.start, window.end) else ""


def _latency_sql(names: Sequence[str], distinct: str, *, synthetic: bool | None) -> str:
    columns = "".join(f", {GROUPINGS[name]} AS {name}" for name in names)
    once = (
        f"WITH once AS (SELECT{distinct}"
        " (epoch_us(start_at) - epoch_us($start::TIMESTAMPTZ)) // $step_us AS step,"
        f" duration_ns / 1e6 AS ms, failed{columns} {_REQUESTS}{_SYNTHETIC[synthetic]})"
    )
    figures = "count(*) AS n, count(*) FILTER (failed) AS failed, quantile_cont(ms, [0.5, 0.95, 0.99]) AS quantiles"
    if not names:
        return f"{once} SELECT step, {figures} FROM once GROUP BY step ORDER BY step"
    listed = ", ".join(names)
    folded = ", ".join(
        f"CASE WHEN place <= $groups_max THEN once.{name} ELSE '{OTHER}' END AS {name}" for name in names
    )
    return (
        f"{once}, ranked AS (SELECT {listed}, row_number() OVER (ORDER BY count(*) DESC, {listed}) AS place"
        f" FROM once GROUP BY {listed})"
        f" SELECT step, {figures}, {listed} FROM"
        f" (SELECT step, ms, failed, {folded} FROM once JOIN ranked USING ({listed}))"
        f" GROUP BY step, {listed} ORDER BY step, {listed}"
    )


def _point(window: Window, step_s: float, row: dict[str, Any], names: Sequence[str]) -> LatencyPoint:
    p50, p95, p99 = row["quantiles"]
    at = window.start + timedelta(seconds=step_s * row["step"])
    return LatencyPoint(at, row["n"], row["failed"] / row["n"], p50, p95, p99, {name: row[name] for name in names})


def _steps(window: Window, step_s: float, *, steps_max: int = STEPS_MAX) -> int:
    """Return how many steps the window has; Invalid where there are none or too many."""
    if window.span_s <= 0:
        raise Invalid("end: the window must end after its start", [Problem("end", "must lie after start")])
    if not (math.isfinite(step_s) and step_s >= 0.001):
        raise Invalid(f"step: {step_s:g} s is no step; give at least 1ms", [Problem("step", "must be at least 1ms")])
    steps = math.ceil(round(window.span_s * 1e6) / round(step_s * 1e6))
    if steps > steps_max:
        text = f"{steps} steps are more than {steps_max}; give a longer step or a shorter window"
        raise Invalid(f"step: {text}", [Problem("step", text)])
    return steps


def _range(model: str, window: Window) -> dict[str, Any]:
    return {"model": model, "start": window.start, "end": window.end}
