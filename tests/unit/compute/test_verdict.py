"""A run's samples and a plan's thresholds to a verdict with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from seamark.compute.abort import AbortWatch
from seamark.compute.verdict import judge
from seamark.core.findings import RunStatus, Verdict, to_document
from seamark.core.records import ANSWER_DETAILS, LOAD_SAMPLES
from seamark.core.scaling import UslFit
from seamark.core.specs import LoadTestPlan, PayloadSpec, ShapeSpec
from seamark.core.thresholds import parse_threshold


@dataclass
class Ran:
    index: int
    asked_rps: float
    start_s: float
    duration_s: float
    ran_s: float | None = None


def plan(*thresholds: str, shape: ShapeSpec | None = None, replicas: int = 1) -> LoadTestPlan:
    return LoadTestPlan(
        name="t",
        model="m",
        target="http://127.0.0.1:1/",
        payload=PayloadSpec("rows", rows=({},)),
        shape=shape or ShapeSpec("constant", {"rate_rps": 100, "duration_s": 10}),
        thresholds=tuple(parse_threshold(text) for text in thresholds),
        replicas=replicas,
    )


def samples(
    count: int = 1000, *, rate: float = 100.0, segment: int = 0, start_s: float = 0.0, **columns: Any
) -> pa.Table:
    """A second of one request after the other, 20 ms each, all well, but for what `columns` says."""
    due = start_s + np.arange(count) / rate
    rows = {
        "run_id": ["r"] * count,
        "segment": np.full(count, segment, dtype=np.int32),
        "due_s": due,
        "sent_s": due + 0.0001,
        "latency_ms": np.full(count, 20.1),
        "service_latency_ms": np.full(count, 20.0),
        "http_status": np.full(count, 200, dtype=np.int16),
        "ok": np.ones(count, dtype=bool),
        "error": [None] * count,
        **{name: [None] * count for name in ANSWER_DETAILS},
    } | columns
    return pa.table(
        {name: pa.array(rows[name], LOAD_SAMPLES.field(name).type, from_pandas=True) for name in LOAD_SAMPLES.names}
    )


ONE = (Ran(0, 100.0, 0.0, 10.0),)


def run(of: LoadTestPlan, table: pa.Table, segments=ONE, **more: Any) -> Verdict:
    return judge(of, table, segments, **{"generator_saturated": False, "aborted": None, "unreachable": None, **more})


def test_thresholds_that_hold_pass() -> None:
    found = run(plan("p99(latency_ms) < 50", "error_ratio < 0.01", "achieved_rate > 0.95", "requests > 999"), samples())
    assert found.status == RunStatus.PASSED and "all 4 thresholds held" in found.reason
    assert (found.requests, found.errors, found.asked_rate, found.achieved_rate) == (1000, 0, 100.0, 100.0)
    assert found.latency_ms.p50 == found.latency_ms.max == 20.1 and found.service_latency_ms.p99 == 20.0
    assert found.lateness_ms.p99 == pytest.approx(0.1)
    assert (found.thresholds[0].text, found.thresholds[0].passed) == ("p99(latency_ms) < 50", True)
    assert found.capacity is None


def test_a_threshold_that_does_not_hold_fails_with_both_figures() -> None:
    latency = np.full(1000, 20.0)
    latency[:20] = 80.0
    found = run(
        plan("p99(latency_ms) < 50", "p95(latency_ms) < 50", "max(latency_ms) < 100"), samples(latency_ms=latency)
    )
    assert found.status == RunStatus.FAILED and "p99(latency_ms) < 50 (was 80)" in found.reason
    assert [(t.actual, t.passed) for t in found.thresholds] == [(80.0, False), (20.0, True), (80.0, True)]


def test_failed_requests_count_in_latency_and_in_errors() -> None:
    ok = np.ones(1000, dtype=bool)
    ok[:100] = False
    latency = np.full(1000, 20.0)
    latency[:100] = 30_000.0
    found = run(plan("error_ratio < 0.05", "p95(latency_ms) < 50"), samples(ok=ok, latency_ms=latency))
    assert found.errors == 100 and [t.passed for t in found.thresholds] == [False, False]
    assert found.thresholds[0].actual == 0.1


def test_quantiles_are_exact_over_all_samples() -> None:
    latency = np.random.default_rng(1).permutation(np.arange(1.0, 1001.0))
    found = run(plan(), samples(latency_ms=latency)).latency_ms
    assert (found.p50, found.p95, found.p99, found.max) == (500.0, 950.0, 990.0, 1000.0)


def unanswered() -> pa.Table:
    return samples(5, ok=np.zeros(5, dtype=bool), latency_ms=np.full(5, np.nan), service_latency_ms=np.full(5, np.nan))


def never_sent(count: int) -> dict[str, Any]:
    def hole(value: float) -> np.ndarray:
        column = np.full(1000, value)
        column[:count] = np.nan
        return column

    sent = np.arange(1000) / 100.0
    sent[:count] = np.nan
    ok = np.ones(1000, dtype=bool)
    ok[:count] = False
    return {"sent_s": sent, "latency_ms": hole(20.0), "service_latency_ms": hole(20.0), "ok": ok}


@pytest.mark.parametrize(
    "words, table, more",
    [
        ("no request was made", samples(0), {}),
        ("could not be reached: refused", unanswered(), {"unreachable": "refused"}),
        ("94.0%", samples(**never_sent(60)), {}),
        ("ended before its plan did", samples(400), {}),
        ("load generator was the bottleneck", samples(), {"generator_saturated": True}),
        ("load generator was the bottleneck", samples(sent_s=np.arange(1000) / 100.0 + 0.03), {}),
    ],
)  # fmt: skip
def test_what_was_not_measured_is_inconclusive_and_never_passes(
    words: str, table: pa.Table, more: dict[str, Any]
) -> None:
    for thresholds in ([], ["p99(latency_ms) < 100"], ["p99(latency_ms) < 1"]):
        found = run(plan(*thresholds), table, **more)
        assert found.status == RunStatus.INCONCLUSIVE and words in found.reason


def test_nothing_at_all_is_inconclusive_without_figures() -> None:
    found = run(plan("p99(latency_ms) < 100"), samples(0), segments=())
    assert found.status == RunStatus.INCONCLUSIVE
    assert found.asked_rate is found.achieved_rate is found.latency_ms.p99 is None
    assert [(t.actual, t.passed) for t in found.thresholds] == [(None, None)]


def test_an_abort_is_aborted_whatever_else() -> None:
    found = run(plan("p99(latency_ms) < 1"), samples(10), aborted="stopped before its end")
    assert found.status == RunStatus.ABORTED and found.reason == "stopped before its end"


def test_a_little_chance_in_the_number_of_arrivals_is_no_shortfall() -> None:
    assert run(plan(), samples(920), segments=(Ran(0, 100.0, 0.0, 10.0),)).status == RunStatus.PASSED


SEARCH = ShapeSpec("capacity", {"start_rps": 50, "stop_rps": 400, "step_s": 10})


def search_table(*latencies_ms: float) -> tuple[pa.Table, list[Ran]]:
    """Steps of 10 s at 50, 100, 200, ... requests/s, a pause after the last but one."""
    tables, ran, start = [], [], 0.0
    for index, latency in enumerate(latencies_ms):
        rate = 50.0 * 2**index
        tables.append(
            samples(
                int(rate * 10), rate=rate, segment=index, start_s=start, latency_ms=np.full(int(rate * 10), latency)
            )
        )
        ran.append(Ran(index, rate, start, 10.0))
        start += 10.0
    ran.append(Ran(len(latencies_ms), 0.0, start, 2.5))
    return pa.concat_tables(tables), ran


def test_a_search_passes_with_a_capacity_and_its_steps() -> None:
    table, ran = search_table(20.0, 30.0, 300.0)
    found = run(plan("p99(latency_ms) < 100", "error_ratio < 0.01", shape=SEARCH, replicas=2), table, ran)
    assert found.status == RunStatus.PASSED and found.capacity is not None
    assert 50.0 < found.capacity.low < found.capacity.rps < found.capacity.high < 100.0
    assert found.capacity.limited_by == "slo" and "(95 %: " in found.reason
    assert found.capacity.scaling is not None and found.capacity.scaling.usl.state == "too_few_points"
    assert [step.held for step in found.capacity.steps] == [True, True, False]
    assert found.capacity.supported
    assert [(t.actual, t.passed) for t in found.thresholds] == [(30.0, True), (0.0, True)]  # of the step that held


def test_a_search_that_found_nothing_fails_and_one_that_was_late_is_inconclusive() -> None:
    table, ran = search_table(500.0)
    found = run(plan("p99(latency_ms) < 100", shape=SEARCH), table, ran)
    assert found.status == RunStatus.FAILED and "not even 50" in found.reason and found.capacity is None
    late = table.set_column(3, "sent_s", pa.array(table["due_s"].to_numpy() + 0.4))
    assert run(plan("p99(latency_ms) < 100", shape=SEARCH), late, ran).status == RunStatus.INCONCLUSIVE
    aborted = run(plan("p99(latency_ms) < 100", shape=SEARCH), table, ran, aborted="stopped")
    assert aborted.status == RunStatus.ABORTED
    assert run(plan(shape=SEARCH), samples(0), ()).status == RunStatus.INCONCLUSIVE


def test_segments_are_cut_by_their_number_in_any_order_of_rows() -> None:
    table, ran = search_table(20.0, 30.0, 300.0)
    shuffled = table.take(np.random.default_rng(2).permutation(table.num_rows))
    first, second = (run(plan("p99(latency_ms) < 100", shape=SEARCH), rows, ran) for rows in (table, shuffled))
    assert replace(first.capacity, steps=()) == replace(second.capacity, steps=())


@dataclass(frozen=True)
class Second:
    done: int = 10
    failed: int = 0
    latency_ms: Sequence[float] = (1.0,)
    service_latency_ms: Sequence[float] = ()
    lateness_ms: Sequence[float] = ()


def test_a_target_that_answers_nothing_is_not_driven_on() -> None:
    for metric in ("latency_ms", "service_latency_ms"):
        over, quiet = watch(f"p99({metric}) > 1000 for 2s"), Second(0, latency_ms=[])
        assert over.observe(1.0, quiet, waiting_ms=[900.0, 10.0]) is None
        assert over.observe(2.0, quiet, waiting_ms=[1900.0, 1010.0, 10.0]) is None
        assert over.observe(4.0, quiet, waiting_ms=[3900.0]) is not None
    few = watch("p50(latency_ms) > 1000")
    assert few.observe(1.0, Second(9, latency_ms=[5.0] * 9), waiting_ms=[2000.0]) is None


def watch(*conditions: str) -> AbortWatch:
    return AbortWatch([parse_threshold(text, with_hold=True) for text in conditions])


def test_an_abort_condition_must_last() -> None:
    watched = watch("error_ratio > 0.5 for 3s")
    seen = [watched.observe(float(second), Second(failed=8)) for second in range(4)]
    assert [str(one) if one else None for one in seen] == [None, None, None, "error_ratio > 0.5 for 3s"]
    watched = watch("error_ratio > 0.5 for 3s")
    failed = [8, 8, 1, 8, 8, 8, 8]
    seen = [watched.observe(float(second), Second(failed=bad)) for second, bad in enumerate(failed)]
    assert [bool(one) for one in seen] == [False] * 6 + [True]


def test_a_second_in_which_nothing_ended_says_nothing() -> None:
    watched = watch("error_ratio > 0.5 for 2s", "p99(latency_ms) > 100")
    assert watched.observe(0.0, Second(failed=10, latency_ms=[5.0])) is None
    assert watched.observe(1.0, Second(0, latency_ms=[])) is None
    assert watched.observe(2.0, Second(failed=10, latency_ms=[5.0])) is not None


def test_conditions_without_a_dwell_come_true_at_once() -> None:
    watched = watch("p95(latency_ms) > 100", "max(lateness_ms) > 50", "p50(service_latency_ms) > 30")
    assert watched.observe(0.0, Second(latency_ms=[1.0, 2.0, 3.0])) is None
    assert str(watched.observe(1.0, Second(latency_ms=[500.0]))) == "p95(latency_ms) > 100"
    assert str(watched.observe(2.0, Second(latency_ms=[5.0], lateness_ms=[60.0]))) == "max(lateness_ms) > 50"
    assert str(watched.observe(3.0, Second(service_latency_ms=[31.0]))) == "p50(service_latency_ms) > 30"
    assert watch().observe(0.0, Second(1, 1, [1e9])) is None


def test_what_could_not_be_sent_can_end_a_run_too() -> None:
    watched = watch("achieved_rate < 0.5 for 1s")
    few, half, none = ([0.1] * sent for sent in (4, 5, 0))
    assert watched.observe(0.0, Second(lateness_ms=few)) is None
    assert watched.observe(1.0, Second(lateness_ms=half)) is None  # as asked for: begins anew
    assert watched.observe(2.0, Second(lateness_ms=none)) is None
    assert watched.observe(3.0, Second(0, lateness_ms=none)) is None  # nothing ended: says nothing
    assert str(watched.observe(4.0, Second(lateness_ms=few))) == "achieved_rate < 0.5 for 1s"


def test_a_soak_must_hold_in_each_of_its_parts() -> None:
    parts = tuple(Ran(index, 100.0, index * 1.0, 1.0) for index in range(10))
    soak = replace(plan("p95(latency_ms) < 50"), shape=ShapeSpec("soak", {"rate_rps": 100, "duration_s": 10}))

    def table(last_ms: float) -> pa.Table:
        latency = np.full(1000, 20.1)
        latency[970:] = last_ms
        return samples(segment=0, latency_ms=latency, service_latency_ms=latency).set_column(
            1, "segment", pa.array(np.arange(1000) // 100, pa.int32())
        )

    assert run(soak, table(20.0), parts).status == RunStatus.PASSED
    leaky = run(soak, table(900.0), parts)
    assert leaky.status == RunStatus.FAILED and "part 10 of 10" in leaky.reason


@pytest.mark.slow
def test_a_part_of_a_soak_does_not_fail_by_chance() -> None:
    rng = np.random.default_rng(5)
    parts = tuple(Ran(index, 100.0, index * 10.0, 10.0) for index in range(10))
    soak = replace(plan("p99(latency_ms) < 300"), shape=ShapeSpec("soak", {"rate_rps": 100, "duration_s": 100}))
    failed = 0
    for _ in range(40):
        latency = np.where(rng.random(10_000) < 0.005, 2000.0, 20.1)  # half of what the limit lets be slow
        table = samples(10_000, latency_ms=latency, service_latency_ms=latency)
        table = table.set_column(1, "segment", pa.array(np.arange(10_000) // 1000, pa.int32()))
        failed += run(soak, table, parts).status == RunStatus.FAILED
    assert failed <= 1


def test_requests_without_an_answer_are_slower_than_any_limit() -> None:
    latency = np.full(1000, 20.1)
    latency[:9] = 2000.0
    latency[9:18] = np.nan  # reset, or given up because too many were in flight
    ok = ~np.isnan(latency)
    limits = plan("p99(latency_ms) < 300", "p99(service_latency_ms) < 300", "error_ratio < 0.01")
    found = run(limits, samples(latency_ms=latency, service_latency_ms=latency, ok=ok))
    assert found.status == RunStatus.FAILED and found.latency_ms.p99 == 20.1
    assert [t.passed for t in found.thresholds] == [False, False, True]
    unsent = samples(latency_ms=latency, service_latency_ms=latency, ok=ok, sent_s=np.where(ok, 0.1, np.nan))
    assert [t.passed for t in run(limits, unsent).thresholds] == [False, True, True]


def test_rates_of_a_stopped_run_are_over_the_time_it_ran() -> None:
    stopped = (Ran(0, 100.0, 0.0, 300.0, ran_s=10.0),)
    found = run(plan("p95(latency_ms) < 50"), samples(), stopped, aborted="stopped before its end")
    assert (found.asked_rate, found.achieved_rate) == (100.0, 100.0)


def test_what_users_sent_was_not_asked_for_as_a_rate() -> None:
    found = run(plan("p95(latency_ms) < 50"), samples(), (Ran(0, 0.0, 0.0, 10.0),))
    assert found.status == RunStatus.PASSED and found.asked_rate is None and found.achieved_rate == 100


def test_a_run_without_a_single_success_never_passes() -> None:
    bad = samples(ok=np.zeros(1000, bool), error=["HTTP 500"] * 999 + ["HTTP 503"])
    found = run(plan("error_ratio <= 1"), bad)
    assert found.status == RunStatus.FAILED and "not one of 1000 requests succeeded" in found.reason
    assert [(kind.error, kind.count) for kind in found.error_kinds] == [("HTTP 500", 999), ("HTTP 503", 1)]
    nothing_back = run(plan("p95(latency_ms) < 50"), unanswered(), (Ran(0, 100.0, 0.0, 0.05),))
    assert nothing_back.status == RunStatus.FAILED and "beyond measure" in nothing_back.reason


def test_a_threshold_that_is_known_to_be_broken_fails_whatever_else_is_unknown() -> None:
    bad = samples(ok=np.zeros(1000, bool), error=["an error in the stream"] * 1000)
    found = run(plan("p95(first_token_ms) < 500", "error_ratio < 0.01"), bad)
    assert found.status == RunStatus.FAILED and "error_ratio < 0.01 (was 1)" in found.reason


def test_a_percentile_of_few_requests_is_said_not_to_be_shown() -> None:
    few = run(plan("p99(latency_ms) < 300"), samples(5), (Ran(0, 100.0, 0.0, 0.05),))
    assert few.status == RunStatus.PASSED and few.thresholds[0].supported is False
    assert "too few requests to show p99(latency_ms) < 300" in few.reason
    many = run(plan("p99(latency_ms) < 300"), samples())
    assert many.thresholds[0].supported is True and "too few" not in many.reason


def test_what_was_given_up_at_a_stop_is_no_error_of_the_target() -> None:
    left = [None] * 990 + ["stopped before an answer"] * 6 + ["not sent: the run was stopped"] * 4
    table = samples(error=left, ok=np.array([text is None for text in left]))
    found = run(plan("error_ratio < 0.001"), table, aborted="stopped before its end")
    assert (found.errors, found.requests, found.thresholds[0].passed) == (0, 1000, True)
    assert found.error_kinds[0].count == 6


def test_a_verdict_can_be_kept_whatever_the_laws_say() -> None:
    assert to_document(UslFit("ok", 7, fall_measured=np.bool_(False)))["fall_measured"] is False
    with pytest.raises(TypeError):
        to_document(UslFit("ok", 7, fall_measured=object()))
