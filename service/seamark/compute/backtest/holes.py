"""Arrivals that are not known everywhere -> arrivals to play, and which of them count.

A policy cannot be played without arrivals, and a day must stay a day for those that know the day before. So what is
missing is filled in a straight line, and what was filled over more than COUNTED_S is played, but in no figure.
"""

from __future__ import annotations

import numpy as np

from seamark.core.backtest import BoolArray, FloatArray

COUNTED_S = 300.0  # a restart, a deploy: what came before and after tells what was between


def bridged(rates: FloatArray, step_s: float) -> tuple[FloatArray, BoolArray]:
    """Return (rates without NaN, which of them count), both of the shape (steps,).

    Before the first known step and after the last one the rate is that one's; without any known step all are 0 and none
    counts.
    """
    missing = ~np.isfinite(rates)
    known = np.flatnonzero(~missing)
    if len(known) == 0:
        return np.zeros(len(rates)), np.zeros(len(rates), np.bool_)
    filled = np.where(missing, 0.0, rates)
    filled[missing] = np.interp(np.flatnonzero(missing), known, rates[known])
    counts = ~missing
    for start, end in runs(missing):
        inside = start > 0 and end < len(rates)
        if inside and (end - start) * step_s <= COUNTED_S:
            counts[start:end] = True
    return filled, counts


def runs(where: BoolArray) -> list[tuple[int, int]]:
    """Return the stretches that are true, as (first, one after the last)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], where, [False])).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
