"""Throughput and requests in flight of a search's steps -> the Universal Scalability Law, with intervals.

X(N) = λN / (1 + σ(N-1) + κN(N-1)) (Gunther, Guerrilla Capacity Planning, 2007, ch. 4-6): λ is the throughput of one
request alone, σ the share of work that waits its turn, κ the cost of keeping consistent. Divided out it is linear in
three numbers that must not be negative: N/X = 1/λ + (σ/λ)(N-1) + (κ/λ)N(N-1), and so it is fitted, by least squares
of relative errors. N* = sqrt((1-σ)/κ) is where throughput is highest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from seamark.compute.load_shape import SegmentResult
from seamark.core.scaling import CurvePoint, Interval, UslFit

FloatArray = npt.NDArray[np.float64]

POINTS_MIN = 6
SPREAD_MIN = 2.0  # the largest number in flight by the smallest: less says nothing about a law
RESAMPLES = 200
CURVE_POINTS = 25
POOR = 0.2  # root mean square error beyond which the law is not this target's
UNBOUNDED = 1e9  # requests per second: a rate like this comes of a fit without a rate of its own
SOUND_MIN = 0.9  # of the resampled fits
ANSWERED_MIN = 0.95
BEYOND_PEAK, FALLEN = 1.2, 0.95  # a step this far beyond N* with this share of the highest throughput shows it falls
CONTENTION_SEEN = 0.002  # σ, or κ times the number in flight, whose lower end is under this is not seen


def in_flight(results: Sequence[SegmentResult], replicas: int) -> tuple[FloatArray, FloatArray]:
    """Return (requests in flight, throughput in 1/s) of each step, per replica, ascending.

    By Little's law in_flight = throughput x mean time in the system; both are means from a step's start to its last
    answer, so that it holds for a step that was too much as well. Steps with many unanswered requests are left out.
    """
    points = []
    for result in results:
        answered = ~np.isnan(result.service_latency_ms)
        if not len(answered) or answered.mean() < ANSWERED_MIN:
            continue
        latency_s = result.latency_ms[answered] / 1e3
        lasted_s = max(result.segment.duration_s, float((result.segment.arrivals[answered] + latency_s).max()))
        points.append((latency_s.sum() / lasted_s / replicas, answered.sum() / lasted_s / replicas))
    found = np.array(sorted(points), dtype=float).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def throughput(flight: FloatArray, law: FloatArray) -> FloatArray:
    """Return X(N) of a law (λ, σ, κ)."""
    rate, contention, coherency = law
    return np.asarray(rate * flight / (1 + contention * (flight - 1) + coherency * flight * (flight - 1)))


def fit(flight: FloatArray, rate: FloatArray) -> FloatArray:
    """Return (λ, σ, κ) by non-negative least squares of relative errors of N/X. λ is inf where nothing is known."""
    each = flight / rate
    terms = np.stack([np.ones_like(flight), flight - 1, flight * (flight - 1)], axis=1)
    alone, contention, coherency = nnls(terms / each[:, None], np.ones_like(each))[0]
    law: FloatArray = np.array([1, contention, coherency]) / max(float(alone), 1e-12)
    return law


def usl(results: Sequence[SegmentResult], replicas: int, rng: np.random.Generator) -> UslFit:
    """Return the law of one replica, with 95 % intervals by resampling the residuals (Efron & Tibshirani 1993, 9.4)."""
    flight, rate = in_flight(results, replicas)
    measured = tuple((float(n), float(x)) for n, x in zip(flight, rate, strict=True))
    distinct = len(np.unique(np.round(np.log(rate), 2)))
    if distinct < POINTS_MIN or not 0 < SPREAD_MIN * flight[0] <= flight[-1]:
        return UslFit("too_few_points", distinct, measured=measured)
    law = fit(flight, rate)
    fitted = throughput(flight, law)
    residuals = (rate / fitted - 1) * np.sqrt(len(flight) / (len(flight) - 3))
    resampled = [fitted * (1 + rng.choice(residuals, len(residuals))) for _ in range(RESAMPLES)]
    laws = np.array([fit(flight, np.maximum(one, 1e-9)) for one in resampled])
    error = float(np.sqrt(np.mean((rate / fitted - 1) ** 2)))
    sound = laws[:, 0] < UNBOUNDED
    if law[0] >= UNBOUNDED or sound.mean() < SOUND_MIN or error > POOR:
        return UslFit("poor_fit", distinct, error_ratio=error, measured=measured)
    laws = laws[sound]
    if np.quantile(laws[:, 1] + laws[:, 2] * flight[-1], 0.025) < CONTENTION_SEEN:
        return UslFit(
            "no_contention", distinct, rate_alone_rps=_of(law[0], laws[:, 0]), error_ratio=error, measured=measured
        )
    stars, tops = _peaks(laws)
    star, top = (float(one[0]) for one in _peaks(law[None, :]))
    falls = bool(np.isfinite(star) and np.isfinite(stars).mean() >= 0.975)
    return UslFit(
        "ok",
        distinct,
        _of(law[0], laws[:, 0]),
        _of(law[1], laws[:, 1]),
        _of(law[2], laws[:, 2]),
        _of(star, stars) if falls else None,
        _of(top, tops) if np.isfinite(top) else None,
        falls and bool((rate[flight > BEYOND_PEAK * star] < FALLEN * rate.max()).any()),
        error,
        _curve(flight, law, laws),
        measured,
    )


def _peaks(laws: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return (N*, highest throughput) of each law; N* inf where throughput levels off, at λ/σ, or rises for ever."""
    stars, tops = np.full(len(laws), np.inf), np.full(len(laws), np.inf)
    for index, law in enumerate(laws):
        if law[2] > 0 and law[1] < 1:
            stars[index] = max(np.sqrt((1 - law[1]) / law[2]), 1.0)
            tops[index] = throughput(stars[index : index + 1], law)[0]
        elif law[1] > 0:
            tops[index] = law[0] / law[1]
    return stars, tops


def _of(value: float, resampled: FloatArray) -> Interval:
    low, high = np.quantile(resampled, [0.025, 0.975], method="inverted_cdf")
    return Interval(float(value), float(min(low, value)), float(max(high, value)) if np.isfinite(high) else None)


def _curve(flight: FloatArray, law: FloatArray, laws: FloatArray) -> tuple[CurvePoint, ...]:
    at = np.geomspace(flight[0], flight[-1] * 1.5, CURVE_POINTS)
    low, high = np.quantile([throughput(at, one) for one in laws], [0.025, 0.975], axis=0)
    middle = throughput(at, law)
    return tuple(CurvePoint(*(float(v) for v in point)) for point in zip(at, middle, low, high, strict=True))
