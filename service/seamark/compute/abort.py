"""Abort conditions, looked at once a second while a run is under way -> the one that has come true.

Apart from the verdict: the load generator needs this and must not wait for Arrow to load.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seamark.compute.capacity import aggregate
from seamark.compute.load_shape import Ended
from seamark.core.thresholds import Threshold


class AbortWatch:
    """Abort conditions while a run is under way: each is looked at once a second, over that second's requests."""

    def __init__(self, abort: Sequence[Threshold]) -> None:
        self._abort = tuple(abort)
        self._since_s: dict[Threshold, float] = {}

    def observe(self, at_s: float, ended: Ended, waiting_ms: Sequence[float] = ()) -> Threshold | None:
        """Return the condition that has come true for as long as it says, or None.

        `ended` is what ended in the last second; `waiting_ms` is how long those in flight have been. One that has
        waited beyond a latency limit counts, whatever its latency will be: a target that answers nothing any more must
        not be driven on. A second that says nothing neither starts nor ends a condition.
        """
        for condition in self._abort:
            actual = _live(condition, ended, waiting_ms)
            if actual is None:
                continue
            if not condition.holds(actual):
                self._since_s.pop(condition, None)
                continue
            since_s = self._since_s.setdefault(condition, at_s)
            if at_s - since_s >= condition.hold_s:
                return condition
        return None


def _live(condition: Threshold, ended: Ended, waiting_ms: Sequence[float]) -> float | None:
    """What a condition speaks of in one second; None where the second says nothing of it."""
    if condition.metric in ("error_ratio", "achieved_rate"):
        part = ended.failed if condition.metric == "error_ratio" else len(ended.lateness_ms)
        return part / ended.done if ended.done else None
    if condition.metric in ("requests", "rate_rps"):
        return float(ended.done)
    beyond = [age for age in waiting_ms if condition.holds(age)] if condition.operator in (">", ">=") else []
    values = {
        "latency_ms": [*ended.latency_ms, *beyond],
        "service_latency_ms": [*ended.service_latency_ms, *beyond],
        "lateness_ms": ended.lateness_ms,
    }.get(condition.metric, ())
    return aggregate(np.asarray(values, dtype=np.float64), condition)
