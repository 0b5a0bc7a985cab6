"""The whole application over real stores: bodies, names, instants, and what a lost worker leaves behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import httpx
import pytest
import yaml

from seamark.core.advice import Recommendation
from seamark.core.findings import AlertStatus
from seamark.engine.advice import advise_all
from seamark.engine.alerts import Condition, advance, drift_rule
from seamark.engine.evaluate import Evaluator
from seamark.engine.services import Services

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.slow
@pytest.mark.parametrize(
    "method, path", [("PUT", "/api/v1/loadtests/x"), ("POST", "/api/v1/keys"), ("PUT", "/api/v1/config")]
)
def test_small_documents_are_bounded(client: httpx.Client, method: str, path: str) -> None:
    pieces = (b'{"a": "' + b"x" * 1_000_000 for _ in range(50))
    try:
        answer = client.request(method, path, content=pieces, headers={"Content-Type": "application/json"})
    except httpx.TransportError:
        return  # hung up on before all of it was sent, as it should be
    assert answer.status_code == 413, answer.text


@pytest.mark.parametrize(
    "end", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "-62135596800", "9999-12-31", "x"]
)
def test_instants_beyond_reason_are_refused_with_what_would_be_right(client: httpx.Client, end: str) -> None:
    for path in ("/api/v1/models/m/latency", "/api/v1/traces"):
        answer = client.get(path, params={"end": end})
        assert answer.status_code == 422
        assert "end" in answer.json()["detail"]
    assert client.get("/api/v1/models/m/drift", params={"at": end}).status_code == 422


@pytest.mark.slow
@pytest.mark.parametrize("model", ["org/churn", "a b", "naïve", "x/latency/y", 'quo"te', "..."])
def test_any_name_a_sender_uses_can_be_asked_for_and_configured(
    services: Services, client: httpx.Client, model: str
) -> None:
    rows = [{"model": model, "features": {"x": 1.0}, "prediction": 1, "prediction_id": str(n)} for n in range(3)]
    assert client.post("/api/v1/predictions", json=rows).json()["accepted"] == 3
    services.clock.advance(1)  # type: ignore[attr-defined]
    config = {"models": [{"name": model, "drift": {}, "autoscale": {"min": 1}}]}
    assert client.put("/api/v1/config", content=yaml.safe_dump(config)).status_code == 200
    place = f"/api/v1/models/{quote(model, safe='')}"
    assert client.get(place).json()["name"] == model
    assert client.get(f"{place}/latency").json()
    assert client.get(f"{place}/drift").json()["features"][0]["state"] == "no_reference"
    assert client.put(f"{place}/reference", json=[{"x": 1.0}]).status_code == 201
    assert client.get(f"{place}/reference").json()["rows"] == 1
    assert client.get(f"{place}/recommendation").status_code == 404  # no worker has made one
    assert client.get(f"/models/{quote(model, safe='')}").status_code == 200


@pytest.mark.slow
def test_what_no_longer_is_asked_for_or_made_is_not_shown_as_now(services: Services, client: httpx.Client) -> None:
    services.configuration.apply("models: [{name: m, drift: {}, autoscale: {min: 1}, slo: {availability: 0.9}}]", AT)
    Evaluator().tick(services, AT)
    advise_all(services, AT)
    seen = client.get("/api/v1/models/m").json()
    assert seen["slo"] and seen["drift"] and seen["recommendation"]["state"] == "hold"
    services.catalog.findings.put(
        "m",
        "recommendation",
        AT + timedelta(seconds=1),
        Recommendation("m", AT, "ok", 3, 2, 1, 5, "three", 1.0, 2.0, None, 0.5),
    )
    assert client.get("/api/v1/models/m/recommendation").json()["replicas"] == 3
    services.clock.advance(2400)  # type: ignore[attr-defined]
    old = client.get("/api/v1/models/m/recommendation").json()
    assert (old["state"], old["replicas"]) == ("hold", None)
    seen = client.get("/api/v1/models/m").json()
    assert (seen["slo"], seen["drift"], seen["recommendation"]["replicas"]) == ([], None, None)
    assert "seamark_recommended_replicas{" not in client.get("/metrics").text
    services.configuration.apply("models: [{name: m}]", AT)
    assert client.get("/api/v1/models/m").json()["recommendation"] is None


def test_the_last_model_that_is_dropped_resolves_its_alerts(services: Services) -> None:
    services.configuration.apply("models: [{name: m, drift: {window: 1m}}]", AT)
    rule = drift_rule(services.configuration.current().models[0])
    advance(services, [Condition(rule, is_so=True, value=1.0)], AT)
    services.configuration.apply("models: []", AT + timedelta(seconds=1))
    Evaluator().tick(services, AT + timedelta(seconds=2))
    assert [alert.state.status for alert in services.catalog.alerts.all()] == [AlertStatus.RESOLVED]


@pytest.mark.slow
def test_a_plan_that_limits_no_errors_is_given_a_limit(services: Services, client: httpx.Client) -> None:
    assert client.put("/api/v1/config", content="models: [{name: m}]\ntargets: {allow: ['http://h.test']}").is_success
    plan = {
        "model": "m",
        "target": "http://h.test/",
        "payload": {"rows": [{"x": 1}]},
        "shape": {"constant": {"rate_rps": 1, "duration_s": 1}},
    }
    assert client.put("/api/v1/loadtests/quick", json=plan).status_code == 200
    assert [str(t) for t in services.configuration.plan("quick").thresholds] == ["error_ratio < 0.01"]
    assert client.get("/api/v1/loadtests/nowhere/runs").status_code == 404
    assert client.get("/api/v1/loadtests/quick/runs").json() == []
