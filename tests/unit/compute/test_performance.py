"""Predictions and labels to accuracy or error, with intervals and coverage."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from seamark.compute.intervals import wilson
from seamark.compute.performance import LABELS_MIN, measure
from seamark.core.performance import PerformanceState
from seamark.core.windows import Window

WINDOW = Window.trailing(datetime(2026, 3, 1, tzinfo=UTC), 3600)


@dataclass
class Rows:
    prediction_number: np.ndarray
    prediction_text: np.ndarray
    label_number: np.ndarray
    label_text: np.ndarray
    lag_s: np.ndarray
    scores: np.ndarray
    predictions: int
    labelled: int
    unlabelled_since: datetime | None = None


def rows(
    predicted: Any, labels: Any, *, predictions: int | None = None, lag_s: float = 60.0, since=None, scores: Any = None
) -> Rows:
    """Numbers go to the number columns and texts to the text columns, as the wire does it."""

    def split(values: Any) -> tuple[np.ndarray, np.ndarray]:
        numbers = np.array([np.nan if isinstance(v, str) or v is None else float(v) for v in values])
        words = np.array([v if isinstance(v, str) else None for v in values], dtype=object)
        return numbers, words

    count = len(labels)
    texts = np.full(count, None, dtype=object)
    if scores is not None:
        texts[:] = [None if one is None else json.dumps(one) for one in scores]
    return Rows(*split(predicted), *split(labels), np.full(count, lag_s), texts, predictions or count, count, since)


def test_classes_of_text_are_compared() -> None:
    found = measure(WINDOW, rows(["a", "b", "b", "a", "c"] * 20, ["a", "b", "a", "a", "c"] * 20))
    assert found.task == "classification"
    accuracy, f1 = found.metrics["accuracy"], found.metrics["macro_f1"]
    assert accuracy.value == 0.8 and accuracy == wilson(80, 100)
    assert f1.value == pytest.approx((4 / 5 + 2 / 3 + 1) / 3)
    assert f1.low < f1.value < f1.high


@pytest.mark.parametrize(
    "predicted, labels",
    [
        ([1, 0, 1, 1], [True, False, True, True]),
        ([1, 0, 1, 1], ["1", "0", "1", "1"]),
        ([1.0, 0.0, 1.0, 1.0], ["true", "False", "TRUE", "true"]),
        (["true", "false", "true", "true"], [1, 0, 1, 1]),
        (["1.0", "0", "1", "true"], ["true", "false", "1", "1"]),
        ([7, 8, 7, 7], ["7", "8", "7.0", "7"]),
    ],
)
def test_a_class_is_the_same_however_it_is_written(predicted: list[Any], labels: list[Any]) -> None:
    found = measure(WINDOW, rows(predicted * 10, labels * 10))
    assert found.task == "classification" and found.metrics["accuracy"].value == 1.0


def test_numbers_that_are_no_classes_are_a_regression() -> None:
    rng = np.random.default_rng(1)
    labels = rng.normal(100, 20, 2000)
    errors = rng.normal(0, 5, 2000)
    found = measure(WINDOW, rows(labels + errors, labels))
    assert found.task == "regression" and set(found.metrics) == {"rmse", "mae", "median_absolute_error", "bias", "r2"}
    rmse, mae = found.metrics["rmse"], found.metrics["mae"]
    assert rmse.value == pytest.approx(np.sqrt((errors**2).mean())) and mae.value == pytest.approx(
        np.abs(errors).mean()
    )
    assert rmse.low < 5 < rmse.high and rmse.high - rmse.low < 0.8
    assert mae.low < mae.value < mae.high


def test_a_probability_against_a_class_is_a_regression() -> None:
    assert measure(WINDOW, rows([0.2, 0.9], [0, 1])).task == "regression"


def test_many_whole_numbers_are_a_quantity() -> None:
    assert measure(WINDOW, rows(range(100), range(100))).task == "regression"


def test_coverage_lag_and_how_far_it_is_known() -> None:
    since = WINDOW.start + timedelta(minutes=20)
    found = measure(WINDOW, rows(["a"], ["a"], predictions=4, lag_s=30.0, since=since))
    assert (found.predictions, found.labelled, found.coverage) == (4, 1, 0.25)
    assert found.label_lag_p50_s == 30.0 and found.known_up_to == since
    assert measure(WINDOW, rows(["a"], ["a"])).known_up_to == WINDOW.end


def test_without_labels_nothing_is_known() -> None:
    found = measure(WINDOW, rows([], [], predictions=10))
    assert found.metrics == {} and found.task is None and found.label_lag_p50_s is None
    assert found.known_up_to is None and found.coverage == 0.0
    empty = rows([], [])
    assert measure(WINDOW, empty).coverage is None


def test_a_seed_makes_one_answer() -> None:
    some = rows(np.arange(50) / 7, np.arange(50) / 6.5)
    assert measure(WINDOW, some, seed=3) == measure(WINDOW, some, seed=3)


def test_odd_values_neither_raise_nor_make_infinities() -> None:
    found = measure(WINDOW, rows([1e308, -1e308, np.nan, 2.5, np.inf] * 20, [-1e308, 1e308, 1.0, 2.5, 0.5] * 20))
    assert found.task == "regression"
    assert all(np.isfinite([m.value, m.low, m.high]).all() for m in found.metrics.values())
    found = measure(WINDOW, rows(["nan", "1e400", None, "\x00", "a" * 9999] * 10, ["nan", "inf", "x", "", "b"] * 10))
    assert found.metrics["accuracy"].value == 0.25
    assert measure(WINDOW, rows([None, "a"], ["x", None])).metrics == {}
    assert measure(WINDOW, rows([np.nan], [np.nan])).metrics == {}


def test_many_rows_are_measured_quickly_and_whole() -> None:
    rng = np.random.default_rng(3)
    predicted, labels = rng.integers(0, 5, 100_000), rng.integers(0, 5, 100_000)
    found = measure(WINDOW, rows(predicted, labels))
    assert found.metrics["accuracy"].value == (predicted == labels).mean()
    f1 = found.metrics["macro_f1"]
    assert f1.low < f1.value < f1.high and f1.high - f1.low < 0.01


@pytest.mark.parametrize(
    "successes, trials, low, high", [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (50, 100, 0.4038, 0.5962)]
)
def test_wilsons_interval(successes: int, trials: int, low: float, high: float) -> None:
    found = wilson(successes, trials)
    assert found.low == pytest.approx(low, abs=1e-4) and found.high == pytest.approx(high, abs=1e-4)


def scored(count: int, classes: tuple[str, ...] = ("no", "yes"), seed: int = 1):
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.ones(len(classes)), count)
    labels = [classes[rng.choice(len(classes), p=row)] for row in scores]
    predicted = [classes[row.argmax()] for row in scores]
    return predicted, labels, [dict(zip(classes, row.tolist(), strict=True)) for row in scores]


PROBABILITY = {"roc_auc", "log_loss", "brier", "ece"}
MACRO = {"accuracy", "macro_precision", "macro_recall", "macro_f1"}


@pytest.mark.parametrize(
    "classes, positive, more",
    [
        (("no", "yes"), None, {"precision", "recall", "f1"}),
        (("false", "true"), None, {"precision", "recall", "f1"}),
        (("fraud", "good"), None, set()),
        (("fraud", "good"), "fraud", {"precision", "recall", "f1"}),
        (("fraud", "good"), "no such class", set()),
        (("a", "b", "c"), "a", set()),
    ],
)
def test_what_is_measured_of_classes(classes: tuple[str, ...], positive: str | None, more: set[str]) -> None:
    predicted, labels, scores = scored(200, classes)
    found = measure(WINDOW, rows(predicted, labels, scores=scores), positive=positive)
    assert set(found.metrics) == MACRO | PROBABILITY | more
    without = measure(WINDOW, rows(predicted, labels), positive=positive)
    assert set(without.metrics) == MACRO | more


def test_precision_is_that_of_the_positive_class() -> None:
    predicted, labels = ["bad"] * 10 + ["good"] * 90, ["bad"] * 8 + ["good"] * 92
    found = measure(WINDOW, rows(predicted, labels), positive="bad").metrics
    assert (found["precision"].value, found["recall"].value) == (0.8, 1.0)
    assert measure(WINDOW, rows(predicted, labels), positive="good").metrics["precision"].value == 1.0


def test_one_score_of_two_classes_is_enough() -> None:
    predicted, labels, scores = scored(200)
    alone = [{"yes": row["yes"]} for row in scores]
    found = measure(WINDOW, rows(predicted, labels, scores=alone)).metrics
    for name, metric in measure(WINDOW, rows(predicted, labels, scores=scores)).metrics.items():
        assert found[name].value == pytest.approx(metric.value, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong",
    [
        {"no": 3.0, "yes": -2.0},  # decision values
        {"no": 0.9, "yes": 0.8},  # no sum of 1
        {"no": 0.5, "maybe": 0.2, "yes": 0.2},
        {"1": 0.5, "true": 0.5},  # one class twice
        {},
        {"yes": 1e308},
        {f"class {n}": 1 / 900 for n in range(900)},
    ],
)
def test_scores_that_are_no_probabilities_are_left_out(wrong: dict[str, float]) -> None:
    predicted, labels, scores = scored(200)
    found = measure(WINDOW, rows(predicted, labels, scores=[wrong] * 200))
    assert not PROBABILITY & set(found.metrics) and "accuracy" in found.metrics
    mixed = measure(WINDOW, rows(predicted * 2, labels * 2, scores=scores + [wrong] * 200))
    right = measure(WINDOW, rows(predicted, labels, scores=scores))
    if "maybe" not in wrong and "1" not in wrong and "class 1" not in wrong:  # those are classes of their own
        assert mixed.metrics["log_loss"] == right.metrics["log_loss"]


def test_scores_that_are_no_json_are_left_out() -> None:
    predicted, labels, scores = scored(100)
    some = rows(predicted, labels, scores=scores)
    some.scores[:30] = ['{"yes": NaN}', "[]", "\ud800"] * 10
    found = measure(WINDOW, some)
    assert (
        found.metrics["log_loss"]
        == measure(WINDOW, rows(predicted[30:], labels[30:], scores=scores[30:])).metrics["log_loss"]
    )


def test_too_few_labels_are_a_state() -> None:
    predicted, labels, scores = scored(LABELS_MIN)
    few = measure(WINDOW, rows(predicted[1:], labels[1:], scores=scores[1:], predictions=90))
    assert (few.state, few.metrics, few.task) == (PerformanceState.TOO_FEW_LABELS, {}, "classification")
    assert measure(WINDOW, rows(predicted, labels)).state == PerformanceState.MEASURED
    numbers = np.arange(LABELS_MIN - 1) / 7
    assert measure(WINDOW, rows(numbers, numbers)).state == PerformanceState.TOO_FEW_LABELS
    assert measure(WINDOW, rows([], [], predictions=5)).state == PerformanceState.NO_LABELS
    assert measure(WINDOW, rows([], [])).state == PerformanceState.NO_PREDICTIONS


def test_one_stray_word_among_the_labels_of_quantities_is_left_out() -> None:
    predicted = [1.5 + n for n in range(60)]
    labels: list[Any] = [value + 0.25 for value in predicted]
    labels[7] = "n/a"
    found = measure(WINDOW, rows(predicted, labels))
    assert found.task == "regression"
    assert found.metrics["mae"].value == pytest.approx(0.25)
    words = measure(WINDOW, rows(predicted, ["n/a"] * 60))
    assert words.state == PerformanceState.TOO_FEW_LABELS
