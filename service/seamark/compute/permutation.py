"""A pooled sample becomes many splits into a reference and a window, as they would be if nothing had moved.

Where nothing moved, every split of the pooled rows into two samples of the same sizes is as likely as the one that was
seen (R. Fisher, The Design of Experiments, 1935; E. Pitman, Suppl. J. R. Statist. Soc. 4, 1937). So the p-value is
right for any column: many rare levels, heavy tails, ties. The reference's own sampling error is in it, and bins that
depend on both samples together stay where they are. Counts are split, never rows: the cost depends on bins and draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seamark.compute.columns import FloatArray, IntArray

_DRAWS_MAX = 2000
_DRAWS_MIN = 64


@dataclass(frozen=True)
class Splits:
    """Counts of both samples, splits x cells. `weight` says how often a cell stands in a sum over cells.

    All levels that occur in one pooled row are two cells, (1, 0) and (0, 1), weighted by how many fell to either side.
    """

    reference: FloatArray
    current: FloatArray
    weight: FloatArray


def split_levels(reference: IntArray, current: IntArray, rng: np.random.Generator, cells: int) -> Splits:
    """Return random splits of levels or bins whose order means nothing, given their counts in both samples.

    `cells` bounds the cost: about so many are drawn, in 64 to 2,000 splits.

    A bin that both samples leave empty stays a cell: PSI fills it on either side, and not with the same.
    """
    pooled, rows = reference + current, int(current.sum())
    once = int((pooled == 1).sum())
    sizes = np.append(pooled[pooled != 1], once)
    after = _draw(sizes, rows, cells, rng)
    before = sizes - after
    one, none = np.ones((len(after), 1)), np.zeros((len(after), 1))
    return Splits(
        np.hstack([before[:, :-1], one, none]),
        np.hstack([after[:, :-1], none, one]),
        np.hstack([np.ones_like(before[:, :-1]), before[:, -1:], after[:, -1:]]),
    )


def split_bins(reference: IntArray, current: IntArray, rng: np.random.Generator, cells: int) -> Splits:
    """Return random splits of bins whose order counts, given their counts in both samples; `cells` as above."""
    pooled = reference + current
    after = _draw(pooled, int(current.sum()), cells, rng)
    return Splits(pooled - after, after, np.ones_like(after))


def _draw(pooled: IntArray, rows: int, cells: int, rng: np.random.Generator) -> FloatArray:
    draws = int(np.clip(cells // max(len(pooled), 1), _DRAWS_MIN, _DRAWS_MAX))
    drawn = rng.multivariate_hypergeometric(pooled, rows, size=draws, method="marginals")
    return drawn.astype(np.float64)
