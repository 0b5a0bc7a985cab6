"""Scores, features and what came true -> probabilities that a score like it is right, with the doubt in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from seamark.compute.estimate.basis import Basis, Columns, bases_of, design, width

FloatArray = npt.NDArray[np.float64]

FOLDS = 5
GROUPS = 400  # for resampling, scores are put together to so many groups
RESAMPLES = 16
PLATT_ROWS_MAX = 5_000  # with more rows the steps of an isotonic curve are narrow enough not to ask
FEATURES_MAX = 20
ROWS_A_COLUMN = 20  # features are asked where the reference has so many rows for each column they need
_WORK_MAX = 2.7e8  # rows times columns squared: a few tenths of a second a fit
_RIDGE = 3.0  # in rows of even odds
_LEAST = 1e-6
_SURE = 1e-4  # features move no probability nearer to 0 or 1 than this
_STEPS, _SETTLED = 8, 0.03


@dataclass(frozen=True)
class Curve:
    """A rising line through points: what lies outside them has the probability of the nearest."""

    scores: FloatArray
    probabilities: FloatArray

    def __call__(self, scores: FloatArray) -> FloatArray:
        """Return the probability of each score."""
        return np.interp(scores, self.scores, self.probabilities)


@dataclass(frozen=True)
class Shifts:
    """By how much features move the log-odds of a curve: coefficients, and a column of them for each resample."""

    bases: tuple[tuple[str, Basis], ...]
    coefficients: FloatArray
    resampled: FloatArray


@dataclass(frozen=True)
class Calibrator:
    """The curve of one class, resampled ones, and what the features add. `method` is `platt` or `isotonic`.

    `resampled` are probabilities at the scores `places` (places, resamples), joined by straight lines.
    """

    method: str
    curve: Curve
    places: FloatArray
    resampled: FloatArray
    shifts: Shifts | None

    def probabilities(self, scores: FloatArray, columns: Columns) -> tuple[FloatArray, FloatArray]:
        """Return the probability of each row, and of each row (first axis) in each resample."""
        plain = self.curve(scores)
        drawn = _between(self.places, self.resampled, scores)
        if self.shifts is None:
            return plain, drawn
        made = design(self.shifts.bases, columns, scores)
        moved = special.expit(_log_odds(plain, _SURE) + made @ self.shifts.coefficients)
        return moved, special.expit(_log_odds(drawn, _SURE) + made @ self.shifts.resampled)


def isotonic(scores: FloatArray, came: FloatArray, weights: FloatArray) -> Curve:
    """Return the rising step function of least squares (Zadrozny and Elkan, 2002, KDD), joined by straight lines.

    Pool adjacent violators by SciPy; equal scores are one point of their weighted mean, as in scikit-learn.
    """
    points, places = np.unique(scores, return_inverse=True)
    weight = np.bincount(places, weights)
    share = np.bincount(places, weights * came) / weight
    fitted = optimize.isotonic_regression(share, weights=weight).x
    # Only the corners of the steps matter to the line through them.
    keep = np.ones(len(points), dtype=bool)
    keep[1:-1] = (fitted[1:-1] != fitted[:-2]) | (fitted[1:-1] != fitted[2:])
    return Curve(points[keep], fitted[keep])


def platt(scores: FloatArray, came: FloatArray, weights: FloatArray) -> Curve:
    """Return Platt's logistic curve (1999) over the scores' log-odds, by Newton's method, with his smoothed targets."""
    positive, total = float((weights * came).sum()), float(weights.sum())
    high, low = (positive + 1) / (positive + 2), 1 / (total - positive + 2)
    target = came * high + (1 - came) * low
    odds = _log_odds(scores, _LEAST)
    slope, start = 1.0, 0.0
    for _ in range(25):
        probability = special.expit(slope * odds + start)
        left, spread = weights * (target - probability), weights * np.maximum(probability * (1 - probability), 1e-12)
        a, b, c = float((spread * odds * odds).sum()) + 1e-9, float((spread * odds).sum()), float(spread.sum()) + 1e-9
        up, right = float((left * odds).sum()), float(left.sum())
        step = ((c * up - b * right) / (a * c - b * b or 1.0), (a * right - b * up) / (a * c - b * b or 1.0))
        slope, start = min(max(slope + step[0], 0.0), 100.0), min(max(start + step[1], -100.0), 100.0)
        if abs(step[0]) + abs(step[1]) < 1e-9:
            break
    grid = np.unique(np.concatenate([special.expit(np.linspace(-14, 14, 400)), [0.0, 1.0]]))
    return Curve(grid, special.expit(slope * _log_odds(grid, _LEAST) + start))


_METHODS = {"platt": platt, "isotonic": isotonic}


