"""The laws behind a capacity -> throughput over requests in flight and latency over the rate, drawn with the steps."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from seamark.core.findings import Capacity
from seamark.core.scaling import CurvePoint, QueueFit, UslFit
from seamark.core.thresholds import parse_threshold
from seamark.delivery.reports import figures, scaling, svg
from seamark.delivery.reports.report import RunReport
from seamark.delivery.reports.section import Section, figure, paragraph
from seamark.delivery.reports.sections.capacity import MARKS

KEPT = ("p50", "p95", "p99")  # of each step's latency
OVER_LIMIT = 3.0  # times the limit, or the slowest step: what a curve has above it is not drawn


def section(report: RunReport) -> Section | None:
    """None where no capacity was found, or it was found before these laws were told."""
    capacity = report.verdict.capacity if report.verdict else None
    if capacity is None or capacity.scaling is None:
        return None
    told = capacity.scaling
    body = paragraph(scaling.replica_words(told)) + paragraph(scaling.usl_words(told.usl))
    if told.usl.measured:
        caption = "Throughput of a replica over its requests in flight"
        body += figure(caption, _aside(told.usl.curve, "dots: the steps"), _usl_plot(told.usl))
    body += paragraph(scaling.queue_words(told.queue))
    if told.queue.curve:
        body += _queue_figure(report, capacity, told.queue)
    return Section("scaling", "What a replica more brings", body)


def _aside(curve: Sequence[CurvePoint], marks: str) -> str:
    return f"{marks}; shaded: the law's 95 % band" if curve else f"{marks}; no law was fitted"


def _usl_plot(law: UslFit) -> svg.Plot:
    marks = [
        svg.Mark(x, y, "solid", "due", f"{figures.number(x)} in flight: {figures.number(y)} requests per second")
        for x, y in law.measured
    ]
    ys = [*(y for _, y in law.measured), *(value for point in law.curve for value in (point.y, point.high))]
    rules = []
    if law.peak_in_flight is not None:
        # A curve that peaks far beyond the steps must not squeeze them into a corner: the sentence has the figure.
        x_end = max(point.x for point in law.curve) if law.curve else law.measured[-1][0]
        if law.peak_in_flight.value <= x_end:
            name = f"N* = {figures.number(law.peak_in_flight.value)}, {scaling.seen(law)}"
            rules.append(svg.Rule(name, "plain", law.peak_in_flight.value, upright=True))
    if law.peak_rps is not None:
        what = "peak" if law.peak_in_flight is not None else "levels off at"
        name = f"{what} {figures.number(law.peak_rps.value)} per s"
        rules.append(svg.Rule(name, "good", law.peak_rps.value))
        ys.append(law.peak_rps.value)
    says = f"Requests per second over requests in flight of {len(law.measured)} steps, per replica."
    return svg.Plot(
        f"{says} {scaling.usl_words(law)}",
        svg.either("requests in flight, per replica", [x for x, _ in law.measured] + [point.x for point in law.curve]),
        svg.linear("requests per second", ys),
        lines=[svg.Line("Universal Scalability Law", "due", [(p.x, p.y) for p in law.curve])] if law.curve else [],
        marks=marks,
        rules=rules,
        spreads=[svg.Spread("due", [(p.x, p.low, p.high) for p in law.curve])],
    )


def _queue_figure(report: RunReport, capacity: Capacity, law: QueueFit) -> Markup:
    name = law.percentile or "latency"
    marks = _steps(capacity, name)
    limit_ms = _limit_ms(report, name)
    highest = max([mark.y for mark in marks] or [point.y or 0.0 for point in law.curve])
    top = min(highest, OVER_LIMIT * limit_ms) if limit_ms else highest
    marks = [mark for mark in marks if mark.y <= top]
    left_out = sum(getattr(step.latency, name, None) is not None for step in capacity.steps) - len(marks)
    y = svg.either(f"{name}, ms", [limit_ms, top, *(mark.y for mark in marks), law.curve[0].y])
    curve = svg.upto(((p.x, p.y) for p in law.curve), y.high)
    rules = [svg.Rule(f"limit {figures.milliseconds(limit_ms)}", "bad", limit_ms)] if limit_ms else []
    plot = svg.Plot(
        f"{name} latency over the rate of all tested replicas together. {scaling.queue_words(law)}",
        svg.linear("requests per second, all replicas", [mark.x for mark in marks] + [at for at, _ in curve]),
        y,
        lines=[svg.Line("G/G/c", "due", curve)],
        marks=marks,
        rules=rules,
        spreads=[svg.Spread("due", [(p.x, p.low, p.high) for p in law.curve])],
    )
    dots = "filled: the step held; cross: it did not" if marks else f"{name} of each step is not kept"
    more = f"; {left_out} slower step{' lies' if left_out == 1 else 's lie'} above" if left_out else ""
    return figure(f"{name} latency over the rate", _aside(law.curve, dots) + more, plot)


def _limit_ms(report: RunReport, name: str) -> float | None:
    """What the first threshold of this percentile of latency allows; None where there is none."""
    for result in report.thresholds:
        try:
            threshold = parse_threshold(result.text)
        except ValueError:
            continue
        if threshold.aggregate and threshold.metric.endswith("latency_ms") and _same(threshold.aggregate, name):
            return threshold.limit
    return None


def _same(aggregate: str, name: str) -> bool:
    return aggregate[:1] == name[:1] == "p" and float(aggregate[1:]) == float(name[1:])


def _steps(capacity: Capacity, name: str) -> list[svg.Mark]:
    found = []
    for step in capacity.steps:
        value = getattr(step.latency, name) if name in KEPT else None
        if value is not None:
            told = f"{figures.number(step.asked_rps)} per s: {name} {figures.milliseconds(value)}, {step.reason}"
            found.append(svg.Mark(step.asked_rps, value, *MARKS[step.held], told))
    return found
