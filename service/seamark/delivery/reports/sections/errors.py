"""A run's failed requests -> how often each kind of failure was seen, first and last."""

from __future__ import annotations

from seamark.delivery.reports import figures
from seamark.delivery.reports.report import RunReport
from seamark.delivery.reports.section import Section, paragraph, table


def section(report: RunReport) -> Section | None:
    """None for a run that sent nothing; "none failed" is worth saying."""
    if not report.series:
        return None
    if not report.errors:
        return Section("errors", "Errors", paragraph("No request failed."))
    rows = [
        (kind.error, f"{kind.count:,}", f"{figures.number(kind.first_s)} s", f"{figures.number(kind.last_s)} s")
        for kind in report.errors
    ]
    body = table(
        "Errors by kind", ("What was told", "Requests", "First due", "Last due"), rows, right=frozenset({1, 2, 3})
    )
    hidden = report.error_kinds - len(report.errors)
    if hidden > 0:
        body += paragraph(f"{hidden} rarer kinds are not shown.", "quiet")
    return Section("errors", "Errors by kind", body)
