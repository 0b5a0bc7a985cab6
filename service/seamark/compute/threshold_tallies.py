"""A plan's thresholds and the steps made -> what is known of the rate at which the first of them breaks.

A percentile's limit and an error ratio's are both a share of requests beyond something, and are counted request by
request. What is no share (a mean, a maximum, saturation) counts step by step: each step votes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from seamark.compute.crossing import Belief, Tally, batched, least, locate
from seamark.compute.load_shape import FloatArray, SegmentResult
from seamark.core.findings import CapacityStep
from seamark.core.thresholds import OF_TOKENS_BY_REQUEST, Threshold

WARM_UP = 0.1  # of each step: it begins with an empty server, which is faster than the same server at this rate
DOUBTED = 0.25  # of what is allowed: a threshold that no step came so near to has no part in the estimate
TIMES = ("latency_ms", "service_latency_ms", *OF_TOKENS_BY_REQUEST)
_VOTES = 0.5


def believe(
    results: Sequence[SegmentResult], steps: Sequence[CapacityStep], thresholds: Sequence[Threshold]
) -> Belief | None:
    """Return what is known of the capacity of all replicas together; None where no step says anything.

    Steps in which the generator was the bottleneck say nothing.
    """
    seen = [(result, step) for result, step in zip(results, steps, strict=True) if step.held is not None]
    near: list[tuple[list[Tally], float]] = []
    clear: list[tuple[list[Tally], float]] = []
    for threshold in thresholds:
        allowed = allowed_share(threshold)
        if allowed is None:
            continue
        tallies = [found for result, _ in seen if (found := _tally(result, threshold))]
        if tallies:
            doubted = max(tally.share for tally in tallies) >= DOUBTED * allowed
            (near if doubted else clear).append((tallies, allowed))
    if votes := _votes(seen, thresholds, counted=bool(near)):
        near.append((votes, _VOTES))
    chosen = near or clear
    return least([locate(tallies, allowed) for tallies, allowed in chosen]) if chosen else None


def over_limit(result: SegmentResult, threshold: Threshold) -> npt.NDArray[np.bool_] | None:
    """Return which requests are beyond a percentile's limit or, for an error ratio, failed; None: it is no share.

    In the order they were due, without those the threshold does not speak of. A request that was never answered is
    beyond any limit of latency, and one that failed without a token beyond any of token times.
    """
    counted = _counted(result, threshold)
    return None if counted is None else counted[0][counted[1]]


def series(result: SegmentResult, threshold: Threshold) -> FloatArray | None:
    """Return the times of a step that a threshold speaks of, one for each request; None where it speaks of none."""
    return getattr(result, threshold.metric, None) if threshold.metric in TIMES else None


def _counted(result: SegmentResult, threshold: Threshold) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]] | None:
    """Return (beyond the limit, spoken of), a flag for each request."""
    if threshold.metric == "error_ratio":
        return ~result.ok, np.ones(len(result.ok), dtype=bool)
    times = series(result, threshold)
    if times is None or threshold.quantile is None:
        return None
    known = np.where(np.isnan(times), np.inf, times)
    within = known < threshold.limit if threshold.operator == "<" else known <= threshold.limit
    if threshold.metric == "latency_ms":
        return ~within, np.ones(len(times), dtype=bool)
    if threshold.metric == "service_latency_ms":  # what was not sent took no time from the send
        return ~within, ~np.isnan(result.lateness_ms)
    return ~within, ~np.isnan(times) | ~result.ok


def allowed_share(threshold: Threshold) -> float | None:
    """The share of requests that may be beyond the limit, in (0, 1); None: the threshold speaks of no such share."""
    if threshold.operator not in ("<", "<="):
        return None
    if threshold.metric == "error_ratio":
        return threshold.limit if 0.0 < threshold.limit < 1.0 else None
    return 1.0 - threshold.quantile if threshold.metric in TIMES and threshold.quantile is not None else None


def _tally(result: SegmentResult, threshold: Threshold) -> Tally | None:
    counted = _counted(result, threshold)
    if counted is None:
        return None
    over, spoken_of = counted
    warm = spoken_of & (result.segment.arrivals >= WARM_UP * result.segment.duration_s)
    return batched(result.segment.asked_rps, over[warm] if warm.any() else over[spoken_of])


def _votes(
    seen: Sequence[tuple[SegmentResult, CapacityStep]], thresholds: Sequence[Threshold], *, counted: bool
) -> list[Tally]:
    """Return a vote per step, where some step broke by what is not counted request by request."""
    whole = [threshold for threshold in thresholds if allowed_share(threshold) is None]
    broke = [step for _, step in seen if step.held is False and _by_vote(step, whole)]
    if not broke and (counted or not whole):
        return []
    ones = np.ones(1)
    return [Tally(step.asked_rps, ones, ones if step in broke else 0.0 * ones) for _, step in seen]


def _by_vote(step: CapacityStep, whole: Sequence[Threshold]) -> bool:
    return step.reason.startswith("saturated") or any(step.reason.startswith(f"{t.measure} ") for t in whole)
