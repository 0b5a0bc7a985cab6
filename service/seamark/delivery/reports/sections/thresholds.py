"""A run's thresholds -> what was asked for, what was measured, and whether it held."""

from __future__ import annotations

from seamark.delivery.reports import figures
from seamark.delivery.reports.report import RunReport
from seamark.delivery.reports.section import Section, paragraph, table, word


def section(report: RunReport) -> Section:
    """Each threshold of the verdict; of a run without one those of its plan, not measured."""
    if not report.thresholds:
        return Section("thresholds", "Thresholds", paragraph("The plan sets none."))
    rows = [
        (
            threshold.text,
            figures.measured(threshold),
            word(figures.outcome(threshold), figures.outcome(threshold)),
        )
        for threshold in report.thresholds
    ]
    return Section(
        "thresholds",
        "Thresholds",
        table("Thresholds", ("Threshold", "Measured", "Outcome"), rows, right=frozenset({1})),
    )
