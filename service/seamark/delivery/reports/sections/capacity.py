"""A capacity search -> the rate one replica carried with its interval, and the steps that showed it."""

from __future__ import annotations

from collections.abc import Sequence

from seamark.core.findings import Capacity, CapacityStep
from seamark.core.thresholds import DISTRIBUTIONS, parse_threshold
from seamark.delivery.reports import figures, svg
from seamark.delivery.reports.report import RunReport
from seamark.delivery.reports.section import Section, figure, paragraph, table

_QUANTILES = {0.5: "p50", 0.95: "p95", 0.99: "p99"}
MARKS = {True: ("solid", "good"), False: ("cross", "bad"), None: ("hollow", "plain")}
ROOM = 1.05
HEADS = ("Asked per s", "Achieved per s", "Requests", "Errors", "p50", "p99", "Held", "Why")


def section(report: RunReport) -> Section | None:
    """None where no capacity was sought or found."""
    capacity = report.verdict.capacity if report.verdict else None
    if capacity is None:
        return None
    body = paragraph(f"{figures.capacity_sentence(capacity)}.")
    quantile, limit_ms = latency_limit(report)
    known = [step for step in capacity.steps if getattr(step.latency, quantile) is not None]
    if known:
        aside = "filled: the thresholds held; cross: they did not; ring: the samples do not say"
        body += figure(
            f"{quantile} latency of each step",
            f"{aside}; shaded: the interval",
            _plot(capacity, known, quantile, limit_ms),
        )
    rows = [
        (
            figures.number(step.asked_rps),
            figures.number(step.achieved_rps),
            f"{step.requests:,}",
            figures.percent(step.error_ratio),
            figures.milliseconds(step.latency.p50),
            figures.milliseconds(step.latency.p99),
            figures.held(step.held),
            step.reason,
        )
        for step in capacity.steps
    ]
    return Section("capacity", "Capacity", body + table("Capacity steps", HEADS, rows, right=frozenset(range(6))))


def latency_limit(report: RunReport) -> tuple[str, float | None]:
    """The first latency threshold: its percentile (p99 where that is none we keep) and its limit in milliseconds."""
    for result in report.thresholds:
        try:
            threshold = parse_threshold(result.text)
        except ValueError:
            continue
        if threshold.metric in DISTRIBUTIONS[:1] and threshold.quantile is not None:
            return _QUANTILES.get(threshold.quantile, "p99"), threshold.limit
    return "p99", None


def _plot(capacity: Capacity, steps: Sequence[CapacityStep], quantile: str, limit_ms: float | None) -> svg.Plot:
    ordered = sorted(steps, key=lambda step: step.asked_rps)
    points = [(step.asked_rps, getattr(step.latency, quantile)) for step in ordered]
    marks = [
        svg.Mark(
            rate,
            value,
            *MARKS[step.held],
            f"{figures.number(rate)} per s: {quantile} {figures.milliseconds(value)}, {step.reason}",
        )
        for step, (rate, value) in zip(ordered, points, strict=True)
    ]
    # Room beyond the last mark and above the highest one: on the edge of the plot neither could be read.
    x = svg.linear("requests per second asked for", [rate * ROOM for rate, _ in points])
    rules = [svg.Rule(f"{figures.number(capacity.rps)} per s", "good", capacity.rps, upright=True)]
    if limit_ms is not None:
        rules.append(svg.Rule(f"limit {figures.milliseconds(limit_ms)}", "bad", limit_ms))
    return svg.Plot(
        f"{quantile} latency against the rate of each of {len(points)} steps; {figures.capacity_sentence(capacity)}.",
        x,
        svg.either(f"{quantile}, ms", [limit_ms, *(value * ROOM for _, value in points)]),
        marks=marks,
        rules=rules,
        band=(capacity.low, capacity.high if capacity.high is not None else x.high),
    )
