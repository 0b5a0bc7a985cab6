"""Load-test steps -> the highest rate that holds the thresholds, and whether the samples are enough to say so."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log

import numpy as np
import numpy.typing as npt
from scipy.special import betainc

from seamark.compute.crossing import LOWER, UPPER
from seamark.compute.load_shape import FloatArray, SegmentResult
from seamark.compute.threshold_tallies import believe, over_limit
from seamark.core.figures import figure
from seamark.core.findings import Capacity, CapacityStep, LatencySummary
from seamark.core.thresholds import OF_TOKENS_BY_REQUEST, Threshold

CONFIDENCE = 0.99
SUPPORT_REACH = 0.8  # of the advised rate: requests from here on are pooled to support it
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
            return False, f"{threshold.measure} was {figure(actual)}, the limit is {threshold}"
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

    `rps` is the estimate of the rate at which the first threshold breaks, `low` and `high` its 95 % interval
    (compute/crossing), each divided by the replicas behind the target. Where every step held up to `stop_rps`, or up to
    where the generator was the bottleneck, `rps` and `low` are the highest rate that held and `high` is None.
    `supported`: the requests of steps up to some rate a little below `rps` are enough to say, at 99 % confidence, that
    each latency percentile lies within its limit there.
    """
    requests = sum(step.requests for step in steps)
    steps_all, steps, results = tuple(steps), *_settled(steps, results)
    held = max((step.asked_rps for step in steps if step.held), default=None)
    belief = believe(results, steps, thresholds) if held is not None else None
    if held is None:
        return None
    broken = [step for step in steps if step.held is False]
    if belief is None or not broken or belief.above(stop_rps) >= UPPER:
        best, low, high = held, held, None
        limited_by = "stop_rps" if held >= stop_rps else "generator"
    else:
        best, low, high = min(belief.rps, stop_rps), min(belief.quantile(LOWER), stop_rps), belief.quantile(UPPER)
        first = min(broken, key=lambda step: step.asked_rps)
        limited_by = "saturation" if first.reason.startswith("saturated") else "slo"
        if belief.rps >= stop_rps:
            limited_by, high = "stop_rps", None
    shown = _shown_to_hold(results, low, best, thresholds)
    return Capacity(
        best / replicas,
        low / replicas,
        high / replicas if high is not None else None,
        limited_by,
        steps_all,
        shown,
        requests=requests,
    )


def _settled(
    steps: Sequence[CapacityStep], results: Sequence[SegmentResult]
) -> tuple[Sequence[CapacityStep], Sequence[SegmentResult]]:
    """Leave out a first step that broke and was made again: the target was cold."""
    again = len(steps) > 1 and steps[0].held is False and steps[0].asked_rps == steps[1].asked_rps
    return (steps[1:], results[1:]) if again else (steps, results)


def _shown_to_hold(
    results: Sequence[SegmentResult], low_rps: float, best_rps: float, thresholds: Sequence[Threshold]
) -> bool:
    """Whether, up to some rate no higher than the estimate and little under it, the steps pooled support the SLO."""
    near = [r for r in results if SUPPORT_REACH * low_rps <= r.segment.asked_rps <= best_rps * (1 + 1e-9)]
    near.sort(key=lambda result: result.segment.asked_rps)
    return any(is_supported(near[:count], thresholds) for count in range(1, len(near) + 1))


def is_supported(results: Sequence[SegmentResult], thresholds: Sequence[Threshold]) -> bool:
    """Whether the steps' requests together show every latency percentile to be within its limit.

    Requests without an answer are beyond it.
    """
    for threshold in thresholds:
        if threshold.quantile is None or threshold.metric != "latency_ms":
            continue
        over = [int(np.sum(beyond)) for one in results if (beyond := over_limit(one, threshold)) is not None]
        if not supported(sum(len(one.ok) for one in results), sum(over), threshold.quantile):
            return False
    return True


def summary(values: npt.NDArray[np.float64]) -> LatencySummary:
    """Return exact quantiles in milliseconds; None without values."""
    if not len(values):
        return LatencySummary(None, None, None, None)
    p50, p95, p99 = (_quantile(values, q) for q in (0.5, 0.95, 0.99))
    return LatencySummary(p50, p95, p99, float(values.max()))
