"""A run's requests -> by how much chance alone moves its latency quantiles."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pyarrow as pa

from seamark.compute.columns import FloatArray, IntArray
from seamark.compute.release.blocks import BLOCKS_MIN, long_run_error

QUANTILES = {"p50(latency_ms)": 0.5, "p95(latency_ms)": 0.95, "p99(latency_ms)": 0.99}
BEYOND_MIN = 10  # requests beyond a quantile, for it to be compared
RESOLUTION_MS = 0.05  # what timers and the sender itself add from run to run
_BLOCKS = 60
_BLOCK_MIN = 10  # requests


def enough(requests: int, p: float) -> bool:
    """Whether so many requests tell a quantile.

    >>> enough(1000, 0.99), enough(999, 0.99), enough(1, 0.5)
    (True, False, False)
    """
    return round(requests * (1 - p), 9) >= BEYOND_MIN


def sampling_errors(samples: pa.Table) -> dict[str, float]:
    """Return the standard errors of the logarithms of a run's quantiles; those that too few requests tell are left out.

    `samples` has the columns of LOAD_SAMPLES. The requests of a moment are alike (a pause slows them all), so the error
    is that between stretches of the run, and at least that of independent requests.
    """
    latency_ms = np.asarray(samples["latency_ms"].cast(pa.float64()).to_numpy(), dtype=np.float64)
    known = np.isfinite(latency_ms)
    due_s, segment = samples["due_s"].to_numpy()[known], samples["segment"].to_numpy()[known]
    order = np.argsort(due_s, kind="stable")
    return errors_of(latency_ms[known][order], segment[order].astype(np.int64))


def errors_of(latency_ms: FloatArray, segment: IntArray) -> dict[str, float]:
    """Return the same of latencies in the order they were due, none of them unknown; `segment` is aligned."""
    if not enough(len(latency_ms), 0.5):
        return {}
    logs = np.log(np.maximum(latency_ms, RESOLUTION_MS))
    ordered = np.sort(logs)
    _, place = np.unique(segment, return_inverse=True)
    sizes = np.bincount(place)
    return {name: _error(logs, ordered, p, place, sizes) for name, p in QUANTILES.items() if enough(len(latency_ms), p)}


def _error(logs: FloatArray, ordered: FloatArray, p: float, place: IntArray, sizes: IntArray) -> float:
    """The error of one quantile: a request moves it by (p - whether it lies below) / density (Bahadur, 1966).

    Segments of a run have rates, and so latencies, of their own: what differs between them is the plan, not chance.
    """
    count = len(logs)
    at = _quantile(ordered, p)
    # Woodruff (1952): the density from quantiles as far apart as chance alone puts them.
    reach = min(3 * sqrt(p * (1 - p) / count), 0.5 * (1 - p))
    slope = (_quantile(ordered, p + reach) - _quantile(ordered, p - reach)) / (2 * reach)
    floor = slope * sqrt(p * (1 - p) / count)
    blocks = min(_BLOCKS, count // _BLOCK_MIN)
    if blocks < BLOCKS_MIN:
        return floor
    moves = p - (logs <= at)
    moves -= (np.bincount(place, moves) / sizes)[place]
    influence = np.bincount(np.arange(count) * blocks // count, moves).astype(np.float64) * (slope / count)
    return long_run_error(influence, floor).standard


def _quantile(ordered: FloatArray, p: float) -> float:
    return float(ordered[min(max(int(np.ceil(p * len(ordered))) - 1, 0), len(ordered) - 1)])
