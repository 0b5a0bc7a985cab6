"""Counts per bucket -> quantiles, linear between the bounds, as Prometheus's histogram_quantile() has them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def quantiles(bounds: Sequence[float], counts: Sequence[float], asked: Sequence[float]) -> tuple[float | None, ...]:
    """Return the quantiles of observations counted per bucket; None each where there are none.

    `bounds` rise, each is the end of its bucket (inside), the last is infinity. The first bucket begins at 0, or where
    it ends if that is not above 0. A quantile in the last bucket is that bucket's begin: more is not known. Negative
    counts, left when buckets were merged between two points, never make a sum fall.

    >>> quantiles([1.0, 2.0, float("inf")], [10, 10, 0], (0.5, 0.75))
    (1.0, 1.5)
    """
    sums = np.maximum.accumulate(np.maximum(np.cumsum(np.asarray(counts, dtype=np.float64)), 0.0))
    if len(sums) == 0 or sums[-1] <= 0:
        return (None,) * len(asked)
    return tuple(_quantile(bounds, sums, quantile) for quantile in asked)


def _quantile(bounds: Sequence[float], sums: np.ndarray, quantile: float) -> float | None:
    rank = quantile * float(sums[-1])
    place = int(np.searchsorted(sums, rank, side="left"))
    if sums[place] <= 0:  # the quantile 0 lies at the first bucket with anything in it
        place = int(np.argmax(sums > 0))
    high = float(bounds[place])
    if place == 0:
        if not np.isfinite(high):
            return None  # one bucket without end: nothing is known of where
        low = min(0.0, high)
    else:
        low = float(bounds[place - 1])
    if not np.isfinite(high):
        return low
    before = float(sums[place - 1]) if place else 0.0
    return low + (high - low) * (rank - before) / (float(sums[place]) - before)
