"""What findings say of themselves: unknown stays unknown, and documents are plain data."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from seamark.core.findings import (
    BurnRate,
    Capacity,
    CapacityStep,
    DriftFinding,
    DriftState,
    FeatureDrift,
    LatencySummary,
    RunStatus,
    to_document,
)
from seamark.core.performance import Performance
from seamark.core.windows import Window

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
WINDOW = Window.trailing(AT, 60)


def feature(state: DriftState) -> FeatureDrift:
    return FeatureDrift("f", "numeric", "ks", state, 100, 1000)


def finding(*states: DriftState) -> DriftFinding:
    return DriftFinding("m", None, WINDOW, tuple(feature(state) for state in states))


@pytest.mark.parametrize("state", DriftState)
def test_a_feature_drifted_did_not_or_is_unknown(state: DriftState) -> None:
    expected = {DriftState.DRIFT: True, DriftState.NO_DRIFT: False, DriftState.CERTAIN_SMALL: False}
    assert feature(state).drifted is expected.get(state)


def test_a_model_drifted_if_any_feature_did_and_not_if_every_known_one_did_not() -> None:
    assert finding(DriftState.NO_DRIFT, DriftState.DRIFT, DriftState.ALL_NULL).drifted is True
    assert finding(DriftState.NO_DRIFT, DriftState.CERTAIN_SMALL).drifted is False
    assert finding(DriftState.NO_DRIFT, DriftState.NOT_IN_REFERENCE).drifted is False
    # What drifted and then comes without values has not returned.
    assert finding(DriftState.NO_DRIFT, DriftState.ALL_NULL).drifted is None
    assert finding(DriftState.NO_DRIFT, DriftState.NOT_IN_WINDOW).drifted is None
    assert finding(DriftState.NO_DRIFT, DriftState.TOO_FEW_ROWS).drifted is None
    assert finding(DriftState.TOO_FEW_ROWS, DriftState.NO_REFERENCE).drifted is None
    assert finding().drifted is None
    # What the reference has no value of can never be judged: it decides nothing.
    never = FeatureDrift("g", "numeric", "ks", DriftState.ALL_NULL, 0, 0)
    assert DriftFinding("m", None, WINDOW, (feature(DriftState.NO_DRIFT), never)).drifted is False
    assert DriftFinding("m", None, WINDOW, (never,)).drifted is None


@pytest.mark.parametrize(
    "long, short, exceeded",
    [(7.0, 7.0, True), (7.0, 5.0, False), (5.0, 7.0, False), (6.0, 7.0, False), (None, 7.0, None), (7.0, None, None)],
)
def test_a_burn_rate_is_exceeded_in_both_windows_or_unknown(
    long: float | None, short: float | None, exceeded: bool | None
) -> None:
    assert BurnRate("page", 6.0, 3600, 300, long, short).exceeded is exceeded


def test_coverage_without_predictions_is_unknown() -> None:
    assert Performance(WINDOW, 0, 0, {}, None, None).coverage is None
    assert Performance(WINDOW, 8, 2, {}, None, None).coverage == 0.25


def test_four_of_six_statuses_are_final() -> None:
    assert {status for status in RunStatus if not status.final} == {RunStatus.QUEUED, RunStatus.RUNNING}


def test_a_document_is_plain_json() -> None:
    step = CapacityStep(10.0, 9.9, 100, 0.0, LatencySummary(1.0, 2.0, 3.0, 4.0), None, "thin")
    document = to_document(
        {"capacity": Capacity(10.0, 10.0, None, "slo", (step,), supported=False), "drift": finding(DriftState.DRIFT)}
    )
    document = json.loads(json.dumps(document))
    assert (
        document["capacity"]["steps"][0]["held"] is None and document["capacity"]["steps"][0]["latency"]["p99"] == 3.0
    )
    assert document["drift"]["window"] == {"start": "2026-03-01T12:29:00Z", "end": "2026-03-01T12:30:00Z"}
    assert document["drift"]["features"][0]["state"] == "drift"
