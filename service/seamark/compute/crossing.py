"""Requests beyond a limit at several rates -> the rate at which their share reaches what is allowed, with an interval.

The share beyond the limit is taken to rise with the rate as log-odds over the logarithm of the rate, near the crossing:
logit p(r) = logit(allowed) + slope ln(r / crossing). A grid over (crossing, slope) holds the posterior; its quantiles
are the interval, as in adaptive measurement of thresholds (Kontsevich & Tyler, Vision Research 39, 1999). A lapse rate
lets one odd step weigh little against several others, and steps far off weigh less: the line is straight only nearby.

Slow requests come in clumps: each step's counts are divided by the variance inflation that batch means show
(Law, Simulation Modeling and Analysis, 9.5.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression
from scipy.special import betaln

FloatArray = npt.NDArray[np.float64]

BATCHES = 6
LAPSE = 0.01  # of steps that say nothing about the rate: something else ran on the machine
NEAR = 0.12  # of a logarithm: steps within 12 % of the crossing weigh about the same
ALIKE = 0.05  # of a logarithm: rates so near have clumps of about the same size
FAR = 2.0  # in log-odds: a share that far above or below what is allowed says on which side the step was, and no more
FARTHEST = 30.0  # a step far off weighs so much less: the line is straight only near the crossing
LOWER, UPPER = 0.025, 0.975
_SLOPES = np.geomspace(1.0, 400.0, 28)
# ln(slope) beforehand: of M/M/k with 0.5 to 0.95 of its slots busy at the crossing, slopes are from 3 to 50; a target
# that sheds load, or works without any chance, is steeper.
_SLOPES_PRIOR = np.log(np.exp(-0.5 * (np.log(_SLOPES / 12.0) / 0.8) ** 2) + np.where(_SLOPES > 12.0, 0.3, 0.0))
_POINTS = 140
_REACH = 4.0  # the crossing is sought between a fourth of the lowest and four times the highest rate


@dataclass(frozen=True)
class Tally:
    """One step's requests by one measure: `counted` and of these `over` per batch, in the order they were due."""

    rate_rps: float
    counted: FloatArray
    over: FloatArray

    @property
    def share(self) -> float:
        """The share beyond the limit."""
        return float(self.over.sum() / self.counted.sum())


@dataclass(frozen=True)
class Belief:
    """What is known of a crossing: its cumulative distribution over ln(rate)."""

    log_rates: FloatArray
    below: FloatArray  # P(crossing <= rate)
    slope: float = 1.0  # of the log-odds over ln(rate), on the geometric mean

    def quantile(self, share: float) -> float:
        """The rate, in requests per second, below which the crossing lies with this probability."""
        return float(np.exp(np.interp(share, self.below, self.log_rates)))

    def above(self, rate_rps: float) -> float:
        """P(crossing > rate)."""
        return float(1.0 - np.interp(np.log(rate_rps), self.log_rates, self.below))

    @property
    def rps(self) -> float:
        """The median."""
        return self.quantile(0.5)

    @property
    def half_width(self) -> float:
        """Half the 95 % interval, as a share of the rate."""
        return float(np.log(self.quantile(UPPER) / self.quantile(LOWER)) / 2)


def batched(rate_rps: float, over: npt.NDArray[np.bool_]) -> Tally | None:
    """Return a step's tally by the order in which its requests were due; None without requests."""
    if not len(over):
        return None
    parts = np.array_split(over, min(BATCHES, len(over)))
    return Tally(
        rate_rps, np.array([len(part) for part in parts], float), np.array([part.sum() for part in parts], float)
    )


def inflations(tallies: Sequence[Tally]) -> FloatArray:
    """Return for each step by how much its batches' counts scatter more than independent requests' would; at least 1.

    The ratio of the batches' squared deviations from their step's share to their binomial variance, over this step and,
    the less the further off, those at rates near it: clumps grow with the rate, and one step alone has few batches.
    """
    found, expected = np.zeros(len(tallies)), np.zeros(len(tallies))
    for index, tally in enumerate(tallies):
        batches, share = len(tally.counted), tally.share
        if batches > 1:
            spread = float(((tally.over - tally.counted * share) ** 2).sum())
            found[index] = spread * batches / (batches - 1)
            expected[index] = float(tally.counted.sum()) * share * (1 - share)
    rates = np.log([tally.rate_rps for tally in tallies])
    kernel = np.exp(-0.5 * ((rates[:, None] - rates[None, :]) / ALIKE) ** 2)
    variance = kernel @ expected
    ratio = np.divide(kernel @ found, variance, out=np.ones(len(tallies)), where=variance > 0)
    return np.asarray(np.maximum(ratio, 1.0))


def locate(tallies: Sequence[Tally], allowed: float) -> Belief:
    """Return where the share of requests beyond the limit crosses `allowed`, in (0, 1). At least one tally is needed.

    Twice by the steps near a first guess: about where the rising curve that fits best, of whatever form, crosses.
    """
    tallies = sorted(tallies, key=lambda tally: tally.rate_rps)
    rates, divisors = np.log([tally.rate_rps for tally in tallies]), inflations(tallies)
    grid = np.linspace(rates[0] - np.log(_REACH), rates[-1] + np.log(_REACH), _POINTS)
    guess = _guess(tallies, divisors, allowed)
    rough = _located(tallies, divisors * _distance(rates, guess), grid, allowed)
    nearer = _distance(rates, float(np.clip(np.log(rough.rps), rates[0], rates[-1])))
    return _located(tallies, divisors * nearer, grid, allowed)


