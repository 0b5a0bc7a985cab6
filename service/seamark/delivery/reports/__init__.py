"""A finished run as what people and CI systems read: JUnit XML, Markdown, a page with plots."""

from __future__ import annotations

from seamark.delivery.reports.html import POLICY, html
from seamark.delivery.reports.junit import junit
from seamark.delivery.reports.markdown import markdown
from seamark.delivery.reports.report import (
    DistributionPoint,
    ErrorKind,
    GeneratorPoint,
    RunReport,
    SeriesPoint,
    distribution,
    errors_by_kind,
    generator,
    series,
)

__all__ = [
    "POLICY",
    "DistributionPoint",
    "ErrorKind",
    "GeneratorPoint",
    "RunReport",
    "SeriesPoint",
    "distribution",
    "errors_by_kind",
    "generator",
    "html",
    "junit",
    "markdown",
    "series",
]
