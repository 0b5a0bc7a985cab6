"""Two samples of numbers become counts over common bins, and the quantiles of each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from seamark.compute.columns import FloatArray, IntArray
from seamark.core.distributions import Bin

BINS = 30
VALUES_MAX = 20  # so few distinct values are counted one by one
TAIL = 0.005  # the share at each end that may lie outside the bins of equal width
TAIL_ROWS = 20
QUANTILES = {"min": 0.0, "p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}


def bins(reference: FloatArray, current: FloatArray) -> tuple[Bin, ...]:
    """Return the counts of both samples of finite numbers over one set of bins; () where both are empty.

    Up to VALUES_MAX distinct values are counted value by value. Otherwise BINS bins of equal width reach from the
    lower to the upper TAIL quantile of either sample, whichever is further out, but of a sample of TAIL_ROWS or more
    without its one furthest value; an outer bin at each end takes what lies beyond: one huge value must not press all
    others into a single bin.
    """
    both = np.concatenate([reference, current])
    if not both.size:
        return ()
    values = np.unique(both)
    if len(values) <= VALUES_MAX:
        counts = [_at_values(side, values) for side in (current, reference)]
        return tuple(Bin(float(v), float(v), int(n), int(m)) for v, n, m in zip(values, *counts, strict=True))
    least, most = float(values[0]), float(values[-1])
    ends = [_ends(side) for side in (reference, current) if side.size]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    if low == high:  # nearly all values are one: let the others have their bins
        low, high = least, most
    unit = 1.0 if high - low < np.inf else 2.0  # the distance between the largest floats of both signs is no float
    inner = np.unique(unit * np.linspace(low / unit, high / unit, BINS + 1))
    edges = [*([least] if least < low else []), *inner.tolist(), *([most] if most > high else [])]
    return _between(np.array(edges), reference, current, least < low, most > high)


def _ends(side: FloatArray) -> tuple[float, float]:
    cut = max(int(TAIL * side.size), 1 if side.size >= TAIL_ROWS else 0)
    ordered = np.partition(side, (cut, side.size - 1 - cut))
    return float(ordered[cut]), float(ordered[side.size - 1 - cut])


def quantiles(values: FloatArray) -> Mapping[str, float] | None:
    """Return the QUANTILES of finite numbers, each a value that occurs, and their mean; None where there are none."""
    if not values.size:
        return None
    found = np.quantile(values, list(QUANTILES.values()), method="inverted_cdf")
    exponent = max(int(np.frexp(np.abs(values).max())[1]), 0)
    mean = float(np.ldexp(np.ldexp(values, -exponent).mean(), exponent))  # the sum of huge values is no float
    return {**dict(zip(QUANTILES, map(float, found), strict=True)), "mean": mean}


def _between(
    edges: FloatArray, reference: FloatArray, current: FloatArray, below: bool, above: bool
) -> tuple[Bin, ...]:
    after, before = (_histogram(side, edges) for side in (current, reference))
    last = len(edges) - 2
    return tuple(
        Bin(
            float(edges[place]),
            float(edges[place + 1]),
            int(after[place]),
            int(before[place]),
            outer=(below and place == 0) or (above and place == last),
        )
        for place in range(last + 1)
    )


def _histogram(values: FloatArray, edges: FloatArray) -> IntArray:
    ordered = np.sort(values)
    below = np.searchsorted(ordered, edges[:-1], side="left")
    upto = np.searchsorted(ordered, edges[-1:], side="right")
    return np.diff(np.concatenate([below, upto])).astype(np.int64)


def _at_values(side: FloatArray, values: FloatArray) -> IntArray:
    return np.bincount(np.searchsorted(values, side), minlength=len(values)).astype(np.int64)
