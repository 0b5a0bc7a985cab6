"""Performance estimated without labels against the labels that were hidden, and each state where it cannot be."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from seamark.compute import confusion, performance, probability, regression
from seamark.compute.estimate import cbpe, dle, record
from seamark.compute.estimate.calibration import calibrate, isotonic, platt
from seamark.compute.estimate.trees import binning_of, grow
from seamark.compute.estimate.window import REFERENCE_ROWS_MIN, ROWS_MIN, Fitted, estimate, fit
from seamark.core.performance import (
    Estimate,
    EstimateFared,
    EstimateState,
    Performance,
    PerformanceMetric,
    error_of,
)
from seamark.core.windows import Window

WINDOW = Window.trailing(datetime(2026, 3, 1, tzinfo=UTC), 3600)


@dataclass
class Rows:
    prediction_number: np.ndarray
    prediction_text: np.ndarray
    scores: np.ndarray
    label_number: np.ndarray
    label_text: np.ndarray


def classes_of(count: int, *, shift: float = 0.0, classes: int = 2, sure: float = 1.8, seed: int = 0):
    """Scores that are too sure, and what came true; `shift` moves the inputs, not how they decide."""
    rng = np.random.default_rng([seed, classes])
    logits = rng.normal(0, 1.5, (count, classes))
    logits[:, 1] += shift
    right = np.exp(logits)
    right /= right.sum(axis=1, keepdims=True)
    true = np.minimum((right.cumsum(axis=1) < rng.random((count, 1))).sum(axis=1), classes - 1)
    scores = right**sure
    return scores / scores.sum(axis=1, keepdims=True), true


def classifier_rows(count: int, names: tuple[str, ...] = ("no", "yes"), **more: Any) -> Rows:
    scores, true = classes_of(count, classes=len(names), **more)
    texts = np.empty(count, dtype=object)
    texts[:] = [json.dumps(dict(zip(names, row, strict=True))) for row in scores.tolist()]
    named = np.array(names, dtype=object)
    nothing = np.full(count, np.nan)
    return Rows(nothing, named[scores.argmax(axis=1)], texts, nothing, named[true])


def regressor_of(count: int, *, shift: float = 0.0, seed: int = 0):
    """Errors that grow with one feature and are wider in one group; `shift` moves the inputs."""
    rng = np.random.default_rng([seed, 9])
    numbers = rng.normal(shift, 1, (count, 4))
    group = rng.choice(["a", "b", "c"], count)
    spread = np.exp(0.5 * numbers[:, 0]) * np.where(group == "b", 2.0, 1.0)
    prediction = 3 * numbers.sum(axis=1)
    columns = {f"x{n}": numbers[:, n].copy() for n in range(4)} | {"group": group.astype(object)}
    columns["x3"][::17] = np.nan
    columns["group"][::19] = None
    return columns, prediction, prediction + rng.laplace(0, 1, count) * spread


def regressor_rows(count: int, **more: Any) -> tuple[dict[str, np.ndarray], Rows]:
    columns, prediction, true = regressor_of(count, **more)
    nothing = np.full(count, None, dtype=object)
    return columns, Rows(prediction, nothing, nothing, true, nothing)


# --- calibration -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decimals", [None, 2, 0])
@pytest.mark.parametrize("weighted", [False, True])
def test_isotonic_is_scikit_learns(decimals: int | None, weighted: bool) -> None:
    from sklearn.isotonic import IsotonicRegression

    rng = np.random.default_rng(4)
    scores = rng.random(2000) if decimals is None else np.round(rng.random(2000), decimals)
    came = (rng.random(2000) < scores**2).astype(float)
    weights = rng.uniform(0.1, 3, 2000) if weighted else np.ones(2000)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(scores, came, weights)
    asked = np.concatenate([np.linspace(-0.5, 1.5, 1001), scores])
    assert np.abs(isotonic(scores, came, weights)(asked) - theirs.predict(asked)).max() < 1e-9


def test_platt_is_a_logistic_regression_of_the_log_odds() -> None:
    from sklearn.linear_model import LogisticRegression

    scores, true = classes_of(4000)
    odds = np.log(scores[:, 1] / scores[:, 0])[:, None]
    theirs = LogisticRegression(C=1e9, tol=1e-10).fit(odds, true).predict_proba(odds)[:, 1]
    found = platt(scores[:, 1], true.astype(float), np.ones(len(true)))(scores[:, 1])
    assert np.abs(found - theirs).max() < 0.002  # his targets are not quite 0 and 1, and the curve is drawn by points


@pytest.mark.parametrize(
    "method, curve",
    [
        ("platt", lambda p: p**0.5 / (p**0.5 + (1 - p) ** 0.5)),
        ("isotonic", lambda p: np.where(p < 0.3, 0.05, np.where(p < 0.6, 0.5, 0.7))),
    ],
)
def test_the_calibration_that_predicts_best_is_taken(method: str, curve: Any) -> None:
    rng = np.random.default_rng(1)
    scores = rng.random(4000)
    found = calibrate(scores, (rng.random(4000) < curve(scores)).astype(float), {}, seed=0)
    inside = np.linspace(0.02, 0.98, 97)
    assert np.abs(found.curve(inside) - curve(inside)).mean() < 0.03
    assert found.shifts is None
    assert found.method in {method, "isotonic"}  # a straight line of log-odds is rising, too
    assert np.abs(found.probabilities(inside, {})[0] - found.curve(inside)).max() == 0
    resampled = found.probabilities(inside, {})[1]
    assert 0 < resampled.std(axis=1).mean() < 0.05
    assert np.abs(resampled.mean(axis=1) - curve(inside)).mean() < 0.03


# --- classifiers -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 4])
def test_estimates_hold_the_truth_as_often_as_they_say(classes: int) -> None:
    runs, held, errors = 24, Counter[str](), {}
    names = tuple(map(str, range(classes)))
    positive = 1 if classes == 2 else None
    for seed in range(runs):
        fitted = cbpe.fit(names, *classes_of(2000, classes=classes, seed=seed), seed=seed)
        scores, true = classes_of(500, classes=classes, shift=0.8, seed=seed + 1000)
        predicted = scores.argmax(axis=1)
        found = cbpe.estimate(fitted, predicted, scores, positive)
        truth = dict(confusion.measured(confusion.count(predicted, true, classes), positive))
        truth |= probability.measured(scores, true, seed=0)
        for name, one in found.items():
            held[name] += one.low <= truth[name].value <= one.high
            errors.setdefault(name, []).append(one.value - truth[name].value)
    assert set(held) >= {"accuracy", "macro_f1", "macro_precision", "macro_recall", "roc_auc"}
    assert all(count >= 20 for count in held.values()), held  # 22.8 expected; below 20 once in a hundred
    assert all(abs(np.mean(each)) < 0.012 for each in errors.values()), {k: np.mean(v) for k, v in errors.items()}


def test_expected_counts_are_the_sums_of_probabilities() -> None:
    rng = np.random.default_rng(2)
    scores = rng.random(50)
    both = np.column_stack([1 - scores, scores])
    sure = cbpe.fit(("0", "1"), *classes_of(3000, sure=1.0), seed=0)
    right = sure.probabilities(both, {})[0][:, 1]
    predicted = (scores > 0.4).astype(int)
    found = cbpe.estimate(sure, predicted, both, 1)
    hits = right[predicted == 1].sum()
    assert found["precision"].value == pytest.approx(hits / (predicted == 1).sum())
    assert found["recall"].value == pytest.approx(hits / right.sum())
    assert found["accuracy"].value == pytest.approx((hits + (1 - right)[predicted == 0].sum()) / 50)
    pairs = [(i, j) for i in range(50) for j in range(50) if i != j]
    above = sum(right[i] * (1 - right[j]) * (scores[i] > scores[j]) for i, j in pairs)
    assert found["roc_auc"].value == pytest.approx(above / sum(right[i] * (1 - right[j]) for i, j in pairs))


def test_a_shift_of_inputs_is_seen_and_the_uncalibrated_scores_are_not_believed() -> None:
    fitted = fit(classifier_rows(4000), {}, seed=0)
    easy = classifier_rows(2000, shift=3.0, seed=5)
    found = estimate(WINDOW, fitted, easy, {}, predictions=2000, reference_id="r")
    same = estimate(WINDOW, fitted, classifier_rows(2000, seed=6), {}, predictions=2000, reference_id="r")
    truth = float((easy.prediction_text == easy.label_text).mean())
    assert (found.state, found.method, found.rows, found.reference_rows) == ("estimated", "cbpe", 2000, 4000)
    assert found.metrics["accuracy"].value == pytest.approx(truth, abs=0.02)
    assert found.metrics["accuracy"].value > same.metrics["accuracy"].value + 0.05
    assert set(found.metrics) >= {"precision", "recall", "f1"}  # of yes


def test_features_tell_what_scores_do_not() -> None:
    """The score is right on the whole and wrong by group; then one group becomes frequent."""

    def draw(count: int, share: float, seed: int):
        rng = np.random.default_rng(seed)
        scores, hard = rng.uniform(0.5, 1, count), rng.random(count) < share
        true = (rng.random(count) < np.where(hard, scores - 0.2, np.minimum(scores + 0.07, 1))).astype(int)
        group = np.where(hard, "hard", "easy").astype(object)
        group[::50] = None
        return np.column_stack([1 - scores, scores]), true, {"group": group, "noise": rng.normal(size=count)}

    fitted = cbpe.fit(("0", "1"), *draw(6000, 0.25, 1), seed=0)
    blind = cbpe.fit(("0", "1"), *draw(6000, 0.25, 1)[:2], seed=0)
    assert fitted.with_features and not blind.with_features
    scores, true, columns = draw(4000, 0.75, 2)
    predicted = np.ones(4000, dtype=int)
    truth = float(true.mean())
    found = cbpe.estimate(fitted, predicted, scores, 1, columns)["accuracy"]
    assert found.low <= truth <= found.high
    assert abs(found.value - truth) < 0.03 < cbpe.estimate(blind, predicted, scores, 1)["accuracy"].value - truth
    few = cbpe.fit(("0", "1"), *draw(400, 0.25, 3), seed=0)
    assert not few.with_features  # too few rows to learn that from
    without = cbpe.estimate(fitted, predicted, scores, 1, {"noise": columns["noise"]})["accuracy"]
    assert 0.5 < without.value < 1  # a window that lacks the feature


# --- regressors ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_error_of_a_regression_is_estimated() -> None:
    runs, held, errors = 8, Counter[str](), {}
    for seed in range(runs):
        fitted = dle.fit(*regressor_of(1500, seed=seed))
        columns, prediction, true = regressor_of(600, shift=0.4, seed=seed + 1000)
        found, truth = dle.estimate(fitted, columns, prediction), regression.measured(prediction, true)
        for name, one in found.items():
            held[name] += one.low <= truth[name].value <= one.high
            errors.setdefault(name, []).append(one.value / truth[name].value - 1)
    assert all(count >= 6 for count in held.values()), held  # 7.6 expected
    assert all(abs(np.mean(each)) < 0.06 for each in errors.values()), errors


def test_a_window_may_lack_features_and_hold_new_levels() -> None:
    fitted = dle.fit(*regressor_of(1500))
    columns, prediction, _ = regressor_of(200, seed=3)
    whole = dle.estimate(fitted, columns, prediction)["mae"].value
    strange = {"x0": columns["x0"], "group": np.full(200, "new", dtype=object), "other": columns["x1"]}
    found = dle.estimate(fitted, strange, prediction)["mae"]
    assert np.isfinite([found.value, found.low, found.high]).all() and found.value == pytest.approx(whole, rel=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1e-9, 1e12])
def test_units_do_not_matter(scale: float) -> None:
    columns, prediction, true = regressor_of(800)
    plain = dle.estimate(dle.fit(columns, prediction, true), columns, prediction)
    scaled = dle.estimate(dle.fit(columns, prediction * scale, true * scale), columns, prediction * scale)
    for name, one in plain.items():
        assert scaled[name].value == pytest.approx(one.value * scale, rel=1e-6)


@pytest.mark.slow
def test_a_regression_without_errors_and_one_of_many_features() -> None:
    columns, prediction, _ = regressor_of(400)
    found = dle.estimate(dle.fit(columns, prediction, prediction), columns, prediction)
    assert found["mae"].value < 1e-4 and found["rmse"].value < 1e-4
    rng = np.random.default_rng(1)
    many = {f"n{n}": rng.normal(size=400) for n in range(300)} | {
        "constant": np.ones(400),
        "none": np.full(400, np.nan),
    }
    errors = np.where(many["n7"] > 0, 10.0, 1.0)
    fitted = dle.fit(many, prediction, prediction + errors)
    assert "n7" in dict(fitted.binnings) and len(fitted.binnings) == dle.FEATURES_MAX + 1


@pytest.mark.slow
def test_trees_are_those_of_scikit_learn_in_what_they_find() -> None:
    """Not the same trees: about as near to a truth with interactions, on rows they have not seen."""
    rng = np.random.default_rng(5)
    numbers, level = rng.normal(size=(6000, 3)), rng.choice(list("abcdef"), 6000)
    right = np.where(numbers[:, 0] * numbers[:, 1] > 0, 2.0, 0.0) + np.isin(level, ["b", "e"]) * (numbers[:, 2] > 0)
    target = right + rng.normal(size=6000)
    columns = [numbers[:, 0], numbers[:, 1], numbers[:, 2], level.astype(object)]
    coded = np.column_stack([binning_of(values, target).bins(values) for values in columns])
    ours = grow(coded[:3000], target[:3000, None]).expect(coded[3000:])[:, 0]
    ordinal = np.column_stack([numbers, np.searchsorted(list("abcdef"), level)])
    from sklearn.ensemble import GradientBoostingRegressor

    model = GradientBoostingRegressor(max_depth=5, random_state=0)
    theirs = model.fit(ordinal[:3000], target[:3000]).predict(ordinal[3000:])
    off = [float(((found - right[3000:]) ** 2).mean()) for found in (ours, theirs)]
    assert off[0] < 0.2 and off[0] < 1.5 * off[1], off


# --- states ----------------------------------------------------------------------------------------------------------


def asked(fitted: Fitted, rows: Rows, columns: Any = None, predictions: int | None = None) -> Estimate:
    count = len(rows.scores) if predictions is None else predictions
    return estimate(WINDOW, fitted, rows, columns or {}, predictions=count, reference_id="r")


def without(rows: Rows, *names: str) -> Rows:
    blank = {"label_text": None, "label_number": np.nan, "scores": None, "prediction_number": np.nan}
    count = len(rows.scores)
    made = {n: np.full(count, blank[n], dtype=float if blank[n] is not None else object) for n in names}
    return Rows(**{**rows.__dict__, **made})


def test_each_state_of_a_classifier() -> None:
    window, good = classifier_rows(200), classifier_rows(REFERENCE_ROWS_MIN)
    assert asked(Fitted(EstimateState.NO_REFERENCE), window).state == "no_reference"
    assert asked(fit(without(good, "label_text"), {}), window).state == "no_reference_labels"
    assert asked(fit(without(good, "scores"), {}), window).state == "no_scores"
    assert asked(fit(classifier_rows(REFERENCE_ROWS_MIN - 1), {}), window).state == "too_few_reference_labels"
    of_one = Rows(**{**good.__dict__, "label_text": np.full(REFERENCE_ROWS_MIN, "yes", dtype=object)})
    assert asked(fit(of_one, {}), window).state == "too_few_reference_labels"
    fitted = fit(good, {})
    assert asked(fitted, without(window, "scores")).state == "no_scores"
    assert asked(fitted, classifier_rows(ROWS_MIN - 1)).state == "too_few_rows"
    assert asked(fitted, window, predictions=0).state == "no_predictions"
    done = asked(fitted, window)
    assert done.state == "estimated" and done.task == "classification"
    assert all(
        not asked(one, window).metrics for one in (Fitted(EstimateState.NO_REFERENCE), fit(without(good, "scores"), {}))
    )


def test_each_state_of_a_regressor() -> None:
    columns, good = regressor_rows(REFERENCE_ROWS_MIN)
    window_columns, window = regressor_rows(100, seed=2)
    fewer, few = regressor_rows(REFERENCE_ROWS_MIN - 1)
    assert asked(fit(few, fewer), window, window_columns).state == "too_few_reference_labels"
    assert asked(fit(without(good, "prediction_number"), columns), window).state == "too_few_reference_labels"
    fitted = fit(good, columns)
    assert asked(fitted, without(window, "prediction_number"), window_columns).state == "too_few_rows"
    done = asked(fitted, window, window_columns)
    assert (done.state, done.method, done.task, set(done.metrics)) == (
        "estimated",
        "dle",
        "regression",
        {"mae", "rmse"},
    )


# --- how estimates fared ---------------------------------------------------------------------------------------------


def test_estimates_are_scored_against_the_truth() -> None:
    def truth(value: float) -> Performance:
        metrics = {"accuracy": PerformanceMetric(value, value - 0.1, value + 0.1)}
        return Performance(WINDOW, 100, 95, metrics, 60.0, WINDOW.end, "classification")

    def expected(value: float) -> Estimate:
        metrics = {"accuracy": PerformanceMetric(value, value - 0.05, value + 0.05), "f1": PerformanceMetric(1, 1, 1)}
        return Estimate(WINDOW, EstimateState.ESTIMATED, 100, 100, metrics)

    assert error_of(expected(0.9), truth(0.8)) == {"accuracy": pytest.approx(0.1)}
    assert error_of(None, truth(0.8)) == {}
    scored = [record.score(expected(0.9), truth(0.8)), record.score(expected(0.9), truth(0.92))]
    assert scored[0].coverage == 0.95
    assert record.fared(scored) == {"accuracy": EstimateFared(2, pytest.approx(0.04), pytest.approx(0.06), 0.5)}
    assert record.fared([]) == {}


def test_measuring_and_estimating_agree_on_the_task() -> None:
    columns, rows = regressor_rows(REFERENCE_ROWS_MIN)
    assert fit(rows, columns).task == "regression"
    assert fit(classifier_rows(REFERENCE_ROWS_MIN), {}).task == "classification"
    assert performance.LABELS_MIN == ROWS_MIN
