"""Load-test steps to a capacity, and how sure it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from seamark.compute.capacity import (
    conclude,
    is_supported,
    judge_step,
    requests_needed,
    supported,
)
from seamark.compute.capacity_search import STRETCH_MAX, Search, longest_s, needed, step_duration_s
from seamark.compute.load_shape import Segment, SegmentResult
from seamark.core.thresholds import parse_threshold

P99 = parse_threshold("p99(latency_ms) < 100")
ERRORS = parse_threshold("error_ratio < 0.01")


def result(
    rate: float, latency_ms: np.ndarray, *, ok: np.ndarray | None = None, lateness_ms: float = 0.1
) -> SegmentResult:
    count = len(latency_ms)
    segment = Segment(0, rate, max(count, 1) / rate, np.arange(count) / rate)
    fine = np.ones(count, dtype=bool) if ok is None else ok
    from_send = latency_ms - (lateness_ms if lateness_ms > 1 else 0.0)
    return SegmentResult(segment, latency_ms, from_send, np.full(count, lateness_ms), fine)


def even(rate: float, latency_ms: float = 20.0, count: int = 1000, **more) -> SegmentResult:
    return result(rate, np.full(count, latency_ms), **more)


def test_the_bound_is_mlperfs() -> None:
    """The least numbers of requests that support a percentile, as MLCommons tabulates them for its rules."""
    assert supported(459, 0, 0.99) and not supported(458, 0, 0.99)
    assert supported(662, 1, 0.99) and not supported(661, 1, 0.99)
    assert supported(90, 0, 0.95) and not supported(89, 0, 0.95)
    assert not supported(0, 0, 0.5) and not supported(5, 5, 0.5)


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.95, 0.99, 0.999])
@pytest.mark.parametrize("over", [0, 1, 5])
def test_the_bound_is_the_binomials(quantile: float, over: int) -> None:
    """Supported exactly where so few over the limit would come once in a hundred runs at a share of 1 - quantile."""
    for requests in (10, 44, 45, 100, 459, 500, 1000, 3000, 10_000):
        expected = requests > over and binom.cdf(over, requests, 1 - quantile) <= 0.01
        assert supported(requests, over, quantile) == expected
    assert supported(requests_needed(quantile), 0, quantile)
    assert not supported(requests_needed(quantile) - 1, 0, quantile)


def test_a_step_holds_fails_or_does_not_say() -> None:
    good = judge_step(even(50.0), [P99, ERRORS])
    assert good.held is True and good.requests == 1000 and good.latency.p99 == 20.0
    assert good.achieved_rps == pytest.approx(50.0)
    slow = judge_step(even(50.0, 150.0), [P99, ERRORS])
    assert slow.held is False and "p99(latency_ms) was 150" in slow.reason
    ok = np.ones(1000, dtype=bool)
    ok[:20] = False
    errors = judge_step(even(50.0, ok=ok), [P99, ERRORS])
    assert errors.held is False and errors.error_ratio == 0.02 and "error_ratio" in errors.reason
    late = judge_step(even(50.0, 150.0, lateness_ms=60.0), [P99])
    assert late.held is None and "load generator" in late.reason
    both = judge_step(even(50.0, 500.0, lateness_ms=60.0), [P99])
    assert both.held is False  # late, but from the send alone the target breaks the limit too
    assert judge_step(even(50.0, 20.0, lateness_ms=60.0), [P99]).held is True  # late, and yet within the limit
    assert judge_step(result(50.0, np.empty(0)), [P99]).held is None


def test_requests_without_an_answer_are_slower_than_any_limit() -> None:
    latency = np.full(1000, 20.0)
    latency[:30] = np.nan
    found = judge_step(result(50.0, latency, ok=~np.isnan(latency)), [P99])
    assert found.held is False and found.error_ratio == 0.03
    assert found.latency.max == 20.0
    assert not is_supported([result(50.0, latency)], [P99])


def test_a_queue_that_grows_through_the_step_is_saturation() -> None:
    """Arrivals at 100/s, answers at 80/s, thresholds loose enough to hold: the backlog gives it away."""
    due = np.arange(1000) / 100
    found = judge_step(
        result(100.0, (np.arange(1000) / 80 - due) * 1e3 + 10), [parse_threshold("p99(latency_ms) < 9000")]
    )
    assert found.held is False and found.reason.startswith("saturated")
    rng = np.random.default_rng(1)
    noisy = judge_step(result(100.0, rng.exponential(30, 1000)), [parse_threshold("p99(latency_ms) < 9000")])
    assert noisy.held is True


def search(carries_rps: float, start: float = 10.0, stop: float = 1000.0, hiccup_at: int | None = None):
    """A target that is fast up to a rate and slow beyond it; step number `hiccup_at` is slow whatever its rate."""
    hunt, steps, results = Search(start, stop, 5.0, [P99]), [], []
    while (step := hunt.next_step()) is not None:
        rate, duration_s = step
        slow = rate > carries_rps or len(results) == hiccup_at
        measured = even(rate, 400.0 if slow else 20.0, count=max(round(rate * duration_s), 1))
        hunt.observe(measured)
        results.append(measured)
        steps.append(judge_step(measured, [P99]))
    return conclude(steps, results, [P99], replicas=1, stop_rps=stop), steps


@pytest.mark.parametrize("carries_rps", [2.0, 47.0, 333.0, 980.0])
def test_a_search_finds_what_is_carried_within_five_percent(carries_rps: float) -> None:
    """On the hardest of targets, a cliff: all is well up to a rate, and nothing beyond it."""
    capacity, steps = search(carries_rps)
    assert capacity is not None and capacity.limited_by == "slo"
    assert capacity.supported == (carries_rps > 10.0)  # at 2 a second the time does not suffice for 459 requests
    assert 0.99 * capacity.low <= carries_rps <= 1.01 * capacity.high and capacity.high / capacity.low <= 1.1
    assert capacity.rps == pytest.approx(carries_rps, rel=0.05) and capacity.low < capacity.rps < capacity.high
    assert capacity.steps == tuple(steps) and capacity.requests == sum(step.requests for step in steps)


def test_a_target_that_carries_all_that_was_asked_has_no_upper_bound() -> None:
    capacity, steps = search(1e9)
    assert capacity is not None and (capacity.rps, capacity.high, capacity.limited_by) == (1000.0, None, "stop_rps")
    assert capacity.low == 1000.0 and capacity.supported
    assert [step.asked_rps for step in steps] == [10, 20, 40, 80, 160, 320, 640, 1000]


def test_a_target_that_carries_nothing_has_no_capacity() -> None:
    capacity, steps = search(0.0)
    assert capacity is None and [step.asked_rps for step in steps] == [10, 10, 5, 2.5, 1.25, 0.625]


@pytest.mark.slow
@pytest.mark.parametrize("hiccup_at", [0, 1, 3, 6, 9])
def test_one_hiccup_does_not_decide_a_search(hiccup_at: int) -> None:
    capacity, _ = search(333.0, hiccup_at=hiccup_at)
    assert capacity is not None and capacity.rps == pytest.approx(333.0, rel=0.06)
    assert capacity.low <= 333.0 <= capacity.high


def test_a_search_ends_where_the_generator_is_the_bottleneck() -> None:
    hunt = Search(10.0, 1000.0, 5.0, [P99])
    assert hunt.observe(even(10.0)) is True
    assert hunt.observe(even(20.0, 400.0, lateness_ms=350.0)) is False
    assert hunt.next_step() is None
    results = [even(10.0), even(20.0, 400.0, lateness_ms=350.0)]
    steps = [judge_step(one, [P99]) for one in results]
    capacity = conclude(steps, results, [P99], replicas=1, stop_rps=1000.0)
    assert capacity is not None and (capacity.rps, capacity.high, capacity.limited_by) == (10.0, None, "generator")


def test_a_late_step_near_the_crossing_is_left_out_and_the_search_goes_on() -> None:
    hunt = Search(10.0, 1000.0, 5.0, [P99])
    for one in (even(10.0), even(20.0), even(40.0, 400.0), even(30.0, 400.0, lateness_ms=350.0)):
        hunt.observe(one)
    assert hunt.next_step() is not None
    for _ in range(2):
        hunt.observe(even(30.0, 400.0, lateness_ms=350.0))
    assert hunt.next_step() is None


def test_capacity_is_told_per_replica_and_says_where_it_is_thinly_supported() -> None:
    results = [even(30.0, count=300), even(33.0, 400.0)]
    steps = [judge_step(one, [P99]) for one in results]
    one, three = (conclude(steps, results, [P99], replicas=count, stop_rps=100.0) for count in (1, 3))
    assert one is not None and three is not None and one.low < 33.0 and one.high > 30.0
    assert (three.rps, three.low, three.high) == pytest.approx((one.rps / 3, one.low / 3, one.high / 3))
    assert three.supported is False  # p99 needs 459 requests
    slow = np.full(1000, 20.0)
    slow[:8] = 500.0  # within 1 %, but chance alone could do that at 1.2 %
    assert judge_step(result(50.0, slow), [P99]).held is True and not is_supported([result(50.0, slow)], [P99])
    assert is_supported([even(50.0)], [P99]) and is_supported([even(50.0, count=3)], [ERRORS])
    assert is_supported([even(50.0, count=300), even(49.0, count=300)], [P99])  # together they are enough


@pytest.mark.parametrize("text, share", [("p95(latency_ms) < 100", 0.05), ("error_ratio < 0.02", 0.02)])
def test_either_kind_of_threshold_is_found_where_its_share_crosses(text: str, share: float) -> None:
    """Shares that rise in a straight line on the log-odds scale, without any noise but that of counting."""
    threshold, steps, results, rng = parse_threshold(text), [], [], np.random.default_rng(3)
    for rate in (40.0, 60.0, 80.0, 90.0, 95.0, 100.0, 105.0, 110.0):
        odds = np.log(share / (1 - share)) + 10 * np.log(rate / 100)
        over = rng.random(20_000) < 1 / (1 + np.exp(-odds))
        slow = np.where(over & (threshold.metric == "latency_ms"), 300.0, 20.0)
        results.append(result(rate, slow, ok=~over if threshold.metric == "error_ratio" else None))
        steps.append(judge_step(results[-1], [threshold]))
    both = [threshold, parse_threshold("p50(latency_ms) < 1000")]
    for thresholds in ([threshold], both):
        found = conclude(steps, results, thresholds, replicas=1, stop_rps=500.0)
        assert found.rps == pytest.approx(100.0, rel=0.02) and found.low <= 100.0 <= found.high


@pytest.mark.parametrize(
    "text", ["p95(first_token_ms) < 50", "p90(time_per_token_ms) < 50", "p95(inter_token_ms) < 50"]
)
def test_token_times_are_counted_by_request_where_a_step_has_them(text: str) -> None:
    """Every third request does not stream: it has no such time. What one step does not know of is no obstacle."""
    threshold = parse_threshold(text)
    hunt, steps, results, rng = Search(10.0, 400.0, 5.0, [threshold]), [], [], np.random.default_rng(4)
    while (step := hunt.next_step()) is not None:
        count = round(step[0] * step[1])
        times = np.where(rng.random(count) < 1 / (1 + np.exp(-12 * np.log(step[0] / 150.0))), 90.0, 20.0)
        times[::3] = np.nan
        own = {threshold.metric: times} if threshold.metric != "inter_token_ms" else {}
        results.append(replace(even(step[0], 20.0, count=count), **own))
        steps.append(judge_step(results[-1], [threshold]))
        hunt.observe(results[-1])
    found = conclude(steps, results, [threshold], replicas=1, stop_rps=400.0)
    if threshold.metric == "inter_token_ms":
        assert (found.rps, found.limited_by) == (400.0, "stop_rps")
    else:
        share = 1 - threshold.quantile
        true_rps = 150.0 * np.exp(np.log(share / (1 - share)) / 12)
        assert found.low <= true_rps <= found.high and found.rps == pytest.approx(true_rps, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["mean(latency_ms) < 50", "max(latency_ms) < 50", "error_ratio <= 0"])
def test_what_is_no_share_of_requests_is_found_by_votes(text: str) -> None:
    threshold = parse_threshold(text)
    hunt, steps, results = Search(10.0, 1000.0, 5.0, [threshold]), [], []
    while (step := hunt.next_step()) is not None:
        ok = np.full(500, step[0] <= 150.0)
        results.append(even(step[0], 20.0 if ok.all() else 90.0, count=500, ok=ok))
        steps.append(judge_step(results[-1], [threshold]))
        hunt.observe(results[-1])
    found = conclude(steps, results, [threshold], replicas=1, stop_rps=1000.0)
    assert found.rps == pytest.approx(150.0, rel=0.05) and found.low <= 150.0 <= found.high


def test_steps_last_long_enough_for_their_percentiles_within_a_bound() -> None:
    assert needed([P99, ERRORS]) == 459 and needed([ERRORS]) == 0
    assert step_duration_s(1000.0, 20.0, 918) == 20.0
    assert step_duration_s(40.0, 20.0, 918) == pytest.approx(918 / 40)
    assert step_duration_s(1.0, 20.0, 918) == 20.0 * STRETCH_MAX
    assert longest_s(10.0, 1000.0, 20.0) == 17 * 65.0
