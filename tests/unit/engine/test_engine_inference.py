"""Halves of inferences through the door and the job: joined once, whichever comes first, twice or never."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.empty_stores import put_catalog, put_lake

from seamark.app import create_app, known_names
from seamark.core.clock import ManualClock
from seamark.core.errors import StoreUnavailable
from seamark.core.inference import Half
from seamark.core.keys import RANDOM_BYTES, new_key
from seamark.core.windows import Window
from seamark.engine import inference
from seamark.engine.configuration import Configuration
from seamark.engine.inference import WAIT_S, HeldHalves, Joiner
from seamark.engine.services import Services
from seamark.store.buffer import WriteBuffer
from seamark.store.catalog import Catalog
from seamark.store.catalog.keys import KeyRecord
from seamark.store.heard import Heard
from seamark.telemetry import Telemetry

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
PATH = "/api/v1/cloudevents"


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    folder = tmp_path / "data"
    lake, database = put_lake(folder), put_catalog(folder)
    catalog = Catalog(database)
    with httpx.Client(timeout=5.0, trust_env=False, verify=False) as http:
        yield Services(
            clock=ManualClock(AT),
            lake=lake,
            heard=Heard(lake),
            buffer=WriteBuffer(lake, rows_max=1000),
            catalog=catalog,
            telemetry=Telemetry(),
            configuration=Configuration(catalog, known_names()),
            http=http,
            url="http://127.0.0.1:8000",
            data_dir=folder,
            loadtests_dir=folder / "loadtests",
            grpc_port=4317,
            loadtest_bind=("127.0.0.1", 5557),
            open_access=True,
            max_body_bytes=1 << 20,
            retention_days=30.0,
        )
    lake.close()
    database.close()


class Node:
    """One process of the service: its own buffer and its own memory, over stores that outlive it."""

    def __init__(self, services: Services, client: httpx.AsyncClient) -> None:
        self.services, self.client = services, client

    async def send(self, half: str, name: str, document: Any, url: str = PATH, **more: Any) -> httpx.Response:
        headers = {
            "Content-Type": "application/json",
            "Ce-Specversion": "1.0",
            "Ce-Id": name,
            "Ce-Type": f"org.kubeflow.serving.inference.{half}",
            "Ce-Source": "http://localhost:9081/",
            "Ce-Time": self.services.clock.now().isoformat(),
            "Ce-Inferenceservicename": "churn",
            "Ce-Endpoint": "default",
        }
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        return await self.client.post(url, content=content, headers=headers | more.pop("headers", {}), **more)

    async def both(self, name: str, rows: list[Any], answers: list[Any], **more: Any) -> list[httpx.Response]:
        return [
            await self.send("request", name, {"instances": rows}, **more),
            await self.send("response", name, {"predictions": answers}, **more),
        ]


@asynccontextmanager
async def node_of(services: Services) -> Any:
    own = replace(
        services, buffer=WriteBuffer(services.lake, rows_max=1000, on_commit=services.telemetry.observe_commit)
    )
    app = create_app(own)
    await own.buffer.start()
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        node = Node(own, client)
        node.app = app
        yield node
    await own.buffer.drain(5.0)


def on_a_node(services: Services, scenario: Any) -> Any:
    async def run() -> Any:
        async with node_of(services) as node:
            return await scenario(node)

    return asyncio.run(run())


def statuses(answers: list[httpx.Response]) -> list[int]:
    return [answer.status_code for answer in answers]


def predictions(services: Services) -> list[dict[str, Any]]:
    return services.lake.query("SELECT * FROM lake.predictions ORDER BY prediction_id").to_pylist()


def counted(services: Services) -> dict[tuple[str, ...], float]:
    text = services.telemetry.render(None, at=services.clock.now())[0].decode()
    wanted = (
        "seamark_inferences_joined",
        "seamark_inference_halves_alone",
        "seamark_ingest_rows",
        "seamark_ingest_cut",
    )
    return {
        (sample.name.removesuffix("_total").rpartition("seamark_")[2], *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if family.name in wanted and sample.value
    }


@pytest.fixture(params=["request first", "response first"])
def order(request: pytest.FixtureRequest) -> Iterator[list[tuple[str, Any]]]:
    halves = [("request", {"instances": [[1, "a"], [2, "b"]]}), ("response", {"predictions": [0, 1]})]
    return halves if request.param == "request first" else halves[::-1]


JOINED = [("i-0", [1.0], ["a"], 0.0), ("i-1", [2.0], ["b"], 1.0)]


def told(services: Services) -> list[tuple[Any, ...]]:
    found = predictions(services)
    return [(r["prediction_id"], r["numeric"], r["categorical"], r["prediction_number"]) for r in found]


def test_a_pair_is_joined_when_its_second_half_comes(services: Services, order: Any) -> None:
    async def scenario(node: Node) -> list[httpx.Response]:
        answers = [await node.send(half, "i", document) for half, document in order]
        assert len(node.app.state.intake.halves) == 0
        return answers

    first, second = on_a_node(services, scenario)
    assert first.status_code == second.status_code == 200
    assert first.json() == {"id": "i", "half": order[0][0], "joined": False}
    assert second.json()["joined"] is True and second.json()["predictions"] == 2
    assert told(services) == JOINED
    assert {(row["model"], row["version"]) for row in predictions(services)} == {("churn", "default")}
    Joiner().tick(services, services.clock.now() + timedelta(seconds=1))
    assert told(services) == JOINED
    assert counted(services) == {
        ("inferences_joined", "arrival"): 1,
        ("ingest_rows", "accepted", "cloudevents"): 2,
    }


def test_a_half_is_durable_when_it_is_answered(services: Services) -> None:
    on_a_node(services, lambda node: node.send("request", "i", {"instances": [[1]]}))
    (row,) = services.lake.query("SELECT * FROM lake.inference_payloads").to_pylist()
    assert (row["inference_id"], row["half"], row["body"]) == ("i", "request", b'{"instances": [[1]]}')


def test_halves_that_came_to_different_processes_are_joined_by_the_job(services: Services, order: Any) -> None:
    for half, document in order:  # a restart lies between
        assert on_a_node(services, lambda node, h=half, d=document: node.send(h, "i", d)).json()["joined"] is False
    assert predictions(services) == []
    joiner = Joiner()
    joiner.tick(services, services.clock.now() + timedelta(seconds=1))
    assert told(services) == JOINED
    joiner.tick(services, services.clock.now() + timedelta(seconds=11))
    Joiner().tick(services, services.clock.now() + timedelta(seconds=11))
    assert told(services) == JOINED
    assert counted(services)["inferences_joined", "job"] == 1
    assert services.catalog.schemas.of("churn")


@pytest.mark.slow
def test_both_halves_at_the_same_instant(services: Services) -> None:
    async def scenario(node: Node) -> None:
        sends = [
            send
            for n in range(40)
            for send in (
                node.send("response", f"i{n}", {"predictions": [n]}),
                node.send("request", f"i{n}", {"instances": [[n]]}),
            )
        ]
        assert set(statuses(await asyncio.gather(*sends))) == {200}

    on_a_node(services, scenario)
    Joiner().tick(services, services.clock.now() + timedelta(seconds=1))
    found = predictions(services)
    assert sorted(row["prediction_id"] for row in found) == sorted(f"i{n}" for n in range(40))
    assert all(row["numeric"] == [row["prediction_number"]] for row in found)


@pytest.mark.slow
def test_a_half_that_comes_again_counts_once(services: Services) -> None:
    async def scenario(node: Node) -> None:
        for half, document in [("request", {"instances": [[1]]}), ("response", {"predictions": [5]})] * 2:
            await node.send(half, "i", document)
            await node.send(half, "i", document)

    on_a_node(services, scenario)
    Joiner().tick(services, services.clock.now() + timedelta(seconds=1))
    window = {"start": "2026-03-01T11:00:00Z", "end": "2026-03-01T13:00:00Z"}
    found = on_a_node(services, lambda node: node.client.get("/api/v1/models/churn/performance", params=window)).json()
    assert found["predictions"] == 1


def test_a_half_that_stays_alone_is_counted_once(services: Services) -> None:
    on_a_node(services, lambda node: node.send("request", "i", {"instances": [[1]]}))
    on_a_node(services, lambda node: node.both("j", [[1]], [2]))
    joiner = Joiner()
    for seconds in (0, 10, WAIT_S - 1, WAIT_S + 1, WAIT_S + 11, 2 * WAIT_S):
        joiner.tick(services, services.clock.now() + timedelta(seconds=seconds))
    assert counted(services)["inference_halves_alone", "request"] == 1
    assert ("inference_halves_alone", "response") not in counted(services)
    assert [row["prediction_id"] for row in predictions(services)] == ["j"]


def test_after_a_stop_pairs_of_the_last_hour_are_joined(services: Services) -> None:
    on_a_node(services, lambda node: node.send("request", "i", {"instances": [[1]]}))
    services.clock.advance(3_000)
    on_a_node(services, lambda node: node.send("response", "i", {"predictions": [1]}))
    Joiner().tick(services, services.clock.now() + timedelta(seconds=1))
    assert [row["prediction_id"] for row in predictions(services)] == ["i"]


def test_a_half_that_was_long_in_its_commit_is_found_at_the_next_search(services: Services) -> None:
    on_a_node(services, lambda node: node.send("request", "i", {"instances": [[1]]}))
    joiner, at = Joiner(), services.clock.now()
    joiner.tick(services, at + timedelta(seconds=1))
    services.clock.advance(2)
    joiner.tick(services, at + timedelta(seconds=100))
    on_a_node(
        services, lambda node: node.send("response", "i", {"predictions": [1]})
    )  # received 98 s before it is there
    joiner.tick(services, at + timedelta(seconds=110))
    assert predictions(services) == []
    joiner.tick(services, at + timedelta(seconds=1 + inference.SEARCH_EVERY_S))
    assert [row["prediction_id"] for row in predictions(services)] == ["i"]


@pytest.mark.slow
def test_a_backlog_is_joined_in_steps_and_goes_on_at_the_next_tick(services: Services, monkeypatch: Any) -> None:
    monkeypatch.setattr(inference, "PAIRS_LISTED", 3)
    monkeypatch.setattr(inference, "PAIRS_AT_ONCE", 2)
    for half, document in [("request", {"instances": [[1]]}), ("response", {"predictions": [1]})]:

        async def scenario(node: Node, half: str = half, document: Any = document) -> None:
            await asyncio.gather(*(node.send(half, f"i{n}", document) for n in range(10)))

        on_a_node(services, scenario)
    joiner, stop = Joiner(), iter([False, False, True])
    joiner.tick(services, services.clock.now() + timedelta(seconds=1), lambda: next(stop))
    assert len(predictions(services)) == 3
    services.clock.advance(2 * WAIT_S)  # old by now, and still to be joined
    joiner.tick(services, services.clock.now())
    assert len({row["prediction_id"] for row in predictions(services)}) == len(predictions(services)) == 10


def test_a_commit_that_fails_leaves_the_first_half_waiting(services: Services) -> None:
    async def scenario(node: Node) -> None:
        assert (await node.send("request", "i", {"instances": [[1]]})).status_code == 200
        append, fault = node.services.lake.append, StoreUnavailable("the disk is full")

        def fails(tables: Any) -> Any:
            raise fault

        object.__setattr__(node.services.buffer, "_lake", type("Lake", (), {"append": staticmethod(fails)})())
        answer = await node.send("response", "i", {"predictions": [1]})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        object.__setattr__(node.services.buffer, "_lake", type("Lake", (), {"append": staticmethod(append)})())
        assert (await node.send("response", "i", {"predictions": [1]})).json()["joined"] is True

    on_a_node(services, scenario)
    assert [row["prediction_id"] for row in predictions(services)] == ["i"]


def test_a_half_that_cannot_be_read_is_refused_and_the_other_still_waits(services: Services) -> None:
    async def scenario(node: Node) -> None:
        await node.send("request", "i", {"instances": [[1]]})
        refused = await node.send("response", "i", {"error": "no model"})
        assert refused.status_code == 400 and "predictions" in refused.json()["detail"]
        assert (await node.send("response", "i", {"predictions": [1]})).json()["joined"] is True

    on_a_node(services, scenario)
    assert counted(services)["ingest_rows", "refused", "cloudevents"] == 1


def test_gzip_limits_and_structured_events(services: Services) -> None:
    async def scenario(node: Node) -> list[int]:
        packed = {"Content-Encoding": "gzip"}
        small = gzip.compress(json.dumps({"instances": [[1]]}).encode())
        bomb = gzip.compress(b" " * (2 << 20))
        event = {"Content-Type": "application/cloudevents+json"}
        return statuses(
            [
                await node.send("request", "a", small, headers=packed),
                await node.send("request", "b", bomb, headers=packed),
                await node.send("request", "c", b" " * (2 << 20)),
                await node.send("request", "d", b"x", headers={"Content-Encoding": "br"}),
                await node.client.post(PATH, content=b"{}", headers=event),
                await node.client.post(PATH, content=b"{}"),
                await node.send("request", "e", {"instances": [[1]]}, url=f"{PATH}?modle=x"),
            ]
        )

    assert on_a_node(services, scenario) == [200, 413, 413, 415, 415, 400, 400]


def test_a_full_buffer_says_when_to_come_again(services: Services) -> None:
    async def scenario(node: Node) -> httpx.Response:
        node.services.buffer._waiting_rows = 1000
        answer = await node.send("request", "i", {"instances": [[1]]})
        node.services.buffer._waiting_rows = 0
        return answer

    answer = on_a_node(services, scenario)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_one_that_cannot_be_joined_keeps_no_other_waiting(services: Services, monkeypatch: Any) -> None:
    for half, document in [("request", {"instances": [[1]]}), ("response", {"predictions": [1]})]:

        async def scenario(node: Node, half: str = half, document: Any = document) -> None:
            for name in ("a", "bad", "c"):
                await node.send(half, name, document)

        on_a_node(services, scenario)

    def fails(request: Half, response: Half) -> Any:
        if request.inference_id == "bad":
            raise ValueError("nobody foresaw this")
        return join(request, response)

    join = inference.join
    monkeypatch.setattr(inference, "join", fails)
    joiner = Joiner()
    for seconds in (1, 11):
        joiner.tick(services, services.clock.now() + timedelta(seconds=seconds))
    assert [row["prediction_id"] for row in predictions(services)] == ["a", "c"]
    assert counted(services)["inferences_joined", "job"] == 2
    assert counted(services)["ingest_rows", "refused", "cloudevents"] == 1


def add_key(services: Services, scope: str, model: str | None, seed: int) -> str:
    made = new_key(scope, bytes([seed]) * RANDOM_BYTES)
    services.catalog.keys.add(KeyRecord(made.key_id, made.hash, scope, model, services.clock.now(), None))
    return made.plain


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_keys_by_header_and_in_the_url(services: Services) -> None:
    any_model, churn = add_key(services, "ingest", None, 1), add_key(services, "ingest", "churn", 2)
    other, reader = add_key(services, "ingest", "other", 3), add_key(services, "read", None, 4)

    async def scenario(node: Node) -> list[int]:
        given = [
            {},
            {"X-API-Key": any_model},
            {"Authorization": f"Bearer {churn}"},
            basic("key", churn),  # what Go makes of http://key:smk_...@host/
            basic("", any_model),
            basic("key", other),
            basic("key", reader),
            basic("key", "smk_wrong"),
            {"Authorization": "Basic !!!"},
            {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe").decode()},
        ]
        answers = [await node.send("request", "i", {"instances": [[1]]}, headers=one) for one in given]
        kinds = {answer.headers["content-type"] for answer in answers if answer.status_code != 200}
        assert kinds == {"application/problem+json"}
        return statuses(answers)

    assert on_a_node(services, scenario) == [401, 200, 200, 200, 200, 403, 403, 401, 401, 401]


def test_a_key_in_the_url_opens_no_other_door(services: Services) -> None:
    admin = add_key(services, "admin", None, 1)
    answer = on_a_node(services, lambda node: node.client.get("/api/v1/models", headers=basic("key", admin)))
    assert answer.status_code == 401


@pytest.mark.slow
def test_drift_and_labels_over_what_kserve_sent(services: Services) -> None:
    async def scenario(node: Node) -> tuple[Any, Any]:
        url = f"{PATH}?features=age,plan&version=7"
        ages = [[n % 50, "pro" if n % 2 else "basic"] for n in range(200)]
        await node.both("old", ages, [n % 2 for n in range(200)], url=url)
        frm, to = node.services.clock.now() - timedelta(hours=1), node.services.clock.now() + timedelta(minutes=1)
        span = {"from": frm.isoformat(), "to": to.isoformat()}
        kept = await node.client.put("/api/v1/models/churn/reference", json=span)
        assert kept.status_code == 201, kept.text
        node.services.clock.advance(7_200)
        moved = [[age + 30, plan] for age, plan in ages]
        await node.both("new", moved, [n % 2 for n in range(200)], url=url)
        labels = [{"model": "churn", "prediction_id": f"new-{n}", "label": n % 2} for n in range(200)]
        assert (await node.client.post("/api/v1/labels", json=labels)).json()["accepted"] == 200
        node.services.clock.advance(1)
        drift = await node.client.get("/api/v1/models/churn/drift", params={"window": "1h", "version": "7"})
        start = (node.services.clock.now() - timedelta(hours=1)).isoformat()
        end = node.services.clock.now().isoformat()
        window = {"start": start, "end": end}
        performance = await node.client.get("/api/v1/models/churn/performance", params=window)
        return drift.json(), performance.json()

    drift, performance = on_a_node(services, scenario)
    assert {f["feature"]: f["drifted"] for f in drift["features"]} == {"age": True, "plan": False, "prediction": False}
    assert (performance["predictions"], performance["labelled"]) == (200, 200)
    assert performance["metrics"]["accuracy"]["value"] == 1.0


def test_load_tests_are_kept_out(services: Services) -> None:
    marked = {"Ce-Metadata": json.dumps({"Seamark-Synthetic": ["test"]})}
    on_a_node(services, lambda node: node.both("i", [[1]], [2], headers=marked))
    (row,) = predictions(services)
    assert row["synthetic"] is True


def half(name: str, kind: str = "request", size: int = 10) -> Half:
    return Half("m", "", name, kind, 1, 1, b"x" * size)


def test_what_is_held_is_bounded_in_number_and_bytes() -> None:
    held = HeldHalves(bytes_max=1_000, halves_max=5)
    for n in range(8):
        held.hold(half(f"i{n}"))
    assert (len(held), held.held_bytes) == (5, 50)
    assert held.take_mate(half("i0", "response")) is None
    assert held.take_mate(half("i7", "request")) is None  # itself again is no mate
    assert held.take_mate(half("i7", "response")) == half("i7")
    assert held.take_mate(half("i7", "response")) is None
    for n in range(8):
        held.hold(half(f"j{n}", size=120))
    assert held.held_bytes <= 1_000
    held.hold(half("large", size=126))
    assert held.take_mate(half("large", "response")) is None
    for n in range(8):
        held.take_mate(half(f"j{n}", "response"))
    held.hold(half("k"))
    held.hold(half("k", size=20))
    assert held.take_mate(half("k", "response")) == half("k", size=20)


def test_waiting_halves_are_dropped_after_a_day_and_predictions_stay(services: Services) -> None:
    on_a_node(services, lambda node: node.both("i", [[1]], [2]))
    on_a_node(services, lambda node: node.send("request", "j", {"instances": [[1]]}))
    at = services.clock.now()

    def left() -> tuple[int, int]:
        sql = "SELECT (SELECT count(*) FROM lake.inference_payloads) AS p, (SELECT count(*) FROM lake.predictions) AS q"
        row = services.lake.query(sql).to_pylist()[0]
        return row["p"], row["q"]

    services.lake.maintain(at + timedelta(hours=20), 30.0)
    assert left() == (3, 1)
    services.lake.maintain(at + timedelta(hours=26), 30.0)
    assert left() == (0, 1)


def test_types_hold_for_what_kserve_sent_at_the_door_and_in_the_job(services: Services) -> None:
    url = f"{PATH}?features=age,plan"
    rows = [["old", "pro"], [42, "pro"], ["older", "pro"]]  # most have the wrong type

    async def scenario(node: Node) -> dict[str, Any]:
        await node.both("right", [[41, "pro"]], [1], url=url)
        _, joined = await node.both("mixed", rows, [1, 0, 1], url=url)
        return dict(joined.json())

    joined = on_a_node(services, scenario)
    assert joined["predictions"] == 1
    assert [one["index"] for one in joined["rejected"]] == [0, 2]
    assert "features.age: 'old' is a string or boolean" in joined["rejected"][0]["error"]
    for half, document in (("request", {"instances": rows}), ("response", {"predictions": [1, 0, 1]})):
        on_a_node(services, lambda node, h=half, d=document: node.send(h, "job", d, url=url))
    at = services.clock.now() + timedelta(seconds=1)
    Joiner().tick(services, at)
    assert [row["prediction_id"] for row in predictions(services)] == ["job-1", "mixed-1", "right"]
    (refused,) = services.catalog.feature_types.refused("churn", None, Window.trailing(at, 3600.0))
    assert (refused.feature, refused.sent) == ("age", "categorical")
    assert refused.rows in (2, 4)  # the door writes its own within a second, if its process lives so long
