"""Scores drawn under no drift become p-values far below one over the draws; p-values become decisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from seamark.compute.columns import FloatArray

_COUNTED = 10  # as many draws at or above a score make its frequency a p-value worth having
_SCORE_MAX = 1e150  # its square is still a number
_TIE = 1 - 1e-9  # scores that differ by rounding are equal
_LEAST = float(np.finfo(np.float64).tiny)  # where all draws are 0, anything above is beyond them
_TAIL = 0.1  # the share of draws the tail is fitted to


# How many cells are drawn of a null: first a few, which tell an ordinary score from a rare one; of a rare one many.
_CELLS_FIRST, _CELLS = 3_000, 100_000  # about 0.4 ms and 12 ms


@dataclass(frozen=True)
class NullDistribution:
    """How the score behaves when nothing moved, for these rows: p_value(score) and its inverse score_at(p).

    `sharpen` gives the same from more draws where these are few: they do for a score that is nothing rare. A p-value
    counts as rare by the sharper one alone, so that an alarm is never one of few draws.
    """

    p_value: Callable[[float], float]
    score_at: Callable[[float], float]
    sharpen: Callable[[], NullDistribution] | None = None


@dataclass(frozen=True)
class FittedNull:
    """Draws of a score, raised to `power` and sorted downwards, with the tail fitted above `edge`.

    `edge_p` is the share above the edge; the excess is generalised Pareto of `shape` and `scale` (shape 0:
    exponential; scale 0: nothing was drawn above).
    """

    ordered: FloatArray
    power: float
    edge: float
    edge_p: float
    shape: float
    scale: float

    def p_value(self, score: float) -> float:
        """Return the chance of a score at least this large when nothing moved."""
        level = (min(score, _SCORE_MAX) * _TIE) ** self.power
        counted = int(np.searchsorted(-self.ordered, -level, side="right"))
        p = (1 + counted) / (1 + len(self.ordered)) if counted >= _COUNTED or level <= self.edge else 0.0
        if level <= self.edge:
            return p
        return min(1.0, max(p, self.edge_p * _survival(level - self.edge, self.shape, self.scale)))

    def score_at(self, p: float) -> float:
        """Return the least score whose p-value is at most `p`."""
        place = max(int(np.floor(p * (1 + len(self.ordered)))) - 1, _COUNTED - 1)
        counted = float(self.ordered[place]) if place < len(self.ordered) else 0.0
        fitted = self.edge + _excess_at(p / self.edge_p, self.shape, self.scale) if p < self.edge_p else 0.0
        return float(max(counted, fitted, _LEAST) ** (1 / self.power) / _TIE**2)  # beyond what counts as equal


def fit_null(draws: FloatArray, power: float = 1.0) -> FittedNull:
    """Return the null distribution of a score from at least 20 draws: counted in the body, fitted in the tail.

    `power` makes the tail exponential: 2 for distances whose square behaves like a chi-square (KS, Jensen-Shannon,
    Cohen's w, Wasserstein), 1 for sums like PSI. Body: (1 + draws at or above) / (1 + draws), as A. Davison and
    D. Hinkley, Bootstrap Methods, 1997, ch. 4. Tail, above the draws' 90th percentile: peaks over threshold
    (J. Pickands, Ann. Statist. 3, 1975) with an exponential excess, or a generalised Pareto one where the draws show
    a heavier tail beyond their own noise (shape by probability-weighted moments: J. Hosking and J. Wallis,
    Technometrics 29, 1987). Where both speak, the larger p-value counts, so that an error is one of caution: a bell's
    tail is lighter than exponential, and of a sum over 100 levels the p-value is told 2 times too large at 1e-3 and 65
    times at 1e-5 (measured in tests/unit/compute/test_calibrate.py).
    """
    ordered = np.sort(np.asarray(draws, dtype=np.float64) ** power)[::-1]
    size = len(ordered)
    edge = float(ordered[min(max(_COUNTED, int(size * _TAIL)), size) - 1])
    above = ordered[ordered > edge]
    if not above.size:  # ties across the edge: go down to where something lies above
        below = ordered[ordered < edge]
        edge, above = (float(below[0]), ordered[ordered > below[0]]) if below.size else (edge, above)
    shape, scale = _excess(above - edge)
    return FittedNull(ordered, power, edge, (1 + above.size) / (1 + size), shape, scale)


def drawn_null(draw: Callable[[int], FloatArray], power: float = 1.0, cells: int = _CELLS) -> NullDistribution:
    """Return the null of scores that `draw(cells)` draws, with about so many cells in all; `power` as of fit_null()."""
    first = fit_null(draw(_CELLS_FIRST), power)

    def sharpen() -> NullDistribution:
        fitted = fit_null(draw(cells), power)
        return NullDistribution(fitted.p_value, fitted.score_at)

    return NullDistribution(first.p_value, first.score_at, sharpen)


def benjamini_hochberg(p_values: Sequence[float], q: float) -> tuple[list[bool], float]:
    """Return which p-values stay below the step-up line, and the p-value at which one counts.

    With nothing drifted at all, the chance that any is rejected is at most q (Y. Benjamini and Y. Hochberg, J. R.
    Statist. Soc. B 57, 1995; for independent and positively dependent features). The cut is rank * q / count of the
    last rejected rank, of rank one where none is: a p-value is rejected exactly when it is at most the cut.

    >>> benjamini_hochberg([0.001, 0.2, 0.009], 0.02)
    ([True, False, True], 0.013333333333333334)
    """
    count = len(p_values)
    if not count:
        return [], q
    ordered = sorted(p_values)
    rank = max((i for i, p in enumerate(ordered, start=1) if p <= i * q / count), default=1)
    cut = rank * q / count
    return [p <= cut for p in p_values], cut


def _excess(excess: FloatArray) -> tuple[float, float]:
    """Return shape and scale of the tail; shape 0 is exponential, scale 0 says that there is no tail."""
    if not excess.size:
        return 0.0, 0.0
    mean = float(excess.mean())
    size = excess.size
    if size < 2 * _COUNTED:
        return 0.0, mean
    ascending = np.sort(excess)
    weighted = float((ascending * (size - np.arange(1, size + 1)) / (size - 1)).mean())
    if mean <= 2 * weighted:
        return 0.0, mean
    shape = 2 - mean / (mean - 2 * weighted)
    if shape <= 2.5 / np.sqrt(size):  # the estimate's own noise about zero
        return 0.0, mean
    shape = min(shape, 0.9)
    return shape, mean * (1 - shape)


def _survival(excess: float, shape: float, scale: float) -> float:
    if scale <= 0:
        return 0.0
    if shape == 0:
        return float(np.exp(-excess / scale))
    return float((1 + shape * excess / scale) ** (-1 / shape))


def _excess_at(p: float, shape: float, scale: float) -> float:
    p = max(p, 1e-300)
    if shape == 0:
        return float(-scale * np.log(p))
    return float(scale / shape * (p**-shape - 1))
