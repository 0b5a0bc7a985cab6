"""A payload row -> a POST of that row as JSON; any 2xx is a success."""

from __future__ import annotations

from seamark_load.scenarios.scenario import Scenario

HTTP_JSON = Scenario("http_json", "POST", {"Content-Type": "application/json"})
