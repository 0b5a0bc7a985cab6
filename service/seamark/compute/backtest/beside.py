"""Past arrivals and a fleet -> what a policy would have run and cost then, tick by tick: for a plot beside what ran."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np

from seamark.compute.backtest.holes import bridged
from seamark.compute.backtest.play import play
from seamark.compute.backtest.policies import POLICIES
from seamark.compute.backtest.queues import FluidQueue
from seamark.compute.backtest.ticks import counted_ticks, tick_rates
from seamark.core.advice import ArrivalHistory
from seamark.core.backtest import Beside, Fleet, Trace


def beside(
    history: ArrivalHistory,
    fleet: Fleet,
    *,
    policies: Sequence[str] = ("hpa", "seamark"),
    cost_per_replica_hour: float | None = None,
) -> list[Beside]:
    """Return the course of each policy over past arrivals, in the order asked for; [] where nothing is known of them.

    `history.rates` may have any step and NaN where nothing is known: the policies are played on a straight line there,
    and ticks of holes longer than five minutes are left out of the totals. `fleet` says what a replica carries, how
    long it takes to start, its bounds. Every policy begins warm, sized for the first five minutes, and knows nothing
    before; the arrivals of a day take about a second for `seamark`, a twentieth of that for `hpa`.
    """
    rates, counts = bridged(history.rates, history.step_s)
    if not counts.any():
        return []
    trace = Trace(history.step_s, rates, counted=counts)
    ticks, counted = tick_rates(trace, fleet.tick_s, seed=1), counted_ticks(trace, fleet.tick_s)
    start = history.end - timedelta(seconds=history.step_s * len(rates))
    hours = float(counted.sum()) * fleet.tick_s / 3600
    found = []
    for name in policies:
        course = play(POLICIES[name], ticks, FluidQueue(ticks, fleet), fleet)
        replica_hours = float(course.paid[counted].sum()) * fleet.tick_s / 3600
        over = int(np.count_nonzero(course.wait_s[counted] > fleet.slo_wait_s))
        found.append(
            Beside(
                name=name,
                start=start,
                tick_s=fleet.tick_s,
                replicas=course.paid,
                ready=course.ready,
                counted=counted,
                hours=hours,
                replica_hours=replica_hours,
                violation_minutes=over * fleet.tick_s / 60,
                cost=None if cost_per_replica_hour is None else cost_per_replica_hour * replica_hours,
            )
        )
    return found
