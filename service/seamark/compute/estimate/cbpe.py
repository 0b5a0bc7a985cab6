"""Scores of a window and calibrators of the reference -> expected confusion matrix, its figures and ROC AUC.

Confidence-based performance estimation: where a calibrated score says 0.8, a prediction of that class is right four
times of five. It holds while the features decide about the label as they did in the reference (no concept drift) and
for inputs of which the reference has seen enough.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seamark.compute import confusion, intervals
from seamark.compute.estimate.basis import Columns
from seamark.compute.estimate.calibration import RESAMPLES, Calibrator, calibrate
from seamark.compute.ranking import shares_below
from seamark.core.performance import PerformanceMetric

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_CELLS_MAX = 4_000_000  # of resampled probabilities at a time: 32 MB


@dataclass(frozen=True)
class ClassifierFit:
    """What the reference taught of a classifier's scores: a calibrator for each class, of two only for the second."""

    levels: tuple[str, ...]
    calibrators: tuple[Calibrator, ...]
    rows: int

    @property
    def with_features(self) -> bool:
        """Whether features say something that scores do not."""
        return any(calibrator.shifts is not None for calibrator in self.calibrators)

    def probabilities(self, scores: FloatArray, columns: Columns) -> tuple[FloatArray, FloatArray]:
        """Return calibrated probabilities (rows, classes), and (rows, classes, resamples) of scores (rows, classes)."""
        if len(self.levels) == 2:
            second, drawn = self.calibrators[0].probabilities(scores[:, 1], columns)
            return np.column_stack([1 - second, second]), np.stack([1 - drawn, drawn], axis=1)
        each = [one.probabilities(scores[:, k], columns) for k, one in enumerate(self.calibrators)]
        plain, resampled = np.column_stack([one[0] for one in each]), np.stack([one[1] for one in each], axis=1)
        return _shares(plain, scores), _shares(resampled, scores[:, :, None])


def _shares(each: FloatArray, instead: FloatArray) -> FloatArray:
    """Over the sum of the classes; `instead` where that is 0."""
    total = each.sum(axis=1, keepdims=True)
    shares: FloatArray = np.where(total > 0, each / np.where(total > 0, total, 1.0), instead)
    return shares


def fit(
    levels: tuple[str, ...], scores: FloatArray, true: IntArray, columns: Columns | None = None, *, seed: int
) -> ClassifierFit:
    """Learn how scores (rows, classes) of the reference, and its features, go with the class numbers that came true."""
    calibrators = tuple(
        calibrate(scores[:, k], (true == k).astype(np.float64), columns or {}, seed=seed + k)
        for k in ([1] if len(levels) == 2 else range(len(levels)))
    )
    return ClassifierFit(levels, calibrators, len(true))


def estimate(
    fitted: ClassifierFit,
    predicted: IntArray,
    scores: FloatArray,
    positive: int | None,
    columns: Columns | None = None,
) -> dict[str, PerformanceMetric]:
    """Return the expected figures of predicted class numbers and scores (rows, classes); there must be rows.

    The interval is one for the figure that labels will show. Two variances make it: that of outcomes drawn from the
    probabilities (Poisson-binomial; by the delta method for figures that are no sums), and that of the figure over the
    resampled calibrators, to first order.
    """
    blocks = _blocks(*scores.shape)
    parts = [
        fitted.probabilities(scores[block], {name: values[block] for name, values in (columns or {}).items()})
        for block in blocks
    ]
    probabilities = np.concatenate([plain for plain, _ in parts])
    expected = _confusion(predicted, probabilities)
    found = {
        name: (figure.value, figure.gradient[predicted], figure.rows)
        for name, figure in confusion.figures(expected, positive).items()
    }
    area = _area(scores, probabilities)
    if area is not None:
        found["roc_auc"] = (*area, float(expected.sum(axis=0).min()))
    answer = {}
    for name, (value, adds, rows) in found.items():
        moved = np.zeros(RESAMPLES)
        for block, (plain, resampled) in zip(blocks, parts, strict=True):
            moved += np.einsum("ik,ikb->b", adds[block], resampled - plain[:, :, None])
        doubt = float((moved**2).mean())
        answer[name] = intervals.share(value, _variance(probabilities, adds) + doubt, max(rows, 1.0))
    return answer


def _blocks(rows: int, classes: int) -> list[slice]:
    step = max(_CELLS_MAX // (classes * RESAMPLES), 1)
    return [slice(start, start + step) for start in range(0, rows, step)]


def _confusion(predicted: IntArray, probabilities: FloatArray) -> FloatArray:
    classes = probabilities.shape[1]
    return np.column_stack([np.bincount(predicted, probabilities[:, k], classes) for k in range(classes)])


def _variance(probabilities: FloatArray, adds: FloatArray) -> float:
    """The variance of a sum to which a row adds adds[row, class] where that class comes true."""
    mean = (probabilities * adds).sum(axis=1)
    return max(float((probabilities * adds**2).sum() - (mean**2).sum()), 0.0)


def _area(scores: FloatArray, probabilities: FloatArray) -> tuple[float, FloatArray] | None:
    """The expected ROC AUC (ratio of expected pairs), and what a row of each class adds; of more classes macro."""
    classes = probabilities.shape[1]
    areas, adds = [], np.zeros_like(probabilities)
    for k in [1] if classes == 2 else range(classes):
        score, is_it = scores[:, k], probabilities[:, k]
        inside, outside = float(is_it.sum()), float((1 - is_it).sum())
        pairs = inside * outside - float((is_it * (1 - is_it)).sum())  # a row makes no pair with itself
        if pairs <= 1e-9:
            continue
        others_below = shares_below(score, 1 - is_it) - (1 - is_it) / 2
        value = float((is_it * others_below).sum()) / pairs
        areas.append(value)
        its_above = inside - shares_below(score, is_it) - is_it / 2
        adds[:, k] = (others_below - its_above - value * (outside - inside)) / pairs
    return (float(np.mean(areas)), adds / len(areas)) if areas else None
