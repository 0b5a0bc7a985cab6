"""Findings about one model -> the rows of its page: latency, drift, quality, performance, SLO, advice, versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from seamark.core.advice import AdviceInput, Recommendation
from seamark.core.drift_history import DriftColumn
from seamark.core.findings import (
    BurnRate,
    DriftFinding,
    DriftState,
    FeatureDrift,
    LatencyPoint,
    ModelOverview,
    SloStatus,
)
from seamark.core.measures import TokenStep
from seamark.core.quality import FeatureQuality
from seamark.core.windows import format_duration
from seamark.engine.performance_history import PerformanceStep
from seamark.web.charts import Figure, latency_figure, traffic_figure, versions_left_out
from seamark.web.feature_paths import feature_url
from seamark.web.page_gate import GateView, gate_view
from seamark.web.page_heat import HeatMap, drift_chip, heat_map, visible
from seamark.web.page_performance import PerformanceView, TimeLine, performance_view, time_line
from seamark.web.page_tokens import TokenRow, token_row
from seamark.web.page_views import AlertRow, Chip, ModelCard, alert_row, capacity_words, drift_tile, model_card
from seamark.web.page_words import Moment, known, milliseconds, moment, number, percent, plural, rate

ROWS_SHOWN = 500
POINTS_SHOWN = 60


@dataclass(frozen=True)
class ModelFacts:
    """All that a model's page is made of. `latency` are points of `latency_step_s` by version, oldest first."""

    overview: ModelOverview
    latency: Sequence[LatencyPoint]
    latency_step_s: float
    quality: Sequence[FeatureQuality] = ()
    manifests: Mapping[str, str] | None = None  # kind (keda, hpa) -> YAML
    tokens: Sequence[TokenStep] = ()  # of the last hour, by generative model
    drift_history: Sequence[DriftColumn] = ()  # windows, oldest first
    performance_history: Sequence[PerformanceStep] = ()  # windows, oldest first


@dataclass(frozen=True)
class LatencyRow:
    """Requests of one version in one stretch of time; None reads as unknown."""

    at: Moment | None
    version: str
    requests: str
    rate: str | None
    failed: str | None
    p50: str | None
    p95: str | None
    p99: str | None


@dataclass(frozen=True)
class DriftRow:
    """One feature. `bar` is the score's share of a bar whose middle is the threshold, as a percentage."""

    feature: str
    url: str
    kind: str
    method: str
    chip: Chip
    score: str | None
    threshold: str | None
    bar: str | None
    p_value: str | None
    rows: str
    reference_rows: str


@dataclass(frozen=True)
class QualityRow:
    """One feature's nulls, values out of range and categories never seen in training."""

    feature: str
    kind: str
    rows: str
    nulls: str | None
    strange_label: str
    strange: str | None
    nulls_tone: str
    strange_tone: str
    categories: tuple[str, ...]


@dataclass(frozen=True)
class BurnRow:
    """One pair of burn-rate windows."""

    severity: str
    windows: str
    factor: str
    long: str | None
    short: str | None
    chip: Chip


@dataclass(frozen=True)
class ObjectiveView:
    """One objective: its text, what is left of its budget, its burn rates."""

    objective: str
    kind: str
    chip: Chip
    left: str | None
    left_width: str | None
    counts: str
    burns: tuple[BurnRow, ...]


@dataclass(frozen=True)
class AdviceView:
    """The recommendation in words."""

    reason: str
    bounds: str
    facts: tuple[tuple[str, str], ...]
    at: Moment | None
    manifests: tuple[tuple[str, str], ...]
    gate: GateView | None = None


@dataclass(frozen=True)
class VersionRow:
    """One version seen in the lake."""

    version: str
    requests: str
    predictions: str
    heard: Moment | None


@dataclass(frozen=True)
class ModelPage:
    """The whole page of one model."""

    card: ModelCard
    alerts: tuple[AlertRow, ...]
    recent: tuple[LatencyRow, ...]
    points: tuple[LatencyRow, ...]
    step: str
    figures: Mapping[str, Figure]
    versions_left_out: int
    tokens: tuple[TokenRow, ...]
    drift_chip: Chip
    drift_window: str | None
    drift_at: Moment | None
    drift: tuple[DriftRow, ...]
    drift_left_out: int
    heat: HeatMap | None
    quality: tuple[QualityRow, ...]
    performance: PerformanceView | None
    time_line: TimeLine | None
    objectives: tuple[ObjectiveView, ...]
    advice: AdviceView | None
    capacity: str | None
    capacity_at: Moment | None
    capacity_run_id: str | None
    versions: tuple[VersionRow, ...]


