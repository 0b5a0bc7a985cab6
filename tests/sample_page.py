"""A small fleet, written by hand -> a filled Telemetry and the findings a scrape would hand it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from prometheus_client.parser import text_string_to_metric_families as parse_classic

from seamark.core.advice import AdviceGate, Forecast, Recommendation
from seamark.core.findings import (
    Alert,
    AlertRule,
    AlertState,
    AlertStatus,
    BurnRate,
    Capacity,
    DriftFinding,
    DriftState,
    FeatureDrift,
    LatencySummary,
    ModelOverview,
    RunStatus,
    SloStatus,
)
from seamark.core.performance import Performance, PerformanceMetric
from seamark.core.quality import FeatureQuality, QualityCheck, QualityFinding, QualityState, SchemaChange
from seamark.core.records import PREDICTIONS, SPANS, SpanKind, SpanStatus
from seamark.core.windows import Window
from seamark.store.lake import LakeHealth
from seamark.telemetry import LastRun, Telemetry

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def spans(rows: list[dict[str, object]], at: datetime = AT) -> pa.Table:
    """Return a SPANS table; each row names only what differs from one plain, quick, successful request."""
    plain: dict[str, object] = {
        "parent_span_id": None,
        "model": "churn",
        "version": "1",
        "service": "churn",
        "instance": None,
        "route": "/predict",
        "name": "POST /predict",
        "kind": int(SpanKind.SERVER),
        "status": int(SpanStatus.UNSET),
        "http_status": 200,
        "is_request": True,
        "failed": False,
        "synthetic": False,
        "start_at": at,
        "duration_ns": 20_000_000,
        "attributes": json.dumps({}),
        "resource": None,
        "events": None,
        "received_at": at,
    }
    ids = ({"trace_id": index.to_bytes(16, "big"), "span_id": index.to_bytes(8, "big")} for index in range(len(rows)))
    return pa.Table.from_pylist([plain | one | row for one, row in zip(ids, rows, strict=True)], SPANS)


def predictions(rows: list[dict[str, object]], at: datetime = AT) -> pa.Table:
    """Return a PREDICTIONS table; each row names only what differs from a plain prediction."""
    plain: dict[str, object] = {"model": "churn", "version": "1", "schema_id": 1, "synthetic": False}
    ids = ({"prediction_id": str(index), "at": at, "received_at": at} for index in range(len(rows)))
    return pa.Table.from_pylist([plain | one | row for one, row in zip(ids, rows, strict=True)], PREDICTIONS)


def feature(name: str, state: DriftState, score: float | None) -> FeatureDrift:
    """Return one feature's drift by KS, against a threshold of 0.1."""
    return FeatureDrift(name, "numeric", "ks", state, 500, 10_000, score, 0.1 if score is not None else None)


def quality(model: str, at: datetime) -> QualityFinding:
    return QualityFinding(
        model,
        "1",
        Window.trailing(at, 3600.0),
        1000,
        (
            FeatureQuality(
                "age",
                "numeric",
                1000,
                0.2,
                0.0,
                None,
                checks=(
                    QualityCheck("nulls", QualityState.WORSE, 0.2),
                    QualityCheck("out_of_range", QualityState.NO_CHANGE, 0.0),
                    QualityCheck("constant", QualityState.NO_CHANGE, 0.0),
                ),
            ),
            FeatureQuality(
                "plan",
                "categorical",
                1000,
                0.0,
                None,
                0.0,
                checks=(
                    QualityCheck("nulls", QualityState.TOO_FEW_ROWS, 0.0),
                    QualityCheck("new_categories", QualityState.NO_CHANGE, 0.0),
                ),
            ),
        ),
        QualityCheck("duplicates", QualityState.CERTAIN_SMALL, 0.001),
        (SchemaChange("tenure", "type_refused", at, 7, "1", "categorical"), SchemaChange("gone", "vanished")),
    )


