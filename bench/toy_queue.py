"""A simulated server of k slots and one queue, whose true capacity is known -> the results a capacity search is sent.

First come, first served; no network, no clock. For exponential service times the tail of the time in the system is
known exactly (M/M/k), so the highest rate that holds a percentile is too; for other laws it is found by long
simulation, or set beside it by that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapreplace
from math import exp, log, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from seamark.compute.load_shape import Segment, SegmentResult, Shape
from seamark.core.thresholds import Threshold

FloatArray = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], FloatArray]


def exponential(mean_s: float) -> Draw:
    """Service times with coefficient of variation 1."""
    return lambda rng, count: rng.exponential(mean_s, count)


def fixed(mean_s: float) -> Draw:
    """Service times that are all the same."""
    return lambda rng, count: np.full(count, mean_s)


def lognormal(mean_s: float, cv: float) -> Draw:
    """Service times of a mean and a coefficient of variation."""
    sigma = sqrt(log(1 + cv**2))
    return lambda rng, count: rng.lognormal(log(mean_s) - sigma**2 / 2, sigma, count)


@dataclass(frozen=True)
class Server:
    """`slots` requests are worked on at a time; the others wait in the order they came."""

    slots: int
    service_s: Draw
    name: str = "server"

    def sojourn_s(self, arrivals: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Return how long each request takes, from its arrival to its answer; the server is empty at first."""
        service = self.service_s(rng, len(arrivals))
        if self.slots == 1:  # Lindley's recursion in closed form: depart_i = max_j<=i (arrive_j + service_j..i)
            done = np.cumsum(service)
            return np.asarray(np.maximum.accumulate(arrivals - (done - service)) + done - arrivals)
        free = [0.0] * self.slots
        ended = np.empty(len(arrivals))
        for index, (arrive, needs) in enumerate(zip(arrivals.tolist(), service.tolist(), strict=True)):
            end = max(arrive, free[0]) + needs
            heapreplace(free, end)
            ended[index] = end
        return ended - arrivals

    def answer(self, segment: Segment, rng: np.random.Generator, *, errors: float = 0.0) -> SegmentResult:
        """Return how a step of a search goes; `errors` is the share of requests that fail, whatever the rate."""
        latency_ms = self.sojourn_s(segment.arrivals, rng) * 1e3
        ok = rng.random(len(latency_ms)) >= errors
        return SegmentResult(segment, latency_ms, latency_ms.copy(), np.full(len(latency_ms), 0.1), ok)


@dataclass(frozen=True)
class Second:
    """What ended in one second, as a watch is told."""

    done: int
    failed: int
    latency_ms: Sequence[float]
    service_latency_ms: Sequence[float]
    lateness_ms: Sequence[float]


def run(
    shape: Shape, params: Mapping[str, Any], thresholds: Sequence[Threshold], server: Server, seed: int
) -> list[SegmentResult]:
    """Return the steps of a search against a server, as the verdict gets them: pauses left out."""
    return [result for result in walk(shape, params, thresholds, server, seed) if result.segment.asked_rps > 0]


def walk(
    shape: Shape, params: Mapping[str, Any], thresholds: Sequence[Threshold], server: Server, seed: int
) -> Iterator[SegmentResult]:
    """Drive a shape as the open loop does: each segment's whole result, or what came before it was given up, decides
    on the next one.
    """
    rng = np.random.default_rng((seed, 1))
    segments = shape.segments(params, thresholds, seed)
    segment = next(segments)
    try:
        while True:
            result = until_given_up(shape, thresholds, server.answer(segment, rng))
            yield result
            segment = segments.send(result)
    except StopIteration:
        return


def until_given_up(shape: Shape, thresholds: Sequence[Threshold], result: SegmentResult) -> SegmentResult:
    """Return the part of a step that is sent, where the shape's watch looks at it each second but the first."""
    segment = result.segment
    if shape.give_up is None or not len(segment.arrivals):
        return result
    watch, ended_s = shape.give_up(segment, thresholds), segment.arrivals + result.latency_ms / 1e3
    for at_s in range(2, int(np.ceil(segment.duration_s))):
        now = (ended_s > at_s - 1) & (ended_s <= at_s)
        times = result.latency_ms[now].tolist()
        failed = int((~result.ok[now]).sum())
        if watch.hopeless(Second(int(now.sum()), failed, times, times, result.lateness_ms[now].tolist())):
            sent = int(np.searchsorted(segment.arrivals, at_s))
            cut = segment.until(float(at_s), segment.arrivals[:sent])
            parts = (result.latency_ms, result.service_latency_ms, result.lateness_ms)
            return SegmentResult(cut, *(part[:sent] for part in parts), result.ok[:sent])
    return result


def erlang_c(slots: int, offered: float) -> float:
    """Return the share of requests that wait in M/M/k, by Erlang B's recursion (Kleinrock, Queueing Systems I, 3.5)."""
    blocked = 1.0
    for k in range(1, slots + 1):
        blocked = offered * blocked / (k + offered * blocked)
    return blocked / (1 - (offered / slots) * (1 - blocked))


def mmk_tail(slots: int, mean_s: float, rate_rps: float, limit_s: float) -> float:
    """Return P(time in the system > limit) of M/M/k, first come first served.

    With T = S + W, P(W > t) = C e^-(kμ-λ)t and S exponential with rate μ, independent of W:
    P(T > t) = e^-μt (1 - C) + C [kμ-λ) e^-μt - μ e^-(kμ-λ)t] / (kμ - λ - μ) (Kleinrock I, 3.5, by convolution).
    """
    mu, drain = 1 / mean_s, slots / mean_s - rate_rps
    if drain <= 0:
        return 1.0
    waits = erlang_c(slots, rate_rps * mean_s)
    if abs(drain - mu) < 1e-9 * mu:
        return exp(-mu * limit_s) * (1 + waits * mu * limit_s)
    both = (drain * exp(-mu * limit_s) - mu * exp(-drain * limit_s)) / (drain - mu)
    return (1 - waits) * exp(-mu * limit_s) + waits * both


def mmk_capacity(slots: int, mean_s: float, limit_s: float, quantile: float) -> float:
    """Return the highest rate at which the quantile of the time in an M/M/k is within the limit; 0: none is."""
    most = slots / mean_s
    if mmk_tail(slots, mean_s, 1e-9 * most, limit_s) > 1 - quantile:
        return 0.0
    beyond = lambda rate: mmk_tail(slots, mean_s, rate, limit_s) - (1 - quantile)  # noqa: E731
    return float(brentq(beyond, 1e-9 * most, (1 - 1e-12) * most))


def simulated_capacity(
    server: Server, limit_s: float, quantile: float, near_rps: float, *, requests: int = 2_000_000, seed: int = 0
) -> float:
    """Return the same by long simulation: shares beyond the limit at seven rates about `near_rps`, log-linear between.

    Each rate is sent the same random numbers, scaled in time, so that the shares rise smoothly with it.
    """
    rates = near_rps * np.linspace(0.94, 1.06, 7)
    shares = []
    for rate in rates:
        rng = np.random.default_rng(seed)
        arrivals = np.cumsum(rng.exponential(1 / rate, requests))
        shares.append(float((server.sojourn_s(arrivals, rng) > limit_s).mean()))
    if not shares[0] < 1 - quantile < shares[-1]:
        raise ValueError(f"{server.name}: the capacity is not within 6 % of {near_rps}; shares {shares}")
    return float(np.interp(log(1 - quantile), np.log(shares), rates))
