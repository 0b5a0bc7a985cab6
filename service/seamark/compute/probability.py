"""Probabilities and what came true -> log loss, Brier score and calibration error."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seamark.compute import intervals, ranking
from seamark.core.performance import PerformanceMetric

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

BINS = 15
_DRAWS = 500
_LEAST = float(np.finfo(np.float64).eps)


def measured(probabilities: FloatArray, true: IntArray, *, seed: int) -> dict[str, PerformanceMetric]:
    """Return what probabilities (rows, classes) are worth against the class numbers that came true; none may be NaN.

    Log loss in nats, probabilities kept above the smallest step of a float as scikit-learn has it. The Brier score of
    two classes is that of one of them, of more the sum over the classes (Brier, 1950, Monthly Weather Review 78, 1).
    """
    rows, classes = probabilities.shape
    hit = np.zeros_like(probabilities)
    hit[np.arange(rows), true] = 1.0
    kept = np.clip(probabilities, _LEAST, 1 - _LEAST)
    kept /= kept.sum(axis=1, keepdims=True)
    squares = ((probabilities - hit) ** 2).sum(axis=1) / (2 if classes == 2 else 1)
    found = {
        "log_loss": intervals.mean(-np.log(kept[np.arange(rows), true]), positive=True),
        "brier": intervals.mean(squares, positive=True),
    }
    if classes == 2:
        found["ece"] = calibration_error(probabilities[:, 1], hit[:, 1], seed=seed)
    else:
        top = probabilities.argmax(axis=1)
        found["ece"] = calibration_error(probabilities.max(axis=1), (top == true).astype(float), seed=seed)
    area = ranking.area(probabilities, true)
    return found if area is None else {"roc_auc": area, **found}


def calibration_error(claimed: FloatArray, came: FloatArray, *, seed: int) -> PerformanceMetric:
    """Return the expected calibration error over 15 bins of equal width (Naeini et al., 2015, AAAI; Guo et al., 2017).

    Few rows in a bin make an error where there is none. By the triangle inequality that is no more than the sum of the
    bins' own noise, whose quantile (seeded normal draws) is the interval's lower half; the noise can only make the
    error larger in the mean, so the upper half is the normal one.
    """
    bins = np.minimum((claimed * BINS).astype(np.int64), BINS - 1)
    rows = np.bincount(bins, minlength=BINS)
    filled = rows > 0
    gap = (np.bincount(bins, came, BINS) - np.bincount(bins, claimed, BINS))[filled] / rows[filled]
    weight = rows[filled] / rows.sum()
    value = float((weight * np.abs(gap)).sum())
    # The spread of a bin of one outcome is not 0: half a row of each is added.
    rate = (np.bincount(bins, came, BINS)[filled] + 0.5) / (rows[filled] + 1)
    spread = weight * np.sqrt(rate * (1 - rate) / rows[filled])
    noise = np.abs(spread * np.random.default_rng(seed).normal(size=(_DRAWS, len(gap)))).sum(axis=1)
    below, above = float(np.quantile(noise, 0.975)), intervals.Z_95 * float(np.sqrt((spread**2).sum()))
    return PerformanceMetric(value, max(value - below, 0.0), value + above)
