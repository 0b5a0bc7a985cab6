"""Steps of known laws to the fitted ones, and what one more replica brings."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from bench.toy_queue import Server, erlang_c, exponential, fixed, mmk_capacity, mmk_tail
from hypothesis import given
from hypothesis import strategies as st

from seamark.compute import queue_fit, usl
from seamark.compute.arrivals import poisson
from seamark.compute.capacity import judge_step
from seamark.compute.load_shape import Segment, SegmentResult
from seamark.compute.scaling import explain
from seamark.core.findings import Capacity, to_document
from seamark.core.scaling import Scaling
from seamark.core.thresholds import parse_threshold

P95 = parse_threshold("p95(latency_ms) < 250")
RATES = (10.0, 20.0, 40.0, 55.0, 65.0, 72.0, 78.0, 82.0, 85.0)


def steps_of(server: Server, rates: tuple[float, ...] = RATES, seconds: float = 120.0, seed: int = 2):
    rng = np.random.default_rng(seed)
    segments = [Segment(i, rate, seconds, poisson(rate, seconds, rng)) for i, rate in enumerate(rates)]
    return [server.answer(segment, rng) for segment in segments]


def capacity_of(results: list[SegmentResult], rps: float) -> Capacity:
    steps = tuple(judge_step(result, [P95]) for result in results)
    return Capacity(rps, 0.96 * rps, 1.04 * rps, "slo", steps, supported=True)


@given(rate=st.floats(0.5, 500), contention=st.floats(0, 0.5), coherency=st.floats(0, 0.02), most=st.floats(5, 100))
def test_the_law_itself_is_recovered(rate: float, contention: float, coherency: float, most: float) -> None:
    flight = np.geomspace(0.2, most, 12)
    found = usl.fit(flight, usl.throughput(flight, np.array([rate, contention, coherency])))
    assert found == pytest.approx([rate, contention, coherency], rel=1e-3, abs=1e-5)


def test_one_slot_is_contention_of_a_half_that_levels_off_at_its_service_rate() -> None:
    """M/M/1: N = ρ/(1-ρ), so X = μN/(1+N): the law with λ = μ/2, σ = 1/2, κ = 0, by algebra."""
    law = usl.usl(steps_of(Server(1, exponential(0.01)), seconds=300.0), 1, np.random.default_rng(0))
    assert law.state == "ok" and law.points == 9
    assert law.rate_alone_rps.value == pytest.approx(50.0, rel=0.06)
    assert law.contention.value == pytest.approx(0.5, abs=0.06) and law.coherency.low < 0.005
    assert law.peak_in_flight is None and not law.fall_measured
    assert law.peak_rps.low <= 100.0 * 1.02 and law.peak_rps.high >= 100.0 * 0.95
    assert len(law.curve) == 25 and all(p.low <= p.y * 1.001 and p.y <= p.high * 1.001 for p in law.curve)
    assert law.error_ratio < 0.1


def test_a_target_that_falls_behind_beyond_its_peak_shows_where_the_peak_is() -> None:
    """Requests in flight and throughput as the law has them, with 2 % noise: N* = sqrt(0.95 / 0.01) = 9.7."""
    rng, results = np.random.default_rng(1), []
    flight = np.array([0.5, 1, 2, 4, 7, 10, 14, 20, 30])
    rates = usl.throughput(flight, np.array([20.0, 0.05, 0.01])) * (1 + 0.02 * rng.standard_normal(len(flight)))
    for n, x in zip(flight, rates, strict=True):
        count = int(x * 100)
        due = np.arange(count) / x
        latency = np.full(count, n / x * 1e3)
        latency[due + latency / 1e3 > 100.0] = (100.0 - due[due + latency / 1e3 > 100.0]) * 1e3
        results.append(SegmentResult(Segment(0, x, 100.0, due), latency, latency, 0 * due, np.ones(count, bool)))
    law = usl.usl(results, 1, np.random.default_rng(0))
    assert law.state == "ok" and law.fall_measured
    assert law.peak_in_flight.value == pytest.approx(9.7, rel=0.15)
    assert law.peak_in_flight.low <= 9.9 and law.peak_in_flight.high >= 9.5
    assert law.peak_rps.value == pytest.approx(
        usl.throughput(np.array([9.75]), np.array([20, 0.05, 0.01]))[0], rel=0.05
    )


def test_what_was_not_seen_is_not_told() -> None:
    few = usl.usl(steps_of(Server(1, exponential(0.01)), RATES[:4]), 1, np.random.default_rng(0))
    assert few.state == "too_few_points" and few.contention is None and few.points == 4
    free = usl.usl(steps_of(Server(400, exponential(0.1)), seconds=60.0), 1, np.random.default_rng(0))
    assert free.state == "no_contention" and free.peak_in_flight is None and free.peak_rps is None
    assert usl.usl([], 1, np.random.default_rng(0)).state == "too_few_points"
    capacity = explain(capacity_of(steps_of(Server(400, exponential(0.1)), seconds=60.0), 85.0), [], [P95], replicas=1)
    assert capacity.scaling.queue.state == "too_few_points" and capacity.scaling.one_more.pooled is None
    results = steps_of(Server(400, exponential(0.1)), seconds=60.0)
    assert explain(capacity_of(results, 85.0), results, [P95], replicas=1).scaling.queue.state == "no_queue"


@pytest.mark.parametrize("slots, service", [(1, 0.01), (4, 0.04)])
def test_slots_and_service_time_are_found_and_the_percentile_foretold(slots: int, service: float) -> None:
    results = steps_of(Server(slots, exponential(service)))
    steps = queue_fit.read(results, 0.95, 90.0)
    told, queues = queue_fit.queue_fit(steps, 0.95, len(results), np.random.default_rng(0))
    assert told.state == "ok" and told.slots.low <= slots <= told.slots.high
    assert told.service_ms.low * 0.95 <= service * 1e3 <= told.service_ms.high * 1.05
    assert told.arrivals_cv == pytest.approx(1.0, abs=0.05) and told.error_ratio < 0.15 and told.percentile == "p95"
    foretold = queue_fit.percentile_s(queues, np.array([60.0]), steps.alone_s, 0.95)[0, 0]
    assert mmk_tail(slots, service, 60.0, foretold) == pytest.approx(0.05, rel=0.4)
    bands = [p for p in told.curve if p.y is not None and p.high is not None]
    assert len(bands) > 10 and all(p.low <= p.y <= p.high for p in bands)


def test_erlangs_formula_agrees_with_the_toys() -> None:
    for slots in (1, 2, 7, 40):
        offered = np.array([0.1, 0.5, 0.9]) * slots
        assert queue_fit.erlang_c(slots, offered) == pytest.approx([erlang_c(slots, a) for a in offered])
        assert queue_fit.erlang_c(slots, np.array([slots * 1.0, slots * 2.0])).tolist() == [1.0, 1.0]


@pytest.mark.slow
def test_one_more_replica_is_linear_and_pooling_brings_more() -> None:
    """M/M/4 with a limit: eight slots in one queue carry more than twice what four do, by the law 103 instead of 86."""
    true_rps, pooled_rps = mmk_capacity(4, 0.04, 0.25, 0.95), mmk_capacity(8, 0.04, 0.25, 0.95)
    results = steps_of(Server(4, exponential(0.04)))
    found = explain(capacity_of(results, true_rps), results, [P95], replicas=1).scaling.one_more
    assert (found.linear.value, found.linear.low, found.linear.high) == (true_rps, 0.96 * true_rps, 1.04 * true_rps)
    assert found.pooled.value == pytest.approx(pooled_rps - true_rps, rel=0.1)
    assert found.pooled.low <= pooled_rps - true_rps <= found.pooled.high
    assert "+86.3 requests/s (82.8–89.7)" in found.words and "not tested" in found.words and "G/G/c" in found.words
    open_end = replace(capacity_of(results, 85.0), high=None, limited_by="stop_rps")
    more = explain(open_end, results, [P95], replicas=2).scaling.one_more
    assert more.pooled is None and "at least 81.6" in more.words and (more.replicas, more.now_rps) == (2, 170.0)


@pytest.mark.parametrize("latency_ms", [0.0, 1e-9, 5.0, 1e7, np.nan], ids=str)
def test_odd_latencies_make_no_fit_and_no_error(latency_ms: float) -> None:
    results = []
    for rate in RATES:
        due = np.arange(int(rate * 10)) / rate
        same = np.full(len(due), latency_ms)
        results.append(SegmentResult(Segment(0, rate, 10.0, due), same, same, 0 * due, ~np.isnan(same)))
    found = explain(capacity_of(results, 80.0), results, [P95], replicas=1).scaling
    assert found.queue.state in ("no_queue", "too_few_points")
    assert found.usl.state in ("no_contention", "too_few_points", "poor_fit", "ok")
    assert msgspec.convert(to_document(found), Scaling) == found


def test_fixed_service_times_vary_less_than_poissons() -> None:
    results = steps_of(Server(2, fixed(0.02)))
    told, _ = queue_fit.queue_fit(queue_fit.read(results, 0.95, 90.0), 0.95, 9, np.random.default_rng(0))
    assert told.state == "ok" and told.slots.value == 2 and told.service_cv < 0.2