def _located(tallies: Sequence[Tally], divisors: FloatArray, grid: FloatArray, allowed: float) -> Belief:
    """Return the posterior over a finer grid, where a coarse one shows that the crossing can lie."""
    rates = np.log([tally.rate_rps for tally in tallies])
    over, within = _evidence(tallies, divisors, allowed)
    rough = _posterior(grid, rates, over, within, allowed)
    low, high = (float(np.interp(share, rough.below, rough.log_rates)) for share in (0.0005, 0.9995))
    return _posterior(np.linspace(low, high, _POINTS), rates, over, within, allowed)


def _guess(tallies: Sequence[Tally], divisors: FloatArray, allowed: float) -> float:
    """Return ln(rate) between the last step within what is allowed and the next, by isotonic regression of the shares.

    `tallies` are in ascending order of rate.
    """
    counted = np.array([tally.counted.sum() for tally in tallies]) / divisors
    rising = isotonic_regression([tally.share for tally in tallies], weights=counted).x
    within = int((rising <= allowed).sum())
    beside = tallies[max(within - 1, 0)], tallies[min(within, len(tallies) - 1)]
    return float(np.mean([np.log(tally.rate_rps) for tally in beside]))


def least(beliefs: Sequence[Belief]) -> Belief:
    """Return what is known of the lowest of several independent crossings: P(all > r) is the product of P(each > r)."""
    if len(beliefs) == 1:
        return beliefs[0]
    grid = np.unique(np.concatenate([belief.log_rates for belief in beliefs]))
    stays = np.prod([1 - np.interp(grid, one.log_rates, one.below, left=0.0, right=1.0) for one in beliefs], axis=0)
    ends = int(np.argmax(stays <= 0.0)) or len(grid) - 1
    slope = min(beliefs, key=lambda one: one.rps).slope
    return Belief(grid[: ends + 1], 1 - stays[: ends + 1], slope)


def _distance(log_rates: FloatArray, log_crossing: float) -> FloatArray:
    """1 at the crossing, more further off; never so steep that the nearest step on either side does not matter."""
    apart = log_rates - log_crossing
    nearest = [float(np.abs(side).min(initial=np.inf)) for side in (apart[apart <= 0], apart[apart >= 0])]
    known = [distance for distance in nearest if np.isfinite(distance)]
    return np.asarray(np.exp(np.minimum(0.5 * (apart / max(NEAR, *known)) ** 2, np.log(FARTHEST))))


def _posterior(log_grid: FloatArray, at: FloatArray, over: FloatArray, within: FloatArray, allowed: float) -> Belief:
    """Crossing's distribution, flat in ln(rate) beforehand, over a grid of ln(rate), by steps at ln(rate) `at`."""
    beyond = _SLOPES[None, :, None] * (at[None, None, :] - log_grid[:, None, None])
    odds = np.log(allowed / (1 - allowed)) + np.clip(beyond, -FAR, FAR)
    fits = over * odds - (over + within) * np.logaddexp(0.0, odds)  # ln p = odds - ln(1 + e^odds)
    lapses = betaln(over + 0.5, within + 0.5) - betaln(0.5, 0.5)
    each = np.logaddexp(np.log1p(-LAPSE) + fits, np.log(LAPSE) + lapses)
    total = each.sum(axis=2) + _SLOPES_PRIOR[None, :]
    joint = np.exp(total - total.max())
    density = joint.sum(axis=1)
    steps = np.concatenate([[0.0], (density[1:] + density[:-1]) / 2])
    slope = float(np.exp(np.log(_SLOPES) @ joint.sum(axis=0) / joint.sum()))
    return Belief(log_grid, np.cumsum(steps) / steps.sum(), slope)


def _evidence(tallies: Sequence[Tally], divisors: FloatArray, allowed: float) -> tuple[FloatArray, FloatArray]:
    """Return the effective numbers of requests over and within the limit.

    A share further off than FAR is taken for one at FAR, with as many requests as weigh as much against `allowed`.
    """
    middle = np.log(allowed / (1 - allowed))
    lowest, highest = 1 / (1 + np.exp(-middle + FAR)), 1 / (1 + np.exp(-middle - FAR))
    shares = np.array([tally.share for tally in tallies])
    taken = np.clip(shares, lowest, highest)
    hits, misses = np.log(taken / allowed), np.log((1 - taken) / (1 - allowed))
    shown = shares * hits + (1 - shares) * misses
    told = taken * hits + (1 - taken) * misses
    heavier = np.divide(shown, told, out=np.ones(len(shares)), where=taken != shares)
    counted = np.array([tally.counted.sum() for tally in tallies]) / divisors * heavier
    return counted * taken, counted * (1 - taken)
