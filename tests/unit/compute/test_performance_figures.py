"""Measured figures are scikit-learn's, to 1e-9, whatever the classes, the ties and the shares."""

from __future__ import annotations

import numpy as np
import pytest

from seamark.compute import confusion, probability, regression


def scored(seed: int, classes: int, rows: int = 400, decimals: int | None = None):
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.full(classes, 0.8), rows)
    true = np.minimum((scores.cumsum(axis=1) < rng.random((rows, 1))).sum(axis=1), classes - 1)
    if decimals is not None:
        scores = np.round(scores, decimals)
        scores[:, -1] = 1 - scores[:, :-1].sum(axis=1)
        scores = np.clip(scores, 0, 1)
        scores /= scores.sum(axis=1, keepdims=True)
    return scores, true


@pytest.mark.parametrize("classes", [2, 3, 9])
@pytest.mark.parametrize("seed", range(3))
def test_counts(classes: int, seed: int) -> None:
    from sklearn import metrics

    scores, true = scored(seed, classes)
    predicted = np.where(np.arange(len(true)) % 7 == 0, 0, scores.argmax(axis=1))
    predicted[predicted == classes - 1] = 0  # a class that is never predicted
    found = confusion.measured(confusion.count(predicted, true, classes), 1 if classes == 2 else None)
    kinds = {"precision": metrics.precision_score, "recall": metrics.recall_score, "f1": metrics.f1_score}
    assert found["accuracy"].value == pytest.approx(metrics.accuracy_score(true, predicted), abs=1e-9)
    for name, theirs in kinds.items():
        macro = theirs(true, predicted, average="macro", zero_division=0)
        assert found[f"macro_{name}"].value == pytest.approx(macro, abs=1e-9)
        if name == "precision" and classes == 2:
            assert name not in found  # the positive class was never predicted
        elif classes == 2:
            assert found[name].value == pytest.approx(theirs(true, predicted, zero_division=0), abs=1e-9)
    assert all(0 <= one.low <= one.value <= one.high <= 1 for one in found.values())


@pytest.mark.parametrize("decimals", [None, 1])
@pytest.mark.parametrize("classes", [2, 3, 9])
def test_probabilities(classes: int, decimals: int | None) -> None:
    from sklearn import metrics

    scores, true = scored(5, classes, decimals=decimals)
    found = probability.measured(scores, true, seed=0)
    whose = scores[:, 1] if classes == 2 else scores
    theirs = {
        "roc_auc": metrics.roc_auc_score(true, whose, multi_class="ovr", average="macro"),
        "log_loss": metrics.log_loss(true, scores, labels=range(classes)),
        "brier": metrics.brier_score_loss(true, whose, labels=range(classes)),
    }
    for name, value in theirs.items():
        assert found[name].value == pytest.approx(value, abs=1e-9)
        assert found[name].low < found[name].value < found[name].high


def test_calibration_error() -> None:
    from sklearn import calibration

    rng = np.random.default_rng(3)
    claimed = rng.beta(0.7, 0.7, 5000)
    came = (rng.random(5000) < claimed**1.5).astype(float)
    share, mean = calibration.calibration_curve(came, claimed, n_bins=probability.BINS)
    rows = np.histogram(claimed, probability.BINS, (0, 1))[0] / len(claimed)
    found = probability.calibration_error(claimed, came, seed=0)
    assert found.value == pytest.approx((rows * np.abs(share - mean)).sum(), abs=1e-9)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e9])
def test_quantities(scale: float) -> None:
    from sklearn import metrics

    rng = np.random.default_rng(1)
    true = rng.normal(3, 1, 501) * scale
    predicted = true + rng.laplace(0.1, 0.3, 501) * scale
    found = regression.measured(predicted, true)
    theirs = {
        "rmse": metrics.root_mean_squared_error(true, predicted),
        "mae": metrics.mean_absolute_error(true, predicted),
        "median_absolute_error": metrics.median_absolute_error(true, predicted),
        "bias": (predicted - true).mean(),
    }
    for name, value in theirs.items():
        assert found[name].value == pytest.approx(value, rel=1e-9)
        assert found[name].low < found[name].value < found[name].high
    assert found["r2"].value == pytest.approx(metrics.r2_score(true, predicted), abs=1e-9)


@pytest.mark.slow
def test_delong_is_the_variance_of_the_area_over_samples() -> None:
    draws, widths = [], []
    for seed in range(300):
        found = probability.measured(*scored(seed, 2, rows=200), seed=0)["roc_auc"]
        draws.append(found.value)
        widths.append(found.high - found.low)
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.std(draws), rel=0.1)


def test_all_right_and_all_wrong_keep_an_interval() -> None:
    right = confusion.measured(np.diag([20.0, 20.0]), 1)
    assert all(one.value == 1.0 and 0.7 < one.low < 0.95 for one in right.values()), right
    wrong = confusion.measured(np.array([[0.0, 20.0], [20.0, 0.0]]), 1)
    assert all(one.value == 0.0 and 0.05 < one.high < 0.35 for one in wrong.values()), wrong


def test_labels_of_one_value_have_no_r2_and_no_area() -> None:
    assert "r2" not in regression.measured(np.arange(40.0), np.full(40, 3.0))
    found = probability.measured(np.full((40, 2), 0.5), np.ones(40, dtype=int), seed=0)
    assert "roc_auc" not in found and found["log_loss"].value == pytest.approx(np.log(2))
