"""Counts of two samples become effects in standard deviations, each with what chance alone would bring taken off.

An effect here is a deviation z of one degree of freedom over the root of nm / (n + m), the size that both samples
amount to: it does not grow with the rows, and for two shares it tends to Cohen's w. Where a part looks at many things
at once (all levels, all places to split), its z is that of a single test which would be as unlikely, so that parts can
be held against each other and the largest be taken. The approximations need only be good enough to weigh the parts
fairly: a permutation null of the largest makes the p-value right.

Everywhere: `after` are counts of the window, splits x cells, `pooled` those of both samples by cell, n and m the rows
of reference and window; squares of effects come back, one for each split.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import xlogy

from seamark.compute.columns import FloatArray, IntArray

_ENDS = 12  # independent ones that rank thresholds at both ends amount to, found on splits of normal columns


def effective_rows(n: int, m: int) -> float:
    """Return nm / (n + m): so many rows against a known distribution tell as much as n against m."""
    return n * m / (n + m)


def excess(after: IntArray, pooled: IntArray, n: int, m: int) -> FloatArray:
    """Return the difference of the cells' shares, window minus reference."""
    difference: FloatArray = (after - pooled * (m / (n + m))) / effective_rows(n, m)
    return difference


def level_squares(after: IntArray, pooled: IntArray, n: int, m: int) -> FloatArray:
    """Return the squared effect of the cell that moved most, by the likelihood ratio of its share against the rest.

    2 ln(cells) is taken off for the choice among them (Bonferroni's bound on a bell's tail).
    """
    return _less(_likelihood_ratio(after, pooled, n, m).max(axis=-1), len(pooled), n, m)


def far_squares(after: IntArray, pooled: IntArray, n: int, m: int) -> FloatArray:
    """Return the squared effect of the far end where the share moved most; `after` and `pooled` count what is beyond.

    Ends that hold one another are as good as few, so what is taken off does not grow with their number.
    """
    return _less(_likelihood_ratio(after, pooled, n, m).max(axis=-1), _ENDS, n, m)


def sum_squares(after: IntArray, pooled: IntArray, n: int, m: int) -> FloatArray:
    """Return the squared effect of all cells together: a chi-square of homogeneity, its degrees of freedom taken off.

    Of chi-square x on f degrees, x - f - f ln(x / f) is the square of a bell's deviate that is about as unlikely (the
    likelihood ratio of a gamma's scale); for x far above f it is x itself, so the effect tends to Cohen's w.
    """
    rows = effective_rows(n, m)
    freedom = max(len(pooled) - 1, 1)
    chi_square = rows * (excess(after, pooled, n, m) ** 2 @ ((n + m) / pooled))
    total = np.maximum(chi_square, freedom)
    squares: FloatArray = (total - freedom - freedom * np.log(total / freedom)) / rows
    return squares


def split_squares(after: IntArray, pooled: IntArray, n: int, m: int) -> FloatArray:
    """Return the squared effect of the widest gap between the distribution functions, over the cells in their order.

    A split at the median has the deviation 1/2, so 2 D is the effect. Kolmogorov's law, 2 exp(-2 k^2) for k = D
    root(nm / (n + m)), is a bell's tail at z^2 = 4 k^2 - ln(2 pi 4 k^2): the price of choosing where to split.
    """
    rows = effective_rows(n, m)
    gap = np.abs(excess(after, pooled, n, m).cumsum(axis=-1)).max(axis=-1)
    known = np.maximum(4 * gap**2 * rows, 1.0)
    squares: FloatArray = np.maximum(known - np.log(2 * np.pi * known), 0.0) / rows
    return squares


def largest(squares: Sequence[FloatArray], weights: FloatArray, n: int, m: int) -> FloatArray:
    """Return the largest effect of some parts, given their squares.

    2 ln(1 / weight) is taken off each for the choice among them, `weights` adding up to 1: a weighted Bonferroni, so
    that a part which is seldom the one must show more (C. Genovese, K. Roeder and L. Wasserman, Biometrika 93, 2006).
    """
    with np.errstate(divide="ignore"):  # a column of one value has no other part
        prices = -2 * np.log(weights) / effective_rows(n, m)
    effects: FloatArray = np.sqrt(np.maximum(np.array(squares) - prices[:, None], 0.0).max(axis=0))
    return effects


def _less(ratio: FloatArray, chosen_from: int, n: int, m: int) -> FloatArray:
    squares: FloatArray = np.maximum(ratio - 2 * np.log(chosen_from), 0.0) / effective_rows(n, m)
    return squares


def _likelihood_ratio(after: IntArray, pooled: IntArray, n: int, m: int) -> FloatArray:
    """Return twice the log likelihood ratio of each cell's share against the rest.

    S. Wilks, Ann. Math. Statist. 9, 1938. Unlike Pearson's residual it tells rightly how unlikely a rare cell's three
    rows in a small window are. With the pooled counts given, all but four terms x ln x of counts are linear in `after`.
    """
    size = n + m
    other = size - pooled
    told = _x_ln_x(after, m) + _x_ln_x(pooled - after, n) + _x_ln_x(m - after, m) + _x_ln_x(n - pooled + after, n)
    given = xlogy(pooled, pooled) + xlogy(other, other) + m * np.log(m) + n * np.log(n) - size * np.log(size)
    ratio: FloatArray = 2 * (told - given)
    return ratio


def _x_ln_x(counts: IntArray, largest: int) -> FloatArray:
    if counts.size <= largest:
        return np.asarray(xlogy(counts, counts))
    known = np.arange(largest + 1)
    return np.asarray(xlogy(known, known))[counts]
