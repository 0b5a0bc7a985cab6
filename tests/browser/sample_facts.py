"""Made-up models of every state a page must show: live, over capacity, silent, unknown, zero, hostile names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from seamark.core.advice import Forecast, Recommendation
from seamark.core.findings import (
    Alert,
    AlertRule,
    AlertState,
    AlertStatus,
    BurnRate,
    Capacity,
    CapacityStep,
    DriftFinding,
    DriftState,
    FeatureDrift,
    LatencyPoint,
    LatencySummary,
    ModelOverview,
    ModelSeen,
    SloStatus,
)
from seamark.core.performance import Estimate, EstimateState, Performance, PerformanceMetric
from seamark.core.quality import FeatureQuality
from seamark.core.windows import Window

AT = datetime(2026, 3, 4, 14, 30, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>"
LONG = "fraud-" + "x" * 194
MANIFEST = """apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: churn
spec:
  scaleTargetRef:
    name: churn
  minReplicaCount: 1
  maxReplicaCount: 20
"""


def ago(seconds: float) -> datetime:
    return AT - timedelta(seconds=seconds)


def capacity(rps: float = 48.0) -> Capacity:
    steps = tuple(
        CapacityStep(
            asked,
            asked * 0.998,
            int(asked * 20),
            0.0,
            LatencySummary(12 + asked / 8, 31 + asked / 3, p99, 2 * p99),
            held,
            reason,
        )
        for asked, p99, held, reason in (
            (10.0, 41.0, True, "every threshold held"),
            (20.0, 58.0, True, "every threshold held"),
            (40.0, 120.0, True, "every threshold held"),
            (80.0, 2210.0, False, "p99 2.21 s is over 300 ms"),
            (60.0, 640.0, False, "p99 640 ms is over 300 ms"),
            (50.0, 296.0, None, "too few samples"),
            (rps, 212.0, True, "every threshold held"),
        )
    )
    return Capacity(rps, rps, 52.0, "slo", steps, True)


def recommendation(model: str, **changes: Any) -> Recommendation:
    forecast = Forecast(AT, 75.0, "ok", "quantile_persistence", 71.0, 84.0, 108.0, 121.0)
    values: dict[str, Any] = {
        "model": model,
        "at": ago(4),
        "state": "ok",
        "replicas": 3,
        "current": 2,
        "min": 1,
        "max": 20,
        "reason": "3 replicas: the forecast's p90 of 108 requests/s in 75 s needs 2.25 replicas of 48 requests/s each.",
        "capacity_rps": 48.0,
        "arrivals_rps": 82.4,
        "forecast": forecast,
        "headroom_ratio": 0.142,
        "cost_per_hour": 1.35,
    }
    return Recommendation(**{**values, **changes})


def slo(left: float | None = 0.87, *, burning: bool = False) -> tuple[SloStatus, ...]:
    fast = 21.5 if burning else 0.4
    burns = (
        BurnRate("page", 14.4, 3600, 300, fast, fast * 1.1),
        BurnRate("page", 6, 21600, 1800, 0.9, fast),
        BurnRate("ticket", 3, 86400, 7200, 0.7, None),
        BurnRate("ticket", 1, 259200, 21600, 0.6, 0.5),
    )
    return (
        SloStatus(
            "availability", "availability >= 0.999 over 30d", 0.999, 30 * 86400, AT, 4_210_338, 1204, 0.94, burns
        ),
        SloStatus("latency", "p99(latency_ms) < 300 over 30d", 0.99, 30 * 86400, AT, 4_210_338, 5473, left, burns),
    )


def drift(model: str, *, moved: int = 2, names: Sequence[str] = ()) -> DriftFinding:
    wanted = [
        *names,
        "age",
        "monthly_income",
        "tenure_months",
        "region",
        "plan_type",
        "support_calls",
        "balance",
        "card_brand",
    ]
    features = []
    for index, name in enumerate(wanted):
        state = DriftState.DRIFT if index < moved else DriftState.NO_DRIFT
        score = 0.41 - index * 0.06 if index < moved else 0.021 + 0.008 * index
        kind = "categorical" if name in ("region", "plan_type", "card_brand") else "numeric"
        features.append(
            FeatureDrift(
                name,
                kind,
                "psi" if index % 2 else "wasserstein_normed",
                state,
                3412,
                10_000,
                score,
                0.11,
                1e-9 if index < moved else 0.31,
            )
        )
    features[-1] = FeatureDrift(wanted[-1], "categorical", "chi_square", DriftState.TOO_FEW_ROWS, 41, 10_000)
    features[-2] = FeatureDrift(wanted[-2], "numeric", "ks", DriftState.CERTAIN_SMALL, 3412, 10_000, 0.06, 0.11, 0.0002)
    return DriftFinding(model, None, Window.trailing(ago(20), 3600), tuple(features), "r1")


def alert(
    model: str, status: AlertStatus, name: str = "SeamarkDrift", severity: str = "ticket", age_s: float = 840
) -> Alert:
    rule = AlertRule(
        name,
        {"alertname": name, "model": model, "severity": severity},
        severity,
        summary=f"Features of {model} drifted from their reference",
    )
    if name == "SeamarkSloBurnRate":
        rule = AlertRule(
            name, {**rule.labels, "slo": "latency"}, severity, summary=f"{model} burns its latency budget too fast"
        )
    state = AlertState(status, ago(age_s), ago(age_s + 1300) if status != AlertStatus.PENDING else None, value=2.0)
    links = {"model": "/models/churn", "evil": "javascript:alert(1)"}
    words = {"description": "drifted: age (psi 0.41, p 1e-09), monthly_income (wasserstein_normed 0.35, p 2e-09)"}
    return Alert(f"{name}-{model}-{status}-{severity}", rule, state, words, links)


def performance() -> Performance:
    metrics = {"accuracy": PerformanceMetric(0.913, 0.901, 0.924), "f1_macro": PerformanceMetric(0.874, 0.852, 0.893)}
    return Performance(Window.trailing(AT, 3600), 12_480, 7_904, metrics, 412.0, ago(900), "classification")


def estimate() -> Estimate:
    metrics = {"accuracy": PerformanceMetric(0.918, 0.899, 0.937)}
    return Estimate(
        Window.trailing(AT, 3600), EstimateState.ESTIMATED, 12_480, 12_480, metrics, "classification", "cbpe"
    )


def overview(model: str, **changes: Any) -> ModelOverview:
    values: dict[str, Any] = {
        "model": model,
        "at": AT,
        "liveness": "live",
        "versions": (
            ModelSeen(model, "2026.03.1", 23_410, 23_401, ago(2)),
            ModelSeen(model, "2026.02.7", 1_204, 1_204, ago(9)),
        ),
        "last_seen_at": ago(2),
        "live_rps": 82.4,
        "latency": (
            LatencyPoint(ago(300), 23_410, 0.0021, 11.2, 48.0, 131.0, {"version": "2026.03.1"}),
            LatencyPoint(ago(300), 1_204, 0.0, 12.8, 61.0, 214.0, {"version": "2026.02.7"}),
        ),
        "capacity": capacity(),
        "capacity_at": ago(36_000),
        "capacity_run_id": "4f1c2b9a00000001",
        "slo": slo(),
        "drift": drift(model),
        "performance": performance(),
        "estimate": estimate(),
        "recommendation": recommendation(model),
        "alerts": (alert(model, AlertStatus.FIRING),),
    }
    return ModelOverview(**{**values, **changes})


def unknown(model: str) -> ModelOverview:
    advice = recommendation(
        model,
        state="hold",
        replicas=None,
        current=None,
        capacity_rps=None,
        headroom_ratio=None,
        arrivals_rps=None,
        reason="hold: nothing was ever heard of it",
        cost_per_hour=None,
        forecast=Forecast(AT, 75, "too_few_points", "none"),
    )
    return overview(
        model,
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
        estimate=None,
        recommendation=advice,
        alerts=(),
    )


def all_models() -> list[ModelOverview]:
    calm = recommendation(
        "fraud-score",
        replicas=4,
        current=4,
        headroom_ratio=0.56,
        forecast=Forecast(AT, 75, "ok", "p", 71, 84, 108, 121),
    )
    stale = recommendation(
        "pricing",
        state="hold",
        replicas=None,
        current=2,
        headroom_ratio=None,
        arrivals_rps=None,
        reason="hold: silent for 14 min",
        forecast=Forecast(AT, 75, "stale", "none"),
    )
    over = recommendation(
        "search-ranker",
        replicas=7,
        current=4,
        headroom_ratio=-0.21,
        arrivals_rps=232.0,
        forecast=Forecast(AT, 75, "ok", "p", 214.0, 251.0, 283.0, 300.0),
    )
    quiet = recommendation(
        "night-batch",
        replicas=1,
        current=1,
        headroom_ratio=1.0,
        arrivals_rps=0.0,
        forecast=Forecast(AT, 75, "ok", "p", 0.0, 0.0, 1.4, 2.0),
    )
    return [
        overview("churn"),
        overview("fraud-score", live_rps=84.1, alerts=(), drift=drift("fraud-score", moved=0), recommendation=calm),
        overview(
            "search-ranker",
            live_rps=232.0,
            slo=slo(0.0, burning=True),
            recommendation=over,
            alerts=(alert("search-ranker", AlertStatus.FIRING, "SeamarkSloBurnRate", "page"),),
        ),
        overview(
            "pricing",
            liveness="stale",
            last_seen_at=ago(840),
            live_rps=None,
            latency=(),
            alerts=(),
            slo=slo(0.61),
            drift=drift("pricing", moved=0),
            recommendation=stale,
        ),
        overview(
            "night-batch",
            live_rps=0.0,
            alerts=(),
            latency=(),
            slo=slo(None),
            drift=drift("x", moved=0),
            recommendation=quiet,
        ),
        unknown("upsell"),
    ]


def hostile_models() -> list[ModelOverview]:
    return [
        overview(
            HOSTILE,
            drift=drift(HOSTILE, names=("<img src=x onerror=alert(2)>", "n" * 200)),
            alerts=(alert(HOSTILE, AlertStatus.FIRING),),
            latency=(LatencyPoint(ago(300), 10, 0.1, 1.0, 2.0, 3.0, {"version": "</script><b>v</b>"}),),
        ),
        overview(LONG, live_rps=math.nan, versions=(ModelSeen(LONG, "v" * 200, 1, 1, ago(2)),)),
    ]


def latency(versions: Sequence[str] = ("2026.02.7", "2026.03.1")) -> list[LatencyPoint]:
    points = []
    for minute in range(60, 0, -1):
        if 24 <= minute <= 29:
            continue  # an outage
        for index, version in enumerate(versions):
            if index == 1 and minute > 40:
                continue
            wave = 1 + 0.25 * math.sin(minute / 6) + (0.9 if index == 0 and 8 < minute < 12 else 0.0)
            count = int(60 * (70 + 15 * math.sin(minute / 9)) * (0.05 if index == 0 and minute < 40 else 1))
            points.append(
                LatencyPoint(
                    ago(60 * minute),
                    count,
                    0.002 * wave if minute % 3 else 0.0,
                    11 * wave,
                    46 * wave,
                    128 * wave * (1 + index * 0.4),
                    {"version": version},
                )
            )
    return points


def quality() -> list[FeatureQuality]:
    return [
        FeatureQuality("age", "numeric", 3412, 0.0, 0.0311, None),
        FeatureQuality("monthly_income", "numeric", 3412, 0.0004, 0.224, None),
        FeatureQuality("plan_type", "categorical", 3412, 0.0, None, 0.0126, ("family", "<b>x</b>")),
        FeatureQuality("region", "categorical", 3412, 0.012, None, 0.0),
        FeatureQuality("card_brand", "categorical", 41, 0.0, None, None),
    ]
