"""Every scenario by name; `service/seamark/wire/load_bodies.py` makes the request bodies by the same names."""

from __future__ import annotations

from seamark_load.scenarios.http_json import HTTP_JSON
from seamark_load.scenarios.open_inference_v2 import OPEN_INFERENCE_V2
from seamark_load.scenarios.openai_chat import OPENAI_CHAT
from seamark_load.scenarios.scenario import Scenario

SCENARIOS: dict[str, Scenario] = {
    "http_json": HTTP_JSON,
    "open_inference_v2": OPEN_INFERENCE_V2,
    "openai_chat": OPENAI_CHAT,
}
