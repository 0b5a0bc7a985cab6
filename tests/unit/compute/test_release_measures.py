"""Each measure of a release: its figures against plain recounts, and what it says of equal and of worse versions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bench.release_data import BLOCKS, CASES, Traffic, draw

from seamark.compute.release.latency import RequestCounts, compare_requests, without_warmup
from seamark.compute.release.outcomes import compare_outcomes
from seamark.compute.release.predictions import compare_predictions
from seamark.compute.release.quality import compare_features
from seamark.core.release import MEASURES

TOLERANCES: dict[str, float | None] = {name: measure.tolerance for name, measure in MEASURES.items()}


def sides(rows: int, seed: int = 0) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    return np.repeat([0, 1], rows), rng.integers(0, BLOCKS, 2 * rows), rng


def texts(values: Any) -> Any:
    return np.array(values, dtype=object)


# --- latency and errors ------------------------------------------------------------------------------------------


def test_quantiles_are_those_of_the_requests() -> None:
    drawn = draw(CASES[0], 20_000, 1)
    found = compare_requests(drawn.counts(), TOLERANCES)
    for name, p in (("latency_p50", 0.5), ("latency_p95", 0.95), ("latency_p99", 0.99)):
        for side, told in enumerate((found[name].baseline, found[name].candidate)):
            assert told == pytest.approx(np.quantile(drawn.latency_ms[drawn.side == side], p), rel=0.01)
        assert found[name].effect == pytest.approx(found[name].candidate / found[name].baseline - 1)  # type: ignore[operator]
    failed = [drawn.failed[drawn.side == side].mean() for side in (0, 1)]
    assert (found["error_ratio"].baseline, found["error_ratio"].candidate) == pytest.approx(failed, abs=1e-4)


def test_a_growing_share_of_traffic_in_a_slow_hour_is_no_slowness() -> None:
    """The candidate answers most when everything is slow: its own quantiles are higher, the compared ones are not."""
    drawn = draw(Traffic("", daily=0.5, ramp=True), 20_000, 4)
    plain = [float(np.quantile(drawn.latency_ms[drawn.side == side], 0.5)) for side in (0, 1)]
    assert plain[1] / plain[0] - 1 > 0.15
    found = compare_requests(drawn.counts(), TOLERANCES)["latency_p50"]
    assert found.effect is not None and abs(found.effect) < 0.03 and found.within


def test_only_the_tail_is_slower() -> None:
    found = compare_requests(draw(CASES[0], 60_000, 2, slower=1.3, beyond=0.98).counts(), TOLERANCES)
    assert found["latency_p50"].within and found["latency_p95"].within
    assert found["latency_p99"].p_worse is not None and found["latency_p99"].p_worse < 1e-6
    assert found["latency_p99"].effect == pytest.approx(0.3, abs=0.05)


def test_a_tail_of_few_requests_is_not_judged() -> None:
    found = compare_requests(draw(CASES[0], 2_000, 2).counts(), TOLERANCES)
    assert found["latency_p50"].p_worse is not None
    assert (found["latency_p99"].p_worse, found["latency_p99"].within) == (None, False)
    assert found["latency_p99"].enlarge == pytest.approx(2.5, rel=0.1)  # 5,000 requests


def test_no_error_at_all_is_no_certainty() -> None:
    quiet = Traffic("", errors=0.0)
    few = compare_requests(draw(quiet, 500, 1).counts(), TOLERANCES)["error_ratio"]
    many = compare_requests(draw(quiet, 20_000, 1).counts(), TOLERANCES)["error_ratio"]
    assert (few.baseline, few.candidate, few.within, many.within) == (0.0, 0.0, False, True)


def test_more_errors_are_found() -> None:
    drawn = draw(CASES[0], 20_000, 1)
    failed = drawn.failed | ((drawn.side == 1) & (np.arange(len(drawn.side)) % 100 == 0))
    counts = RequestCounts(**{**vars(drawn.counts()), "failed": failed.astype(np.int64)})
    found = compare_requests(counts, TOLERANCES)["error_ratio"]
    assert found.p_worse is not None and found.p_worse < 1e-6
    assert found.effect == pytest.approx(0.01, abs=0.002)


def test_measures_that_are_left_out_are_not_taken() -> None:
    only = compare_requests(draw(CASES[0], 500, 1).counts(), {"latency_p50": 0.05, "error_ratio": None})
    assert list(only) == ["latency_p50"]


def warming(first_block: int) -> RequestCounts:
    """A candidate that begins in a block and is ten times as slow for four blocks; block 0 lies before the window."""
    drawn = draw(CASES[0], 20_000, 5)
    keep = (drawn.side == 0) | (drawn.block >= first_block)
    cold = (drawn.side == 1) & (drawn.block < first_block + 4)
    latency_ms = np.where(cold, drawn.latency_ms * 10, drawn.latency_ms)
    bins = np.floor(np.log2(latency_ms * 1e6) * 64).astype(np.int64)[keep]
    one = np.ones(len(bins), dtype=np.int64)
    return RequestCounts(BLOCKS, drawn.side[keep], drawn.block[keep], bins, one, one * 0)


@pytest.mark.parametrize("first_block", [1, 20])
def test_the_first_minutes_of_a_new_version_do_not_count(first_block: int) -> None:
    counts = warming(first_block)
    with_it = compare_requests(without_warmup(counts, 1, 0), TOLERANCES)["latency_p99"]
    without_it = compare_requests(without_warmup(counts, 1, 4), TOLERANCES)["latency_p99"]
    assert with_it.effect is not None and with_it.effect > 0.5
    assert without_it.effect is not None and abs(without_it.effect) < 0.05


def test_a_version_that_answered_before_the_window_is_warm() -> None:
    counts = draw(CASES[0], 20_000, 5).counts()
    kept = without_warmup(counts, 1, 40)
    assert kept.totals() == tuple(int((counts.block[counts.side == side] > 0).sum()) for side in (0, 1))
    assert kept.blocks == BLOCKS - 1


# --- predictions -------------------------------------------------------------------------------------------------


def test_equal_and_moved_numbers() -> None:
    side, block, rng = sides(4_000)
    none = texts([None] * len(side))
    numbers = rng.standard_normal(len(side))
    same = compare_predictions(side, block, BLOCKS, numbers, none, 0.1)
    assert same.within and same.effect is not None and same.effect < 0.05
    moved = compare_predictions(side, block, BLOCKS, numbers + 0.8 * side, none, 0.1)
    assert moved.effect == pytest.approx(0.31, abs=0.04)  # D of normals 0.8 apart: 2 Phi(0.4) - 1
    assert moved.p_worse is not None and moved.p_worse < 0.001
    assert moved.low is not None and moved.high is not None and moved.low < 0.31 < moved.high


def test_equal_and_moved_classes() -> None:
    side, block, rng = sides(4_000)
    nan = np.full(len(side), np.nan)
    names = np.where(rng.random(len(side)) < 0.3, "yes", "no")
    same = compare_predictions(side, block, BLOCKS, nan, texts(names), 0.1)
    assert same.within
    moved = np.where((side == 1) & (rng.random(len(side)) < 0.2), "maybe", names)
    found = compare_predictions(side, block, BLOCKS, nan, texts(moved), 0.1)
    assert found.effect == pytest.approx(0.2, abs=0.03) and found.p_worse is not None and found.p_worse < 0.001


def test_few_predictions_are_not_judged_and_hostile_ones_are_no_trouble() -> None:
    side, block, rng = sides(60)
    assert compare_predictions(side, block, BLOCKS, rng.random(120), texts([None] * 120), 0.1).p_worse is None
    side, block, rng = sides(3_000)
    numbers = rng.choice([np.inf, -np.inf, np.nan, 1e308, -1e308, 0.5], len(side))
    assert compare_predictions(side, block, BLOCKS, numbers, texts([None] * len(side)), 0.2).within
    nothing = compare_predictions(side, block, BLOCKS, numbers * np.nan, texts([None] * len(side)), 0.2)
    assert (nothing.rows, nothing.p_worse) == ((0, 0), None)
    ids = texts([f"id-{index}" for index in range(len(side))])
    alike = compare_predictions(side, block, BLOCKS, numbers, ids, 0.2)
    assert alike.effect is not None and alike.effect < 0.045  # 199 of each 3,000; 398 if one version's were the usual


# --- features ----------------------------------------------------------------------------------------------------


def test_equal_features_are_equal_whatever_they_are() -> None:
    side, block, rng = sides(3_000)
    levels = 1.0 / np.arange(1, 3001)
    columns = {
        "normal": rng.standard_normal(len(side)),
        "heavy": rng.standard_cauchy(len(side)),
        "few": rng.integers(0, 3, len(side)).astype(np.float64),
        "constant": np.ones(len(side)),
        "holes": np.where(rng.random(len(side)) < 0.5, np.nan, 1.0),
        "uneven": texts(rng.choice(3000, len(side), p=levels / levels.sum()).astype(str)),
        "ids": texts([str(index) for index in range(len(side))]),
    }
    found = compare_features(side, block, BLOCKS, columns, TOLERANCES)
    assert set(found) == {"null_ratio", "out_of_range_ratio", "new_category_ratio"}
    assert set(found["new_category_ratio"]) == {"uneven", "ids"}
    for features in found.values():
        for evidence in features.values():
            assert evidence.p_worse is not None and evidence.p_worse > 0.05
    assert found["new_category_ratio"]["ids"].baseline == found["new_category_ratio"]["ids"].candidate == 1.0
    assert found["new_category_ratio"]["uneven"].baseline > 0.05  # type: ignore[operator] # of its own rows too


def test_what_the_candidate_is_sent_more_of_is_found() -> None:
    side, block, rng = sides(3_000)
    some = (side == 1) & (rng.random(len(side)) < 0.1)
    normal, plans = rng.standard_normal(len(side)), rng.choice(["a", "b"], len(side)).astype(object)
    found = compare_features(
        side,
        block,
        BLOCKS,
        {
            "nulls": np.where(some, np.nan, normal),
            "far": np.where(some, 50.0, normal),
            "new": np.where(some, "c", plans),
            "gone": np.where(side == 1, np.nan, normal),
            "came": np.where(side == 0, None, plans),
        },
        TOLERANCES,
    )
    for measure, feature in (("null_ratio", "nulls"), ("out_of_range_ratio", "far"), ("new_category_ratio", "new")):
        evidence = found[measure][feature]
        assert evidence.effect == pytest.approx(0.1, abs=0.03)
        assert evidence.p_worse is not None and evidence.p_worse < 1e-4
    assert found["null_ratio"]["gone"].effect == pytest.approx(1.0)
    assert found["null_ratio"]["came"].better and "came" not in found["new_category_ratio"]


# --- outcomes ----------------------------------------------------------------------------------------------------


def outcomes(predicted: Any, true: Any, side: Any, block: Any) -> Any:
    none = texts([None] * len(side))
    as_pair = [
        (values, none) if values.dtype == np.float64 else (np.full(len(side), np.nan), values)
        for values in (predicted, true)
    ]
    return compare_outcomes(side, block, BLOCKS, as_pair[0], as_pair[1], TOLERANCES)


def test_a_class_is_one_class_however_it_is_written() -> None:
    side, block, rng = sides(2_000)
    truth = rng.integers(0, 2, len(side)).astype(np.float64)
    predicted = np.where(rng.random(len(side)) < 0.1 + 0.1 * side, 1 - truth, truth)
    by_number = outcomes(predicted, truth, side, block)["accuracy"]
    assert by_number.effect == pytest.approx(-0.1, abs=0.03) and by_number.p_worse < 0.001
    assert by_number.low < by_number.effect < by_number.high < 0
    written = texts(np.where(truth == 1, "true", "0.0"))
    assert outcomes(predicted, written, side, block)["accuracy"] == by_number


def test_quantities_are_compared_by_their_errors() -> None:
    side, block, rng = sides(4_000)
    truth = rng.normal(100, 20, len(side))
    same = outcomes(truth + rng.standard_normal(len(side)), truth, side, block)
    assert list(same) == ["mae"] and same["mae"].p_worse > 0.05
    assert same["mae"].baseline == pytest.approx(0.8, abs=0.05)
    worse = outcomes(truth + rng.standard_normal(len(side)) * (1 + 0.3 * side), truth, side, block)["mae"]
    assert worse.effect == pytest.approx(0.3, abs=0.06) and worse.p_worse < 0.001


def test_outcomes_without_an_answer() -> None:
    side, block, _ = sides(2_000)
    assert compare_outcomes(side[:0], block[:0], BLOCKS, *(2 * ((np.zeros(0), texts([])),)), TOLERANCES) == {}
    exact = np.linspace(0, 1, len(side))
    found = outcomes(exact, exact, side, block)["mae"]
    assert (found.p_worse, found.within) == (None, False) and "all 0" in found.note
    huge = np.where(np.arange(len(side)) % 2 == 0, 1.7e308, -1.7e308) + np.zeros(len(side))
    far = outcomes(huge, -huge * 0.99, side, block)
    assert all(np.isfinite([one.effect, one.low, one.high]).all() for one in far.values())
