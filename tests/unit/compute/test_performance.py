"""Predictions and labels to accuracy or error, with intervals and coverage."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from seamark.compute.performance import measure, wilson
from seamark.core.windows import Window

WINDOW = Window.trailing(datetime(2026, 3, 1, tzinfo=UTC), 3600)


@dataclass
class Rows:
    prediction_number: np.ndarray
    prediction_text: np.ndarray
    label_number: np.ndarray
    label_text: np.ndarray
    lag_s: np.ndarray
    predictions: int
    labelled: int
    unlabelled_since: datetime | None = None


def rows(predicted: Any, labels: Any, *, predictions: int | None = None, lag_s: float = 60.0, since=None) -> Rows:
    """Numbers go to the number columns and texts to the text columns, as the wire does it."""

    def split(values: Any) -> tuple[np.ndarray, np.ndarray]:
        numbers = np.array([np.nan if isinstance(v, str) or v is None else float(v) for v in values])
        words = np.array([v if isinstance(v, str) else None for v in values], dtype=object)
        return numbers, words

    count = len(labels)
    return Rows(*split(predicted), *split(labels), np.full(count, lag_s), predictions or count, count, since)


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
    found = measure(WINDOW, rows(predicted, labels))
    assert found.task == "classification" and found.metrics["accuracy"].value == 1.0


def test_numbers_that_are_no_classes_are_a_regression() -> None:
    rng = np.random.default_rng(1)
    labels = rng.normal(100, 20, 2000)
    errors = rng.normal(0, 5, 2000)
    found = measure(WINDOW, rows(labels + errors, labels))
    assert found.task == "regression" and set(found.metrics) == {"rmse", "mae"}
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


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(2)
    held = {"rmse": 0, "mae": 0}
    for seed in range(60):
        errors = rng.normal(0, 1, 300)
        metrics = measure(WINDOW, rows(errors, np.zeros(300)), seed=seed).metrics
        held["rmse"] += metrics["rmse"].low <= 1.0 <= metrics["rmse"].high
        held["mae"] += metrics["mae"].low <= np.sqrt(2 / np.pi) <= metrics["mae"].high
    assert all(count >= 50 for count in held.values()), held  # 57 expected


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
    found = measure(WINDOW, rows([1e308, -1e308, np.nan, 2.5, np.inf], [-1e308, 1e308, 1.0, 2.5, 0.5]))
    assert found.task == "regression"
    assert all(np.isfinite([m.value, m.low, m.high]).all() for m in found.metrics.values())
    found = measure(WINDOW, rows(["nan", "1e400", None, "\x00", "a" * 9999], ["nan", "inf", "x", "", "b"]))
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
