"""A payload row -> a POST of that row as JSON; any 2xx is a success."""

from __future__ import annotations

from seamark_load.scenarios.scenario import Scenario


def _body(row: bytes) -> bytes:
    return row


def _judge(status: int) -> str | None:
    return None if 200 <= status < 300 else f"HTTP {status}"


HTTP_JSON = Scenario("http_json", "POST", {"Content-Type": "application/json"}, _body, _judge)