def overview(model: str = "churn", at: datetime = AT) -> ModelOverview:
    """Return a model of which everything is known."""
    slo = SloStatus(
        kind="availability",
        objective="availability >= 0.999 over 30d",
        target=0.999,
        over_s=2_592_000.0,
        at=at,
        total=10_000,
        bad=4,
        budget_remaining_ratio=0.6,
        burn_rates=(
            BurnRate("page", 14.4, 3600.0, 300.0, 0.4, 0.2),
            BurnRate("ticket", 3.0, 86400.0, 7200.0, 0.5, None),
        ),
    )
    return ModelOverview(
        model=model,
        at=at,
        liveness="live",
        versions=(),
        last_seen_at=at - timedelta(seconds=3),
        live_rps=42.0,
        latency=(),
        capacity=Capacity(120.0, 110.0, 130.0, "slo", (), supported=True),
        capacity_at=at - timedelta(days=1),
        capacity_run_id="run-1",
        slo=(slo,),
        quality=quality(model, at),
        drift=DriftFinding(
            model,
            "1",
            Window.trailing(at, 3600.0),
            (
                feature("age", DriftState.DRIFT, 0.4),
                feature("tenure", DriftState.NO_DRIFT, 0.02),
                feature("income", DriftState.TOO_FEW_ROWS, None),
            ),
        ),
        performance=Performance(
            window=Window.trailing(at, 3600.0),
            predictions=1_000,
            labelled=800,
            metrics={"accuracy": PerformanceMetric(0.91, 0.89, 0.93)},
            label_lag_p50_s=90.0,
            known_up_to=at - timedelta(minutes=5),
            task="classification",
        ),
        recommendation=Recommendation(
            model=model,
            at=at,
            state="ok",
            replicas=3,
            current=2,
            min=1,
            max=20,
            reason="forecast 210/s over 120/s a replica",
            capacity_rps=120.0,
            arrivals_rps=42.0,
            forecast=Forecast(at, 60.0, "ok", "seasonal", 30.0, 45.0, 80.0, 95.0),
            headroom_ratio=0.82,
            needed=2,
            gate=AdviceGate("weigh", "Seamark's advice beats the HPA in cost alone.", at),
        ),
        alerts=(),
    )


def unknown_overview(model: str = "silent", at: datetime = AT) -> ModelOverview:
    """Return a model that is configured and was never heard of."""
    return ModelOverview(
        model=model,
        at=at,
        liveness="unknown",
        versions=(),
        last_seen_at=None,
        live_rps=None,
        latency=(),
        capacity=None,
        capacity_at=None,
        capacity_run_id=None,
        slo=(),
        drift=None,
        performance=None,
        recommendation=None,
        alerts=(),
    )


def alert(name: str = "FeatureDrift", status: AlertStatus = AlertStatus.FIRING, **state: object) -> Alert:
    """Return an alert of the model churn."""
    rule = AlertRule(name, {"model": "churn"}, "ticket")
    return Alert(name, rule, AlertState(status, **state))  # type: ignore[arg-type]


def last_run(status: RunStatus = RunStatus.PASSED, at: datetime = AT) -> LastRun:
    """Return the last run of churn-nightly."""
    latency = LatencySummary(12.0, 40.0, 80.0, 200.0)
    return LastRun("churn-nightly", "churn", status, at - timedelta(hours=9), 1_000, 3, 100.0, 99.5, latency)


def filled(telemetry: Telemetry, at: datetime = AT, requests: int = 400) -> None:
    """Let a Telemetry live through some traffic: three versions and routes, one request in fifty failed."""
    rng = np.random.default_rng(7)
    rows: list[dict[str, object]] = [
        {
            "version": str(1 + index % 2),
            "route": ("/predict", "/explain")[index % 2],
            "failed": index % 50 == 0,
            "duration_ns": int(rng.lognormal(17.0, 0.6)),
            "start_at": at + timedelta(milliseconds=index),
            "input_tokens": 200 if index % 4 == 0 else None,
            "output_tokens": 50 if index % 4 == 0 else None,
            "first_token_ns": 300_000_000 if index % 4 == 0 else None,
        }
        for index in range(requests)
    ]
    predicted = predictions([{"version": str(1 + index % 2)} for index in range(requests)], at)
    telemetry.observe_commit(0.03, {"spans": spans(rows, at), "predictions": predicted})
    telemetry.count_rows("traces", requests, 2)
    telemetry.count_rows("predictions", requests, 0)
    telemetry.expect_job("evaluate", 1.0)
    telemetry.expect_job("maintain", 300.0)
    telemetry.job_succeeded("evaluate", at)
    telemetry.job_failed("maintain")


def page(telemetry: Telemetry, accept: str | None = None, at: datetime = AT) -> tuple[bytes, str]:
    """Return what /metrics would answer for one known and one silent model."""
    return telemetry.render(
        accept,
        at=at,
        overviews=[overview(at=at), unknown_overview(at=at)],
        runs=[last_run(at=at)],
        missed={"nightly": 3},
        alerts=[alert(), alert("SloBurn", AlertStatus.PENDING, unknown_since=at)],
        lake=LakeHealth(12, 34_000_000, 5_000_000_000),
        outbox_pending=0,
        buffer_waiting_rows=17,
    )


def samples(telemetry: Telemetry, **findings: Any) -> dict[tuple[str, Any], float]:
    """Return {(name, labels as sorted pairs): value} of a classic page."""
    text = telemetry.render(None, at=AT, **findings)[0].decode()
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in parse_classic(text)
        for one in family.samples
    }


def value(telemetry: Telemetry, name: str, findings: dict[str, Any] | None = None, **labels: str) -> float | None:
    """Return one sample's value, or None where the page has none."""
    return samples(telemetry, **(findings or {})).get((name, tuple(sorted(labels.items()))))
