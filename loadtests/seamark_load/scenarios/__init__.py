"""Every scenario by name; `service/seamark/runner/order.py` lists the same names for the service."""

from __future__ import annotations

from seamark_load.scenarios.http_json import HTTP_JSON
from seamark_load.scenarios.scenario import Scenario

SCENARIOS: dict[str, Scenario] = {
    "http_json": HTTP_JSON,
}
