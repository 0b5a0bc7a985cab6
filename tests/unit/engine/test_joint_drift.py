"""Vectors, texts and whole rows through the real application: sent, held against a reference, judged and shown."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
import yaml

from seamark.app import create_app
from seamark.engine.services import Services

WORDS = [f"word{n}" for n in range(400)]
SHARES = 1 / (np.arange(400) + 5)
SHARES /= SHARES.sum()


@pytest.fixture
def client(services: Services) -> Iterator[httpx.Client]:
    """The application on a loopback port, without the engine's loops."""
    server = uvicorn.Server(uvicorn.Config(create_app(services, role="web"), log_config=None, ws="none"))
    with socket.create_server(("127.0.0.1", 0)) as bound:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with httpx.Client(base_url=url, trust_env=False, timeout=20.0) as opened:
            yield opened
        server.should_exit = True
        thread.join()


def sentences(rows: int, rng: np.random.Generator, fresh: float = 0.0) -> list[str]:
    found = []
    for _ in range(rows):
        words = [WORDS[n] for n in rng.choice(400, rng.integers(4, 12), p=SHARES)]
        found.append(" ".join(f"strange{n}" if rng.random() < fresh else word for n, word in enumerate(words)))
    return found


def rows_of(rows: int, seed: int, shift: float = 0.0, rho: float = 0.0, dimension: int = 8, fresh: float = 0.0) -> Any:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, rows))
    b = rho * a + np.sqrt(1 - rho**2) * b
    embeddings = rng.normal(size=(rows, dimension)) + shift * np.eye(dimension)[0]
    columns = zip(a, b, embeddings.round(4).tolist(), sentences(rows, rng, fresh), strict=True)
    return [{"a": float(x), "b": float(y), "emb": e, "comment": text} for x, y, e, text in columns]


def send(client: httpx.Client, rows: Any, version: str = "1") -> None:
    records = [
        {"model": "m", "version": version, "prediction_id": f"{version}-{n}", "features": row, "prediction": 1}
        for n, row in enumerate(rows)
    ]
    answer = client.post("/api/v1/predictions", json=records)
    assert answer.json()["accepted"] == len(records), answer.text


def ask(services: Services, client: httpx.Client, put: Any, rows: Any, **drift: Any) -> dict[str, Any]:
    """Put a reference, send rows, and return the features of the drift answer by name."""
    config = {"models": [{"name": "m", "drift": {"rows_min": 50, **drift}}]}
    assert client.put("/api/v1/config", content=yaml.safe_dump(config)).status_code == 200
    if put is not None:
        answer = client.put("/api/v1/models/m/reference", json=put)
        assert answer.status_code == 201, answer.text
    send(client, rows)
    services.clock.advance(1)  # type: ignore[attr-defined]
    answer = client.get("/api/v1/models/m/drift")
    assert answer.status_code == 200, answer.text
    assert client.get("/models/m").status_code == 200
    return {feature["feature"]: feature for feature in answer.json()["features"]}


@pytest.mark.slow
def test_nothing_moved_is_no_drift_in_any_kind(services: Services, client: httpx.Client) -> None:
    found = ask(services, client, rows_of(600, 1), rows_of(200, 2), multivariate=True)
    assert {name: (f["kind"], f["state"]) for name, f in found.items()} == {
        "a": ("numeric", "no_drift"),
        "b": ("numeric", "no_drift"),
        "comment": ("text", "no_drift"),
        "emb": ("vector", "no_drift"),
        "(all features)": ("multivariate", "no_drift"),
    }
    assert [part["method"] for part in found["comment"]["parts"]] == ["text_length", "unseen_words", "word_classifier"]
    assert [part["method"] for part in found["emb"]["parts"]] == ["mean_distance", "domain_classifier"]
    assert found["emb"]["rows"] == 200 and found["emb"]["reference_rows"] == 600


@pytest.mark.slow
def test_what_moved_is_found_by_the_method_that_tells_most(services: Services, client: httpx.Client) -> None:
    current = rows_of(300, 2, shift=0.8, rho=0.8, fresh=0.3)
    found = ask(services, client, rows_of(900, 1), current, multivariate=True)
    assert {name: f["state"] for name, f in found.items()} == {
        "a": "no_drift",
        "b": "no_drift",
        "comment": "drift",
        "emb": "drift",
        "(all features)": "drift",
    }
    correlation = found["(all features)"]["parts"][1]
    assert correlation["method"] == "correlation" and correlation["score"] > 0.5 > correlation["threshold"]
    for feature in found.values():
        for part in feature["parts"]:
            assert feature["p_value"] <= len(feature["parts"]) * part["p_value"] * 1.0001


@pytest.mark.slow
def test_whole_rows_are_judged_only_when_asked_and_text_as_declared(services: Services, client: httpx.Client) -> None:
    found = ask(services, client, rows_of(300, 1), rows_of(100, 2), kinds={"comment": "categorical"})
    assert "(all features)" not in found and found["comment"]["kind"] == "categorical"
    assert client.put(
        "/api/v1/config",
        content=yaml.safe_dump({"models": [{"name": "m", "drift": {"methods": {"comment": "unseen_words"}}}]}),
    )
    answer = client.get("/api/v1/models/m/drift").json()
    comment = next(f for f in answer["features"] if f["feature"] == "comment")
    assert (comment["kind"], comment["method"], comment["parts"]) == ("text", "unseen_words", [])


@pytest.mark.slow
def test_another_dimension_than_the_reference_is_a_state(services: Services, client: httpx.Client) -> None:
    found = ask(services, client, rows_of(200, 1, dimension=8), rows_of(100, 2, dimension=12))
    assert found["emb"]["state"] == "other_dimension" and found["emb"]["drifted"] is None
    assert client.get("/api/v1/models/m/reference").json()["features"]["vectors"] == {"emb": 8}


