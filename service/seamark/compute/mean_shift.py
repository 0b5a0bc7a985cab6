"""Rows of derived values from two samples become the distance of their means, as seen and as chance would have it.

The linear two-sample test behind every method that looks at many values of a row at once: with values that are
standardised and uncorrelated over both samples together, the squared distance of the means is Hotelling's T-squared but
for a factor (H. Hotelling, Ann. Math. Statist. 2, 1931), so the distance is what Fisher's linear discriminant tells the
samples apart by. Whatever is derived from the pooled rows alone, without knowing which sample a row is from, is the
same for every split, so the permutation p-value is right however many values there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from seamark.compute.calibrate import NullDistribution, fit_null
from seamark.compute.columns import FloatArray

_DRAWS_FIRST, _DRAWS = 100, 400  # splits: the first ones tell an ordinary score from a rare one
_AT_ONCE = 1_000_000  # cells of an indicator of splits: 4 MB

Matrix = Any  # rows x values: a float32 array, or a sparse one


def means_apart(values: Matrix, rows: int) -> FloatArray:
    """Return mean of the window (all but the first `rows` rows) less mean of the reference, value by value."""
    apart: FloatArray = _apart(sums(values, rows), values, values.shape[0] - rows)[0]
    return apart


def drawn_apart(values: Matrix, rows: int, rng: np.random.Generator, draws: int) -> FloatArray:
    """Return the same for random splits of all rows into two samples of these sizes, draws x values."""
    return _apart(drawn_sums(values, rows, rng, draws), values, values.shape[0] - rows)


def sums(values: Matrix, rows: int) -> FloatArray:
    """Return the sums over the window's rows (all but the first `rows` rows), 1 x values."""
    found: FloatArray = np.asarray(values[rows:].sum(axis=0, dtype=np.float64)).reshape(1, -1)
    return found


def drawn_sums(values: Matrix, rows: int, rng: np.random.Generator, draws: int) -> FloatArray:
    """Return the same for random splits of all rows into two samples of these sizes, draws x values."""
    total = values.shape[0]
    step = max(1, _AT_ONCE // total)
    parts = []
    for start in range(0, draws, step):
        sides = np.zeros((min(step, draws - start), total), dtype=np.float32)
        for side in sides:
            side[rng.choice(total, total - rows, replace=False, shuffle=False)] = 1
        parts.append(_sums(sides, values))
    return np.concatenate(parts)


def distances(apart: FloatArray, rows: int, window: int) -> FloatArray:
    """Return the distance of the means over standardised values (the last axis), less what chance alone makes of it.

    Chance makes the square (N^2 / (n m (N - 1))) per value on average over all splits; below that it is 0.
    """
    total = rows + window
    chance = apart.shape[-1] * total**2 / (rows * window * max(total - 1, 1))
    squared: FloatArray = np.maximum((apart**2).sum(axis=-1) - chance, 0.0)
    return np.sqrt(squared)


def telling(distance: float) -> float:
    """Return 2 AUC - 1 of a linear classifier between two normal samples whose means are so far apart: 0 to 1."""
    return float(2 * ndtr(distance / np.sqrt(2)) - 1)


def null_of(draw: Callable[[int], FloatArray], power: float = 2.0) -> NullDistribution:
    """Return the null of scores that `draw(draws)` draws: few at first, more of them for a score that is rare."""
    first = fit_null(draw(_DRAWS_FIRST), power)

    def sharpen() -> NullDistribution:
        fitted = fit_null(draw(_DRAWS), power)
        return NullDistribution(fitted.p_value, fitted.score_at)

    return NullDistribution(first.p_value, first.score_at, sharpen)


def telling_null(draw: Callable[[int], FloatArray]) -> NullDistribution:
    """Return the null of what `telling` says, where `draw(draws)` draws distances."""
    return _telling(null_of(draw))


def _telling(of_distances: NullDistribution) -> NullDistribution:
    def distance(score: float) -> float:
        return float(np.sqrt(2) * ndtri(min((1 + score) / 2, 1.0)))

    sharpen = of_distances.sharpen
    return NullDistribution(
        p_value=lambda score: of_distances.p_value(distance(score)),
        score_at=lambda p: telling(of_distances.score_at(p)),
        sharpen=None if sharpen is None else lambda: _telling(sharpen()),
    )


def standardised(values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
    """Return the columns that vary, each with mean 0 and variance 1 over all rows."""
    middle = values - values.mean(axis=0, dtype=np.float64)
    spread = np.sqrt((middle**2).mean(axis=0, dtype=np.float64))
    largest = np.abs(values).max(axis=0, initial=0.0)
    varies = spread > 1e-6 * largest  # a column of float32 knows no finer difference
    scaled: npt.NDArray[np.float32] = (middle[:, varies] / spread[varies]).astype(np.float32)
    return scaled


def _apart(inside: FloatArray, values: Matrix, window: int) -> FloatArray:
    everything = np.asarray(values.sum(axis=0, dtype=np.float64)).reshape(-1)
    apart: FloatArray = inside / window - (everything - inside) / (values.shape[0] - window)
    return apart


def _sums(sides: npt.NDArray[np.float32], values: Matrix) -> FloatArray:
    """Return the sums of the rows marked 1 for each line of `sides`."""
    found: FloatArray = np.asarray((values.T @ sides.T).T, dtype=np.float64)
    return found
