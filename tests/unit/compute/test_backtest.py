"""Policies on known traffic: the simulators agree, only the oracle looks ahead, and the figures are a bill's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from seamark.compute.backtest.behaviour import Behaviour
from seamark.compute.backtest.judge import backtest
from seamark.compute.backtest.play import play
from seamark.compute.backtest.policies import POLICIES, hpa, oracle
from seamark.compute.backtest.policy import Policy, Seen
from seamark.compute.backtest.queues import FluidQueue, RequestQueue
from seamark.compute.backtest.ticks import instants_per_tick, tick_rates
from seamark.core.backtest import Fleet, Instants, Trace

FLEET = Fleet(capacity_rps=10.0, cold_start_s=60.0)
STEERED = [name for name, policy in POLICIES.items() if policy.begin is not None]


def instants_of(rates: np.ndarray, tick_s: float, seed: int) -> np.ndarray:
    """Return instants with these rates, evenly spread at random within each tick; for short traces."""
    rng = np.random.default_rng(seed)
    numbers = np.floor(np.cumsum(rates) * tick_s + rng.random()).astype(np.int64)
    numbers = np.diff(numbers, prepend=0)
    ticks = np.repeat(np.arange(len(rates)), numbers)
    return np.asarray(np.sort((ticks + rng.random(len(ticks))) * tick_s))


def wave(hours: float, *, mean: float = 200.0, seed: int = 1, step_s: float = 15.0) -> np.ndarray:
    """A daily wave with noise, in ticks."""
    rng = np.random.default_rng(seed)
    at_s = np.arange(round(hours * 3600 / step_s)) * step_s
    rates = mean * (1 + 0.6 * np.sin(2 * np.pi * at_s / 86_400))
    return rng.gamma(rates * step_s / 4, 4) / step_s


def fixed(replicas: int) -> Policy:
    return Policy("fixed", "always so many", begin=lambda _: lambda _: replicas)


# --- the queue ------------------------------------------------------------------------------------------------------


def test_what_comes_above_capacity_waits_and_is_carried_over() -> None:
    queue = FluidQueue(np.array([10.0, 30.0, 0.0, 0.0]), FLEET)
    assert queue.advance(0, 2) == (0.5, 0.0)
    assert queue.advance(1, 2) == (1.0, 7.5)  # 150 requests wait for 20/s
    assert queue.advance(2, 2) == (0.5, 0.0)
    assert queue.advance(3, 0) == (0.0, 0.0)
    assert FluidQueue(np.array([1.0]), FLEET).advance(0, 0) == (0.0, float("inf"))


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [8, 19, 21, 26])
def test_the_two_simulators_agree_where_both_can_run(replicas: int) -> None:
    """A burst of 10 minutes at twice the load: the same ticks are over the limit, and the waits are the same."""
    rates = np.concatenate([np.full(80, 120.0), np.full(40, 240.0), np.full(120, 120.0)])
    at_s = instants_of(rates, FLEET.tick_s, 3)
    counted = instants_per_tick(Instants(at_s), FLEET.tick_s)
    one = play(fixed(replicas), counted, FluidQueue(counted, FLEET), FLEET)
    other = play(fixed(replicas), counted, RequestQueue(at_s, FLEET), FLEET)
    assert other.wait_s == pytest.approx(one.wait_s, abs=0.35)  # within a tick requests do not come evenly
    over = [int((course.wait_s > FLEET.slo_wait_s).sum()) for course in (one, other)]
    assert abs(over[0] - over[1]) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", STEERED)
def test_they_agree_for_every_policy(name: str) -> None:
    fleet = replace(FLEET, capacity_rps=2.0)  # each request costs time of the test's own
    rates = wave(3, mean=40.0, seed=5) * np.where(np.arange(720) % 240 > 200, 1.5, 1.0)
    at_s = instants_of(rates, fleet.tick_s, 4)
    counted = instants_per_tick(Instants(at_s), fleet.tick_s)
    one = play(POLICIES[name], counted, FluidQueue(counted, fleet), fleet)
    other = play(POLICIES[name], counted, RequestQueue(at_s, fleet), fleet)
    assert other.paid.sum() == pytest.approx(one.paid.sum(), rel=0.02)
    over = [int((course.wait_s > fleet.slo_wait_s).sum()) for course in (one, other)]
    assert abs(over[0] - over[1]) <= 0.02 * len(rates)


def busy_then_idle() -> np.ndarray:
    """An hour of quiet that one replica carries, ten minutes of eight times that, an hour of next to nothing."""
    return np.concatenate([np.full(240, 6.0), np.full(40, 50.0), np.full(240, 0.3)])


@pytest.mark.parametrize("cold_start_s", [0.0, 60.0, 180.0])
@pytest.mark.parametrize("name", ["hpa", "keda_2m"])
def test_they_agree_through_a_burst_cold_starts_and_down_to_one_replica(name: str, cold_start_s: float) -> None:
    fleet = replace(FLEET, cold_start_s=cold_start_s)
    at_s = instants_of(busy_then_idle(), fleet.tick_s, 8)
    counted = instants_per_tick(Instants(np.append(at_s, 520 * 15.0 - 0.1)), fleet.tick_s)
    one = play(POLICIES[name], counted, FluidQueue(counted, fleet), fleet)
    other = play(POLICIES[name], counted, RequestQueue(at_s, fleet), fleet)
    assert one.paid[-1] == other.paid[-1] == 1 and one.paid.max() >= 6
    assert other.paid.sum() == pytest.approx(one.paid.sum(), rel=0.03)
    assert (one.wait_s > 2).sum() > 0
    assert abs(int((one.wait_s > 2).sum()) - int((other.wait_s > 2).sum())) <= 2


def test_both_tell_how_many_requests_wait() -> None:
    rates = np.array([10.0, 30.0, 30.0, 0.0])
    at_s = instants_of(rates, FLEET.tick_s, 1)
    fluid, requests = FluidQueue(rates, FLEET), RequestQueue(at_s, FLEET)
    told = []
    for tick in range(4):
        fluid.advance(tick, 2)
        requests.advance(tick, 2)
        told.append((fluid.waiting, requests.waiting))
    assert [one for one, _ in told] == [0.0, 150.0, 300.0, 0.0]
    assert [other for _, other in told] == pytest.approx([0.0, 150.0, 300.0, 0.0], abs=5)


def test_a_policy_is_told_the_queue_where_it_is_measured_and_nowhere_else() -> None:
    told: list[np.ndarray] = []

    def begin(_: Fleet):
        return lambda seen: told.append(seen.waiting) or 1

    rates = np.array([10.0, 30.0, 30.0])
    for tells in (False, True):
        fleet = replace(FLEET, max=1, tells_queue=tells)
        play(Policy("spy", "", begin=begin), rates, FluidQueue(rates, fleet), fleet)
    assert [len(one) for one in told] == [0, 0, 0, 1, 2, 3]
    assert told[-1].tolist() == [0.0, 300.0, 600.0]


# --- the fleet ------------------------------------------------------------------------------------------------------


def test_a_replica_serves_a_cold_start_later_and_is_paid_from_its_start() -> None:
    steps = Policy("steps", "", begin=lambda _: lambda seen: 3 if len(seen.arrivals) < 4 else 5)
    rates = np.full(12, 14.0)
    course = play(steps, rates, FluidQueue(rates, FLEET), FLEET)
    assert course.paid.tolist() == [2, 3, 3, 3, *[5] * 8]
    assert course.ready.tolist() == [2] * 5 + [3] * 3 + [5] * 4
    assert np.flatnonzero(course.acted).tolist() == [0, 4 - 1]


def test_those_that_do_not_serve_yet_go_first() -> None:
    wishes = iter([6, 4, 1, 1, 1, 1, 1, 1])
    rates = np.full(8, 14.0)
    course = play(Policy("w", "", begin=lambda _: lambda _: next(wishes)), rates, FluidQueue(rates, FLEET), FLEET)
    assert course.paid.tolist() == [2, 6, 4, 1, 1, 1, 1, 1]
    assert course.ready.tolist() == [2, 2, 2, 1, 1, 1, 1, 1]


def test_wishes_beyond_the_bounds_are_cut() -> None:
    fleet = replace(FLEET, min=2, max=7)
    for wish, held in ((-5, 2), (10**9, 7)):
        rates = np.full(4, 50.0)
        assert play(fixed(wish), rates, FluidQueue(rates, fleet), fleet).paid[-1] == held


# --- the policies ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", STEERED)
def test_nobody_but_the_oracle_looks_ahead(name: str) -> None:
    rates = wave(2)
    other = np.concatenate([rates[:300], 5 * rates[300:]])
    courses = [play(POLICIES[name], each, FluidQueue(each, FLEET), FLEET) for each in (rates, other)]
    assert courses[0].paid[:301].tolist() == courses[1].paid[:301].tolist()


def test_with_the_oracle_nothing_waits_and_each_start_is_paid_for() -> None:
    rates = np.concatenate([np.full(20, 35.0), np.full(20, 75.0), np.full(20, 35.0)])
    course = play(POLICIES["oracle"], rates, FluidQueue(rates, FLEET), FLEET)
    assert not course.wait_s.any()
    assert oracle.schedule(rates, FLEET).tolist() == [4] * 17 + [8] * 23 + [4] * 20
    assert course.paid.tolist() == [4] * 13 + [8] * 27 + [4] * 20  # a cold start of four ticks before


def seen(used: list[float], ready: int, starting: int = 0, before: int | None = None) -> Seen:
    readies = np.full(len(used), ready if before is None else before)
    readies[-1] = ready
    return Seen(np.zeros(len(used)), np.array(used), ready, starting, readies)


@pytest.mark.parametrize(
    "used, ready, starting, wish",
    [
        ([0.7] * 4, 10, 0, 10),
        ([0.9, 0.9, 0.9, 0.1], 10, 0, 13),  # the newest tick is not known yet
        ([0.76] * 4, 10, 0, 10),  # within the tolerance
        ([0.9] * 4, 10, 2, 10),  # with the two idle ones, 1.07 times the target
        ([1.0] * 4, 10, 2, 15),
        ([0.9] * 4, 10, 10, 20),  # they would turn it round: nothing happens
        ([0.35] * 4, 10, 2, 5),
        ([0.9] * 2, 10, 0, 10),
    ],
)
def test_the_hpa_wishes_as_kubernetes_computes(used: list[float], ready: int, starting: int, wish: int) -> None:
    assert hpa.wish(seen(used, ready, starting)) == (wish if wish != 10 or not starting else ready + starting)


def test_pods_that_have_just_become_ready_are_idle_to_the_hpa_until_their_metric_has_a_window() -> None:
    full = [1.0] * 4
    assert hpa.wish(seen(full, 15, before=10)) == 15  # 10 busy and 5 idle ones are 0.95 of the target: as it is
    assert hpa.wish(seen(full, 15)) == 22  # a window later
    assert hpa.wish(seen(full, 12, before=10)) == 15  # 1.19 of it
    assert hpa.wish(seen([0.35] * 4, 12, before=10)) == 5  # where it would scale down they are left out
    assert hpa.wish(seen(full, 12, before=0)) == 12


def test_the_hpas_default_behaviours() -> None:
    behaviour = Behaviour(FLEET)
    assert behaviour.settle(100, 2) == 6  # four more
    assert behaviour.settle(100, 20) == 40  # the double
    assert [behaviour.settle(5, 30) for _ in range(19)][-1] == 30  # the wish of 100 is 285 s old
    assert behaviour.settle(5, 30) == 5


@pytest.mark.parametrize("name", ["hpa", "keda_1m", "keda_2m", "aws_predictive"])
def test_the_fleet_a_trace_begins_with_is_kept_for_the_window_of_scaling_down(name: str) -> None:
    """A trace has no before, and its first tick may be half empty: no policy is to be judged by that."""
    rates = np.concatenate([[20.0], np.full(39, 200.0)])
    course = play(POLICIES[name], rates, FluidQueue(rates, FLEET), FLEET)
    assert course.paid[:19].min() == course.paid[0] == 28 and not course.wait_s.any()


@pytest.mark.slow
def test_the_forecast_of_the_day_before_comes_early_and_never_scales_in() -> None:
    step = np.where((np.arange(2 * 5760) % 5760) // 240 >= 12, 200.0, 50.0)  # every noon
    course = play(POLICIES["aws_predictive"], step, FluidQueue(step, FLEET), FLEET)
    noon = 5760 + 12 * 240
    assert course.wait_s[noon - 5760 :][:40].max() > FLEET.slo_wait_s  # the first noon was not foreseen
    assert course.ready[noon] >= 29 and course.wait_s[noon - 20 : noon + 40].max() == 0


# --- the whole ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_figures_are_those_of_the_courses() -> None:
    trace = Trace(15.0, np.full(5760, 200.0))
    found = backtest(trace, FLEET, cost_per_replica_hour=0.5)
    by_name = {one.name: one for one in found.policies}
    assert list(by_name) == list(POLICIES)
    static = by_name["static_peak"]
    assert (static.replica_hours, static.cost, static.actions_per_day) == (480.0, 240.0, 0)
    assert static.replica_hours_over_oracle == by_name["oracle"].replica_hours_over_oracle == 1.0
    assert found.days == 1.0 and found.simulator == "fluid"
    assert by_name["hpa"].replica_hours == pytest.approx(480 / 0.7, rel=0.02)


@pytest.mark.slow
def test_it_is_the_same_each_time_and_another_with_another_seed() -> None:
    trace = Trace(600.0, np.linspace(100, 300, 30), np.full(30, 6.0))
    assert backtest(trace, FLEET) == backtest(trace, FLEET)
    assert backtest(trace, FLEET, seed=2).policies != backtest(trace, FLEET).policies


@pytest.mark.slow
def test_the_gate_says_when_the_advice_loses_to_the_hpa() -> None:
    trace = Trace(15.0, wave(6))
    bad = {**POLICIES, "seamark": fixed(1000)}
    found = backtest(trace, FLEET, policies={**bad, "hpa": fixed(40)})
    assert not found.beats_hpa and found.verdict.startswith("Not recommended")
    good = backtest(trace, FLEET)
    assert good.beats_hpa and "replica-hours" in good.verdict


def gate_of(own: int, hpa_replicas: int) -> tuple[str, str, bool]:
    """Fixed fleets on a load that needs 20: what is dearer is safer from there on."""
    policies = {**POLICIES, "seamark": fixed(own), "hpa": fixed(hpa_replicas)}
    found = backtest(Trace(15.0, np.full(400, 200.0)), FLEET, policies=policies)
    return found.gate, found.verdict.split(":")[0], found.beats_hpa


@pytest.mark.parametrize(
    "own, other, gate, words, beats",
    [
        (22, 30, "recommended", "Recommended", True),
        (25, 15, "weigh", "Seamark's advice beats the HPA in violations alone", True),
        (15, 25, "weigh", "Seamark's advice beats the HPA in cost alone", True),
        (30, 22, "not_recommended", "Not recommended", False),
        (22, 22, "weigh", "Seamark's advice comes to the same as the HPA on this traffic, in both figures.", False),
    ],
)
def test_the_gate(own: int, other: int, gate: str, words: str, beats: bool) -> None:
    assert gate_of(own, other) == (gate, words, beats)


def test_steps_that_do_not_count_are_played_and_in_no_figure() -> None:
    rates = np.full(400, 20.0)
    rates[200:240] = 900.0  # nobody knows this
    counts = np.ones(400, np.bool_)
    counts[200:240] = False
    policies = {**POLICIES, "seamark": fixed(3)}
    found = backtest(Trace(15.0, rates, counted=counts), replace(FLEET, max=10), policies=policies)
    assert found.days == pytest.approx(360 * 15 / 86_400)
    own = next(one for one in found.policies if one.name == "seamark")
    assert own.replica_hours == pytest.approx(360 * 3 * 15 / 3600)
    whole = backtest(Trace(15.0, rates), replace(FLEET, max=10), policies=policies)
    assert whole.policies[0].replica_hours > own.replica_hours


def test_noise_has_the_dispersion_that_is_asked_for() -> None:
    for dispersion in (1.0, 8.0):
        trace = Trace(600.0, np.full(600, 50.0), np.full(600, dispersion))
        numbers = tick_rates(trace, 15.0, 7) * 15
        assert numbers.var() / numbers.mean() == pytest.approx(dispersion, rel=0.05)
        assert numbers.mean() == pytest.approx(750, rel=0.01)


@pytest.mark.parametrize("step_s", [1.0, 7.0, 15.0])
def test_fine_steps_are_averaged_and_lose_no_request(step_s: float) -> None:
    rates = np.random.default_rng(1).exponential(50, 700)
    ticks = tick_rates(Trace(step_s, rates), 15.0, 1)
    whole = round(700 * step_s // 15)
    assert ticks[:whole].sum() * 15 == pytest.approx(rates[: round(whole * 15 / step_s)].sum() * step_s, rel=0.01)


@pytest.mark.slow
def test_instants_are_served_one_by_one() -> None:
    at_s = instants_of(wave(1, mean=40), 15.0, 2)
    found = backtest(Instants(at_s - at_s[0]), replace(FLEET, capacity_rps=2.0))
    assert found.simulator == "requests" and len(found.policies) == len(POLICIES)
