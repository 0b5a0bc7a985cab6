"""Types of features: fixed by the reference or the first rows, enforced row by row at every door, on every node."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from tests.house import House

from seamark.core.errors import StoreUnavailable
from seamark.core.feature_types import TypeClash
from seamark.core.windows import Window
from seamark.engine.feature_types import CHECKED_S, TypeGate
from seamark.store.catalog import feature_types
from seamark.web import intake
from seamark.wire.documents import ARROW, JSON, NDJSON
from seamark.wire.predictions import decode_predictions


def row(x: Any, version: str = "1", **features: Any) -> dict[str, Any]:
    return {"version": version, "features": {"x": x, **features}, "prediction": 1}


def stored(house: House, version: str = "1") -> list[tuple[Any, Any]]:
    schemas = house.services.catalog.schemas.of(house.model)
    found = house.services.lake.query(
        "SELECT schema_id, numeric, categorical FROM lake.predictions WHERE model = ? AND version = ?",
        [house.model, version],
    )
    told = []
    for one in found.to_pylist():
        schema = schemas[one["schema_id"]]
        values = dict(zip(schema.numeric, one["numeric"], strict=True))
        values |= dict(zip(schema.categorical, one["categorical"], strict=True))
        told.append((("x" in schema.numeric) and "numeric", values["x"]))
    return told


@pytest.mark.parametrize("media_type", [JSON, NDJSON[0], ARROW])
@pytest.mark.parametrize("count", [3, 300], ids=["row by row", "in columns"])
def test_the_first_rows_fix_types_and_later_rows_of_another_are_refused(
    house: House, media_type: str, count: int
) -> None:
    since = house.services.clock.now().isoformat().replace("+00:00", "Z")
    assert house.send([row(1.5)] * count, media_type)["accepted"] == count
    answer = house.send([row("high")] * count, media_type)
    assert (answer["accepted"], answer["rejected_total"], answer["ids"]) == (0, count, [])
    assert [one["index"] for one in answer["rejected"]] == list(range(count))
    assert answer["rejected"][0]["error"] == (
        f"features.x: 'high' is a string or boolean; of version '1' it is a number since {since}, by the "
        "first rows that had it; send a number, or rows of a new version"
    )
    assert house.send([row("high", version="2")] * count, media_type)["accepted"] == count
    assert len(stored(house)) == count


@pytest.mark.slow
@pytest.mark.parametrize("count", [5, 400], ids=["row by row", "in columns"])
def test_of_mixed_rows_those_of_the_known_type_are_taken(house: House, count: int) -> None:
    house.send([row("a")])
    rows = [row(value) for value in (1, 2, "b", None, 3, "c")] * count  # most have the wrong type
    answer = house.send(rows)
    assert (answer["accepted"], answer["rejected_total"]) == (3 * count, 3 * count)
    wrong = [place for place, one in enumerate(rows) if isinstance(one["features"]["x"], int)]
    assert [one["index"] for one in answer["rejected"]] == wrong[:1000]
    assert len(answer["ids"]) == 3 * count
    kinds, values = zip(*stored(house), strict=True)
    assert set(kinds) == {False}
    assert sorted(map(str, values)) == sorted([*["a"], *(["b", "c", "None"] * count)])


@pytest.mark.slow
def test_a_null_fixes_no_type_and_is_refused_by_none(house: House) -> None:
    assert house.send([row(None)] * 3)["accepted"] == 3
    assert house.services.catalog.feature_types.of(house.model, "1") == {}
    assert house.send([row("a")])["accepted"] == 1
    assert house.send([row(None)] * 2)["accepted"] == 2
    assert house.send([row(2)])["rejected_total"] == 1
    assert sorted(stored(house), key=repr) == sorted(
        [("numeric", None)] * 3 + [(False, "a")] + [(False, None)] * 2, key=repr
    )
    house.pass_s(1)
    (quality,) = house.client.get(f"{house.place}/quality").json()["features"]
    assert (quality["kind"], quality["rows"], quality["null_ratio"]) == ("categorical", 6, 5 / 6)


def test_a_reference_decides_and_says_so(house: House) -> None:
    house.send([row("1")])
    kept = house.client.put(f"{house.place}/reference", json=[{"x": 1.0, "y": None}]).json()
    house.pass_s(CHECKED_S + 1)
    answer = house.send([row("1"), row(2.0, y="never seen as a number")])
    assert answer["accepted"] == 1
    assert f"by reference {kept['id']}" in answer["rejected"][0]["error"]
    assert house.services.catalog.feature_types.of(house.model, "1")["y"].kind == "categorical"
    own = house.client.put(f"{house.place}/reference", params={"version": "1"}, json=[{"x": "a"}]).json()
    house.pass_s(CHECKED_S + 1)
    assert f"by reference {own['id']}" in house.send([row(2.0)])["rejected"][0]["error"]
    assert house.send([row(2.0, version="3")])["accepted"] == 1


def test_otlp_logs_pass_the_same_check_and_keep_their_labels(house: House) -> None:
    house.send([row(1.0)])
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for place in range(80):
        record = scope.log_records.add(event_name="seamark.label" if place % 2 else "seamark.prediction")
        record.attributes.add(key="seamark.model.name").value.string_value = house.model
        record.attributes.add(key="seamark.model.version").value.string_value = "1"
        record.attributes.add(key="seamark.prediction.id").value.string_value = f"id-{place}" + "-" * 200
        if place % 2:
            record.attributes.add(key="seamark.label.value").value.string_value = "yes"
        else:
            value = json.dumps({"x": "wrong" if place % 4 else float(place)})
            record.attributes.add(key="seamark.features").value.string_value = value
    for body in (request.SerializeToString(),):
        answer = house.client.post("/v1/logs", content=body, headers={"Content-Type": "application/x-protobuf"})
        assert answer.status_code == 200
        told = ExportLogsServiceResponse.FromString(answer.content).partial_success
        assert told.rejected_log_records == 20
        assert told.error_message.startswith("20 of 80 log records refused: 2: features.x: 'wrong' is a string")
        assert "; 6: features.x" in told.error_message
    assert len(stored(house)) == 21
    assert house.services.lake.query("SELECT count(*) AS n FROM lake.labels")["n"][0].as_py() == 40


def test_types_hold_on_other_nodes_and_after_a_restart(house: House) -> None:
    def decoded(*rows: dict[str, Any]) -> Any:
        body = json.dumps([{"model": house.model, **one} for one in rows]).encode()
        return decode_predictions(body, JSON, received_at=house.services.clock.now(), new_id=lambda: "id")

    at = house.services.clock.now()
    first, second = (TypeGate(house.services.catalog, house.services.clock) for _ in range(2))
    assert second.checked(decoded(row(None)), at).rows == 1  # has looked, and seen no type
    assert first.checked(decoded(row(1)), at).rows == 1
    late = second.checked(decoded(row("a")), at)
    assert (late.rows, len(late.refusals)) == (0, 1)
    third = TypeGate(house.services.catalog, house.services.clock)
    assert third.checked(decoded(row("a")), at).rows == 0
    assert not third.fits(decoded(row(2)))
    assert third.checked(decoded(row(2)), at).rows == 1
    assert third.fits(decoded(row(2)))
    assert not third.fits(decoded(row(2, new=1)))
    house.pass_s(CHECKED_S)
    assert not third.fits(decoded(row(2)))


def test_of_two_nodes_that_are_told_different_types_at_once_one_is_right(house: House) -> None:
    gates = [TypeGate(house.services.catalog, house.services.clock) for _ in range(8)]
    at = house.services.clock.now()
    barrier = threading.Barrier(len(gates))

    def told(place: int) -> tuple[int, int]:
        body = json.dumps([{"model": house.model, **row(1 if place % 2 else "a")}] * 2).encode()
        decoded = decode_predictions(body, JSON, received_at=at, new_id=lambda: "id")
        barrier.wait(timeout=20)
        found = gates[place].checked(decoded, at)
        return place % 2, found.rows

    with ThreadPoolExecutor(len(gates)) as pool:
        taken = list(pool.map(told, range(len(gates))))
    (kind,) = {one.kind for one in house.services.catalog.feature_types.of(house.model, "1").values()}
    right = int(kind == "numeric")
    assert sorted(set(taken)) == sorted({(right, 2), (1 - right, 0)})


def test_a_reference_that_another_node_put_fixes_types_here_a_little_later(house: House) -> None:
    here = TypeGate(house.services.catalog, house.services.clock)

    def taken(x: Any) -> int:
        body = json.dumps([{"model": house.model, **row(x)}]).encode()
        decoded = decode_predictions(body, JSON, received_at=house.services.clock.now(), new_id=lambda: "id")
        return here.admit(decoded, house.services.clock.now(), lambda types: decoded).rows

    assert (taken("a"), taken("b")) == (1, 1)
    assert house.client.put(f"{house.place}/reference", json=[{"x": 1.0}]).status_code == 201
    assert taken("c") == 1
    house.pass_s(CHECKED_S + 1)
    assert (taken("d"), taken(2.0)) == (0, 1)
    here.forget(house.model)
    assert taken("e") == 0


def test_refused_rows_are_counted_by_feature_and_kind(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "COUNTS_WAIT_S", 0.01)
    house.send([row(1)])
    for _ in range(3):
        house.send([row("a"), row(1), row(True)])
    now, counts = house.services.clock.now(), house.services.catalog.feature_types
    until = time.monotonic() + 20
    found = counts.refused(house.model, None, Window.trailing(now, 60))
    while sum(one.rows for one in found) < 6 and time.monotonic() < until:
        time.sleep(0.01)
        found = counts.refused(house.model, None, Window.trailing(now, 60))
    assert [(one.version, one.feature, one.sent, one.rows) for one in found] == [("1", "x", "categorical", 6)]
    assert counts.refused(house.model, "2", Window.trailing(now, 60)) == []
    assert counts.prune(now + timedelta(minutes=1)) >= 1
    assert counts.refused(house.model, None, Window.trailing(now, 60)) == []


def test_counts_that_could_not_be_written_are_written_later(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = TypeGate(house.services.catalog, house.services.clock)
    clash = TypeClash(house.model, "1", "x", "numeric")
    gate._refused[clash] = 2
    written: list[Any] = []

    def refuse(refused: Any, at: Any) -> None:
        written.append(dict(refused))
        raise StoreUnavailable("away")

    monkeypatch.setattr(house.services.catalog.feature_types, "count_refused", refuse)
    with pytest.raises(StoreUnavailable):
        gate.write_counts(house.services.clock.now())
    monkeypatch.undo()
    gate.write_counts(house.services.clock.now())
    gate.write_counts(house.services.clock.now())
    found = house.services.catalog.feature_types.refused(
        house.model, None, Window.trailing(house.services.clock.now() + timedelta(seconds=1), 60)
    )
    assert [one.rows for one in found] == [2]
    assert written == [{clash: 2}]


def test_while_the_catalog_is_away_known_types_hold_and_new_features_wait(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.send([row(1)])

    def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("the catalog is away")

    for name in ("of", "fix", "count_refused"):
        monkeypatch.setattr(house.services.catalog.feature_types, name, away)
    monkeypatch.setattr(house.services.catalog.references, "in_force", away)
    for _ in range(2):
        house.pass_s(CHECKED_S + 1)
        answer = house.send([row(2), row("a")])
        assert (answer["accepted"], answer["rejected_total"]) == (1, 1)
    for rows in ([row(1, new=1)], [row(1, version="unheard of")]):
        body = [{"model": house.model, **one} for one in rows]
        assert house.client.post("/api/v1/predictions", json=body).status_code == 503
    monkeypatch.undo()
    assert house.send([row(1, new=1)])["accepted"] == 1
    assert house.send([row(1, new="a")])["rejected_total"] == 1


def test_types_of_a_model_are_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_types, "TYPES_MAX", 3)
    assert house.send([row(1, a=1, b="x")])["accepted"] == 1
    assert house.send([row(1, c=1)])["accepted"] == 1
    assert house.send([row(1, c="x")])["accepted"] == 1  # no type is known of c
    assert house.send([row("y", c="x")])["rejected_total"] == 1


@pytest.mark.parametrize(
    "name", ['quo"te', "a'b; DROP TABLE feature_types", "naïve 😀", "%", "x" * 256, "NaN", "m", "1"]
)
def test_names_may_hold_anything(house: House, name: str) -> None:
    rows = [{"model": f"m{name}"[:256], "version": name, "features": {name: value}} for value in (1, "a")]
    assert house.send(rows[:1])["accepted"] == 1
    (refused,) = house.send(rows[1:])["rejected"]
    assert f"features.{name}" in refused["error"]
