"""A fleet that never changes, as large as the trace's own peak needs."""

from __future__ import annotations

from math import ceil

import numpy as np

from seamark.compute.backtest.policy import Policy
from seamark.core.backtest import Fleet, FloatArray, IntArray


def schedule(rates: FloatArray, fleet: Fleet) -> IntArray:
    """Return the same count for every tick: what the busiest tick asks for, whole."""
    peak = min(max(ceil(float(rates.max()) / fleet.capacity_rps), fleet.min), fleet.max)
    return np.full(len(rates), peak, np.int64)


POLICY = Policy("static_peak", "as many as the busiest tick of the trace needs, always", schedule=schedule)
