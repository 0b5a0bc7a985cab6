"""Minutes of production held against the objectives -> the load that one replica was seen to carry.

This is a floor: what a replica answered in time, it has carried. Requests that failed are no load that was carried: a
replica that refuses half of them at once answers the others fast. Advice by it may ask for too many replicas, not for
too few, as long as the replicas were counted right; so the count is that of all instances seen in ten minutes, never
fewer than ran at once, and a minute's load is the lower end of what its count says (one-sided 95 %, Poisson).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from math import sqrt

import numpy as np

from seamark.core.advice import ReplicaCapacity
from seamark.core.specs import SloSpec
from seamark.core.traffic import FloatArray, Minute

REQUESTS_MIN = 30  # that a minute answered
STEPS_MIN = 18  # three hours' worth of steps with a load that was carried
QUANTILE = 0.9  # of the steps: the very highest may be a minute that was lucky
_ONE_SIDED = 1.645


def carried_rps(minutes: Sequence[Minute], instances: int | None, slo: SloSpec) -> float | None:
    """Return the most that one replica answered (requests/s) in a minute that kept the objectives; None: none did."""
    if not instances:
        return None
    held = [
        max(one.answered - _ONE_SIDED * sqrt(one.answered), 0.0) / 60 / instances
        for one in minutes
        if one.answered >= REQUESTS_MIN and _held(one, slo)
    ]
    return max(held, default=None)


def production_capacity(days: Collection[FloatArray], at: datetime) -> ReplicaCapacity | None:
    """Return the load that one step in ten of these days exceeded; None with fewer than STEPS_MIN steps."""
    steps = np.concatenate([np.asarray(one, dtype=np.float64) for one in days]) if days else np.empty(0)
    steps = steps[np.isfinite(steps) & (steps > 0)]
    if len(steps) < STEPS_MIN:
        return None
    safe = float(np.quantile(steps, QUANTILE))
    return ReplicaCapacity(safe, "production", safe, float(steps.max()), at)


def _held(one: Minute, slo: SloSpec) -> bool:
    if slo.availability is not None and one.failed > (1 - slo.availability) * one.requests:
        return False
    if slo.latency is None or slo.latency.quantile is None:
        return True
    return one.slow <= (1 - slo.latency.quantile) * one.answered
