"""A capacity and the steps it was found by -> the laws behind it, and what one more replica brings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from seamark.compute.load_shape import SegmentResult
from seamark.compute.queue_fit import Queue, Steps, limit_rps, queue_fit, read
from seamark.compute.usl import usl
from seamark.core.figures import figure
from seamark.core.findings import Capacity
from seamark.core.scaling import Interval, ReplicaGain, Scaling
from seamark.core.thresholds import Threshold

QUANTILE = 0.95  # that is foretold where no threshold names one
BEYOND = 1.05  # of the capacity: up to here a step's latency is that of a queue that keeps up
SEED = 5


def explain(
    capacity: Capacity, results: Sequence[SegmentResult], thresholds: Sequence[Threshold], *, replicas: int
) -> Capacity:
    """Return the capacity with its scaling. `results` are the steps as measured, pauses left out."""
    limit = next((t for t in thresholds if t.quantile is not None and t.metric.endswith("latency_ms")), None)
    quantile = limit.quantile if limit is not None and limit.quantile is not None else QUANTILE
    rng = np.random.default_rng(SEED)
    law = usl(results, replicas, rng)
    steps = read(results, quantile, BEYOND * capacity.rps * replicas)
    told, queues = queue_fit(steps, quantile, len(capacity.steps), rng)
    pooled = None
    if queues is not None and steps is not None and limit is not None and capacity.limited_by in ("slo", "saturation"):
        pooled = _pooled(capacity, queues, steps, limit.limit / 1e3, quantile, replicas)
    return replace(capacity, scaling=Scaling(law, told, _one_more(capacity, pooled, replicas)))


def _pooled(
    capacity: Capacity, queues: Queue, steps: Steps, limit_s: float, quantile: float, replicas: int
) -> Interval | None:
    """Return what one replica more brings if one queue feeds all: measured capacity times the law's growth.

    Only the ratio is the law's: where it is a little off, it is off by about the same with one replica more.
    """
    larger = (replicas + 1) / replicas
    more = Queue(np.round(queues.slots * larger), queues.most_rps * larger, queues.varies, queues.alone_s)
    now, then = (limit_rps(one, steps.alone_s, limit_s, quantile) for one in (queues, more))
    if now[0] <= 0:
        return None
    growth = (then / np.where(now > 0, now, np.inf) - 1) * replicas
    low, high = np.quantile(growth[now > 0], [0.025, 0.975], method="inverted_cdf")
    value = float(growth[0]) * capacity.rps
    top = capacity.high if capacity.high is not None else capacity.rps
    return Interval(value, min(float(low) * capacity.low, value), max(float(high) * top, value))


def _one_more(capacity: Capacity, pooled: Interval | None, replicas: int) -> ReplicaGain:
    linear = Interval(capacity.rps, capacity.low, capacity.high)
    words = (
        f"one more replica brings about +{figure(linear.value, 3)} requests/s ({_range(linear)}), taken that replicas "
        "share nothing and each has its own queue; that was not tested"
    )
    if pooled is not None:
        words += f"; if one queue feeds them all, about +{figure(pooled.value, 3)} ({_range(pooled)}), by the G/G/c fit"
    return ReplicaGain(replicas, capacity.rps * replicas, linear, pooled, words)


def _range(interval: Interval) -> str:
    low = figure(interval.low, 3)
    return f"{low}–{figure(interval.high, 3)}" if interval.high is not None else f"at least {low}"