@pytest.mark.slow
def test_a_version_with_another_dimension_is_judged_against_its_own_reference(
    services: Services, client: httpx.Client
) -> None:
    ask(services, client, rows_of(200, 1, dimension=8), rows_of(100, 2, dimension=8))
    assert client.put("/api/v1/models/m/reference?version=2", json=rows_of(200, 3, dimension=5)).status_code == 201
    send(client, rows_of(100, 4, dimension=5), version="2")
    services.clock.advance(1)  # type: ignore[attr-defined]
    for version, state in (("1", "no_drift"), ("2", "no_drift")):
        answer = client.get("/api/v1/models/m/drift", params={"version": version}).json()
        assert next(f for f in answer["features"] if f["feature"] == "emb")["state"] == state


@pytest.mark.slow
def test_states_of_a_vector(services: Services, client: httpx.Client) -> None:
    rows = rows_of(100, 1)
    assert ask(services, client, None, rows)["emb"]["state"] == "no_reference"
    bare = [{"a": row["a"]} for row in rows]
    assert client.put("/api/v1/models/m/reference", json=bare).status_code == 201
    answer = client.get("/api/v1/models/m/drift").json()
    assert {f["feature"]: f["state"] for f in answer["features"]}["emb"] == "not_in_reference"


@pytest.mark.slow
def test_a_vector_that_is_not_sent_any_more_is_missing(services: Services, client: httpx.Client) -> None:
    reference = rows_of(200, 1)
    gone = [{name: value for name, value in row.items() if name != "emb"} for row in rows_of(100, 2)]
    assert ask(services, client, reference, gone)["emb"]["state"] == "not_in_window"
    nulls = [{**row, "emb": row["emb"] if n == 0 else None} for n, row in enumerate(rows_of(100, 3))]
    services.clock.advance(7200)  # type: ignore[attr-defined]
    assert ask(services, client, None, nulls)["emb"]["state"] == "too_few_rows"


@pytest.mark.slow
def test_live_traffic_with_vectors_becomes_a_reference(services: Services, client: httpx.Client) -> None:
    ask(services, client, None, rows_of(200, 1))
    now = services.clock.now()
    window = {"from": (now.replace(hour=now.hour - 1)).isoformat(), "to": now.isoformat()}
    answer = client.put("/api/v1/models/m/reference", json=window)
    assert answer.status_code == 201 and answer.json()["features"]["vectors"] == {"emb": 8}
    assert {f["state"] for f in client.get("/api/v1/models/m/drift").json()["features"]} == {"no_drift"}


@pytest.mark.slow
def test_a_vector_keeps_its_type_whatever_its_dimension(client: httpx.Client) -> None:
    def post(values: list[Any]) -> dict[str, Any]:
        records = [{"model": "typed", "features": {"emb": value, "x": 1.0}} for value in values]
        return client.post("/api/v1/predictions", json=records).json()

    assert post([None])["accepted"] == 1  # says nothing of what it is
    assert post([[1.0, 2.0], None])["accepted"] == 2
    for values in ([7.0, None], [None, "a"], [[1.0, 2.0], 7.0, 8.0]):
        answer = post(values)
        assert answer["rejected_total"] == sum(value is not None and not isinstance(value, list) for value in values)
        assert "of this model it is a list of numbers since" in answer["rejected"][0]["error"]
    assert post([[1.0, 2.0, 3.0]])["accepted"] == 1
    many = [[0.5] * 40 if n % 2 else 1.0 for n in range(800)]  # read in columns
    assert post(many)["accepted"] == 400
    number = [{"model": "other", "features": {"x": value}} for value in (1.0, [1.0], None)]
    assert client.post("/api/v1/predictions", json=number[:1]).json()["accepted"] == 1
    answer = client.post("/api/v1/predictions", json=number[1:]).json()
    assert answer["accepted"] == 1
    assert answer["rejected"][0]["error"].startswith(
        "features.x: [1.0] is a list of numbers; of this model it is a number"
    )


@pytest.mark.slow
def test_a_rolling_reference_is_read_by_rows_too(services: Services, client: httpx.Client) -> None:
    send(client, rows_of(200, 1), version="1")
    services.clock.advance(7300)  # type: ignore[attr-defined]
    found = ask(services, client, None, rows_of(100, 2), multivariate=True, reference={"rolling": "1d"})
    assert found["emb"]["kind"] == "vector" and found["comment"]["kind"] == "text"
    features = [f for f in found.values() if f["feature"] != "prediction"]
    assert {f["state"] for f in features} == {"no_drift"} and len(features) == 5
    assert {f["reference_rows"] for f in features} == {200} and {f["rows"] for f in features} == {100}


@pytest.mark.slow
def test_a_segment_is_judged_by_rows_too(services: Services, client: httpx.Client) -> None:
    ask(services, client, rows_of(300, 1), rows_of(100, 2))
    shifted = rows_of(100, 3, shift=2.0)
    records = [
        {"model": "m", "prediction_id": f"s-{n}", "segment": {"country": "de"}, "features": row, "prediction": 1}
        for n, row in enumerate(shifted)
    ]
    assert client.post("/api/v1/predictions", json=records).json()["accepted"] == 100
    services.clock.advance(1)  # type: ignore[attr-defined]
    answer = client.get("/api/v1/models/m/drift", params={"segment": "country:de"}).json()
    emb = next(f for f in answer["features"] if f["feature"] == "emb")
    assert emb["state"] == "drift" and emb["rows"] == 100
