"""Perfect foresight: what the next minute's busiest tick needs, to the replica, started a cold start before."""

from __future__ import annotations

import numpy as np

from seamark.compute.backtest.policy import Policy
from seamark.core.backtest import Fleet, FloatArray, IntArray

AHEAD_S = 60.0


def schedule(rates: FloatArray, fleet: Fleet) -> IntArray:
    """Return the ready replicas of each tick. It pays a cold start for each start, and nothing ever waits."""
    ahead = max(round(AHEAD_S / fleet.tick_s), 1)
    padded = np.concatenate((rates, np.full(ahead - 1, rates[-1])))
    busiest = np.lib.stride_tricks.sliding_window_view(padded, ahead).max(axis=1)
    need = np.clip(np.ceil(busiest / fleet.capacity_rps), fleet.min, fleet.max)
    return np.asarray(need, dtype=np.int64)


POLICY = Policy("oracle", "perfect foresight: the exact need of the next minute", schedule=schedule)
