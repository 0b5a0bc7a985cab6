"""The laws behind a capacity -> sentences: where throughput peaks, how latency rises, what one more replica brings."""

from __future__ import annotations

from seamark.core.scaling import Interval, QueueFit, Scaling, UslFit
from seamark.delivery.reports.figures import milliseconds, number, percent


def sentences(scaling: Scaling) -> list[str]:
    """Return what one more replica brings and what both laws say, each with how far it is off: a line each."""
    law = scaling.usl
    throughput = [_peak(law), _misses(law)] if law.state == "ok" else [usl_words(law)]
    return [replica_words(scaling), *throughput, queue_words(scaling.queue)]


def usl_words(law: UslFit) -> str:
    """N* and the highest throughput of a replica; or why the Universal Scalability Law says nothing here."""
    name = "The Universal Scalability Law"
    if law.state == "too_few_points":
        return (
            f"{name} could not be fitted: {law.points} different rates are too few, or too alike in requests in flight."
        )
    if law.state == "no_contention":
        return (
            f"{name} says nothing of a peak: throughput rose in step with requests in flight, so no limit of one "
            "replica was seen."
        )
    if law.state != "ok":
        return f"{name} is not this target's{_off(law.error_ratio, 'throughput', law.points)}; no peak is told from it."
    return f"{_peak(law)} {_misses(law)}"


def queue_words(law: QueueFit) -> str:
    """Slots and service time; or why the target was not seen as a queue."""
    name = "Latency as a queue (G/G/c)"
    if law.state == "too_few_points":
        return f"{name} could not be fitted: too few different rates were measured in full."
    if law.state == "no_queue":
        return f"{name} could not be fitted: latency did not rise with the rate, so its slots were not seen."
    if law.state != "ok" or law.slots is None or law.service_ms is None:
        return f"{name} is not this target's{_off(law.error_ratio, law.percentile or 'latency', law.points)}."
    return (
        f"Latency rises as that of a queue with {_slots(law.slots)}, each held "
        f"{milliseconds(law.service_ms.value)} by a request (95 %: {_range(law.service_ms)}); its {law.percentile} is "
        f"off by {percent(law.error_ratio)} (median over the steps that held)."
    )


def replica_words(scaling: Scaling) -> str:
    """What one more replica brings, and under which assumption."""
    words = scaling.one_more.words
    return f"{words[:1].upper()}{words[1:]}."


def seen(law: UslFit) -> str:
    """In a word how N* is known: `seen`, or `extrapolated`."""
    return "seen" if law.fall_measured else "extrapolated"


def _peak(law: UslFit) -> str:
    at = f"{number(law.peak_rps.value)} requests/s (95 %: {_range(law.peak_rps)})" if law.peak_rps is not None else None
    if law.peak_in_flight is None:
        told = f"levels off at {at}" if at is not None else "has no limit that the steps show"
        return f"Throughput of a replica {told}: it was not seen to fall, so there is no N*."
    most = f": {at}" if at is not None else ""
    how = (
        "A step beyond it got clearly less through: the peak was seen."
        if law.fall_measured
        else "No step beyond it got clearly less through: N* is extrapolated, not seen."
    )
    return f"Throughput of a replica is highest with N* = {_told(law.peak_in_flight)} requests in flight{most}. {how}"


def _misses(law: UslFit) -> str:
    return f"That law is off by {percent(law.error_ratio)} of throughput over {law.points} different rates."


def _off(error_ratio: float | None, of: str, points: int) -> str:
    return f" (it is off by {percent(error_ratio)} of {of} over {points} steps)" if error_ratio is not None else ""


def _slots(slots: Interval) -> str:
    told = f"{number(slots.value)} slot{'' if slots.value == 1 else 's'}"
    return told if slots.low == slots.high else f"{told} (95 %: {_range(slots)})"


def _told(interval: Interval) -> str:
    return f"{number(interval.value)} (95 %: {_range(interval)})"


def _range(interval: Interval) -> str:
    low = number(interval.low)
    return f"{low} to {number(interval.high)}" if interval.high is not None else f"{low} or more"
