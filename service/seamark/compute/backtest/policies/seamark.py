"""Seamark's own advice: the very functions the service decides by, shown what it would have known."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta

from seamark.compute import autoscale, forecast
from seamark.compute.backtest.policy import Decide, Policy, Seen
from seamark.core.advice import Recommendation, ReplicaCapacity
from seamark.core.backtest import Fleet
from seamark.core.specs import AutoscaleSpec

LAG_TICKS = 1  # spans are exported and committed, and the HPA that follows the advice asks each 15 s
MINUTE_S = 60.0
HISTORY_S = 7200.0
_START = datetime(2000, 1, 3, tzinfo=UTC)


def begin(fleet: Fleet) -> Decide:
    """Return the decider of one run."""
    spec = AutoscaleSpec(min=fleet.min, max=fleet.max)
    capacity = ReplicaCapacity(fleet.capacity_rps)
    minute, history = round(MINUTE_S / fleet.tick_s), round(HISTORY_S / fleet.tick_s)
    recent: deque[Recommendation] = deque(maxlen=round(autoscale.SCALE_IN_HOLD_S / fleet.tick_s))

    def decide(seen: Seen) -> int:
        known = seen.arrivals[:-LAG_TICKS]
        at = _START + timedelta(seconds=len(seen.arrivals) * fleet.tick_s)
        last_minute = known[-minute:]
        live = float(last_minute.mean()) if last_minute.any() else None
        coming = forecast.forecast(known[-history:], fleet.tick_s, fleet.cold_start_s + autoscale.DECISION_LAG_S, at)
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
