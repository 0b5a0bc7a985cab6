"""Findings and readings of the moment become gauges; what is unknown becomes no sample at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from seamark.core.advice import Recommendation
from seamark.core.findings import (
    Alert,
    AlertStatus,
    Capacity,
    DriftFinding,
    FeatureDrift,
    LatencySummary,
    ModelOverview,
    RunStatus,
    SloStatus,
)
from seamark.core.performance import Estimate, Performance
from seamark.core.quality import CHANGES, CHECKS, QualityFinding
from seamark.core.windows import format_duration
from seamark.telemetry.families import Page
from seamark.telemetry.traffic import MODELS_MAX

FEATURES_MAX = 200  # per model; the furthest drifted stay
TESTS_MAX = 200
ALERTS_MAX = 1_000

_LIVENESS = ("live", "stale", "unknown")
_FINAL = tuple(status.value for status in RunStatus if status.final)
_SHOWN_ALERTS = (AlertStatus.PENDING.value, AlertStatus.FIRING.value)

Item = TypeVar("Item")


class LakeFigures(Protocol):
    """What the page tells of the lake; the store's LakeHealth is one. `free_bytes` None: no disk of ours."""

    @property
    def files(self) -> int: ...

    @property
    def data_bytes(self) -> int: ...

    @property
    def free_bytes(self) -> int | None: ...


@dataclass(frozen=True)
class LastRun:
    """The last finished run of one load-test plan. Rates are requests per second; None means not measured."""

    test: str
    model: str
    status: RunStatus
    finished_at: datetime
    requests: int
    errors: int
    asked_rate: float | None
    achieved_rate: float | None
    latency_ms: LatencySummary


def put_overviews(page: Page, overviews: Sequence[ModelOverview]) -> None:
    """Put all that is known of each model; beyond MODELS_MAX models the rest is left out and counted."""
    for overview in _at_most(page, "model", overviews, MODELS_MAX):
        model = (overview.model,)
        page.states("seamark_model_liveness", model, _LIVENESS, overview.liveness)
        page.put("seamark_model_last_seen_timestamp_seconds", model, _timestamp(overview.last_seen_at))
        page.put("seamark_live_requests_per_second", model, overview.live_rps)
        page.put("seamark_capacity_measured_timestamp_seconds", model, _timestamp(overview.capacity_at))
        for status in overview.slo:
            _put_slo(page, overview.model, status)
        _put_capacity(page, model, overview.capacity)
        _put_recommendation(page, model, overview.recommendation)
        _put_performance(page, model, overview.performance, overview.estimate)
        _put_quality(page, overview.quality)
    drifts = [overview.drift for overview in overviews[:MODELS_MAX] if overview.drift is not None]
    left_out = sum(_put_drift(page, drift) for drift in drifts)
    page.put("seamark_metrics_left_out", ("feature",), left_out)


def put_runs(page: Page, runs: Sequence[LastRun]) -> None:
    """Put the last run of each plan. A status that is not final is put as no verdict."""
    for run in _at_most(page, "test", runs, TESTS_MAX):
        test = (run.test,)
        page.states("seamark_loadtest_verdict", test, _FINAL, run.status.value)
        page.put("seamark_loadtest_finished_timestamp_seconds", (run.test, run.model), _timestamp(run.finished_at))
        page.put("seamark_loadtest_requests_per_second", (run.test, "asked"), run.asked_rate)
        page.put("seamark_loadtest_requests_per_second", (run.test, "achieved"), run.achieved_rate)
        page.put("seamark_loadtest_error_ratio", test, run.errors / run.requests if run.requests else None)
        latency = run.latency_ms
        for quantile, value in (("0.5", latency.p50), ("0.95", latency.p95), ("0.99", latency.p99), ("1", latency.max)):
            page.put("seamark_loadtest_latency_seconds", (run.test, quantile), None if value is None else value / 1000)


def put_missed(page: Page, missed: Mapping[str, int]) -> None:
    """Put how many instants of its schedule each plan has missed; those that missed most where there are too many."""
    most = sorted(missed.items(), key=lambda item: (-item[1], item[0]))
    for test, count in most[:TESTS_MAX]:
        page.put("seamark_loadtest_missed_total", (test,), count)
    page.put("seamark_metrics_left_out", ("schedule",), max(len(most) - TESTS_MAX, 0))


def put_alerts(page: Page, alerts: Sequence[Alert]) -> None:
    """Put each alert's state. Alerts that share name, model and severity share a series: the worse state is told."""
    worst: dict[tuple[str, str, str], int] = {}
    unknown: dict[tuple[str, str, str], bool] = {}
    for alert in _at_most(page, "alert", alerts, ALERTS_MAX):
        key = (alert.rule.name, alert.rule.labels.get("model", ""), alert.rule.severity)
        rank = _SHOWN_ALERTS.index(alert.state.status) if alert.state.status in _SHOWN_ALERTS else -1
        worst[key] = max(worst.get(key, -1), rank)
        unknown[key] = unknown.get(key, False) or alert.state.unknown_since is not None
    for key, rank in worst.items():
        page.states("seamark_alert_state", key, _SHOWN_ALERTS, _SHOWN_ALERTS[rank] if rank >= 0 else None)
        page.put("seamark_alert_input_unknown", key, float(unknown[key]))


