"""A trace and a fleet -> all policies side by side, and whether Seamark's is to be recommended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seamark.compute.backtest.play import Course, play
from seamark.compute.backtest.policies import POLICIES
from seamark.compute.backtest.policy import Policy
from seamark.compute.backtest.queues import FluidQueue, Queue, RequestQueue
from seamark.compute.backtest.ticks import counted_ticks, instants_per_tick, tick_rates
from seamark.core.backtest import Backtest, BoolArray, Fleet, FloatArray, Instants, Played, Trace

DAY_S = 86_400.0
ORACLE, SEAMARK, HPA = "oracle", "seamark", "hpa"
RECOMMENDED, WEIGH, NOT_RECOMMENDED = "recommended", "weigh", "not_recommended"


@dataclass(frozen=True)
class Courses:
    """What each policy did on the same arrivals, tick by tick. `rates` are requests per second; both (ticks,)."""

    simulator: str  # "fluid" | "requests"
    rates: FloatArray
    counted: BoolArray
    by_policy: Mapping[str, Course]


def backtest(
    traffic: Trace | Instants,
    fleet: Fleet,
    *,
    seed: int = 1,
    cost_per_replica_hour: float | None = None,
    policies: Mapping[str, Policy] = POLICIES,
) -> Backtest:
    """Play every policy on the same arrivals. Instants are served one by one, rates as a liquid."""
    played = play_all(traffic, fleet, seed=seed, policies=policies)
    return judged(played, fleet, cost_per_replica_hour=cost_per_replica_hour, notes=traffic.bridged)


def play_all(
    traffic: Trace | Instants, fleet: Fleet, *, seed: int = 1, policies: Mapping[str, Policy] = POLICIES
) -> Courses:
    """Return the courses of all policies."""
    if isinstance(traffic, Instants):
        rates, simulator = instants_per_tick(traffic, fleet.tick_s), "requests"
        counted = np.ones(len(rates), np.bool_)
    else:
        rates, simulator = tick_rates(traffic, fleet.tick_s, seed), "fluid"
        counted = counted_ticks(traffic, fleet.tick_s)
    courses = {}
    for name, policy in policies.items():
        queue: Queue = RequestQueue(traffic.at_s, fleet) if isinstance(traffic, Instants) else FluidQueue(rates, fleet)
        courses[name] = play(policy, rates, queue, fleet)
    return Courses(simulator, rates, counted, courses)


def judged(
    courses: Courses, fleet: Fleet, *, cost_per_replica_hour: float | None = None, notes: Sequence[str] = ()
) -> Backtest:
    """Return what the courses came to, and the gate."""
    bill = _Bill(courses.counted, fleet, cost_per_replica_hour)
    oracle_hours = bill.hours(courses.by_policy[ORACLE])
    played = tuple(bill.played(name, course, oracle_hours) for name, course in courses.by_policy.items())
    gate, beats_hpa, verdict = _verdict(played)
    return Backtest(
        simulator=courses.simulator,
        fleet=fleet,
        days=bill.days,
        policies=played,
        beats_hpa=beats_hpa,
        verdict=verdict,
        notes=tuple(notes),
        gate=gate,
    )


@dataclass(frozen=True)
class _Bill:
    """What a course comes to over the ticks that count."""

    counted: BoolArray
    fleet: Fleet
    price: float | None

    @property
    def days(self) -> float:
        return float(self.counted.sum()) * self.fleet.tick_s / DAY_S

    def hours(self, course: Course) -> float:
        return float(course.paid[self.counted].sum()) * self.fleet.tick_s / 3600

    def played(self, name: str, course: Course, oracle_hours: float) -> Played:
        hours = self.hours(course)
        over = int(np.count_nonzero(course.wait_s[self.counted] > self.fleet.slo_wait_s))
        return Played(
            name=name,
            replica_hours=hours,
            replica_hours_over_oracle=hours / oracle_hours,
            violation_minutes_per_day=over * self.fleet.tick_s / 60 / self.days,
            actions_per_day=float(course.acted[self.counted].sum()) / self.days,
            replicas_max=int(course.paid[self.counted].max()),
            cost=None if self.price is None else self.price * hours,
        )


def _verdict(played: Sequence[Played]) -> tuple[str, bool, str]:
    """Return (gate, better than the HPA in a figure, sentence): worse in one and better in none is not recommended."""
    by_name = {one.name: one for one in played}
    own, hpa = by_name[SEAMARK], by_name[HPA]
    cheaper, dearer = own.replica_hours < hpa.replica_hours, own.replica_hours > hpa.replica_hours
    safer = own.violation_minutes_per_day < hpa.violation_minutes_per_day
    riskier = own.violation_minutes_per_day > hpa.violation_minutes_per_day
    saved = 1 - own.replica_hours / hpa.replica_hours
    told = (
        f"{abs(saved):.1%} {'fewer' if saved > 0 else 'more'} replica-hours, {own.violation_minutes_per_day:.2f} "
        f"against {hpa.violation_minutes_per_day:.2f} violation minutes a day"
    )
    if not (cheaper or dearer or safer or riskier):
        verdict = "Seamark's advice comes to the same as the HPA on this traffic, in both figures."
        return WEIGH, False, verdict
    if not (cheaper or safer):
        verdict = f"Not recommended: Seamark's advice is no better than the HPA in either figure: {told}."
        return NOT_RECOMMENDED, False, verdict
    if not (dearer or riskier):
        return RECOMMENDED, True, f"Recommended: Seamark's advice beats the HPA: {told}."
    better = "cost" if cheaper else "violations"
    return WEIGH, True, f"Seamark's advice beats the HPA in {better} alone: {told}. Weigh them."
