"""A verdict's latencies -> a table of percentiles from the due instant, from the send, and the lateness between."""

from __future__ import annotations

from seamark.delivery.reports import figures
from seamark.delivery.reports.report import RunReport
from seamark.delivery.reports.section import Section, paragraph, table

NAMES = ("p50", "p95", "p99", "max")
SAYS = (
    "From the due instant counts the wait of requests that could not be sent on time (corrected); from the send does "
    "not (uncorrected). Where lateness is large, the load generator was the bottleneck."
)


def section(report: RunReport) -> Section | None:
    """None where nothing was measured."""
    verdict = report.verdict
    if verdict is None:
        return None
    rows = [
        (name, *(figures.milliseconds(getattr(summary, quantile)) for quantile in NAMES))
        for name, summary in (
            ("from the due instant", verdict.latency_ms),
            ("from the send", verdict.service_latency_ms),
            ("send lateness", verdict.lateness_ms),
        )
    ]
    right = frozenset(range(1, len(NAMES) + 1))
    return Section(
        "latency", "Latency", paragraph(SAYS, "quiet") + table("Latency", ("Counted", *NAMES), rows, right=right)
    )