def model_page(facts: ModelFacts) -> ModelPage:
    """Return the page of one model."""
    seen, at = facts.overview, facts.overview.at
    finding = seen.drift
    shown = [point for point in facts.latency if point.count][-POINTS_SHOWN:]
    return ModelPage(
        card=model_card(seen),
        alerts=tuple(alert_row(alert, at) for alert in seen.alerts),
        recent=tuple(_latency_row(point, at, 300.0) for point in seen.latency),
        points=tuple(_latency_row(point, at, facts.latency_step_s) for point in reversed(shown)),
        step=format_duration(facts.latency_step_s),
        figures={
            "latency": latency_figure(facts.latency, facts.latency_step_s),
            "traffic": traffic_figure(facts.latency, facts.latency_step_s),
        }
        if shown
        else {},
        versions_left_out=versions_left_out(facts.latency),
        tokens=tuple(map(token_row, facts.tokens)),
        drift_chip=_drift_chip(finding),
        drift_window=format_duration(round(finding.window.span_s)) if finding else None,
        drift_at=moment(finding.window.end, at) if finding else None,
        drift=drift_rows(finding) if finding else (),
        drift_left_out=max(len(finding.features) - ROWS_SHOWN, 0) if finding else 0,
        heat=heat_map(seen.model, facts.drift_history),
        quality=tuple(_quality_row(feature) for feature in facts.quality[:ROWS_SHOWN]),
        performance=performance_view(seen.performance, seen.estimate, at) if seen.performance else None,
        time_line=time_line(facts.performance_history, at),
        objectives=tuple(objective_view(status) for status in seen.slo),
        advice=advice_view(seen.recommendation, facts.manifests or {}, at) if seen.recommendation else None,
        capacity=capacity_words(seen),
        capacity_at=moment(seen.capacity_at, at),
        capacity_run_id=seen.capacity_run_id,
        versions=tuple(
            VersionRow(
                seen_version.version or "no version",
                f"{seen_version.requests:,}",
                f"{seen_version.predictions:,}",
                moment(seen_version.last_seen_at, at),
            )
            for seen_version in seen.versions[:ROWS_SHOWN]
        ),
    )


def _latency_row(point: LatencyPoint, at: datetime, step_s: float) -> LatencyRow:
    return LatencyRow(
        at=moment(point.at, at),
        version=point.by.get("version", "") or "no version",
        requests=f"{point.count:,}",
        rate=rate(point.count / step_s),
        failed=percent(point.error_ratio),
        p50=milliseconds(point.p50_ms),
        p95=milliseconds(point.p95_ms),
        p99=milliseconds(point.p99_ms),
    )


# --- drift and quality -----------------------------------------------------------------------------------------------

_DRIFT_ORDER = (DriftState.DRIFT, DriftState.CERTAIN_SMALL, DriftState.ALL_NULL, DriftState.NOT_IN_WINDOW)


def drift_rows(finding: DriftFinding) -> tuple[DriftRow, ...]:
    """Return a row per feature: drifted ones first, then what needs a look, then by name."""

    def order(feature: FeatureDrift) -> tuple[int, str]:
        place = _DRIFT_ORDER.index(feature.state) if feature.state in _DRIFT_ORDER else len(_DRIFT_ORDER)
        return place, feature.feature

    shown = sorted(finding.features, key=order)[:ROWS_SHOWN]
    return tuple(_drift_row(feature, feature_url(finding.model, feature.feature, finding.window)) for feature in shown)


def _drift_row(feature: FeatureDrift, url: str) -> DriftRow:
    score, threshold = known(feature.score), known(feature.threshold)
    return DriftRow(
        feature=visible(feature.feature),
        url=url,
        kind=feature.kind,
        method=feature.method.replace("_", " "),
        chip=drift_chip(feature.state),
        score=number(score),
        threshold=number(threshold),
        bar=f"{min(max(score / (2 * threshold), 0.0), 1.0) * 100:.1f}%" if score is not None and threshold else None,
        p_value=_p_value(feature.p_value),
        rows=f"{feature.rows:,}",
        reference_rows=f"{feature.reference_rows:,}",
    )


