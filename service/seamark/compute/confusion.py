"""A confusion matrix -> accuracy, precision, recall and F1, each with its gradient: how it moves with each count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seamark.compute import intervals
from seamark.core.performance import PerformanceMetric

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Figure:
    """A share with its gradient by the counts (predicted, true), and the rows that its interval rests on at best."""

    value: float
    gradient: FloatArray
    rows: float


def count(predicted: IntArray, true: IntArray, classes: int) -> FloatArray:
    """Return how often each class was predicted (first axis) where each was true (second axis)."""
    pairs = np.bincount(predicted * classes + true, minlength=classes * classes)
    return pairs.reshape(classes, classes).astype(np.float64)


def figures(confusion: FloatArray, positive: int | None) -> dict[str, Figure]:
    """Return the figures of a confusion matrix that has rows; precision, recall and f1 where a class is `positive`.

    Precision of a class that was never predicted is not known and left out. Macro figures are means over the classes
    that occur on either side; there such a class has precision 0, as in scikit-learn. A count may be an expected one.
    """
    rows, classes = float(confusion.sum()), len(confusion)
    hits, predicted, true = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    accuracy = float(hits.sum()) / rows
    found = {"accuracy": Figure(accuracy, (np.eye(classes) - accuracy) / rows, rows)}
    present = np.flatnonzero(predicted + true > 0)
    by_class = {k: _of_class(k, float(hits[k]), float(predicted[k]), float(true[k]), classes) for k in present.tolist()}
    for place, name in enumerate(("precision", "recall", "f1")):
        if positive in by_class and by_class[positive][place].rows > 0:
            found[name] = by_class[positive][place]
        parts = [figure[place] for figure in by_class.values()]
        value = float(np.mean([part.value for part in parts]))
        gradient = np.sum([part.gradient for part in parts], axis=0) / len(parts)
        # A mean of shares from so many rows each is worth this many rows.
        worth = len(parts) ** 2 / sum(1 / max(part.rows, 1.0) for part in parts)
        found[f"macro_{name}"] = Figure(value, gradient, min(worth, rows))
    return found


def _of_class(k: int, hits: float, predicted: float, true: float, classes: int) -> tuple[Figure, Figure, Figure]:
    hit = np.zeros((classes, classes))
    hit[k, k] = 1.0
    row, column = np.zeros((classes, classes)), np.zeros((classes, classes))
    row[k, :], column[:, k] = 1.0, 1.0
    precision = hits / predicted if predicted else 0.0
    recall = hits / true if true else 0.0
    f1 = 2 * hits / (predicted + true)
    return (
        Figure(precision, (hit - precision * row) / max(predicted, 1e-12), predicted),
        Figure(recall, (hit - recall * column) / max(true, 1e-12), true),
        Figure(f1, (2 * hit - f1 * (row + column)) / (predicted + true), predicted + true - hits),
    )


def measured(confusion: FloatArray, positive: int | None) -> Mapping[str, PerformanceMetric]:
    """Return the figures of counted rows with their intervals.

    Variances by the delta method over multinomial counts (for F1: Takahashi et al., 2022, Applied Intelligence 52,
    4961).
    """
    rows = confusion.sum()
    found = {}
    for name, figure in figures(confusion, positive).items():
        drift = float((confusion * figure.gradient).sum())
        variance = float((confusion * figure.gradient**2).sum()) - drift**2 / rows
        found[name] = intervals.share(figure.value, variance, figure.rows)
    return found
