"""A trace and a fleet -> all policies side by side, and whether Seamark's is to be recommended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from seamark.compute.backtest.play import Course, play
from seamark.compute.backtest.policies import POLICIES
from seamark.compute.backtest.policy import Policy
from seamark.compute.backtest.queues import FluidQueue, Queue, RequestQueue
from seamark.compute.backtest.ticks import instants_per_tick, tick_rates
from seamark.core.backtest import Backtest, Fleet, FloatArray, Instants, Played, Trace

DAY_S = 86_400.0
ORACLE, SEAMARK, HPA = "oracle", "seamark", "hpa"


def backtest(
    traffic: Trace | Instants,
    fleet: Fleet,
    *,
    seed: int = 1,
    cost_per_replica_hour: float | None = None,
    policies: Mapping[str, Policy] = POLICIES,
) -> Backtest:
    """Play every policy on the same arrivals. Instants are served one by one, rates as a liquid."""
    if isinstance(traffic, Instants):
        rates, simulator = instants_per_tick(traffic, fleet.tick_s), "requests"
    else:
        rates, simulator = tick_rates(traffic, fleet.tick_s, seed), "fluid"
    courses = {}
    for name, policy in policies.items():
        queue: Queue = RequestQueue(traffic.at_s, fleet) if isinstance(traffic, Instants) else FluidQueue(rates, fleet)
        courses[name] = play(policy, rates, queue, fleet)
    oracle_hours = _hours(courses[ORACLE], fleet)
    played = [_played(name, course, fleet, oracle_hours, cost_per_replica_hour) for name, course in courses.items()]
    beats, verdict = _verdict(played)
    return Backtest(simulator, fleet, _days(rates, fleet), tuple(played), beats, verdict, tuple(traffic.bridged))


def _played(name: str, course: Course, fleet: Fleet, oracle_hours: float, price: float | None) -> Played:
    hours, days = _hours(course, fleet), _days(course.wait_s, fleet)
    over = int(np.count_nonzero(course.wait_s > fleet.slo_wait_s))
    return Played(
        name=name,
        replica_hours=hours,
        replica_hours_over_oracle=hours / oracle_hours,
        violation_minutes_per_day=over * fleet.tick_s / 60 / days,
        actions_per_day=course.actions / days,
        replicas_max=int(course.paid.max()),
        cost=None if price is None else price * hours,
    )


def _hours(course: Course, fleet: Fleet) -> float:
    return float(course.paid.sum()) * fleet.tick_s / 3600


def _days(ticks: FloatArray, fleet: Fleet) -> float:
    return len(ticks) * fleet.tick_s / DAY_S


def _verdict(played: Sequence[Played]) -> tuple[bool, str]:
    """The gate: a policy that loses to the HPA in both figures is not to be recommended."""
    by_name = {one.name: one for one in played}
    own, hpa = by_name[SEAMARK], by_name[HPA]
    cheaper = own.replica_hours < hpa.replica_hours
    safer = own.violation_minutes_per_day < hpa.violation_minutes_per_day
    saved = 1 - own.replica_hours / hpa.replica_hours
    told = (
        f"{abs(saved):.1%} {'fewer' if saved > 0 else 'more'} replica-hours, {own.violation_minutes_per_day:.2f} "
        f"against {hpa.violation_minutes_per_day:.2f} violation minutes a day"
    )
    if not (cheaper or safer):
        return False, f"Not recommended: Seamark's advice is no better than the HPA in either figure: {told}."
    if cheaper and own.violation_minutes_per_day <= hpa.violation_minutes_per_day:
        return True, f"Recommended: Seamark's advice beats the HPA: {told}."
    if safer and own.replica_hours <= hpa.replica_hours:
        return True, f"Recommended: Seamark's advice beats the HPA: {told}."
    return True, f"Seamark's advice beats the HPA in {'cost' if cheaper else 'violations'} alone: {told}. Weigh them."