def _p_value(value: float | None) -> str | None:
    value = known(value)
    return None if value is None else f"{value:.2g}" if value >= 0.001 else "<0.001"


def _drift_chip(finding: DriftFinding | None) -> Chip:
    tile = drift_tile(finding)
    if finding is None or tile.value is None:
        return Chip("quiet", tile.words)
    if not finding.drifted:
        return Chip("good", "no drift")
    return Chip("bad", plural(sum(bool(f.drifted) for f in finding.features), "feature") + " drifted")


def _quality_row(feature: FeatureQuality) -> QualityRow:
    numeric = feature.kind == "numeric"
    strange = feature.out_of_range_ratio if numeric else feature.new_category_ratio
    return QualityRow(
        feature=feature.feature,
        kind=feature.kind,
        rows=f"{feature.rows:,}",
        nulls=percent(feature.null_ratio),
        strange_label="out of range" if numeric else "new categories",
        strange=percent(strange),
        nulls_tone=_quality_tone(feature.null_ratio),
        strange_tone=_quality_tone(strange),
        categories=feature.new_categories[:8],
    )


def _quality_tone(ratio: float | None) -> str:
    share = known(ratio)
    if share is None:
        return "quiet"
    return "bad" if share > 0.2 else "warn" if share > 0.02 else "good"


# --- performance, objectives, advice ----------------------------------------------------------------------------------


def objective_view(status: SloStatus) -> ObjectiveView:
    """Return one objective with its budget and its burn rates."""
    left = known(status.budget_remaining_ratio)
    burns = tuple(_burn_row(burn) for burn in status.burn_rates)
    tones = {burn.chip.tone for burn in burns}
    if left is None:
        chip = Chip("quiet", "nothing counted yet")
    elif left <= 0:
        chip = Chip("bad", "budget spent")
    else:
        chip = Chip("bad" if "bad" in tones else "good", "burning too fast" if "bad" in tones else "within budget")
    counts = f"{status.bad:,} of {plural(status.total, 'request')} missed it in {format_duration(status.over_s)}"
    if left is not None and left < 0:
        counts += f": the budget is spent {number(1 - left)} times over"
    return ObjectiveView(
        objective=status.objective,
        kind=status.kind,
        chip=chip,
        left=percent(max(left, 0.0)) if left is not None else None,
        left_width=f"{min(max(left, 0.0), 1.0) * 100:.1f}%" if left is not None else None,
        counts=counts,
        burns=burns,
    )


def _burn_row(burn: BurnRate) -> BurnRow:
    exceeded = burn.exceeded
    chip = Chip("quiet", "unknown") if exceeded is None else Chip("good", "ok")
    return BurnRow(
        severity=burn.severity,
        windows=f"{format_duration(burn.long_s)} and {format_duration(burn.short_s)}",
        factor=f"{burn.factor:g}",
        long=number(burn.long),
        short=number(burn.short),
        chip=Chip("bad", "too fast") if exceeded else chip,
    )


def advice_view(advice: Recommendation, manifests: Mapping[str, str], at: datetime) -> AdviceView:
    """Return the recommendation's reason and the figures it stands on."""
    forecast = advice.forecast
    figures = [
        ("Arrivals, last minute", _with_unit(rate(advice.arrivals_rps))),
        ("Capacity per replica", _with_unit(rate(advice.capacity_rps))),
        ("Forecast p90", _with_unit(rate(forecast.p90)) if forecast else "unknown"),
        ("Forecast method", forecast.method.replace("_", " ") if forecast else "none"),
    ]
    if known(advice.cost_per_hour) is not None:
        figures.append(("Cost per hour", f"{advice.cost_per_hour:,.2f}"))
    return AdviceView(
        reason=advice.reason,
        bounds=f"between {advice.min} and {plural(advice.max, 'replica')}",
        facts=(*figures, *(_input_fact(one) for one in advice.inputs if one.name not in ("arrivals", "capacity"))),
        at=moment(advice.at, at),
        manifests=tuple((kind.upper() if len(kind) < 5 else kind, text) for kind, text in manifests.items()),
        gate=gate_view(advice.gate, at),
    )


def _input_fact(read: AdviceInput) -> tuple[str, str]:
    value = number(read.value)
    told = f"{value} {read.unit}".rstrip() if value is not None else read.state
    return f"{read.name.replace('_', ' ').capitalize()}, {read.metric or read.source}", told


def _with_unit(text: str | None) -> str:
    return f"{text} requests/s" if text else "unknown"
