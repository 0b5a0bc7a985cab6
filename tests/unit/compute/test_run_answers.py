"""Gaps in buckets, tokens, goodput and mismatches of a run, against plain arithmetic."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lake_rows import rows_of

from seamark.compute.capacity import judge_step
from seamark.compute.histogram import Histogram
from seamark.compute.load_shape import Segment, SegmentResult
from seamark.compute.run_answers import RunAnswers, per_request_limits
from seamark.compute.token_notes import TokenNotes
from seamark.core.load_traces import run_prefix, trace_id
from seamark.core.thresholds import Threshold, parse_threshold

# --- the histogram -------------------------------------------------------------------------------------------------

DURATIONS = st.lists(st.floats(0.0, 1e7, allow_nan=False), min_size=1, max_size=200)


def counted(values: list[float]) -> Histogram:
    made = Histogram()
    for value in values:
        made.add(value)
    return made


@given(DURATIONS, st.floats(0.0, 1.0))
def test_quantiles_have_three_digits_and_are_never_too_low(values: list[float], q: float) -> None:
    exact = float(np.quantile(values, q, method="inverted_cdf"))
    told = counted(values).quantile(q)
    assert told is not None
    assert exact - 0.0006 <= told <= max(exact * 1.001, exact + 0.0011)


@given(DURATIONS, DURATIONS)
def test_merged_histograms_are_as_one(first: list[float], second: list[float]) -> None:
    merged = Histogram.from_document(json.loads(json.dumps(counted(first).to_document())))
    merged.merge(counted(second))
    whole = counted(first + second)
    assert (merged.count, merged.max_ms) == (whole.count, whole.max_ms)
    assert merged.mean_ms == pytest.approx(float(np.mean(first + second)))
    assert [merged.quantile(q) for q in (0.01, 0.5, 0.99)] == [whole.quantile(q) for q in (0.01, 0.5, 0.99)]


def test_notes_of_several_processes_merge() -> None:
    merged = TokenNotes.from_document(json.loads(json.dumps(TokenNotes(counted([1.0]), 2, 0).to_document())))
    assert merged.counted_by == "usage"
    merged.merge(TokenNotes(counted([3.0]), 1, 4))
    assert (merged.by_usage, merged.by_chunks, merged.gaps.count) == (3, 4, 2)
    assert TokenNotes().counted_by is None


def test_an_empty_histogram_says_nothing_and_odd_values_are_bounded() -> None:
    assert (Histogram().quantile(0.5), Histogram().mean_ms) == (None, None)
    assert counted([-5.0]).quantile(0.5) == 0.0
    assert counted([1e300]).count == 1
    for document in ({}, {"buckets": [[0.5, 1]], "sum_ms": 0, "max_ms": 0}, {"buckets": [[-1, 1]], "sum_ms": 0}):
        with pytest.raises((KeyError, ValueError, TypeError)):
            Histogram.from_document(document)


# --- a run's answers -----------------------------------------------------------------------------------------------


def answers(rows: list[dict[str, Any]], planned_s: float = 2.0, gaps: Histogram | None = None) -> RunAnswers:
    plain = {"run_id": "r", "segment": 0, "due_s": 0.0, "sent_s": 0.0, "latency_ms": 100.0, "ok": True}
    return RunAnswers.read(
        rows_of("load_samples", [{**plain, **row} for row in rows]),
        planned_s,
        None if gaps is None else TokenNotes(gaps, 3, 1),
    )


def limits(*texts: str) -> tuple[Threshold, ...]:
    return tuple(parse_threshold(text) for text in texts)


def test_tokens_are_counted_over_successes_and_up_to_the_last_answer() -> None:
    rows = [
        {"tokens": 10, "first_token_ms": 50.0, "time_per_token_ms": 5.0},
        {"tokens": 30, "first_token_ms": 70.0, "time_per_token_ms": 7.0, "due_s": 1.5, "latency_ms": 2500.0},
        {"tokens": 99, "first_token_ms": 10.0, "ok": False},
        {"ok": False, "latency_ms": None},
    ]
    found = answers(rows, gaps=counted([1.0, 2.0, 3.0])).token_summary()
    assert found is not None
    assert (found.requests, found.tokens, found.tokens_per_s, found.gaps) == (2, 40, 10.0, 3)
    assert found.counted_by == "usage and chunks"
    assert (found.first_token_ms.p50, found.first_token_ms.max, found.inter_token_ms.p50) == (50.0, 70.0, 2.0)
    assert answers([{}]).token_summary() is None


def test_goodput_is_the_rate_of_requests_within_every_limit_per_request() -> None:
    plan = limits("p50(latency_ms) < 100", "p99(latency_ms) < 300", "max(first_token_ms) <= 60", "error_ratio < 0.1")
    assert [str(limit) for limit in per_request_limits(plan)] == ["p99(latency_ms) < 300", "max(first_token_ms) <= 60"]
    rows = [
        {"latency_ms": 299.0, "first_token_ms": 60.0},
        {"latency_ms": 300.0, "first_token_ms": 10.0},
        {"latency_ms": 200.0, "first_token_ms": 61.0},
        {"latency_ms": 200.0, "first_token_ms": 10.0, "ok": False},
        {"latency_ms": 200.0, "first_token_ms": None},
        {"latency_ms": None, "first_token_ms": None, "ok": False},
    ]
    good = answers(rows).goodput(plan)
    assert good is not None
    assert (good.requests, good.ratio, good.rps) == (1, 1 / 6, 0.5)
    assert answers(rows).goodput(limits("error_ratio < 0.1", "mean(latency_ms) < 5")) is None
    assert answers([{}]).goodput(limits("p99(first_token_ms) < 60")) is None


def test_an_answer_of_one_token_misses_no_limit_on_the_time_per_token() -> None:
    rows = [
        {"tokens": 1, "first_token_ms": 5.0},
        {"tokens": 5, "first_token_ms": 5.0, "time_per_token_ms": 9.0},
        {"tokens": 5, "first_token_ms": 5.0, "time_per_token_ms": 11.0},
    ]
    good = answers(rows).goodput(limits("p90(time_per_token_ms) < 10"))
    assert good is not None and good.requests == 2


def test_mismatches_are_of_what_was_compared() -> None:
    found = answers([{"answer_matches": True}, {"answer_matches": False}, {}, {"answer_matches": True}]).answer_check()
    assert found is not None
    assert (found.compared, found.mismatched, found.ratio) == (3, 1, 1 / 3)
    assert answers([{}]).answer_check() is None
    (limit,) = limits("answer_mismatch_ratio < 0.1")
    assert answers([{}]).measure(limit, ()) is None


def test_what_thresholds_ask_of_answers() -> None:
    rows = [{"tokens": 4, "first_token_ms": float(n), "time_per_token_ms": 2.0} for n in range(1, 11)]
    run = answers(rows, gaps=counted([10.0, 20.0, 60.0]))
    told = {
        "p90(first_token_ms) < 1": 9.0, "mean(time_per_token_ms) < 1": 2.0, "max(inter_token_ms) < 1": 60.0,
        "mean(inter_token_ms) < 1": 30.0, "p50(inter_token_ms) < 1": 20.0, "tokens_per_s > 1": 20.0,
        "goodput_ratio > 1": 0.5, "goodput_rps > 1": 2.5,
    }  # fmt: skip
    plan = limits("p99(first_token_ms) <= 5")
    for text, expected in told.items():
        assert run.measure(parse_threshold(text), plan) == pytest.approx(expected, rel=2e-3), text
    assert answers(rows).measure(parse_threshold("max(inter_token_ms) < 1"), ()) is None


@pytest.mark.parametrize(
    ("first_ms", "held"), [([10.0, 20.0], True), ([10.0, 99.0], False), ([10.0, np.nan], False), ([np.nan] * 2, None)]
)
def test_a_step_of_a_search_holds_by_its_first_tokens(first_ms: list[float], held: bool | None) -> None:
    segment = Segment(0, 2.0, 1.0, np.array([0.0, 0.5]))
    plain = (np.full(2, 5.0), np.full(2, 5.0), np.zeros(2), ~np.isnan(first_ms))
    step = judge_step(SegmentResult(segment, *plain, np.array(first_ms)), limits("p95(first_token_ms) < 50"))
    assert step.held is held, step.reason


def test_a_late_generator_does_not_excuse_slow_tokens_which_count_from_the_send() -> None:
    segment = Segment(0, 2.0, 1.0, np.array([0.0, 0.5]))
    plain = (np.full(2, 5.0), np.full(2, 5.0), np.full(2, 300.0), np.ones(2, bool), np.full(2, 99.0))
    assert judge_step(SegmentResult(segment, *plain), limits("p95(first_token_ms) < 50")).held is False


# --- trace ids -----------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**64), st.integers(0, 2**31))
def test_trace_ids_say_their_run_and_are_never_zero(seed: int, number: int) -> None:
    made = trace_id("00f067aa0ba902b7", seed, number)
    assert len(made) == 32 and made.startswith("00f067aa0ba902b7") and int(made, 16)
    assert made != trace_id("00f067aa0ba902b7", seed, number + 1)


def test_trace_ids_are_told_apart_and_stay_what_they_are() -> None:
    made = [trace_id("00f067aa0ba902b7", 7, number) for number in range(10_000)]
    assert len(set(made)) == 10_000
    assert made[:2] == ["00f067aa0ba902b7863b891f4c0abd4f", "00f067aa0ba902b74d58fbd282eaf415"]
    assert all(len(run_prefix(name)) == 16 for name in ("r1", "0" * 16, "\ud7ff", ""))
    low = [int(one[-2:], 16) for one in made]
    assert min(np.bincount(low)) > 20 and all(a != b for a, b in pairwise(made))
