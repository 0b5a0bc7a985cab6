"""Whole windows measured by the labels that came, without reading the lake at each refresh, and the estimates kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.lake_rows import rows_of

from seamark.core.performance import Estimate, EstimateState, PerformanceMetric
from seamark.core.windows import Window
from seamark.engine import performance_history
from seamark.engine.estimates import KEPT
from seamark.engine.performance_history import MeasuredWindows, steps
from seamark.engine.services import Services

AT = datetime(2026, 3, 1, 12, 20, tzinfo=UTC)
NOON = AT.replace(minute=0)


class Counted:
    """A lake that counts what is asked of it."""

    def __init__(self, lake: Any) -> None:
        self._lake, self.asked = lake, 0

    def query(self, *args: Any, **options: Any) -> Any:
        self.asked += 1
        return self._lake.query(*args, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lake, name)


@pytest.fixture
def counted(services: Services, monkeypatch: pytest.MonkeyPatch) -> Counted:
    lake = Counted(services.lake)
    object.__setattr__(services, "lake", lake)
    monkeypatch.setattr(performance_history, "_measured", MeasuredWindows())
    return lake


def predict(services: Services, hours_ago: int, count: int = 40) -> list[str]:
    ids = [f"{hours_ago}-{row}" for row in range(count)]
    at = NOON - timedelta(hours=hours_ago - 1, minutes=30)
    rows = [{"model": "churn", "prediction_id": one, "at": at, "prediction_number": 1.0} for one in ids]
    services.lake.append({"predictions": rows_of("predictions", rows)})
    return ids


def label(services: Services, ids: list[str], at: datetime) -> None:
    rows = [
        {"model": "churn", "prediction_id": one, "label_number": float(n % 4 > 0), "at": at, "received_at": at}
        for n, one in enumerate(ids)
    ]
    services.lake.append({"labels": rows_of("labels", rows)})


def test_windows_are_measured_once_and_again_when_labels_may_have_come(services: Services, counted: Counted) -> None:
    whole, half = predict(services, 1), predict(services, 3)
    label(services, whole, NOON)
    label(services, half[:20], NOON)
    first = steps(services, "churn", AT, windows=4)
    assert [step.window.end for step in first] == [NOON - timedelta(hours=back) for back in (3, 2, 1, 0)]
    assert [step.measured.coverage for step in first] == [None, 0.5, None, 1.0]
    assert first[3].measured.metrics["accuracy"].value == 0.75
    asked = counted.asked
    assert steps(services, "churn", AT + timedelta(minutes=4), windows=4) == first
    assert counted.asked == asked, "a refresh reads the lake"
    label(services, half[20:], AT)
    later = steps(services, "churn", AT + timedelta(minutes=6), windows=4)
    assert [step.measured.coverage for step in later] == [None, 1.0, None, 1.0]
    assert counted.asked > asked
    moved = steps(services, "churn", AT + timedelta(hours=1), windows=4)
    assert [step.measured.coverage for step in moved] == [1.0, None, 1.0, None]
    services.lake.append(
        {
            "labels": rows_of(
                "labels",
                [
                    {"model": "churn", "prediction_id": one, "label_number": 1.0, "at": AT, "received_at": AT}
                    for one in whole
                ],
            )
        }
    )
    corrected, _ = steps(services, "churn", AT + timedelta(minutes=99), windows=2)
    assert corrected.measured.metrics["accuracy"].value == 1.0


def test_kept_estimates_stand_beside_their_windows(services: Services, counted: Counted) -> None:
    window = Window.trailing(NOON - timedelta(hours=1), 3600)
    kept = Estimate(window, EstimateState.ESTIMATED, 40, metrics={"accuracy": PerformanceMetric(0.9, 0.88, 0.92)})
    services.catalog.findings.put("churn", KEPT, AT, kept)
    found = steps(services, "churn", AT, windows=3)
    assert [dict(step.estimated) for step in found] == [{}, dict(kept.metrics), {}]
