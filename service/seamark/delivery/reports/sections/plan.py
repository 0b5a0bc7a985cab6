"""A run's plan -> the document as it was when the run was asked for."""

from __future__ import annotations

import json

from markupsafe import Markup

from seamark.core.findings import to_document
from seamark.delivery.reports.report import RunReport
from seamark.delivery.reports.section import Section, folded


def section(report: RunReport) -> Section:
    """Folded: it is long, and known to who wrote it."""
    text = json.dumps(to_document(dict(report.document)), indent=2, ensure_ascii=False, default=str)
    return Section(
        "plan", "The plan", folded("As it was when the run was asked for", Markup("<pre>{}</pre>").format(text))
    )
