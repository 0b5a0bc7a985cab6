"""Errors among requests, run by run -> whether the newest runs fail more, beside how runs differ by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sin

import numpy as np

from seamark.compute.baseline.difference import Difference, Group, difference
from seamark.compute.columns import FloatArray

SMALLEST = 0.001  # a difference of less than a tenth of a percentage point is none to stop for


@dataclass(frozen=True)
class ErrorCounts:
    """Requests and errors of each run of a group, aligned."""

    requests: FloatArray
    errors: FloatArray

    @property
    def ratio(self) -> float:
        """Errors among all requests of the group."""
        return float(self.errors.sum() / self.requests.sum())


@dataclass(frozen=True)
class ErrorDifference:
    """How two groups' error ratios differ, with the 95 % interval, and the chance of it where they do not."""

    change: float
    low: float
    high: float
    p_more: float
    p_fewer: float
    on_scale: Difference
    middle: float  # the baseline's place on the scale

    def detectable(self, level: float) -> float:
        """The rise of the ratio that is found in nine of ten cases."""
        return _ratio(self.middle + self.on_scale.detectable(level)) - _ratio(self.middle)

    @property
    def noise(self) -> float:
        """By how much one run's ratio differs from the next."""
        return _ratio(self.middle + self.on_scale.noise) - _ratio(self.middle)


def compare_errors(baseline: ErrorCounts, newest: ErrorCounts) -> ErrorDifference:
    """Return how the error ratios differ.

    Two tests, and the larger p-value counts: Student's t over runs on the scale on which a ratio's own error is the
    same everywhere (arcsine of the root, Anscombe, Biometrika 35, 1948), which knows of runs that fail more at times;
    and the newest errors by the beta-binomial that the baseline's foretell (Jeffreys' prior), right for a few.
    """
    from scipy.stats import betabinom

    old, new = _group(baseline), _group(newest)
    found = difference(old, new, 0.0)
    failed, total = float(baseline.errors.sum()), float(baseline.requests.sum())
    ahead = betabinom(int(newest.requests.sum()), failed + 0.5, total - failed + 0.5)
    count = int(newest.errors.sum())
    middle = float(old.values.mean())
    base = _ratio(middle)
    return ErrorDifference(
        change=newest.ratio - baseline.ratio,
        low=min(_ratio(middle + found.value - found.reach()) - base, newest.ratio - baseline.ratio),
        high=max(_ratio(middle + found.value + found.reach()) - base, newest.ratio - baseline.ratio),
        p_more=max(found.p_above(), min(float(ahead.sf(count - 1)), 1.0)),
        p_fewer=max(found.p_below(), min(float(ahead.cdf(count)), 1.0)),
        on_scale=found,
        middle=middle,
    )


def _group(counts: ErrorCounts) -> Group:
    share = (counts.errors + 0.375) / (counts.requests + 0.75)
    values = np.arcsin(np.sqrt(np.minimum(share, 1.0)))
    return Group(values, 0.25 / (counts.requests + 0.5))


def _ratio(place: float) -> float:
    return sin(min(max(place, 0.0), pi / 2)) ** 2
