"""Seamark's own advice: the very functions the service decides by, shown what it would have known.

That is the arrivals until a tick ago, those of the days before in steps of ten minutes, as the service keeps them, and
its own advice so far. It keeps to the fleet's bounds and rules; a measured queue or utilisation is left out.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta

import numpy as np

from seamark.compute import autoscale, forecast
from seamark.compute.backtest.policy import Decide, Policy, Seen
from seamark.core.advice import ArrivalHistory, Recommendation, ReplicaCapacity
from seamark.core.backtest import Fleet, FloatArray
from seamark.core.specs import AutoscaleSpec

LAG_TICKS = 1  # spans are exported and committed, and the HPA that follows the advice asks each 15 s
MINUTE_S = 60.0
FINE_S = 7200.0
COARSE_S = 600.0
COARSE_DAYS = 35
_START = datetime(2000, 1, 3, tzinfo=UTC)


class Kept:
    """Arrivals in steps of ten minutes, kept as they end."""

    def __init__(self, tick_s: float) -> None:
        self._ticks = max(round(COARSE_S / tick_s), 1)
        self._step_s = self._ticks * tick_s
        self._most = round(COARSE_DAYS * 86_400.0 / self._step_s)
        self._rates = np.empty(2 * self._most)
        self._count = 0  # of steps that have ended
        self._dropped = 0

    def until(self, arrivals: FloatArray) -> ArrivalHistory:
        """Return the history of the arrivals so far, all of which are given each time."""
        while self._count < len(arrivals) // self._ticks:
            held = self._count - self._dropped
            if held == len(self._rates):
                self._rates[: self._most] = self._rates[-self._most :]
                self._dropped, held = self._count - self._most, self._most
            start = self._count * self._ticks
            self._rates[held] = arrivals[start : start + self._ticks].mean()
            self._count += 1
        held = self._count - self._dropped
        end = _START + timedelta(seconds=self._count * self._step_s)
        return ArrivalHistory(end, self._step_s, self._rates[max(held - self._most, 0) : held])


def _spec(fleet: Fleet) -> AutoscaleSpec:
    if fleet.rules is None:
        return AutoscaleSpec(min=fleet.min, max=fleet.max)
    return AutoscaleSpec(
        min=fleet.min,
        max=fleet.max,
        scale_out_most=fleet.rules.scale_out_most,
        scale_in_most=fleet.rules.scale_in_most,
        warm=fleet.rules.warm,
    )


def begin(fleet: Fleet) -> Decide:
    """Return the decider of one run."""
    spec = _spec(fleet)
    capacity = ReplicaCapacity(fleet.capacity_rps)
    minute, fine = round(MINUTE_S / fleet.tick_s), round(FINE_S / fleet.tick_s)
    horizon_s = fleet.cold_start_s + autoscale.DECISION_LAG_S
    recent: deque[Recommendation] = deque(maxlen=round(autoscale.SCALE_IN_HOLD_S / fleet.tick_s))
    kept = Kept(fleet.tick_s)

    def decide(seen: Seen) -> int:
        known = seen.arrivals[:-LAG_TICKS]
        at = _START + timedelta(seconds=len(known) * fleet.tick_s)
        last_minute = known[-minute:]
        live = float(last_minute.mean()) if last_minute.any() else None
        coming = forecast.forecast(known[-fine:], fleet.tick_s, horizon_s, at, kept.until(known))
        advice = autoscale.recommend(
            "backtest",
            at,
            spec,
            arrivals_rps_last_minute=live,
            forecast=coming,
            capacity=capacity,
            current=seen.total,
            recent=recent,
        )
        recent.append(advice)
        return seen.total if advice.replicas is None else advice.replicas

    return decide


POLICY = Policy("seamark", "Seamark's advice, applied a tick late", begin=begin)
