"""Figures as people read them; unknown is written as such, never as zero."""

from __future__ import annotations

import math

from seamark.core.figures import figure
from seamark.core.findings import Capacity, RunStatus, ThresholdResult

UNKNOWN = "unknown"

HEADLINES = {
    RunStatus.QUEUED: "Waiting",
    RunStatus.RUNNING: "Running",
    RunStatus.PASSED: "Passed",
    RunStatus.FAILED: "Failed",
    RunStatus.INCONCLUSIVE: "Inconclusive",
    RunStatus.ABORTED: "Aborted",
}

LIMITS = {
    "slo": "the SLO no longer held above it",
    "saturation": "the target was saturated above it",
    "stop_rps": "the search stopped at its highest rate, the target may carry more",
    "generator": "the load generator could send no more, the target may carry more",
}


def number(value: float | None) -> str:
    """Three significant digits, or all of an integer part.

    >>> number(1234.56), number(999.9), number(0.01234), number(12.0), number(None)
    ('1,235', '1,000', '0.0123', '12', 'unknown')
    """
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return figure(value, 3)


def milliseconds(value: float | None) -> str:
    """A latency with its unit."""
    return UNKNOWN if number(value) == UNKNOWN else f"{number(value)} ms"


def percent(ratio: float | None) -> str:
    """A ratio as a percentage."""
    return UNKNOWN if number(ratio) == UNKNOWN or ratio is None else f"{number(ratio * 100)} %"


def outcome(threshold: ThresholdResult) -> str:
    """`passed`, `failed` or `unknown`."""
    if threshold.passed is None:
        return UNKNOWN
    return "passed" if threshold.passed else "failed"


def measured(threshold: ThresholdResult) -> str:
    """What was measured, with its unit where it has one."""
    if threshold.actual is None:
        return "not measured"
    return milliseconds(threshold.actual) if "_ms" in threshold.text else number(threshold.actual)


def held(value: bool | None) -> str:
    """Whether a capacity step held: `yes`, `no` or `unknown`."""
    return UNKNOWN if value is None else ("yes" if value else "no")


def capacity_sentence(capacity: Capacity) -> str:
    """The capacity with its interval, in one sentence."""
    above = f"{number(capacity.high)}" if capacity.high is not None else "not found"
    limit = LIMITS.get(capacity.limited_by, capacity.limited_by)
    support = "" if capacity.supported else "; too few samples to support the percentile"
    return (
        f"{number(capacity.rps)} requests per second per replica "
        f"(between {number(capacity.low)} and {above}): {limit}{support}"
    )


def encodable(text: str) -> str:
    """Text without the lone surrogates that JSON may carry in and UTF-8 cannot carry out."""
    return text.encode("utf-8", "replace").decode("utf-8")
