"""A run -> a page that stands alone: verdict, plots and tables in one file that asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from seamark.delivery.reports import figures
from seamark.delivery.reports.report import RunReport
from seamark.delivery.reports.sections import SECTIONS

_HERE = Path(__file__).parent
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_HERE),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters.update(number=figures.number)
_STYLE = (_HERE / "run.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

# Said in the page too: it holds wherever the file is opened.
POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; base-uri 'none'; form-action 'none'"


def html(report: RunReport) -> str:
    """Return the page. It has no script, and its policy (POLICY) lets it ask for nothing."""
    page = _ENVIRONMENT.get_template("run.html.j2").render(
        report=report,
        headline=figures.HEADLINES[report.status],
        policy=POLICY,
        style=_STYLE,
        sections=[section for build in SECTIONS if (section := build(report)) is not None],
    )
    return figures.encodable(page)
