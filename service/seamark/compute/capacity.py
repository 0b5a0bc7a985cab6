"""Load-test steps -> the highest rate that holds the thresholds, and whether the samples are enough to say so."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log, log2
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import betainc

from seamark.compute.load_shape import FloatArray, SegmentResult
from seamark.core.findings import Capacity, CapacityStep, LatencySummary
from seamark.core.thresholds import OF_TOKENS_BY_REQUEST, Threshold

CONFIDENCE = 0.99
RESOLUTION = 1.1  # bisection ends when the rate that failed is within 10 % of one that held
LATE_MS = 10.0  # a generator that is later than this, or than a tenth of the limit, measures itself


def supported(requests: int, over: int, quantile: float, *, confidence: float = CONFIDENCE) -> bool:
    """Whether `over` of `requests` beyond a limit show that the quantile lies within it, at this confidence.

    MLPerf's early-stopping bound (MLCommons inference rules, appendix on early stopping): with h = requests - over,
    I_q(h, over + 1) <= 1 - confidence, where I is the regularised incomplete beta function.

    >>> supported(459, 0, 0.99), supported(458, 0, 0.99)
    (True, False)
    """
    h = requests - over
    return h > 0 and bool(betainc(h, over + 1, quantile) <= 1.0 - confidence)


def requests_needed(quantile: float, *, confidence: float = CONFIDENCE) -> int:
    """Return how many requests without a slow one support a quantile: q^h <= 1 - confidence.

    >>> requests_needed(0.99)
    459
    """
    return ceil(log(1.0 - confidence) / log(quantile))


def step_duration_s(rate_rps: float, step_s: float, thresholds: Sequence[Threshold]) -> float:
    """Return how long a step lasts: as asked, or longer where its percentiles need more requests, up to a bound."""
    quantiles = [t.quantile for t in thresholds if t.quantile is not None]
    # Twice the least number: with the least, a single slow request in the step leaves the percentile unsupported.
    wanted = 2.0 * max((requests_needed(q) for q in quantiles), default=0) / rate_rps
    return float(min(max(step_s, wanted), step_s * Search.STRETCH_MAX))


class Search:
    """Doubles from `start_rps` until a step does not hold, then bisects; the state of one search."""

    STRETCH_MAX: ClassVar[float] = 3.0
    STEPS_MAX: ClassVar[int] = 24
    HALVINGS_MAX: ClassVar[int] = 4  # below start_rps, before giving up

    def __init__(self, start_rps: float, stop_rps: float) -> None:
        self._start, self._stop = start_rps, stop_rps
        self._next: float | None = start_rps
        self._held: float | None = None
        self._failed: float | None = None
        self._taken = 0

    @classmethod
    def steps_max(cls, start_rps: float, stop_rps: float) -> int:
        """Return how many steps a search may take at most."""
        return min(cls.STEPS_MAX, ceil(log2(max(stop_rps / start_rps, 1.0))) + 2 + cls.HALVINGS_MAX + 4)

    def next_rate(self) -> float | None:
        """The rate to try next; None: the search is over."""
        return self._next

    def observe(self, result: SegmentResult, thresholds: Sequence[Threshold]) -> bool:
        """Take a step's result in; returns whether it held."""
        step = judge_step(result, thresholds)
        rate = step.asked_rps
        self._taken += 1
        if step.held is None:  # the generator was the bottleneck: higher rates would measure it, not the target
            self._next = None
            return False
        if step.held:
            self._held = max(rate, self._held or 0.0)
        elif (
            self._taken == 1
        ):  # one hiccup of a cold target must not cap the whole search: the first rate is asked again
            self._next = rate
            return False
        else:
            self._failed = min(rate, self._failed or rate)
        over = self._taken >= self.steps_max(self._start, self._stop)
        self._next = None if over else self._choose()
        return step.held

    def _choose(self) -> float | None:
        if self._failed is None:
            assert self._held is not None
            return None if self._held >= self._stop else min(self._held * 2.0, self._stop)
        if self._held is None:
            lower = self._failed / 2.0
            return lower if lower >= self._start / 2.0**self.HALVINGS_MAX else None
        if self._failed / self._held <= RESOLUTION:
            return None
        return float(np.sqrt(self._held * self._failed))  # the middle on the scale that doubling walks on


