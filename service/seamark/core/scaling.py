"""What the steps of a capacity search say about the law behind them: curves to draw, what one replica more brings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval; `high` None: nothing bounds it above."""

    value: float
    low: float
    high: float | None


@dataclass(frozen=True)
class CurvePoint:
    """One point of a fitted curve with its 95 % band; None: the curve has no value there (beyond saturation)."""

    x: float
    y: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class UslFit:
    """The Universal Scalability Law of one replica: throughput over requests in flight.

    `state`: `ok`; `too_few_points`; `no_contention` (throughput rose in step with what was in flight: nothing is seen
    of a limit); `poor_fit` (the law is not this target's). `peak_in_flight` is N*, None where throughput levels off
    without falling.
    """

    state: str
    points: int
    rate_alone_rps: Interval | None = None  # λ: throughput with one request in flight
    contention: Interval | None = None  # σ
    coherency: Interval | None = None  # κ
    peak_in_flight: Interval | None = None  # N* = sqrt((1 - σ) / κ)
    peak_rps: Interval | None = None  # X(N*), or what throughput levels off at
    fall_measured: bool = False  # whether a step beyond N* got through less: else N* is where the curve leads
    error_ratio: float | None = None  # of throughput, root mean square over the points
    curve: tuple[CurvePoint, ...] = ()  # requests in flight -> requests per second, per replica
    measured: tuple[tuple[float, float], ...] = ()  # the points it was fitted to


@dataclass(frozen=True)
class QueueFit:
    """The target as G/G/c, by Allen and Cunneen: slots, service time and what varies -> a latency percentile over rate.

    `state`: `ok`; `too_few_points`; `no_queue` (latency did not rise with the rate, so the slots are not seen);
    `poor_fit` (`error_ratio` says how far it is off: nothing is foretold from it).
    """

    state: str
    points: int
    slots: Interval | None = None
    service_ms: Interval | None = None  # mean time a request holds a slot
    beside_ms: float | None = None  # mean time of a request in which it holds none
    service_cv: float | None = None
    arrivals_cv: float | None = None
    percentile: str | None = None  # of latency, as the first threshold has it: "p95"
    error_ratio: float | None = None  # of that percentile, median over the steps that held
    curve: tuple[CurvePoint, ...] = ()  # requests per second -> that percentile, ms, of all tested replicas together


@dataclass(frozen=True)
class ReplicaGain:
    """What one more replica than were tested brings, in requests per second within the thresholds.

    `linear`: replicas share nothing and each has its own queue, an assumption no single-size test can check.
    `pooled`: they serve one common queue, from the G/G/c fit; None without a good fit.
    """

    replicas: int
    now_rps: float
    linear: Interval
    pooled: Interval | None
    words: str


@dataclass(frozen=True)
class Scaling:
    """Both laws, and the step to one replica more."""

    usl: UslFit
    queue: QueueFit
    one_more: ReplicaGain
