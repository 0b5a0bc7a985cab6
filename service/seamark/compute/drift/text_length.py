"""Text length: the greatest gap between the distribution functions of two samples' lengths in characters."""

from __future__ import annotations

import numpy as np

from seamark.compute.calibrate import drawn_null
from seamark.compute.columns import FloatArray, IntArray
from seamark.compute.drift.method import DriftMethod, NullDistribution
from seamark.compute.permutation import split_bins
from seamark.compute.text_profile import Texts

_LENGTHS_MAX = 256  # at which the gap is looked for, evenly among the ranks of both samples together


def score(reference: Texts, current: Texts) -> float:
    """Return the gap, between 0 and 1 (the KS statistic, where there are no more than 256 lengths); 0 without texts."""
    if not reference.rows or not current.rows:
        return 0.0
    return float(_gaps(*(counts[None].astype(np.float64) for counts in _counts(reference, current)))[0])


def null(reference: Texts, current: Texts, rng: np.random.Generator) -> NullDistribution:
    """Return the gap's distribution when nothing moved."""
    counts = _counts(reference, current)

    def draw(cells: int) -> FloatArray:
        drawn = split_bins(*counts, rng, cells)
        return _gaps(drawn.reference, drawn.current)

    return drawn_null(draw, power=2.0)


def _counts(reference: Texts, current: Texts) -> tuple[IntArray, IntArray]:
    """Return how many texts of either side have each length, or one of a group of lengths."""
    lengths, codes = np.unique(np.concatenate([reference.lengths, current.lengths]), return_inverse=True)
    if len(lengths) > _LENGTHS_MAX:
        ranks = np.cumsum(np.bincount(codes))
        codes = (np.ceil(ranks * (_LENGTHS_MAX / ranks[-1])).astype(np.int64) - 1)[codes]
    size = int(codes.max()) + 1
    before, after = (np.bincount(side, minlength=size) for side in np.split(codes, [reference.rows]))
    return before.astype(np.int64), after.astype(np.int64)


def _gaps(before: FloatArray, after: FloatArray) -> FloatArray:
    gap = before.cumsum(axis=1) / before.sum(axis=1, keepdims=True)
    gap -= after.cumsum(axis=1) / after.sum(axis=1, keepdims=True)
    widest: FloatArray = np.abs(gap).max(axis=1)
    return widest


METHOD = DriftMethod(
    name="text_length",
    kinds=frozenset({"text"}),
    score=score,
    null=null,
    small=0.05,  # the gap that a shift of an eighth of a standard deviation opens between two normal samples
    source="scipy.stats.ks_2samp on lengths; Evidently 0.7.23 TextLength is the same descriptor",
)
