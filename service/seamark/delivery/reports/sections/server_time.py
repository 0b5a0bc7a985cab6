"""A run's traces -> where the server's time went, and the slowest requests with the way to their traces."""

from __future__ import annotations

from markupsafe import Markup

from seamark.core.load_traces import RunTraces, SlowRequest
from seamark.delivery.reports import figures
from seamark.delivery.reports.report import RunReport
from seamark.delivery.reports.section import Section, paragraph, table

HEADS = ("Span", "Spans", "Failed", "Own time", "Share", "p50", "p99")
SLOW_HEADS = ("Trace", "Due at", "Latency from due", "From the send", "In the server", "Outcome")


def section(report: RunReport) -> Section | None:
    """None where no request bore a trace."""
    traces = report.traces
    if traces is None or not traces.requests:
        return None
    body = _names(traces) if traces.names else _none(traces)
    if traces.slowest:
        rows = [_slow(report, request) for request in traces.slowest]
        slowest = table("The slowest requests", SLOW_HEADS, rows, right=frozenset({1, 2, 3, 4}))
        opened = Markup(" open") if traces.names else ""
        body += Markup("<details{}><summary>The slowest requests</summary>{}</details>").format(opened, slowest)
    return Section("server-time", "Where server time went", body)


def _names(traces: RunTraces) -> Markup:
    told = (
        f"Spans of {traces.linked} of {traces.requests} requests arrived. Own time is what a span took beyond the "
        "spans directly below it."
    )
    rows = [
        (
            f"{span.service}: {span.name}",
            str(span.spans),
            str(span.failed),
            figures.milliseconds(span.self_ms),
            figures.percent(span.share),
            figures.milliseconds(span.p50_ms),
            figures.milliseconds(span.p99_ms),
        )
        for span in traces.names
    ]
    body = paragraph(told, "quiet") + table(
        "Where server time went", HEADS, rows, right=frozenset(range(1, len(HEADS)))
    )
    if traces.names_left_out:
        body += paragraph(f"{traces.names_left_out} more names with less time are left out.", "quiet")
    return body


def _none(traces: RunTraces) -> Markup:
    return paragraph(
        f"No span of this run's {traces.requests} requests arrived: the model server sends none, or its spans do not "
        "take up the request's traceparent."
    )


def _slow(report: RunReport, request: SlowRequest) -> tuple[object, ...]:
    # A request without a server span is named, not linked.
    link = Markup('<a href="{}{}">{}</a>').format(report.traces_url, request.trace_id, request.trace_id)
    return (
        request.trace_id if request.server_ms is None else link,
        f"{figures.number(request.due_s)} s",
        figures.milliseconds(request.latency_ms),
        figures.milliseconds(request.service_latency_ms),
        figures.milliseconds(request.server_ms),
        request.error or "answered",
    )
