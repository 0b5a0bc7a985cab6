"""Data quality, segments and rolling references through the application's doors and at a tick."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.house import House

from seamark.core.findings import AlertStatus, DriftFinding
from seamark.core.quality import QualityFinding
from seamark.engine.evaluate import Evaluator

HOUR_S = 3600.0


def rows(count: int, *, seed: int, mean: float = 0.0, segment: dict[str, Any] | None = None, **more: Any) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [
        {
            "features": {"x": float(rng.normal(mean)), "plan": str(rng.choice(["a", "b", "c"])), **more},
            "segment": segment or {},
            "prediction": float(rng.normal(mean)),
        }
        for _ in range(count)
    ]


def reference(house: House, count: int = 600) -> str:
    flat = [row["features"] | {"prediction": row["prediction"]} for row in rows(count, seed=99)]
    answer = house.client.put(f"{house.place}/reference", json=flat)
    assert answer.status_code == 201, answer.text
    found: str = answer.json()["id"]
    return found


def asked(house: House, what: str, *segments: str, **more: str) -> dict[str, Any]:
    answer = house.client.get(f"{house.place}/{what}", params={**more, "segment": list(segments)})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def states(house: House, *segments: str, **more: str) -> dict[str, str]:
    return {one["feature"]: one["state"] for one in asked(house, "drift", *segments, **more)["features"]}


def worse(found: dict[str, Any]) -> set[tuple[str, str]]:
    return {(f["feature"], c["check"]) for f in found["features"] for c in f["checks"] if c["worse"]}


@pytest.mark.slow
def test_quality_tells_what_is_worse_than_the_reference(house: House) -> None:
    kept = reference(house)
    house.send(rows(300, seed=1))
    found = asked(house, "quality")
    assert (found["rows"], found["worse"], found["reference_id"]) == (300, False, kept)
    assert found["duplicates"]["state"] == "no_change"
    assert found["schema"] == []
    house.pass_s(2 * HOUR_S)
    broken = rows(300, seed=2, new=1)
    for place, row in enumerate(broken):
        if place < 60:
            row["features"]["x"] = None
        if place < 100:
            row["features"]["plan"] = "never seen"
    house.send(broken + [broken[-1]] * 100)
    found = asked(house, "quality")
    assert found["worse"] is True
    assert worse(found) == {("x", "nulls"), ("plan", "new_categories")}
    assert found["duplicates"]["worse"] is True
    assert [(one["feature"], one["change"]) for one in found["schema"]] == [("new", "new")]
    (x,) = (one for one in found["features"] if one["feature"] == "x")
    assert x["null_ratio"] == pytest.approx(60 / 400)
    nulls = x["checks"][0]
    assert nulls["low"] < nulls["ratio"] < nulls["high"] and nulls["difference_low"] > 0


@pytest.mark.slow
def test_quality_tells_of_changes_of_schema_with_and_without_a_reference(house: House) -> None:
    house.send(rows(120, seed=1, gone=1.0))
    found = asked(house, "quality")
    assert (found["worse"], found["schema"], found["duplicates"]["state"]) == (None, [], "no_reference")
    house.pass_s(2 * HOUR_S)
    house.send(rows(120, seed=2, new="n"))
    house.send([{"features": {"x": "a word", "plan": "a"}}] * 7)
    house.services.types.write_counts(house.services.clock.now())
    changes = {(one["feature"], one["change"], one["rows"], one["sent"]) for one in asked(house, "quality")["schema"]}
    assert changes == {
        ("new", "new", None, None),
        ("gone", "vanished", None, None),
        ("x", "type_refused", 7, "categorical"),
    }
    kept = reference(house)
    found = asked(house, "quality")
    assert {(one["feature"], one["change"]) for one in found["schema"]} == {("new", "new"), ("x", "type_refused")}
    assert found["reference_id"] == kept
    assert asked(house, "quality", at=str(house.services.clock.now().timestamp() + 9 * HOUR_S))["worse"] is None


def test_rows_sent_again_are_no_duplicates(house: House) -> None:
    reference(house)
    sent = [{**row, "prediction_id": f"p{place}"} for place, row in enumerate(rows(200, seed=5))]
    for _ in range(3):
        house.send(sent)
    found = asked(house, "quality")
    assert (found["rows"], found["duplicates"]["ratio"]) == (200, 0.0)


@pytest.mark.slow
def test_segments_are_judged_alone_and_an_unknown_one_is_no_error(house: House) -> None:
    reference(house)
    house.send(rows(200, seed=1, segment={"country": "de", "a:b": "q\"uo'te", "tier": 1}))
    house.send(rows(200, seed=2, mean=2.0, segment={"country": "fr", "tier": 2}))
    assert states(house, "country:de")["x"] == "no_drift"
    assert states(house, "country:fr") == {"x": "drift", "plan": "no_drift", "prediction": "drift"}
    assert states(house, "country:fr", "tier:2")["x"] == "drift"
    assert set(states(house, "country:fr", "tier:1").values()) <= {"too_few_rows", "not_in_window"}
    assert states(house, '{"a:b": "q\\"uo\'te"}')["x"] == "no_drift"
    assert set(states(house, "country:'; DROP TABLE lake.predictions; --").values()) <= {
        "too_few_rows",
        "not_in_window",
    }
    assert asked(house, "drift", "tier:2", "country:fr")["segment"] == {"country": "fr", "tier": "2"}
    assert asked(house, "quality", "country:fr")["rows"] == 200
    assert asked(house, "quality", "country:nowhere")["rows"] == 0
    assert asked(house, "quality", "country:nowhere")["worse"] is None
    for wrong in ("country", ":de", "{", '{"a": [1]}', "a:" + "x" * 300):
        for what in ("drift", "quality"):
            answer = house.client.get(f"{house.place}/{what}", params={"segment": wrong})
            assert (answer.status_code, "segment" in answer.json()["detail"]) == (422, True), answer.text


@pytest.mark.slow
@pytest.mark.parametrize("written", ["{rolling: 3h}", "{same_weekday: 2}"])
def test_a_reference_rolls_along_with_traffic(house: House, written: str) -> None:
    house.services.configuration.apply(
        f"models: [{{name: '{house.model}', drift: {{reference: {written}, segments: [{{country: de}}]}}}}]",
        house.services.clock.now(),
    )
    step_s = HOUR_S if "rolling" in written else 7 * 24 * HOUR_S
    # On the hour, so that the same hour of another week is the same hour.
    house.pass_s(HOUR_S - house.services.clock.now().timestamp() % HOUR_S + 1800)
    house.send(rows(150, seed=1, segment={"country": "de"}))
    assert states(house, window="1h") == {"x": "too_few_rows", "plan": "too_few_rows"}
    for seed in (2, 3):
        house.pass_s(step_s - 1)
        house.send(rows(150, seed=seed, segment={"country": "de"}))
    found = asked(house, "drift")
    assert {one["feature"]: one["state"] for one in found["features"]} == dict.fromkeys(
        ("x", "plan", "prediction"), "no_drift"
    )
    # The rolling one ends on the hour before the window: what came half an hour later is in neither.
    assert {one["reference_rows"] for one in found["features"]} == ({150} if "rolling" in written else {300})
    assert found["reference_id"].startswith("rolling 3h to" if "rolling" in written else "same_weekday 2")
    assert asked(house, "quality")["worse"] is False
    house.pass_s(step_s - 1)
    house.send(rows(150, seed=4, mean=2.0, segment={"country": "fr"}))
    assert states(house)["x"] == "drift"
    assert states(house)["prediction"] == "drift"
    assert states(house, "country:fr")["x"] == "too_few_rows"  # of which there was none before
    assert set(states(house, "country:de").values()) <= {"not_in_window", "too_few_rows"}
    Evaluator().tick(house.services, house.services.clock.now())


@pytest.mark.slow
def test_segments_are_watched_at_ticks_with_alerts_of_their_own(house: House) -> None:
    text = f"models: [{{name: '{house.model}', drift: {{segments: [{{country: de}}, {{tier: 2, country: fr}}]}}}}]"
    house.services.configuration.apply(text, house.services.clock.now())
    reference(house)
    house.send(rows(150, seed=1, segment={"country": "de", "tier": 1}))
    house.send(rows(150, seed=2, mean=3.0, segment={"country": "fr", "tier": 2}))
    house.send([{"features": {"plan": 1}}] * 3)
    house.services.types.write_counts(house.services.clock.now())
    Evaluator().tick(house.services, house.services.clock.now())
    findings = house.services.catalog.findings
    (drift,) = findings.history(house.model, "drift_segments", tuple[DriftFinding, ...])
    assert [(dict(one.segment), one.drifted) for one in drift.finding] == [
        ({"country": "de"}, False),
        ({"country": "fr", "tier": "2"}, True),
    ]
    whole = findings.latest(house.model, "quality", QualityFinding)
    assert whole is not None and [one.change for one in whole.finding.schema] == ["type_refused"]
    (parts,) = findings.history(house.model, "quality_segments", tuple[QualityFinding, ...])
    assert [one.rows for one in parts.finding] == [150, 150]
    firing = {
        (alert.rule.name, alert.rule.labels.get("segment", ""))
        for alert in house.services.catalog.alerts.all()
        if alert.rule.labels["model"] == house.model and alert.state.status == AlertStatus.FIRING
    }
    assert {("SeamarkDrift", "country=fr,tier=2"), ("SeamarkDrift", ""), ("SeamarkDataQuality", "")} <= firing
    assert not any(segment == "country=de" for _, segment in firing)
