"""A finished run as what people and CI systems read: JUnit XML, Markdown, a page with plots."""

from __future__ import annotations

from seamark.delivery.reports.html import html
from seamark.delivery.reports.junit import junit
from seamark.delivery.reports.markdown import markdown
from seamark.delivery.reports.report import DistributionPoint, RunReport, SeriesPoint, distribution, series

__all__ = ["DistributionPoint", "RunReport", "SeriesPoint", "distribution", "html", "junit", "markdown", "series"]
