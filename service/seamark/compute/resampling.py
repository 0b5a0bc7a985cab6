"""A reference becomes many pairs of counts as they would be if nothing had moved: both samples drawn anew each time.

Drawing the reference too is what carries its own sampling error into the null; counts are drawn, never rows, so
the cost depends on bins and draws, not on sample sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seamark.compute.binning import is_binned, sturges_bins
from seamark.compute.columns import FloatArray, IntArray, count_levels, finite, scaled

_CELLS = 100_000  # drawn per sample: about 10 ms
_DRAWS_MAX = 2000
_DRAWS_MIN = 64
_LEVELS_MAX = 20_000  # a reference with more levels is thinned, together with the window
_UNSEEN_LEVELS_MAX = 200


@dataclass(frozen=True)
class Draws:
    """Counts of `draws` x `cells` for both samples, with their row counts.

    `weight` says how often a cell stands in the sum: 0 for a level neither sample holds, more than 1 where many
    levels that occur once are kept as one cell.
    """

    reference: FloatArray
    current: FloatArray
    reference_rows: int
    rows: int
    weight: FloatArray


def draws_for(cells: int, least: int = _DRAWS_MIN) -> int:
    """Return how many draws fit the budget of cells."""
    return int(np.clip(_CELLS // max(cells, 1), least, _DRAWS_MAX))


def draw_counts(reference: npt.NDArray[Any], rows: int, rng: np.random.Generator) -> Draws:
    """Return resampled counts over the bins or levels that `binning.bin_counts` would use for this reference."""
    if is_binned(reference):
        return _draw_bins(np.sort(scaled(finite(reference))[0][0]), rows, rng)
    return draw_levels(count_levels(reference, reference[:0])[0], rows, rng)


def draw_levels(counts: IntArray, rows: int, rng: np.random.Generator) -> Draws:
    """Return resampled counts of levels, given how often each occurs in the reference (every count positive).

    Levels the reference happens to lack have a probability too: Good and Turing's estimate, the share of rows whose
    level occurs once (at least one row's worth), spread over Chao's estimate of how many such levels there are
    (I. J. Good, Biometrika 40, 1953; A. Chao, Scand. J. Stat. 11, 1984). Without it a column with many rare levels
    would look drifted in every window.
    """
    reference_rows = int(counts.sum())
    if len(counts) > _LEVELS_MAX:
        counts, reference_rows, rows = _thin(counts, reference_rows, rows, rng)
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    unseen = min(max(once, 1) / reference_rows, 1.0)
    levels = max(1, -(-once * (once - 1) // (2 * (twice + 1))))
    fresh = levels > _UNSEEN_LEVELS_MAX  # so many that each draw of one is as good as new
    spread = np.array([unseen]) if fresh else np.full(levels, unseen / levels)
    shares = np.concatenate([counts / reference_rows * (1 - unseen), spread])
    draws = draws_for(len(shares))
    before = rng.multinomial(reference_rows, shares / shares.sum(), size=draws).astype(np.float64)
    after = rng.multinomial(rows, shares / shares.sum(), size=draws).astype(np.float64)
    if not fresh:
        return Draws(before, after, reference_rows, rows, ((before + after) > 0).astype(np.float64))
    return _singles(before, after, reference_rows, rows)


def _singles(before: FloatArray, after: FloatArray, reference_rows: int, rows: int) -> Draws:
    """Turn the last cell, draws of levels that each occur once, into two weighted cells: (1, 0) and (0, 1)."""
    fresh_before, fresh_after = before[:, -1:].copy(), after[:, -1:].copy()
    seen_before, seen_after = before[:, :-1], after[:, :-1]
    one, none = np.ones_like(fresh_before), np.zeros_like(fresh_before)
    seen = ((seen_before + seen_after) > 0).astype(np.float64)
    return Draws(
        np.hstack([seen_before, one, none]),
        np.hstack([seen_after, none, one]),
        reference_rows,
        rows,
        np.hstack([seen, fresh_before, fresh_after]),
    )


def _thin(counts: IntArray, reference_rows: int, rows: int, rng: np.random.Generator) -> tuple[IntArray, int, int]:
    """Keep a sample of the rows, of both sides alike, so that no more levels remain than can be drawn."""
    keep = min(_LEVELS_MAX, reference_rows)
    picked = rng.choice(np.repeat(np.arange(len(counts)), counts), size=keep, replace=False)
    thinned = np.bincount(picked)
    return thinned[thinned > 0].astype(np.int64), keep, max(1, round(rows * keep / reference_rows))


def _draw_bins(ordered: FloatArray, rows: int, rng: np.random.Generator) -> Draws:
    """Return resampled counts over Sturges' bins, whose edges move from draw to draw with the drawn extremes.

    The least and greatest of N draws have ranks that are known in closed form (1 - V^(1/N) and V^(1/N) of uniform V).
    Each extreme is one row of one of the samples; given both, the counts of the rest are multinomial. That is the
    bootstrap of both whole samples at the price of a few binomials per bin.
    """
    reference_rows = len(ordered)
    total = reference_rows + rows
    bins = sturges_bins(total)
    draws = draws_for(bins)
    least = ordered[_rank(-np.expm1(np.log(rng.random(draws)) / total), reference_rows)]
    most = np.maximum(ordered[_rank(np.exp(np.log(rng.random(draws)) / total), reference_rows)], least)
    edges = np.linspace(least, most, bins + 1, axis=1)
    below = np.searchsorted(ordered, edges[:, :-1], side="left")
    upto = np.searchsorted(ordered, edges[:, -1:], side="right")
    inside = np.diff(np.hstack([below, upto]), axis=1).astype(np.float64)
    inside[:, [0, -1]] = np.maximum(inside[:, [0, -1]] - 1, 1e-9)  # the extremes themselves; never without any mass
    shares = inside / inside.sum(axis=1, keepdims=True)
    lowest_is_ours = rng.random(draws) < rows / total
    highest_is_ours = (rng.random(draws) < rows / total) & ~(lowest_is_ours & (rows < 2))
    ours = np.stack([lowest_is_ours, highest_is_ours], axis=1)
    before = rng.multinomial(reference_rows - (~ours).sum(axis=1), shares).astype(np.float64)
    after = rng.multinomial(rows - ours.sum(axis=1), shares).astype(np.float64)
    before[:, [0, -1]] += ~ours
    after[:, [0, -1]] += ours
    return Draws(before, after, reference_rows, rows, np.ones_like(before))


def _rank(uniform: FloatArray, size: int) -> IntArray:
    return np.clip((uniform * size).astype(np.int64), 0, size - 1)
