"""Labels that come before, with and weeks after their predictions, and corrected ones, through a real lake."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.lake_rows import AT, SCHEMA, rows_of

from seamark.core.windows import Window
from seamark.store import outcomes
from seamark.store.labels import labelled, labelled_by_step, steps
from seamark.store.local_lake import LocalLake

HOUR = Window.trailing(AT, 3600)


def put(lake: LocalLake, table: str, *rows: dict[str, Any]) -> None:
    lake.append({table: rows_of(table, list(rows))})


def prediction(model: str, number: int, minute: float = 30, **more: Any) -> dict[str, Any]:
    return {
        "model": model,
        "prediction_id": f"p{number}",
        "at": HOUR.start + timedelta(minutes=minute),
        "prediction_number": float(number),
        **more,
    }


def label(model: str, number: int, value: float, *, at: float = 0, received: float = 0) -> dict[str, Any]:
    """Times are days after the window."""
    return {
        "model": model,
        "prediction_id": f"p{number}",
        "label_number": value,
        "at": HOUR.end + timedelta(days=at),
        "received_at": HOUR.end + timedelta(days=received),
    }


def test_labels_before_with_and_weeks_after_their_prediction(lake: LocalLake) -> None:
    model = "order"
    put(lake, "labels", label(model, 0, 0.0, at=-2, received=-2))
    put(lake, "predictions", *(prediction(model, number) for number in range(4)))
    put(lake, "labels", label(model, 1, 1.0))
    put(lake, "labels", label(model, 2, 2.0, at=40, received=41))
    found = labelled(lake, model, HOUR)
    assert (found.predictions, found.labelled) == (4, 3)
    assert sorted(found.label_number.tolist()) == [0.0, 1.0, 2.0]
    assert (found.prediction_number == found.label_number).all()
    assert sorted(found.lag_s.tolist()) == [0.0, 1800.0, 40 * 86_400 + 1800.0]


@pytest.mark.parametrize(
    "labels, right",
    [
        # the correction came first, the outdated label was held up on its way
        ([(1.0, 5, 5), (0.0, 1, 9)], 1.0),
        ([(0.0, 1, 1), (1.0, 5, 5)], 1.0),
        # of one time: the one received last
        ([(0.0, 3, 3), (1.0, 3, 8)], 1.0),
        ([(1.0, 3, 8), (0.0, 3, 3)], 1.0),
    ],
)
def test_a_corrected_label_wins_by_its_own_time(lake: LocalLake, labels: list[Any], right: float) -> None:
    model = f"corrected {labels}"
    put(lake, "predictions", prediction(model, 1, schema_id=SCHEMA.schema_id))
    for value, at, received in labels:
        put(lake, "labels", label(model, 1, value, at=at, received=received))
    found = labelled(lake, model, HOUR)
    assert (found.labelled, found.label_number.tolist()) == (1, [right])
    assert found.lag_s.tolist() == [min(at for _, at, _ in labels) * 86_400 + 1800.0]  # a correction makes no lag
    _, rows = outcomes.as_reference(lake, {SCHEMA.schema_id: SCHEMA}, model, None, HOUR)
    assert rows["label_number"].to_pylist() == [right]


def test_steps_have_their_own_counts_and_rows(lake: LocalLake) -> None:
    model = "steps"
    put(lake, "predictions", *(prediction(model, number, minute=number) for number in range(25)))
    put(lake, "predictions", *(prediction(model, number, minute=number + 20) for number in range(20, 25)))  # again
    put(lake, "labels", *(label(model, number, float(number)) for number in range(13)))
    windows = steps(HOUR, 600)
    assert len(windows) == 6 and windows[0].start == HOUR.start and windows[-1].end == HOUR.end
    found = labelled_by_step(lake, model, windows)
    assert [one.predictions for one in found] == [10, 10, 5, 0, 0, 0]
    assert [one.labelled for one in found] == [10, 3, 0, 0, 0, 0]
    assert [one.unlabelled_since for one in found[:3]] == [
        None,
        HOUR.start + timedelta(minutes=13),
        HOUR.start + timedelta(minutes=20),
    ]
    assert [sorted(one.label_number.tolist()) for one in found[:2]] == [list(range(10)), [10, 11, 12]]
    sampled = labelled_by_step(lake, model, windows, rows_max=24)
    assert [(len(one.lag_s), one.labelled, one.sampled) for one in sampled[:2]] == [(4, 10, True), (3, 3, False)]


def test_the_last_step_may_be_shorter() -> None:
    spans = [one.span_s for one in steps(HOUR, 1000)]
    assert spans == [1000.0, 1000.0, 1000.0, 600.0]
    assert [one.span_s for one in steps(HOUR, 7200)] == [3600.0]


def test_a_segment_and_a_version_have_their_own_labels(lake: LocalLake) -> None:
    model = "segments"
    rows = [
        prediction(model, number, version=f"v{number % 2}", segment='{"country":"de"}' if number < 3 else None)
        for number in range(6)
    ]
    put(lake, "predictions", *rows)
    put(lake, "labels", *(label(model, number, float(number)) for number in range(6)))
    found = labelled(lake, model, HOUR, segments=[("country", "de")])
    assert sorted(found.label_number.tolist()) == [0.0, 1.0, 2.0]
    found = labelled(lake, model, HOUR, version="v1", segments=[("country", "de")])
    assert found.label_number.tolist() == [1.0]
    hostile = labelled(lake, model, HOUR, segments=[("x' OR true --", '"]')])
    assert (hostile.predictions, hostile.labelled) == (0, 0)
