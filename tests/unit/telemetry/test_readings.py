"""Findings become gauges: everything known is there under its labels, everything unknown is not."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import sample_page as sample
from prometheus_client.parser import text_string_to_metric_families as parse_classic
from sample_page import samples, value

from seamark.core.advice import AdviceGate
from seamark.core.drift_parts import DriftPart
from seamark.core.findings import AlertStatus, DriftFinding, DriftState, RunStatus
from seamark.core.windows import Window
from seamark.telemetry import Telemetry
from seamark.telemetry.names import METRICS
from seamark.telemetry.readings import FEATURES_MAX
from seamark.telemetry.traffic import MODELS_MAX


@pytest.fixture
def telemetry():
    return Telemetry(version="0.1.0")


def test_a_feature_of_several_methods_has_a_series_for_each(telemetry):
    parts = (DriftPart("text_length", 0.02, 0.5, 0.1), DriftPart("unseen_words", 0.3, 1e-9, 0.05))
    whole = replace(sample.feature("comment", DriftState.DRIFT, 0.3), kind="text", method="unseen_words", parts=parts)
    overview = sample.overview()
    overviews = [replace(overview, drift=replace(overview.drift, features=(whole,)))]
    for part in parts:
        labels = {"model": "churn", "version": "1", "feature": "comment", "method": part.method}
        shown = {"overviews": overviews}
        assert value(telemetry, "seamark_feature_drift_score", shown, **labels) == part.score
        assert value(telemetry, "seamark_feature_drift_threshold", shown, **labels) == part.threshold


def test_everything_that_is_known_is_on_the_page_under_its_labels(telemetry):
    sample.filled(telemetry)
    text, content_type = sample.page(telemetry)
    assert content_type.startswith("text/plain; version=0.0.4")
    found = {}
    for family in parse_classic(text.decode()):
        for one in family.samples:
            found.setdefault(family.name.removesuffix("_total"), []).append(one)
    for name, metric in METRICS.items():
        base = name.removesuffix("_total")
        assert found.get(base), f"{name} has no sample"
        labels = {label for one in found[base] for label in one.labels} - {"le"}
        assert labels == set(metric.labels), name


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("seamark_live_requests_per_second", {"model": "churn"}, 42.0),
        ("seamark_feature_drift_score", {"model": "churn", "version": "1", "feature": "age", "method": "ks"}, 0.4),
        ("seamark_feature_drifted", {"model": "churn", "version": "1", "feature": "age"}, 1.0),
        ("seamark_feature_drifted", {"model": "churn", "version": "1", "feature": "tenure"}, 0.0),
        ("seamark_feature_drifted", {"model": "churn", "version": "1", "feature": "income"}, None),
        ("seamark_drift_features_drifted", {"model": "churn", "version": "1"}, 1.0),
        ("seamark_drift_features_unknown", {"model": "churn", "version": "1"}, 1.0),
        ("seamark_quality_worse", {"model": "churn", "version": "1", "check": "nulls"}, 1.0),
        ("seamark_quality_unknown", {"model": "churn", "version": "1", "check": "nulls"}, 1.0),
        ("seamark_quality_worse", {"model": "churn", "version": "1", "check": "duplicates"}, 0.0),
        ("seamark_quality_schema_changes", {"model": "churn", "version": "1", "change": "vanished"}, 1.0),
        ("seamark_quality_schema_changes", {"model": "churn", "version": "1", "change": "new"}, 0.0),
        ("seamark_quality_type_refused_rows", {"model": "churn", "version": "1"}, 7.0),
        ("seamark_model_performance", {"model": "churn", "metric": "accuracy", "kind": "measured"}, 0.91),
        ("seamark_label_coverage_ratio", {"model": "churn"}, 0.8),
        ("seamark_slo_error_budget_remaining_ratio", {"model": "churn", "slo": "availability"}, 0.6),
        ("seamark_slo_burn_rate", {"model": "churn", "slo": "availability", "window": "1h"}, 0.4),
        ("seamark_slo_burn_rate", {"model": "churn", "slo": "availability", "window": "2h"}, None),
        ("seamark_capacity_requests_per_second", {"model": "churn"}, 120.0),
        ("seamark_recommended_replicas", {"model": "churn"}, 3.0),
        ("seamark_advice_recommended", {"model": "churn"}, 1.0),
        ("seamark_headroom_ratio", {"model": "churn"}, 0.82),
        ("seamark_loadtest_latency_seconds", {"test": "churn-nightly", "quantile": "0.99"}, 0.08),
        ("seamark_loadtest_verdict", {"test": "churn-nightly", "status": "passed"}, 1.0),
        ("seamark_loadtest_verdict", {"test": "churn-nightly", "status": "failed"}, 0.0),
        ("seamark_loadtest_verdict", {"test": "churn-nightly", "status": "running"}, None),
        ("seamark_model_liveness", {"model": "silent", "state": "unknown"}, 1.0),
        ("seamark_outbox_pending", {}, 0.0),
    ],
)
def test_findings_become_samples(telemetry, name, labels, expected):
    text = sample.page(telemetry)[0].decode()
    found = {
        tuple(sorted(one.labels.items())): one.value
        for family in parse_classic(text)
        for one in family.samples
        if one.name == name
    }
    assert found.get(tuple(sorted(labels.items()))) == expected


@pytest.mark.parametrize(
    "state, value", [("recommended", 1.0), ("weigh", 1.0), ("not_recommended", 0.0), ("unknown", None), (None, None)]
)
def test_the_gate_is_told_where_it_is_known(telemetry, state, value):
    overview = sample.overview()
    gate = AdviceGate(state, "because") if state else None
    advised = replace(overview, recommendation=replace(overview.recommendation, gate=gate))
    found = samples(telemetry, overviews=[advised])
    assert found.get(("seamark_advice_recommended", (("model", "churn"),))) == value


def test_a_model_never_heard_of_has_its_state_and_nothing_else(telemetry):
    found = samples(telemetry, overviews=[sample.unknown_overview()])
    assert {name for name, labels in found if ("model", "silent") in labels} == {"seamark_model_liveness"}


def test_figures_that_are_not_numbers_are_unknown(telemetry):
    odd = replace(sample.overview(), live_rps=math.nan)
    assert value(telemetry, "seamark_live_requests_per_second", {"overviews": [odd]}, model="churn") is None


def test_a_run_without_requests_has_no_error_ratio(telemetry):
    run = replace(sample.last_run(RunStatus.INCONCLUSIVE), requests=0, errors=0)
    found = {"runs": [run]}
    assert value(telemetry, "seamark_loadtest_error_ratio", found, test="churn-nightly") is None
    assert value(telemetry, "seamark_loadtest_verdict", found, test="churn-nightly", status="inconclusive") == 1


@pytest.mark.parametrize(
    ("statuses", "pending", "firing"),
    [
        ([AlertStatus.PENDING], 1, 0),
        ([AlertStatus.PENDING, AlertStatus.FIRING, AlertStatus.PENDING], 0, 1),
        ([AlertStatus.RESOLVED], 0, 0),
        ([AlertStatus.RESOLVED, AlertStatus.PENDING], 1, 0),
    ],
)
def test_alerts_of_one_name_share_a_series_that_tells_the_worst(telemetry, statuses, pending, firing):
    found = {"alerts": [sample.alert(status=status) for status in statuses]}
    labels = {"alertname": "FeatureDrift", "model": "churn", "severity": "ticket"}
    assert value(telemetry, "seamark_alert_state", found, state="pending", **labels) == pending
    assert value(telemetry, "seamark_alert_state", found, state="firing", **labels) == firing


@pytest.mark.slow
def test_findings_beyond_the_limits_are_left_out_and_counted(telemetry):
    many = tuple(sample.feature(f"f{index}", DriftState.NO_DRIFT, 0.01) for index in range(FEATURES_MAX + 3))
    drift = DriftFinding(
        "churn", "1", Window.trailing(sample.AT, 60.0), (*many, sample.feature("age", DriftState.DRIFT, 0.3))
    )
    overviews = [replace(sample.overview(f"m{index}"), drift=None) for index in range(MODELS_MAX + 2)]
    overviews[0] = replace(overviews[0], drift=drift)
    found = samples(telemetry, overviews=overviews)
    assert found["seamark_metrics_left_out", (("label", "model"),)] == 2
    assert found["seamark_metrics_left_out", (("label", "feature"),)] == 4
    scores = [dict(labels)["feature"] for name, labels in found if name == "seamark_feature_drift_score"]
    assert len(scores) == FEATURES_MAX
    assert "age" in scores  # what drifted is not what is left out


def test_the_features_nearest_to_their_threshold_stay_whatever_unit_their_method_has(telemetry):
    far = tuple(
        replace(sample.feature(f"f{index}", DriftState.NO_DRIFT, 900.0), method="chi_square", threshold=9_000.0)
        for index in range(FEATURES_MAX)
    )
    near = sample.feature("near", DriftState.NO_DRIFT, 0.09)
    drift = DriftFinding("churn", "1", Window.trailing(sample.AT, 60.0), (*far, near))
    found = samples(telemetry, overviews=[replace(sample.overview(), drift=drift)])
    assert "near" in [dict(labels)["feature"] for name, labels in found if name == "seamark_feature_drift_score"]
