"""Rows of two versions in blocks of time -> comparable blocks, and how far chance alone moves a difference.

Requests of one minute are alike: they share load, caches and neighbours. So rows are not counted as independent. Both
versions are weighted alike in every block in which both answered, which takes out what moves both (a daily rhythm, a
changing share of traffic), and the error of the remaining difference is measured between blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
import numpy.typing as npt

from seamark.compute.columns import FloatArray, IntArray

BLOCKS_MIN = 12  # fewer shared blocks say nothing about how blocks differ
ROWS_MIN = 100  # of either version
_MERGE_ABOVE = 24  # blocks; merging goes on only while so many remain
_SHARED_ENOUGH = 0.9  # of either version's rows
_RUNS_MIN = 6
_FREEDOM_MIN = 4.0
_KEEPS_MAX = 0.95
TAIL_SAME = 0.05  # of each side of the interval
TAIL_BETTER = 0.001


@dataclass(frozen=True)
class Pairing:
    """The blocks in which both versions have rows: `factor` first blocks each, at the places `kept`.

    `counts` are rows, shape (2, blocks); `weights`, shape (blocks,), sum to 1 and hold for both versions.
    """

    factor: int
    kept: IntArray
    counts: FloatArray
    weights: FloatArray

    def merged(self, values: npt.NDArray[np.float64]) -> FloatArray:
        """Sums over first blocks, shape (2, first blocks, ...), become sums over shared blocks, (2, blocks, ...)."""
        return _merge(values, self.factor)[:, self.kept]

    def rows(self) -> tuple[int, int]:
        """Rows of the baseline and of the candidate in shared blocks."""
        return int(self.counts[0].sum()), int(self.counts[1].sum())

    def effective_rows(self) -> FloatArray:
        """How many equally weighted rows each version's weighted rows are worth, shape (2,)."""
        worth: FloatArray = 1.0 / (self.weights**2 / self.counts).sum(axis=1)
        return worth


@dataclass(frozen=True)
class Error:
    """The standard error of a difference, and the degrees of freedom it was found with."""

    standard: float
    freedom: float


@dataclass(frozen=True)
class Weighed:
    """Bounds of a harm, each with 5 % beyond it; the rest is as in Evidence."""

    low: float
    high: float
    p_worse: float
    within: bool
    better: bool
    enlarge: float | None


@dataclass(frozen=True)
class Evidence:
    """What was found of one measure, before measures are judged together. The effect's interval is of 90 %.

    `p_worse` is the chance of such data where the candidate is just as much worse as is tolerated. `within`: certainly
    not worse by more than that; `better`: certainly better. `enlarge` is about how many times the rows would settle
    it in 95 of 100 cases, unless the truth is close to what is just tolerated. Without enough rows for a test the
    figures are None and `within` is False.
    """

    rows: tuple[int, int]
    baseline: float | None = None
    candidate: float | None = None
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    p_worse: float | None = None
    within: bool = False
    better: bool = False
    enlarge: float | None = None
    note: str | None = None


def pair(counts: FloatArray) -> Pairing | None:
    """Return the blocks to compare by, given rows per block of both versions, shape (2, blocks); None: too few.

    Blocks are merged by twos until nine rows in ten of both versions, counted from when both had begun until one
    ended, lie in blocks they share. A block weighs n m / (n + m), as in Cochran (1954) and Mantel and Haenszel (1959).
    """
    there = counts > 0
    if not there.any(axis=1).all():
        return None
    first = int(there.argmax(axis=1).max())
    last = int((there.shape[1] - there[:, ::-1].argmax(axis=1)).min())
    inside: FloatArray = np.where((np.arange(there.shape[1]) >= first) & (np.arange(there.shape[1]) < last), counts, 0)
    factor = 1
    while True:
        merged = _merge(inside, factor)
        shared = (merged > 0).all(axis=0)
        enough = merged[:, shared].sum(axis=1) >= _SHARED_ENOUGH * inside.sum(axis=1)
        if bool(enough.all()) or (last - first) // (2 * factor) < _MERGE_ABOVE:
            break
        factor *= 2
    kept = np.flatnonzero(shared)
    if len(kept) < BLOCKS_MIN:
        return None
    both = merged[:, kept]
    weights = both[0] * both[1] / both.sum(axis=0)
    return Pairing(factor, kept, both, weights / weights.sum())


