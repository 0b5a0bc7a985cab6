"""Arrivals of the last minutes -> what KEDA's Prometheus trigger makes the HPA do."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from seamark.compute.backtest.behaviour import Behaviour, within_tolerance
from seamark.compute.backtest.policy import Decide, Seen
from seamark.core.backtest import UTILISATION, Fleet

LAG_TICKS = 1  # the scrape, and the HPA's own sync


def begin_with(window_s: float) -> Callable[[Fleet], Decide]:
    """Return the beginner of a policy on `rate(requests[window])` per replica, of type AverageValue."""

    def begin(fleet: Fleet) -> Decide:
        behaviour, ticks = Behaviour(fleet), max(round(window_s / fleet.tick_s), 1)
        each_rps = fleet.capacity_rps * UTILISATION

        def decide(seen: Seen) -> int:
            known = seen.arrivals[-LAG_TICKS - ticks : -LAG_TICKS]
            if len(known) < ticks:
                return seen.total  # the trace has no before; its first ticks are no rate of a whole window
            rate = float(known.mean())
            steady = seen.total > 0 and within_tolerance(rate / (each_rps * seen.total))
            return behaviour.settle(seen.total if steady else ceil(rate / each_rps), seen.total)

        return decide

    return begin
