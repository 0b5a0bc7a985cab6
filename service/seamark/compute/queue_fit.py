"""Mean latency of a search's steps over their rate -> the target as a queue G/G/c, and its latency percentile by rate.

Allen and Cunneen's approximation (Allen, Probability, Statistics, and Queueing Theory, 2nd ed. 1990, ch. 5):
Wq = Wq(M/M/c) (Ca² + Cs²) / 2, with Erlang's C (Kleinrock, Queueing Systems I, 3.5) for M/M/c. The wait of those who
wait is taken as exponential with that mean, as it is exactly in M/M/c. A request's time is its time alone, as measured
at low rates, plus the wait; of its time alone it may hold a slot for a part only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seamark.compute.load_shape import SegmentResult
from seamark.core.scaling import CurvePoint, Interval, QueueFit

FloatArray = npt.NDArray[np.float64]

POINTS_MIN = 6
REQUESTS_MIN = 12  # of a step: fewer have no mean to speak of
RISE_MIN = 1.1  # the highest mean latency by the lowest: less shows no queue
POOR = 0.2  # a fit that is further off than this, in the median, foretells nothing
LOW_RATE = 0.35  # of the highest rate: up to here latency is a request's time alone, or nearly
RESAMPLES = 60
CURVE_POINTS = 25
SAMPLE = 60
_SLOTS = (*range(1, 17), 18, 20, 24, 28, 32, 40, 48, 64, 96, 128)
_BUSY = 1 / (1 + np.exp(-np.linspace(-1.0, 5.3, 90)))  # of all slots, at the highest rate: 0.27 to 0.995
BESIDE = 6.0  # in squared errors: time beside a slot is believed only where it explains more than this
_ROUNDS = 36  # of bisection


@dataclass(frozen=True)
class Steps:
    """Steps in which the target kept up: rate, mean latency and its relative standard error, a percentile; one each."""

    rate_rps: FloatArray
    mean_s: FloatArray
    error: FloatArray
    percentile_s: FloatArray
    alone_s: FloatArray  # SAMPLE quantiles of latency at low rates
    alone_var: float
    arrivals_cv: float


@dataclass(frozen=True)
class Queue:
    """One fitted queue: slots, the rate at which all are busy, what varies, and the mean time of a request alone."""

    slots: FloatArray
    most_rps: FloatArray
    varies: FloatArray  # (Ca² + Cs²) / 2
    alone_s: FloatArray


def erlang_c(slots: int, offered: FloatArray) -> FloatArray:
    """Return the share of requests that wait in M/M/c, by the recursion of Erlang's B; 1 at and beyond saturation."""
    blocked = np.ones_like(offered)
    for k in range(1, slots + 1):
        blocked = offered * blocked / (k + offered * blocked)
    busy = np.minimum(offered / slots, 1.0)
    return np.asarray(np.where(busy < 1.0, blocked / (1 - busy * (1 - blocked)), 1.0))


def read(results: Sequence[SegmentResult], quantile: float, upto_rps: float) -> Steps | None:
    """Return the steps up to a rate, without those in which requests went unanswered; None where there are too few."""
    slow = [r for r in results if r.segment.asked_rps <= upto_rps and len(r.ok) >= REQUESTS_MIN]
    kept = [r for r in slow if not np.isnan(r.latency_ms).any()]
    kept.sort(key=lambda result: result.segment.asked_rps)
    if len({round(float(np.log(r.segment.asked_rps)), 2) for r in kept}) < POINTS_MIN:
        return None
    rates = np.array([len(r.ok) / r.segment.duration_s for r in kept])
    latencies = [r.latency_ms / 1e3 for r in kept]
    lowest = [i for i, r in enumerate(kept) if r.segment.asked_rps <= LOW_RATE * kept[-1].segment.asked_rps] or [0]
    alone = np.concatenate([latencies[i] for i in lowest])
    gaps = np.concatenate([np.diff(r.segment.arrivals) * r.segment.asked_rps for r in kept])
    return Steps(
        rates,
        np.array([one.mean() for one in latencies]),
        np.array([_relative_error(one) for one in latencies]),
        np.array([np.quantile(one, quantile) for one in latencies]),
        np.quantile(alone, (np.arange(SAMPLE) + 0.5) / SAMPLE),
        float(alone.var()),
        float(gaps.std() / gaps.mean()),
    )