def long_run_error(influence: FloatArray, floor: float) -> Error:
    """Return the error of a sum over blocks, given each block's part of it, shape (blocks,), about zero on average.

    What lasts longer than a block makes neighbours alike and the error larger than blocks by themselves tell. So it
    is the largest of those from overlapping runs of 1, 2, 4, ... blocks (Meketon and Schmeiser, 1984), as long as
    six runs fit, of that of blocks that forget at the rate they show (see _forgetting), and of `floor`, what
    independent rows would have.
    """
    blocks, length = len(influence), 1
    centred = influence - influence.mean()
    sums = np.concatenate([[0.0], np.cumsum(centred)])
    largest, freedom = 0.0, blocks - 1.0
    while length == 1 or blocks // length >= _RUNS_MIN:
        runs = sums[length:] - sums[:-length]
        variance = float((runs**2).mean()) * blocks / length / (1.0 - length / blocks)
        if variance > largest:
            largest, freedom = variance, blocks - 1.0 if length == 1 else 1.5 * blocks / length - 1.0
        length *= 2
    variance, worth = _forgetting(centred)
    if variance > largest:
        largest, freedom = variance, max(min(freedom, worth - 1.0), _FREEDOM_MIN)
    return Error(max(sqrt(largest), floor), freedom)


def _forgetting(centred: FloatArray) -> tuple[float, float]:
    """Return the variance of the sum of blocks that are noise and a level that forgets, and how many they are worth.

    The level's correlation falls by the same factor from block to block, as in ARMA(1, 1); runs of blocks miss what
    lasts longer than they do. Without a correlation of neighbours beyond chance the variance is 0.
    """
    blocks = len(centred)
    lags = [float((centred[: blocks - lag] * centred[lag:]).sum()) for lag in range(4)]
    if lags[1] <= 1.5 / sqrt(blocks) * lags[0]:
        return 0.0, float(blocks)
    keeps = (lags[2] + lags[3]) / (lags[1] + lags[2]) if lags[1] + lags[2] > 0 else 0.0
    keeps = min(max(keeps, 0.0), _KEEPS_MAX)
    variance = (lags[0] + 2 * lags[1] / (1 - keeps)) * blocks / (blocks - 1)
    return variance, blocks * (1 - keeps) / (1 + keeps)


def weigh(harm: float, error: Error, tolerance: float) -> Weighed:
    """Return what a harm (positive is worse) and its error say beside what is tolerated, all on one scale."""
    from scipy.stats import t as student

    if not error.standard:
        return Weighed(harm, harm, 0.0 if harm > tolerance else 1.0, harm <= tolerance, harm < 0, None)
    reach = float(student.isf(TAIL_SAME, error.freedom)) * error.standard
    p_worse = float(student.sf((harm - tolerance) / error.standard, error.freedom))
    better = float(student.cdf(harm / error.standard, error.freedom)) <= TAIL_BETTER
    known = TAIL_BETTER if harm > tolerance else TAIL_SAME
    needed = float(student.isf(known, error.freedom) + student.isf(TAIL_SAME, error.freedom))
    enlarge = (needed * error.standard / max(abs(harm - tolerance), tolerance / 2)) ** 2
    return Weighed(
        harm - reach, harm + reach, p_worse, harm + reach < tolerance, better, enlarge if enlarge < inf else None
    )


def _merge(values: npt.NDArray[np.float64], factor: int) -> FloatArray:
    """Sum every `factor` neighbours along the second axis; the last may be fewer."""
    if factor == 1:
        return values
    merged: FloatArray = np.add.reduceat(values, np.arange(0, values.shape[1], factor), axis=1)
    return merged
