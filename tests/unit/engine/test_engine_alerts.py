"""Conditions become states and messages together, are said again where a channel expects it, and get delivered."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from seamark.core.findings import AlertStatus
from seamark.engine import alerts, dispatch
from seamark.engine.alerts import Condition
from seamark.engine.services import Services

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[Any]]]:
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    server.server_close()
    thread.join()


def configure(services: Services, url: str, kind: str = "webhook") -> Any:
    text = f"""
models: [{{name: m, drift: {{window: 1m}}}}]
alerts: {{channels: [{{name: chat, {kind}: "{url}/hook"}}]}}
"""
    services.configuration.apply(text, AT)
    return alerts.drift_rule(services.configuration.current().models[0])


def condition(rule: Any, *, is_so: bool | None) -> Condition:
    return Condition(rule, is_so, 1.0, {"description": "drifted: age"})


def test_fires_once_is_delivered_once_and_resolves(services: Services, receiver: tuple[str, list[Any]]) -> None:
    url, got = receiver
    rule = configure(services, url)
    for second, is_so in enumerate((False, True, True, None, False)):
        alerts.advance(services, [condition(rule, is_so=is_so)], AT + timedelta(seconds=second))
        dispatch.dispatch(services, AT + timedelta(seconds=second))
    assert [(path, body["status"]) for path, body in got] == [("/hook", "firing"), ("/hook", "resolved")]
    (alert,) = services.catalog.alerts.all()
    assert alert.state.status == AlertStatus.RESOLVED
    assert services.catalog.outbox.pending() == 0
    assert len({body["labels"]["alertname"] for _, body in got}) == 1


def test_unknown_neither_fires_nor_resolves(services: Services, receiver: tuple[str, list[Any]]) -> None:
    rule = configure(services, receiver[0])
    alerts.advance(services, [condition(rule, is_so=True)], AT)
    alerts.advance(services, [condition(rule, is_so=None)], AT + timedelta(hours=1))
    (alert,) = services.catalog.alerts.all()
    assert alert.state.status == AlertStatus.FIRING
    assert alert.state.unknown_since == AT + timedelta(hours=1)
    assert alert.annotations == {"description": "drifted: age"}
    assert services.catalog.outbox.pending() == 1


def test_alertmanager_is_told_again_each_minute_and_of_the_end_for_a_while(services: Services) -> None:
    rule = configure(services, "http://127.0.0.1:9", "alertmanager")
    keys = set()
    for second in range(0, 181, 10):
        at = AT + timedelta(seconds=second)
        alerts.advance(services, [condition(rule, is_so=second < 120)], at)
        for row in services.catalog.outbox.claim(at, at):
            services.catalog.outbox.sent(row.id, at)
    for delivery in services.catalog.outbox.deliveries():
        keys.add(delivery["key"])
    # firing at 0, again at 60, resolved at 120, resolved again at 180
    assert len(keys) == 4


def test_nothing_is_repeated_to_a_channel_that_takes_nothing(services: Services) -> None:
    rule = configure(services, "http://127.0.0.1:9", "alertmanager")
    for minute in range(60):
        alerts.advance(services, [condition(rule, is_so=True)], AT + timedelta(minutes=minute))
    assert services.catalog.outbox.pending() == 1


def test_a_rule_that_is_removed_resolves_its_alert(services: Services) -> None:
    rule = configure(services, "http://127.0.0.1:9")
    alerts.advance(services, [condition(rule, is_so=True)], AT)
    services.configuration.apply("models: [{name: m, slo: {availability: 0.9, over: 1d}}]", AT)
    other = alerts.slo_rule(services.configuration.current().models[0], "availability", "page")
    alerts.advance(services, [condition(other, is_so=False)], AT + timedelta(seconds=5))
    states = {alert.rule.name: alert.state.status for alert in services.catalog.alerts.all()}
    assert states == {"SeamarkDrift": AlertStatus.RESOLVED}


def test_what_fails_is_tried_again_later_and_what_cannot_succeed_is_given_up(services: Services) -> None:
    rule = configure(services, "http://127.0.0.1:9")  # nothing listens on the discard port
    alerts.advance(services, [condition(rule, is_so=True)], AT)
    assert dispatch.dispatch(services, AT) == 1
    (delivery,) = services.catalog.outbox.deliveries()
    assert (delivery["state"], delivery["attempts"]) == ("pending", 1)
    assert delivery["last_error"]
    assert dispatch.dispatch(services, AT) == 0  # not before its time
    services.configuration.apply("models: [{name: m, drift: {window: 1m}}]", AT)
    assert dispatch.dispatch(services, AT + timedelta(minutes=5)) == 1
    (delivery,) = services.catalog.outbox.deliveries()
    assert delivery["state"] == "given_up"
    assert "no longer configured" in delivery["last_error"]


def test_every_rule_has_an_identity_of_its_own(services: Services) -> None:
    text = """
models:
  - {name: a, drift: {}, slo: {availability: 0.99, latency: "p95(latency_ms) < 100", over: 30d}}
  - {name: b, drift: {}}
"""
    services.configuration.apply(text, AT)
    rules = alerts.rules(services.configuration.current().models)
    assert len({alerts.fingerprint(rule) for rule in rules}) == len(rules) == 8
