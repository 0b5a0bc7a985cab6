"""Seeded studies: the intervals of measured performance hold the true figure about as often as they say."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from seamark.compute import confusion, probability, regression

RUNS = 200  # a true share of 0.95 is seen as less than 0.9 three times in a thousand such studies


def classification(rng: np.random.Generator, rows: int, classes: int, sharpness: float, skew: float):
    """Calibrated scores: what comes true is drawn from them. Class 0 is `skew` times as frequent as it would be."""
    logits = rng.normal(0, sharpness, (rows, classes))
    logits[:, 0] += np.log(skew)
    scores = np.exp(logits)
    scores /= scores.sum(axis=1, keepdims=True)
    true = (scores.cumsum(axis=1) < rng.random((rows, 1))).sum(axis=1)
    return scores, np.minimum(true, classes - 1)


def figures(scores: np.ndarray, true: np.ndarray, seed: int = 0) -> dict:
    classes = scores.shape[1]
    counted = confusion.count(scores.argmax(axis=1), true, classes)
    found = dict(confusion.measured(counted, 1 if classes == 2 else None))
    return found | probability.measured(scores, true, seed=seed)


def coverage(draw, truth: dict[str, float], runs: int) -> dict[str, float]:
    held: Counter[str] = Counter()
    for seed in range(runs):
        found = draw(np.random.default_rng([seed, 7]), seed)
        for name, value in truth.items():
            held[name] += found[name].low <= value <= found[name].high
    return {name: held[name] / runs for name in truth}


CASES = [(2, 2.0, 8.0, 300), (2, 6.0, 1.0, 100), (4, 2.0, 1.0, 100)]


@pytest.mark.slow
@pytest.mark.parametrize("classes, sharpness, skew, rows", CASES)
def test_classification(classes: int, sharpness: float, skew: float, rows: int) -> None:
    truth = study_truth(classes, sharpness, skew)
    found = coverage(lambda rng, seed: figures(*classification(rng, rows, classes, sharpness, skew), seed), truth, RUNS)
    assert all(share >= 0.9 for share in found.values()), found


def study_truth(classes: int, sharpness: float, skew: float) -> dict[str, float]:
    whole = figures(*classification(np.random.default_rng(1), 200_000, classes, sharpness, skew))
    return {name: metric.value for name, metric in whole.items()} | {"ece": 0.0}


ERRORS = {
    "normal": lambda rng, rows: rng.normal(0.3, 1, rows),
    "laplace": lambda rng, rows: rng.laplace(0, 1, rows),
    "wider with the label": None,
}


def regression_rows(rng: np.random.Generator, rows: int, errors: str):
    label = rng.normal(10, 3, rows)
    drawn = ERRORS[errors]
    error = drawn(rng, rows) if drawn else rng.normal(0, 0.2 + np.abs(label) / 10, rows)
    return label + error, label


@pytest.mark.slow
@pytest.mark.parametrize("rows", [100])
@pytest.mark.parametrize("errors", ERRORS)
def test_regression(errors: str, rows: int) -> None:
    whole = regression.measured(*regression_rows(np.random.default_rng(1), 1_000_000, errors))
    truth = {name: metric.value for name, metric in whole.items()}
    found = coverage(lambda rng, _: regression.measured(*regression_rows(rng, rows, errors)), truth, RUNS)
    assert all(share >= 0.9 for share in found.values()), found


@pytest.mark.slow
@pytest.mark.parametrize("rows", [300])
def test_calibration_error_of_scores_that_are_too_sure(rows: int) -> None:
    def draw(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        claimed = rng.beta(1, 1, count)
        return claimed, (rng.random(count) < 0.5 + (claimed - 0.5) * 0.6).astype(float)

    truth = probability.calibration_error(*draw(np.random.default_rng(1), 1_000_000), seed=0).value
    assert 0.08 < truth < 0.12
    found = coverage(
        lambda rng, seed: {"ece": probability.calibration_error(*draw(rng, rows), seed=seed)}, {"ece": truth}, RUNS
    )
    assert found["ece"] >= 0.9
