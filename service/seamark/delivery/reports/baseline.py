"""A run beside the earlier ones of its plan -> rows of a table, and columns to draw them from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from seamark.core.baseline import BaselineFinding, BaselineMetric
from seamark.delivery.reports.figures import UNKNOWN, milliseconds, number, percent

HEADS = ("Measure", "This run", "Earlier runs", "Change", "95 % interval", "Found from", "Outcome")


def rows(finding: BaselineFinding) -> list[tuple[str, ...]]:
    """Return a row per measure, in the order of HEADS; what is unknown says so."""
    return [
        (
            metric.metric,
            measured(metric, metric.value),
            measured(metric, metric.baseline),
            changed(metric, metric.change),
            _interval(metric),
            changed(metric, _harmful(metric)),
            metric.state.value.replace("_", " "),
        )
        for metric in finding.metrics
    ]


def columns(finding: BaselineFinding | None) -> Mapping[str, Any]:
    """Return the runs column by column, oldest first: when they ended, in which group they are, and their figures."""
    history = finding.history if finding is not None else ()
    names = dict.fromkeys(name for run in history for name in run.values if name != "error_ratio")
    return {
        "at": [run.ended_at.strftime("%Y-%m-%d %H:%M:%S") for run in history],
        "role": [run.role for run in history],
        "values": {name: [run.values.get(name) for run in history] for name in names},
    }


def measured(metric: BaselineMetric, value: float | None) -> str:
    """A figure in the unit of its measure."""
    if metric.metric == "error_ratio":
        return percent(value)
    return milliseconds(value) if "latency_ms" in metric.metric else number(value)


def changed(metric: BaselineMetric, change: float | None) -> str:
    """A change with its sign: a share of the earlier figure, or a difference in percentage points."""
    if change is None or not math.isfinite(change):
        return UNKNOWN
    unit = " points" if metric.metric == "error_ratio" else " %"
    return f"{change * 100:+.2f}{unit}" if unit == " points" else f"{change * 100:+.1f}{unit}"


def _interval(metric: BaselineMetric) -> str:
    low, high = changed(metric, metric.low), changed(metric, metric.high)
    return UNKNOWN if UNKNOWN in (low, high) else f"{low.removesuffix(' points').removesuffix(' %')} to {high}"


def _harmful(metric: BaselineMetric) -> float | None:
    if metric.detectable is None:
        return None
    return -metric.detectable if metric.metric == "capacity_rps" else metric.detectable