def judge_step(result: SegmentResult, thresholds: Sequence[Threshold]) -> CapacityStep:
    """Return whether a step held its thresholds; held None: the generator, not the target, was measured.

    Requests that were never answered count as slower than any limit and as errors.
    """
    requests, asked = len(result.ok), result.segment.asked_rps
    latency = np.where(np.isnan(result.latency_ms), np.inf, result.latency_ms)
    error_ratio = float((~result.ok).mean()) if requests else 0.0
    sent = ~np.isnan(result.lateness_ms)
    achieved = float(sent.sum()) / result.segment.duration_s
    held, reason = _decide(result, latency, error_ratio, thresholds)
    answered = result.latency_ms[~np.isnan(result.latency_ms)]
    return CapacityStep(asked, achieved, requests, error_ratio, summary(answered), held, reason)


def _decide(
    result: SegmentResult, latency: FloatArray, error_ratio: float, thresholds: Sequence[Threshold]
) -> tuple[bool | None, str]:
    if not len(latency):
        return None, "no request was due"
    late_ms = _quantile(result.lateness_ms[~np.isnan(result.lateness_ms)], 0.99)
    late_limit_ms = lateness_limit_ms(thresholds)
    for threshold in thresholds:
        actual = _measure(threshold, result, latency, error_ratio)
        if actual is None and threshold.metric in OF_TOKENS_BY_REQUEST:
            return None, f"{threshold.measure} was not measured: no answer of the step streamed tokens"
        if actual is not None and not threshold.holds(actual):
            if late_ms is not None and late_ms > late_limit_ms and not _slow_from_the_send(threshold, result):
                return None, f"requests were sent {late_ms:.0f} ms late (p99): the load generator was the bottleneck"
            return False, f"{threshold.measure} was {actual:.4g}, the limit is {threshold}"
    if _saturated(result, latency):
        return False, "saturated: requests in flight and latency kept rising through the step"
    return True, "every threshold held"


def _slow_from_the_send(threshold: Threshold, result: SegmentResult) -> bool:
    """Whether the target alone breaks a latency limit: counted from the send, lateness has no part in it."""
    if threshold.metric != "latency_ms":
        return threshold.metric in ("service_latency_ms", *OF_TOKENS_BY_REQUEST)
    unanswered = np.isnan(result.service_latency_ms) & ~np.isnan(result.lateness_ms)
    from_send = np.where(unanswered, np.inf, result.service_latency_ms)
    actual = aggregate(from_send[~np.isnan(from_send)], threshold)
    return actual is not None and not threshold.holds(actual)


def lateness_limit_ms(thresholds: Sequence[Threshold]) -> float:
    """Return how late requests may be sent, as p99: a tenth of the tightest latency limit, at least LATE_MS."""
    limits = [t.limit for t in thresholds if t.metric in ("latency_ms", "service_latency_ms")]
    return max(LATE_MS, 0.1 * min(limits, default=0.0))


def _measure(threshold: Threshold, result: SegmentResult, latency: FloatArray, error_ratio: float) -> float | None:
    if threshold.metric == "error_ratio":
        return error_ratio
    if threshold.metric in OF_TOKENS_BY_REQUEST:
        return of_tokens(threshold, result)
    series = {"latency_ms": latency, "service_latency_ms": result.service_latency_ms, "lateness_ms": result.lateness_ms}
    values = series.get(threshold.metric)
    if values is None:
        return None  # achieved_rate, requests, rate_rps speak of a whole run
    return aggregate(values[~np.isnan(values)], threshold)