def calibrate(scores: FloatArray, came: FloatArray, columns: Columns, *, seed: int) -> Calibrator:
    """Return the curve of the scores, and what the features add to it where there are rows enough to learn it.

    Under PLATT_ROWS_MAX rows the method is the one with the lower Brier score on rows it has not seen. Resampled curves
    are the same method on binomial draws of each group of neighbouring scores (a parametric bootstrap: Davison and
    Hinkley, 1997, chapter 4).
    """
    rng = np.random.default_rng(seed)
    method = _better(scores, came, rng) if len(scores) < PLATT_ROWS_MAX else "isotonic"
    fit = _METHODS[method]
    curve = fit(scores, came, np.ones(len(scores)))
    group, rows, share = _groups(scores, came)
    draws = [rng.binomial(rows.astype(np.int64), share) / rows for _ in range(RESAMPLES)]
    shifts = _shifts(scores, came, columns, curve, rng)
    return Calibrator(method, curve, group, np.column_stack([fit(group, draw, rows)(group) for draw in draws]), shifts)


def _better(scores: FloatArray, came: FloatArray, rng: np.random.Generator) -> str:
    fold = rng.integers(0, FOLDS, len(scores))
    losses = dict.fromkeys(_METHODS, 0.0)
    for number in range(FOLDS):
        out, rest = fold == number, fold != number
        if out.any() and rest.any():
            for name, fit in _METHODS.items():
                claimed = fit(scores[rest], came[rest], np.ones(int(rest.sum())))(scores[out])
                losses[name] += float(((claimed - came[out]) ** 2).sum())
    return min(losses, key=lambda name: losses[name])


def _shifts(
    scores: FloatArray, came: FloatArray, columns: Columns, curve: Curve, rng: np.random.Generator
) -> Shifts | None:
    """A logistic regression of what came true on the features, over the curve's own log-odds, with a ridge.

    A score that is right on the whole may be too high for some inputs; where those become more frequent, the curve
    alone is wrong. Resampled coefficients are normal draws by the inverse of the Hessian.
    """
    if not columns:
        return None
    plain = curve(scores)
    bases = bases_of(columns, scores, came - plain, FEATURES_MAX)
    size = width(bases)
    if len(scores) < ROWS_A_COLUMN * size:
        return None
    taken = np.linspace(0, len(scores) - 1, min(len(scores), int(_WORK_MAX // size**2))).astype(np.int64)
    made = design(bases, {name: columns[name][taken] for name, _ in bases if name}, scores[taken])
    small = made.astype(np.float32)  # exact enough for the Hessian, which only leads the way, and half the work
    odds, target = _log_odds(plain[taken], _SURE), came[taken]
    ridge = np.full(size, _RIDGE / 4)
    ridge[0] = 1e-9
    coefficients = np.zeros(size)
    hessian: FloatArray = np.eye(size)
    for _ in range(_STEPS):
        probability = special.expit(odds + made @ coefficients)
        weight = (probability * (1 - probability)).astype(np.float32)
        hessian = ((small * weight[:, None]).T @ small).astype(np.float64) + np.diag(ridge)
        step = np.linalg.solve(hessian, (target - probability) @ made - ridge * coefficients)
        largest = float(np.abs(step).max())
        coefficients += step * min(1.0, 2.0 / max(largest, 1e-12))
        if largest < _SETTLED:
            break
    root = np.linalg.cholesky(np.linalg.inv(hessian))
    drawn = coefficients[:, None] + root @ rng.normal(size=(size, RESAMPLES))
    return Shifts(bases, coefficients, drawn)


def _between(places: FloatArray, values: FloatArray, asked: FloatArray) -> FloatArray:
    """Interpolate each column of values at once; places may be equal."""
    right = np.clip(np.searchsorted(places, asked), 1, len(places) - 1) if len(places) > 1 else np.zeros(1, dtype=int)
    left = np.maximum(right - 1, 0)
    gap = places[right] - places[left]
    share = np.clip(np.where(gap > 0, (asked - places[left]) / np.where(gap > 0, gap, 1.0), 1.0), 0.0, 1.0)[:, None]
    drawn: FloatArray = values[left] * (1 - share) + values[right] * share
    return drawn


def _groups(scores: FloatArray, came: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean score, rows and share that came true, of groups of neighbouring scores."""
    order = np.argsort(scores, kind="stable")
    size = min(GROUPS, len(scores))
    group = np.arange(len(scores)) * size // len(scores)
    rows = np.bincount(group).astype(np.float64)
    return np.bincount(group, scores[order]) / rows, rows, np.bincount(group, came[order]) / rows


def _log_odds(probabilities: FloatArray, least: float) -> FloatArray:
    kept = np.clip(probabilities, least, 1 - least)
    odds: FloatArray = np.log(kept / (1 - kept))
    return odds
