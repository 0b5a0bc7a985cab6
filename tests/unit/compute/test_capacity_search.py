"""Whole searches on a simulated server whose true capacity is known. The long form is `python -m bench capacity`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bench.toy_queue import (
    Server,
    exponential,
    fixed,
    lognormal,
    mmk_capacity,
    mmk_tail,
    run,
    simulated_capacity,
    walk,
)

from seamark.compute.capacity import conclude, judge_step
from seamark.compute.crossing import batched, inflations, locate
from seamark.compute.load_shape import Segment
from seamark.compute.shapes import SHAPES
from seamark.core.findings import Capacity
from seamark.core.thresholds import parse_threshold

SHAPE = SHAPES["capacity"]
PLAN = {"start_rps": 10, "stop_rps": 400, "step_s": 40}
P95 = parse_threshold("p95(latency_ms) < 150")
ERRORS = parse_threshold("error_ratio < 0.01")
ONE_SLOT = Server(1, exponential(0.01))
TRUE_RPS = mmk_capacity(1, 0.01, 0.15, 0.95)


def searched(server: Server, seed: int, *thresholds: str, **plan: float) -> Capacity:
    limits = [parse_threshold(text) for text in thresholds] or [P95, ERRORS]
    params = PLAN | plan
    results = run(SHAPE, params, limits, server, seed)
    steps = [judge_step(result, limits) for result in results]
    found = conclude(steps, results, limits, replicas=1, stop_rps=params["stop_rps"])
    assert found is not None
    return found


@pytest.mark.slow
def test_the_toy_obeys_the_law_its_capacity_is_computed_by() -> None:
    assert mmk_tail(1, 0.01, 60.0, 0.1) == pytest.approx(np.exp(-4.0))  # M/M/1: e^-(μ-λ)t
    assert pytest.approx(100 - np.log(20) / 0.15) == TRUE_RPS
    for slots, mean_s, limit_s, rate in ((1, 0.01, 0.1, 70.0), (4, 0.04, 0.2, 80.0)):
        rng = np.random.default_rng(4)
        arrivals = np.cumsum(rng.exponential(1 / rate, 300_000))
        share = (Server(slots, exponential(mean_s)).sojourn_s(arrivals, rng) > limit_s).mean()
        assert share == pytest.approx(mmk_tail(slots, mean_s, rate, limit_s), rel=0.1)
    found = simulated_capacity(ONE_SLOT, 0.15, 0.95, 80.0, requests=300_000)
    assert found == pytest.approx(TRUE_RPS, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "server, limit, true_rps",
    [
        (ONE_SLOT, "p95(latency_ms) < 150", TRUE_RPS),
        (Server(2, fixed(0.02)), "p95(latency_ms) < 60", 70.56),  # by simulated_capacity
    ],
    ids=["M/M/1", "M/D/2"],
)
def test_the_capacity_is_found_within_five_percent(server: Server, limit: str, true_rps: float, seed: int) -> None:
    found = searched(server, seed, limit, "error_ratio < 0.01")
    assert found.rps == pytest.approx(true_rps, rel=0.05)
    assert found.low * 0.98 <= true_rps <= found.high * 1.02 and found.limited_by == "slo"
    assert (found.high - found.low) / 2 < 0.07 * found.rps and found.requests == sum(s.requests for s in found.steps)


@pytest.mark.slow
def test_a_search_is_the_same_for_a_seed_and_ends_in_time() -> None:
    first, second = (run(SHAPE, PLAN, [P95], ONE_SLOT, 11) for _ in range(2))
    assert [r.segment.asked_rps for r in first] == [r.segment.asked_rps for r in second]
    assert all(np.array_equal(a.latency_ms, b.latency_ms) for a, b in zip(first, second, strict=True))
    for step_s in (0.5, 2.0):  # too short to be sure: the time ends, and the interval says how little is known
        short = PLAN | {"step_s": step_s}
        spent = sum(r.segment.duration_s for r in walk(SHAPE, short, [P95], ONE_SLOT, 3))
        assert spent <= SHAPE.longest_s(short)
    assert searched(ONE_SLOT, 3, step_s=0.5).high / searched(ONE_SLOT, 3, step_s=0.5).low > 1.2


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_search_looks_ahead_before_it_doubles(seed: int) -> None:
    """From 50 it does not go to 100 and beyond, where nothing can hold: latency at 25 and 50 shows what comes."""
    plan = {"start_rps": 12.5, "step_s": 40, "stop_rps": 400}
    asked = [r.segment.asked_rps for r in run(SHAPE, plan, [P95], ONE_SLOT, seed)]
    assert asked[:3] == [12.5, 25.0, 50.0] and max(asked) < 1.25 * TRUE_RPS


@pytest.mark.slow
def test_several_thresholds_are_met_by_the_first_that_breaks() -> None:
    loose = searched(ONE_SLOT, 1, "p95(latency_ms) < 150", "p50(latency_ms) < 900", "error_ratio < 0.01")
    assert loose.rps == pytest.approx(TRUE_RPS, rel=0.05)
    tight = searched(ONE_SLOT, 1, "p95(latency_ms) < 150", "p50(latency_ms) < 23")
    assert tight.rps == pytest.approx(100 - np.log(2) / 0.023, rel=0.06)  # 69.9


def test_a_slow_target_with_few_requests_is_told_with_a_wide_interval() -> None:
    """At 2 a second the time of a search does not suffice: the estimate says so itself."""
    found = searched(Server(1, exponential(0.4)), 2, "p95(latency_ms) < 4000", start_rps=0.5, stop_rps=10, step_s=20)
    true_rps = mmk_capacity(1, 0.4, 4.0, 0.95)
    assert found.low <= true_rps and found.high is not None and found.high >= true_rps
    assert found.high / found.low > 1.2


class Ended:
    """A second in which so many ended, all as fast, and none failed."""

    def __init__(
        self, count: int, latency_ms: float, late_ms: float = 0.1, answered: bool = True, failed: int = 0
    ) -> None:
        self.done, self.failed, self.lateness_ms = count, failed, [late_ms] * count
        self.latency_ms = self.service_latency_ms = [latency_ms] * (count if answered else 0)


def test_a_step_is_given_up_once_the_rest_could_not_bring_it_near_the_limit() -> None:
    """Of 1000 requests 5 % may be over. From 28.0 % on, log-odds 2 above that, a share says no more than `too much`."""
    step = Segment(0, 100.0, 10.0, np.arange(1000) / 100)
    for ended in (Ended(70, 151.0), Ended(70, 1.0, answered=False)):
        watch = SHAPE.give_up(step, [P95, ERRORS])
        assert [watch.hopeless(ended) for _ in range(5)] == [False, False, False, False, True]
    watch = SHAPE.give_up(step, [P95, ERRORS])
    assert not any(watch.hopeless(Ended(70, 149.0)) for _ in range(20))
    watch = SHAPE.give_up(step, [P95, ERRORS])  # errors: 1 % may be, 6.9 % are beyond doubt
    assert [watch.hopeless(Ended(100, 1.0, failed=30)) for _ in range(3)] == [False, False, True]
    watch = SHAPE.give_up(step, [P95])  # the generator is late: what it measures may be itself
    assert not any(watch.hopeless(Ended(100, 500.0, late_ms=60.0)) for _ in range(20))
    watch = SHAPE.give_up(step, [parse_threshold("max(latency_ms) < 1"), parse_threshold("mean(latency_ms) < 1")])
    assert not any(watch.hopeless(Ended(100, 500.0)) for _ in range(20))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_giving_up_spares_the_target_and_leaves_the_estimate(seed: int) -> None:
    """Eight slots hide what comes: the walk doubles to 160, where about 90 is all there is."""
    server, limits = Server(8, exponential(0.08)), [parse_threshold("p95(latency_ms) < 400")]
    true_rps = mmk_capacity(8, 0.08, 0.4, 0.95)
    sent = {}
    for name, shape in (("whole", replace(SHAPE, give_up=None)), ("cut", SHAPE)):
        results = run(shape, PLAN, limits, server, seed)
        steps = [judge_step(result, limits) for result in results]
        found = conclude(steps, results, limits, replicas=1, stop_rps=PLAN["stop_rps"])
        assert found is not None and found.rps == pytest.approx(true_rps, rel=0.07)
        sent[name] = next(len(r.ok) for r in results if r.segment.asked_rps > 1.3 * true_rps)
        assert all(len(r.ok) == len(r.segment.arrivals) for r in results)
    assert sent["cut"] < 0.6 * sent["whole"]


def test_clumps_of_slow_requests_count_for_fewer_than_they_are() -> None:
    rng = np.random.default_rng(5)
    single = [batched(50.0, rng.random(6000) < 0.05) for _ in range(20)]
    clumped = [batched(50.0, np.repeat(rng.random(60) < 0.05, 100)) for _ in range(20)]
    assert inflations(single).max() < 2.0 and inflations(clumped).min() > 20.0
    wide, narrow = (
        locate([batched(rate, over) for rate, over in ((90.0, one), (100.0, one), (110.0, one))], 0.05).half_width
        for one in (np.repeat(rng.random(60) < 0.05, 100), rng.random(6000) < 0.05)
    )
    assert wide > narrow


@pytest.mark.slow
def test_heavy_tails_are_found_too() -> None:
    server = Server(4, lognormal(0.04, 1.5))
    found = searched(server, 2, "p95(latency_ms) < 200", "error_ratio < 0.01", step_s=60)
    assert found.rps == pytest.approx(70.8, rel=0.05)  # by simulated_capacity