def of_tokens(threshold: Threshold, result: SegmentResult) -> float | None:
    """Return what a threshold of token times speaks of in a step, None where no answer of it streamed.

    A request that failed without a token is slower than any limit.
    """
    values: FloatArray | None = getattr(result, threshold.metric, None)
    if values is None or np.isnan(values).all():
        return None
    values = np.where(np.isnan(values) & ~result.ok, np.inf, values)
    return aggregate(values[~np.isnan(values)], threshold)


def aggregate(values: FloatArray, threshold: Threshold) -> float | None:
    """Return the part of a distribution that a threshold names; None without values."""
    if not len(values):
        return None
    if threshold.quantile is not None:
        return _quantile(values, threshold.quantile)
    return float(values.max() if threshold.aggregate == "max" else values.mean())


def _quantile(values: FloatArray, q: float) -> float | None:
    """The smallest value that at least the share q of the values do not exceed."""
    return float(np.quantile(values, q, method="inverted_cdf")) if len(values) else None


def _saturated(result: SegmentResult, latency: FloatArray) -> bool:
    """Whether both the latency and the number in flight rise through the step, beyond doubt.

    Latency: the last third's median over twice the first's. In flight: at the end over twice what it was after the
    first third, and more than ten.
    """
    due = result.segment.arrivals
    if len(due) < 30:
        return False
    third = len(due) // 3
    slower = np.median(latency[-third:]) > 2.0 * max(float(np.median(latency[:third])), 1.0)
    ended = due + latency / 1e3
    in_flight_early = int((ended[:third] > due[third]).sum())
    in_flight_late = int((ended > due[-1]).sum())
    return bool(slower and in_flight_late > 10 and in_flight_late > 2 * in_flight_early)


def conclude(
    steps: Sequence[CapacityStep],
    results: Sequence[SegmentResult],
    thresholds: Sequence[Threshold],
    *,
    replicas: int,
    stop_rps: float,
) -> Capacity | None:
    """Return what one replica carries; None where no step held. `results` are the steps as measured, in their order.

    `low` and `rps` are the highest rate that held below the lowest that did not, `high` that lowest one, each divided
    by the replicas behind the target. `supported`: the requests of the best step were enough to say, at 99 %
    confidence, that each latency percentile lies within its limit.
    """
    settled = {step.asked_rps: step for step in steps}  # a rate that was asked again is judged by its last step
    failed = min((rate for rate, step in settled.items() if step.held is False), default=None)
    held = [step for step in steps if step.held and (failed is None or step.asked_rps < failed)]
    if not held:
        return None
    best = max(held, key=lambda step: step.asked_rps)
    if failed is not None:
        broke = next(step for step in steps if step.held is False and step.asked_rps == failed)
        limited_by = "saturation" if broke.reason.startswith("saturated") else "slo"
    else:
        limited_by = "stop_rps" if best.asked_rps >= stop_rps else "generator"
    low = best.asked_rps / replicas
    high = failed / replicas if failed is not None else None
    shown = is_supported(results[next(i for i, step in enumerate(steps) if step is best)], thresholds)
    return Capacity(low, low, high, limited_by, tuple(steps), shown)


def is_supported(result: SegmentResult, thresholds: Sequence[Threshold]) -> bool:
    """Whether a step's requests show every latency percentile to be within its limit; unanswered ones are beyond it."""
    latency = np.where(np.isnan(result.latency_ms), np.inf, result.latency_ms)
    return all(
        supported(len(latency), int(sum(not threshold.holds(value) for value in latency)), threshold.quantile)
        for threshold in thresholds
        if threshold.quantile is not None and threshold.metric == "latency_ms"
    )


def summary(values: npt.NDArray[np.float64]) -> LatencySummary:
    """Return exact quantiles in milliseconds; None without values."""
    if not len(values):
        return LatencySummary(None, None, None, None)
    p50, p95, p99 = (_quantile(values, q) for q in (0.5, 0.95, 0.99))
    return LatencySummary(p50, p95, p99, float(values.max()))