def queue_fit(
    steps: Steps | None, quantile: float, points: int, rng: np.random.Generator
) -> tuple[QueueFit, Queue | None]:
    """Return the fit as it is told, and the fitted queues (the best first, then resampled ones) where it is good."""
    if steps is None:
        return QueueFit("too_few_points", points), None
    name = f"p{100 * quantile:g}"
    rises = steps.mean_s.max() >= RISE_MIN * steps.mean_s.min() > 0
    queues = _fitted(steps, rng) if rises else None
    if queues is None:
        return QueueFit("no_queue", points, arrivals_cv=steps.arrivals_cv, percentile=name), None
    foretold = percentile_s(queues, steps.rate_rps, steps.alone_s, quantile)[0]
    error = float(np.median(np.abs(foretold / steps.percentile_s - 1)))
    service = queues.slots / queues.most_rps
    cv = float(np.sqrt(steps.alone_var) / service[0])
    told = QueueFit(
        "ok" if error <= POOR else "poor_fit",
        points,
        _of(queues.slots),
        _of(service * 1e3),
        max(float(queues.alone_s[0] - service[0]) * 1e3, 0.0),
        cv,
        steps.arrivals_cv,
        name,
        error_ratio=error,
        curve=_curve(steps, queues, quantile) if error <= POOR else (),
    )
    return told, queues if error <= POOR else None


def percentile_s(queues: Queue, rates: FloatArray, alone_s: FloatArray, quantile: float) -> FloatArray:
    """Return each queue's latency percentile at each rate, in seconds, of shape (queues, rates); inf at saturation."""
    low, high = np.zeros((len(queues.slots), len(rates))), np.full((len(queues.slots), len(rates)), 1e4)
    waits, drains = _waits(queues, rates)
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        beyond = _tail(middle, waits, drains, _alone(queues, alone_s)) > 1 - quantile
        low, high = np.where(beyond, middle, low), np.where(beyond, high, middle)
    return np.where(drains > 0, high, np.inf)


def limit_rps(queues: Queue, alone_s: FloatArray, limit_s: float, quantile: float) -> FloatArray:
    """Return the highest rate at which each queue's latency percentile is within the limit; 0: none is."""
    low: FloatArray = np.zeros(len(queues.slots))
    high = queues.most_rps.copy()
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        tails = [
            _tail(np.array([[limit_s]]), *_waits(_one(queues, i), middle[i : i + 1]), _alone(_one(queues, i), alone_s))
            for i in range(len(middle))
        ]
        within = np.array([float(tail[0, 0]) for tail in tails]) <= 1 - quantile
        low, high = np.where(within, middle, low), np.where(within, high, middle)
    return np.asarray(low)


def _one(queues: Queue, index: int) -> Queue:
    part = slice(index, index + 1)
    return Queue(queues.slots[part], queues.most_rps[part], queues.varies[part], queues.alone_s[part])


