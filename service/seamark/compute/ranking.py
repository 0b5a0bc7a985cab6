"""Scores and classes -> the area under the ROC curve, with what each row adds to it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seamark.compute import intervals
from seamark.core.performance import PerformanceMetric

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def shares_below(scores: FloatArray, weights: FloatArray) -> FloatArray:
    """Return for each row the weight of the rows with lower scores and half of that with equal ones.

    >>> shares_below(np.array([0.1, 0.5, 0.5, 0.9]), np.array([1.0, 0.0, 1.0, 1.0]))
    array([0.5, 1.5, 1.5, 2.5])
    """
    _, places = np.unique(scores, return_inverse=True)
    by_score = np.bincount(places, weights)
    return (np.cumsum(by_score) - by_score / 2)[places]


def area(probabilities: FloatArray, true: IntArray) -> PerformanceMetric | None:
    """Return ROC AUC with DeLong's interval (DeLong et al., 1988, Biometrics 44, 837; by ranks: Sun and Xu, 2014).

    Of two classes it is that of either; of more the mean over the classes, each against all others (macro,
    one-versus-rest), over those that have rows on both sides. None where no class has.
    """
    rows, classes = probabilities.shape
    parts, areas, fewest = [], [], rows
    for k in [1] if classes == 2 else range(classes):
        is_it = true == k
        inside, outside = int(is_it.sum()), int((~is_it).sum())
        if not inside or not outside:
            continue
        # For a row of the class the share of the others below it, for another row the share of the class above it.
        others_below = shares_below(probabilities[:, k], (~is_it).astype(float)) / outside
        its_above = 1 - shares_below(probabilities[:, k], is_it.astype(float)) / inside
        value = float(others_below[is_it].mean())
        adds = np.where(is_it, (others_below - value) / inside, (its_above - value) / outside)
        # Variances of samples, not of populations.
        adds *= np.where(is_it, _unbiased(inside), _unbiased(outside))
        parts.append(adds)
        areas.append(value)
        fewest = min(fewest, inside, outside)
    if not areas:
        return None
    variance = float((np.mean(parts, axis=0) ** 2).sum())
    return intervals.share(float(np.mean(areas)), variance, fewest)


def _unbiased(rows: int) -> float:
    return float(np.sqrt(rows / (rows - 1))) if rows > 1 else 1.0