def put_lake(page: Page, lake: LakeFigures | None) -> None:
    """Put the lake's size; None: it could not be asked."""
    if lake is not None:
        page.put("seamark_lake_files", (), lake.files)
        page.put("seamark_lake_bytes", (), lake.data_bytes)
        page.put("seamark_lake_free_bytes", (), lake.free_bytes)


def _put_slo(page: Page, model: str, status: SloStatus) -> None:
    labels = (model, status.kind)
    page.put("seamark_slo_objective_ratio", labels, status.target)
    page.put("seamark_slo_error_budget_remaining_ratio", labels, status.budget_remaining_ratio)
    for burn in status.burn_rates:
        for window_s, rate in ((burn.long_s, burn.long), (burn.short_s, burn.short)):
            page.put("seamark_slo_burn_rate", (*labels, format_duration(window_s)), rate)


def _put_capacity(page: Page, model: tuple[str], capacity: Capacity | None) -> None:
    if capacity is not None:
        page.put("seamark_capacity_requests_per_second", model, capacity.rps)
        page.put("seamark_capacity_bound_requests_per_second", (*model, "low"), capacity.low)
        page.put("seamark_capacity_bound_requests_per_second", (*model, "high"), capacity.high)


def _put_recommendation(page: Page, model: tuple[str], advice: Recommendation | None) -> None:
    if advice is None:
        return
    page.put("seamark_recommended_replicas", model, advice.replicas)
    page.put("seamark_current_replicas", model, advice.current)
    page.put("seamark_needed_replicas", model, advice.needed)
    page.put("seamark_replicas_bound", (*model, "min"), advice.min)
    page.put("seamark_replicas_bound", (*model, "max"), advice.max)
    page.put("seamark_headroom_ratio", model, advice.headroom_ratio)
    if advice.gate is not None and advice.gate.state != "unknown":
        page.put("seamark_advice_recommended", model, float(advice.gate.state != "not_recommended"))
    page.states("seamark_recommendation_state", model, ("ok", "hold"), advice.state)
    if advice.forecast is not None and advice.forecast.state == "ok":
        quantiles = {"0.1": "p10", "0.5": "p50", "0.9": "p90", "0.99": "p99"}
        for quantile, name in quantiles.items():
            page.put("seamark_forecast_requests_per_second", (*model, quantile), getattr(advice.forecast, name))


def _put_performance(page: Page, model: tuple[str], performance: Performance | None, estimate: Estimate | None) -> None:
    for name, metric in (estimate.metrics if estimate else {}).items():
        page.put("seamark_model_performance", (*model, name, "estimated"), metric.value)
    if performance is None:
        return
    page.put("seamark_label_coverage_ratio", model, performance.coverage)
    page.put("seamark_label_lag_seconds", model, performance.label_lag_p50_s)
    for name, metric in performance.metrics.items():
        page.put("seamark_model_performance", (*model, name, "measured"), metric.value)


def _put_drift(page: Page, finding: DriftFinding) -> int:
    """Put one model's drift; return how many features were left out."""
    model = (finding.model, finding.version or "")
    known = [feature.drifted for feature in finding.features if feature.drifted is not None]
    page.put("seamark_drift_features_drifted", model, sum(known) if known else None)
    page.put("seamark_drift_features_unknown", model, len(finding.features) - len(known))
    page.put("seamark_drift_window_end_timestamp_seconds", model, finding.window.end.timestamp())
    furthest = sorted(finding.features, key=lambda feature: (not feature.drifted, -_share_of_threshold(feature)))
    for feature in furthest[:FEATURES_MAX]:
        for judged in feature.parts or (feature,):  # of several methods each, so that no series comes and goes
            by_method = (*model, feature.feature, judged.method)
            page.put("seamark_feature_drift_score", by_method, judged.score)
            page.put("seamark_feature_drift_threshold", by_method, judged.threshold)
        drifted = None if feature.drifted is None else float(feature.drifted)
        page.put("seamark_feature_drifted", (*model, feature.feature), drifted)
    return max(len(furthest) - FEATURES_MAX, 0)


def _put_quality(page: Page, finding: QualityFinding | None) -> None:
    """Put one model's data quality: counts by check and by change, whatever features there are."""
    if finding is None:
        return
    model = (finding.model, finding.version or "")
    for name in CHECKS:
        checks = [check for feature in finding.features for check in feature.checks if check.check == name]
        checks = [finding.duplicates] if name == finding.duplicates.check else checks
        known = [check.worse for check in checks if check.worse is not None]
        page.put("seamark_quality_worse", (*model, name), sum(known) if known else None)
        page.put("seamark_quality_unknown", (*model, name), len(checks) - len(known))
    for name in CHANGES:
        page.put("seamark_quality_schema_changes", (*model, name), sum(c.change == name for c in finding.schema))
    refused = sum(change.rows or 0 for change in finding.schema)
    page.put("seamark_quality_type_refused_rows", model, refused)
    page.put("seamark_quality_window_end_timestamp_seconds", model, finding.window.end.timestamp())


def _share_of_threshold(feature: FeatureDrift) -> float:
    """How far a feature moved: scores of different methods have different units, shares of thresholds have none."""
    return feature.score / feature.threshold if feature.score is not None and feature.threshold else 0.0


def _timestamp(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def _at_most(page: Page, label: str, items: Sequence[Item], limit: int) -> Iterable[Item]:
    page.put("seamark_metrics_left_out", (label,), max(len(items) - limit, 0))
    return items[:limit]
