"""Correlation: the greatest change of a correlation between two features of a row."""

from __future__ import annotations

import numpy as np

from seamark.compute.columns import FloatArray, IntArray
from seamark.compute.drift.method import DriftMethod, NullDistribution
from seamark.compute.joint_values import Singles, Values, row_values
from seamark.compute.mean_shift import drawn_sums, null_of, sums
from seamark.compute.row_profile import Rows

_PAIRS_MAX = 400
_LARGEST = 2.0  # from -1 to 1


def score(reference: Rows, current: Rows) -> float:
    """Return the greatest difference of two covariances of normal scores, 0 to about 2; 0 where there is no pair."""
    rows, window = reference.sampled, current.sampled
    if not rows or not window:
        return 0.0
    products, singles, pairs = _products(row_values(reference, current))
    if not len(pairs):
        return 0.0
    both = np.hstack([products, singles])
    return float(_changes(sums(both, rows), both.sum(axis=0, dtype=np.float64), pairs, (rows, window)).max())


def null(reference: Rows, current: Rows, rng: np.random.Generator) -> NullDistribution:
    """Return the greatest difference's distribution over random splits of all rows."""
    rows, window = reference.sampled, current.sampled
    products, singles, pairs = _products(row_values(reference, current))
    if not len(pairs):
        return NullDistribution(p_value=lambda _: 1.0, score_at=lambda _: _LARGEST)
    both = np.hstack([products, singles])
    everything = both.sum(axis=0, dtype=np.float64)

    def draw(draws: int) -> FloatArray:
        widest: FloatArray = _changes(drawn_sums(both, rows, rng, draws), everything, pairs, (rows, window)).max(axis=1)
        return widest

    return null_of(draw)


def _products(values: Values) -> tuple[Singles, Singles, IntArray]:
    """Return the products of pairs of values, the values, and the pairs: those most correlated over all rows.

    A correlation that changed shows over all rows together, too; which pairs are looked at depends on nothing else, so
    it is the same for every split.
    """
    matrix, owners = values.matrix, values.owners
    strength = np.abs(matrix.T @ matrix) / max(len(matrix), 1)
    first, second = np.triu_indices(len(owners), 1)
    apart = owners[first] != owners[second]
    first, second = first[apart], second[apart]
    order = np.argsort(-strength[first, second], kind="stable")[:_PAIRS_MAX]
    pairs = np.column_stack([first[order], second[order]])
    return matrix[:, pairs[:, 0]] * matrix[:, pairs[:, 1]], matrix, pairs


def _changes(inside: FloatArray, everything: FloatArray, pairs: IntArray, sizes: tuple[int, int]) -> FloatArray:
    """Return |covariance in the window - covariance in the reference| by pair, from sums over the window's rows."""
    count = len(pairs)
    found = []
    for part, rows in ((inside, sizes[1]), (everything - inside, sizes[0])):
        means = part / rows
        found.append(means[:, :count] - means[:, count + pairs[:, 0]] * means[:, count + pairs[:, 1]])
    changes: FloatArray = np.abs(found[0] - found[1])
    return changes


METHOD = DriftMethod(
    name="correlation",
    kinds=frozenset({"multivariate"}),
    score=score,
    null=null,
    small=0.1,  # a small correlation (J. Cohen, Statistical Power Analysis, 1988, ch. 3)
    source="maximum over the differences of covariances: T. Cai, W. Liu and Y. Xia, J. Am. Stat. Assoc. 108, 2013",
)
