"""A run -> a page that stands alone but for plotly.js: verdict, thresholds, plots, and tables that need no script."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from seamark.core.findings import to_document
from seamark.core.thresholds import DISTRIBUTIONS, parse_threshold
from seamark.delivery.reports import baseline, figures
from seamark.delivery.reports.report import RunReport

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters.update(
    number=figures.number,
    milliseconds=figures.milliseconds,
    percent=figures.percent,
    outcome=figures.outcome,
    held=figures.held,
    capacity=figures.capacity_sentence,
)
_QUANTILES = {0.5: "p50", 0.95: "p95", 0.99: "p99"}


def html(report: RunReport, plotly_src: str, nonce: str = "") -> str:
    """Return the page. `plotly_src` is where the browser gets plotly.js; `nonce` marks the inline script for a CSP."""
    page = _ENVIRONMENT.get_template("run.html.j2").render(
        report=report,
        headline=figures.HEADLINES[report.status],
        plotly_src=plotly_src,
        nonce=nonce,
        data=_for_script(_data(report)),
        latencies=_latencies(report),
        baseline_heads=baseline.HEADS,
        baseline_rows=baseline.rows(report.verdict.baseline) if report.verdict and report.verdict.baseline else [],
        plan=json.dumps(to_document(dict(report.document)), indent=2, ensure_ascii=False, default=str),
    )
    return figures.encodable(page)


def _latencies(report: RunReport) -> list[tuple[str, Any]]:
    verdict = report.verdict
    if verdict is None:
        return []
    return [
        ("from the due instant", verdict.latency_ms),
        ("from the send", verdict.service_latency_ms),
        ("send lateness", verdict.lateness_ms),
    ]


def _data(report: RunReport) -> Mapping[str, Any]:
    """What the plots are drawn from, column by column."""
    capacity = report.verdict.capacity if report.verdict else None
    quantile, limit_ms = _latency_limit(report)
    columns = ("t_s", "asked_rps", "achieved_rps", "errors", "p50_ms", "p99_ms", "service_p50_ms", "service_p99_ms")
    steps = [step for step in (capacity.steps if capacity else ()) if getattr(step.latency, quantile) is not None]
    return {
        "series": {name: [getattr(point, name) for point in report.series] for name in columns},
        "distribution": {
            "share": [point.share for point in report.distribution],
            "latency_ms": [point.latency_ms for point in report.distribution],
            "service_latency_ms": [point.service_latency_ms for point in report.distribution],
        },
        "capacity": {
            "quantile": quantile,
            "limit_ms": limit_ms,
            "rps": capacity.rps if capacity else None,
            "asked_rps": [step.asked_rps for step in steps],
            "latency_ms": [getattr(step.latency, quantile) for step in steps],
            "held": [step.held for step in steps],
        },
        "baseline": baseline.columns(report.verdict.baseline if report.verdict else None),
    }


def _latency_limit(report: RunReport) -> tuple[str, float | None]:
    """The first latency threshold: its percentile (p99 where that is none we keep) and its limit."""
    for result in report.thresholds:
        try:
            threshold = parse_threshold(result.text)
        except ValueError:
            continue
        if threshold.metric in DISTRIBUTIONS[:1] and threshold.quantile is not None:
            return _QUANTILES.get(threshold.quantile, "p99"), threshold.limit
    return "p99", None


def _for_script(data: Mapping[str, Any]) -> str:
    """JSON that cannot end the script element it stands in, nor begin a comment there."""
    text = msgspec.json.encode(data).decode()  # writes null for what JSON has no number for
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
