"""A comparison of two versions -> a page for people: one verdict, and a row for each measure with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from seamark.core.errors import SeamarkError
from seamark.core.release import MetricComparison, MetricState, ReleaseFinding, ReleaseVerdict
from seamark.engine.compare import compare
from seamark.web.asking import services_of
from seamark.web.auth import Principal, require
from seamark.web.compare import asked_window
from seamark.web.page_assets import render
from seamark.web.page_problem import problem_page
from seamark.web.page_views import Chip, model_url
from seamark.web.page_words import Moment, milliseconds, moment, number, percent
from seamark.wire.values import NAME_LENGTH_MAX

_VERDICTS = {
    ReleaseVerdict.PROMOTE: Chip("good", "promote"),
    ReleaseVerdict.HOLD: Chip("bad", "hold"),
    ReleaseVerdict.INCONCLUSIVE: Chip("warn", "inconclusive"),
}
_STATES = {
    MetricState.WORSE: Chip("bad", "worse"),
    MetricState.TOO_FEW_ROWS: Chip("quiet", "too few rows"),
    MetricState.UNKNOWN: Chip("quiet", "unknown"),
    MetricState.SAME: Chip("good", "not worse"),
    MetricState.BETTER: Chip("good", "better"),
}
_SHOWN = 3.0  # tolerances to the right of no difference; one to its left


@dataclass(frozen=True)
class MetricRow:
    """One measure; what is None shows as unknown."""

    name: str
    feature: str | None
    others: str | None
    chip: Chip
    critical: bool
    baseline: str | None
    candidate: str | None
    effect: str | None
    interval: str | None
    tolerance: str
    bar: tuple[str, str] | None  # where the interval begins and how wide it is, as percentages
    p_value: str | None
    rows: str
    needed: str | None


@dataclass(frozen=True)
class ComparisonPage:
    """All that the page shows."""

    model: str
    url: str
    baseline: str
    candidate: str
    chip: Chip
    reason: str
    start: Moment | None
    end: Moment | None
    rows: tuple[MetricRow, ...]
    left_out: int


def router() -> APIRouter:
    """The page /models/{model}/compare; it must come before the model's own page, whose name may hold slashes."""
    routes = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @routes.get("/models/{model:path}/compare")
    def comparison(
        request: Request,
        model: str,
        baseline: str = Query(max_length=NAME_LENGTH_MAX),
        candidate: str = Query(max_length=NAME_LENGTH_MAX),
        start: str | None = None,
        end: str | None = None,
        window: str | None = None,
        who: Principal = Depends(require("read")),
    ) -> HTMLResponse:
        """Two versions beside each other, as GET /api/v1/models/{model}/compare has them."""
        try:
            who.check_model(model)
            services = services_of(request)
            asked = asked_window(services, start, end, window)
            finding = compare(services, model, baseline, candidate, asked)
            return render(request, "compare.html.j2", {"page": comparison_page(finding, services.clock.now())})
        except SeamarkError as error:
            return problem_page(request, error.status, error.message)

    return routes


def comparison_page(finding: ReleaseFinding, at: datetime) -> ComparisonPage:
    """Return a finding in words."""
    return ComparisonPage(
        model=finding.model,
        url=model_url(finding.model),
        baseline=finding.baseline or "(no version)",
        candidate=finding.candidate or "(no version)",
        chip=_VERDICTS[finding.verdict],
        reason=finding.reason,
        start=moment(finding.window.start, at),
        end=moment(finding.window.end, at),
        rows=tuple(_row(metric) for metric in finding.metrics),
        left_out=finding.features_left_out,
    )


def _row(metric: MetricComparison) -> MetricRow:
    bounds = (_signed(metric, metric.low), _signed(metric, metric.high))
    return MetricRow(
        name=metric.metric.replace("_", " "),
        feature=metric.feature,
        others=f"and {', '.join(metric.others)}" if metric.others and metric.state == MetricState.WORSE else None,
        chip=_STATES[metric.state],
        critical=metric.critical,
        baseline=_value(metric, metric.baseline),
        candidate=_value(metric, metric.candidate),
        effect=_signed(metric, metric.effect),
        interval=f"{bounds[0]} to {bounds[1]}" if bounds[0] and bounds[1] else None,
        tolerance=percent(metric.tolerance) or "",
        bar=_bar(metric),
        p_value=None if metric.p_value is None else f"{metric.p_value:.2g}" if metric.p_value >= 0.001 else "<0.001",
        rows=f"{metric.baseline_rows:,} / {metric.candidate_rows:,}",
        needed=_lack(metric),
    )


def _lack(metric: MetricComparison) -> str | None:
    if metric.state == MetricState.UNKNOWN:
        return None  # the chip says it
    return metric.note if metric.rows_needed is None else f"needs about {metric.rows_needed:,}"


def _value(metric: MetricComparison, value: float | None) -> str | None:
    if metric.metric.startswith("latency"):
        return milliseconds(value)
    return percent(value) if metric.unit != "relative" else number(value)


def _signed(metric: MetricComparison, effect: float | None) -> str | None:
    if effect is None:
        return None
    told = percent(abs(effect))
    sign = "" if not effect or metric.unit == "distance" else "+" if effect > 0 else "−"
    return f"{sign}{told}"


def _bar(metric: MetricComparison) -> tuple[str, str] | None:
    """Where the interval lies, with what is worse to the right: one tolerance is a quarter of the width."""
    if metric.low is None or metric.high is None:
        return None
    sign = -1 if metric.worse == "lower" else 1
    harms = sorted(sign * bound / metric.tolerance for bound in (metric.low, metric.high))
    ends = [(min(max(harm, -1.0), _SHOWN) + 1.0) / (_SHOWN + 1.0) * 100 for harm in harms]
    return f"{ends[0]:.1f}%", f"{max(ends[1] - ends[0], 1.5):.1f}%"