def _waits(queues: Queue, rates: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return (share that waits, rate at which the wait's tail falls per second), each of shape (queues, rates)."""
    waits = np.array(
        [erlang_c(int(c), rates * c / most) for c, most in zip(queues.slots, queues.most_rps, strict=True)]
    )
    return waits, (queues.most_rps[:, None] - rates[None, :]) / queues.varies[:, None]


def _alone(queues: Queue, alone_s: FloatArray) -> FloatArray:
    """The measured times alone, scaled to each queue's mean: at low rates too a few requests wait."""
    return np.asarray(queues.alone_s[:, None] * (alone_s / alone_s.mean())[None, :])


def _tail(at_s: FloatArray, waits: FloatArray, drains: FloatArray, alone_s: FloatArray) -> FloatArray:
    """P(time > at): over the times alone s, P(W > at - s) = waits e^(-drains (at - s)), or 1 where s is longer."""
    left = at_s[:, :, None] - alone_s[:, None, :]
    tails = waits[:, :, None] * np.exp(-np.maximum(drains, 0.0)[:, :, None] * np.maximum(left, 0.0))
    mean: FloatArray = np.where(left > 0, tails, 1.0).mean(axis=2)
    return mean


def _fitted(steps: Steps, rng: np.random.Generator) -> Queue | None:
    """Return the best queue of a grid of (slots, rate at which all are busy), then the best for resampled means.

    By least squares of relative errors, in units of their variance. The mean time alone is solved for, and is no less
    than the time in a slot. Means are resampled with the larger of their own error and what the fit leaves. None: the
    target is so fast that at these rates no queue explains how latency rises.
    """
    slots = np.repeat(_SLOTS, len(_BUSY)).astype(float)
    most = np.tile(steps.rate_rps.max() / _BUSY, len(_SLOTS))
    service = slots / most
    possible = service <= 1.2 * steps.mean_s.min()
    if not possible.any():
        return None
    slots, most, service = slots[possible], most[possible], service[possible]
    varies = (steps.arrivals_cv**2 + steps.alone_var / service**2) / 2
    queues = Queue(slots, most, varies, service)
    waits, drains = _waits(queues, steps.rate_rps)
    wait_s = waits / np.maximum(drains, 1e-12)
    weight = 1 / (steps.error**2 + 0.01**2)
    best, alone = _best(wait_s, service, steps.mean_s, weight)
    left = (alone + wait_s[best]) / steps.mean_s - 1
    spread = np.maximum(steps.error, np.sqrt(np.average(left**2, weights=weight)))
    found = [(best, alone)]
    for _ in range(RESAMPLES):
        means = (alone + wait_s[best]) * np.exp(spread * rng.standard_normal(len(spread)))
        found.append(_best(wait_s, service, means, weight))
    chosen = np.array([index for index, _ in found])
    return Queue(slots[chosen], most[chosen], varies[chosen], np.array([alone for _, alone in found]))


def _best(wait_s: FloatArray, service_s: FloatArray, means: FloatArray, weight: FloatArray) -> tuple[int, float]:
    """Return (index, mean time alone) of the queue whose mean times differ least."""
    inverse = weight / means
    alone = np.maximum(((1 - wait_s / means) @ inverse) / (inverse / means).sum(), service_s)
    off = (((alone[:, None] + wait_s) / means - 1) ** 2) @ weight + BESIDE * (1 - service_s / alone)
    best = int(np.argmin(off))
    return best, float(alone[best])


def _relative_error(latency_s: FloatArray) -> float:
    """The standard error of a step's mean by batch means, as a share of it."""
    means = np.array([part.mean() for part in np.array_split(latency_s, 6)])
    mean = float(latency_s.mean())
    return float(means.std(ddof=1)) / np.sqrt(6) / mean if mean > 0 else np.inf


def _of(values: FloatArray) -> Interval:
    low, high = np.quantile(values, [0.025, 0.975], method="inverted_cdf")
    return Interval(float(values[0]), float(min(low, values[0])), float(max(high, values[0])))


def _curve(steps: Steps, queues: Queue, quantile: float) -> tuple[CurvePoint, ...]:
    rates = np.linspace(steps.rate_rps.min(), max(steps.rate_rps.max() * 1.1, queues.most_rps[0] * 0.99), CURVE_POINTS)
    found = percentile_s(queues, rates, steps.alone_s, quantile) * 1e3
    low, high = np.quantile(found, [0.025, 0.975], axis=0, method="inverted_cdf")
    found, low, high = (np.where(np.isfinite(one), one, np.nan) for one in (found, low, high))
    return tuple(
        CurvePoint(float(x), *(None if np.isnan(v) else float(v) for v in (found[0, i], low[i], high[i])))
        for i, x in enumerate(rates)
    )
