"""The body of an answer of Prometheus's HTTP API to an instant query -> one number, or why there is none.

https://prometheus.io/docs/prometheus/latest/querying/api/: `{"status": "success", "data": {"resultType": "vector",
"result": [{"metric": {...}, "value": [time, "text"]}]}}`, or a `scalar` whose result is one `[time, "text"]`.
"""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

from seamark.wire.values import shown


def read_number(body: bytes) -> tuple[float | None, str | None]:
    """Return (number, None), or (None, why there is none). A number is finite and not negative: it counts replicas."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None, "the answer is no JSON"
    if not isinstance(document, dict) or document.get("status") != "success":
        error = document.get("error") if isinstance(document, dict) else None
        return None, f"Prometheus says {shown(error)}" if error else "the answer is none of Prometheus's query API"
    data = document.get("data")
    kind, result = (data.get("resultType"), data.get("result")) if isinstance(data, dict) else (None, None)
    if kind == "scalar":
        return _number(result)
    if kind != "vector" or not isinstance(result, list):
        return None, f"the query answers a {shown(kind)}; it must answer one number now"
    if not result:
        return None, "the query has no series"
    if len(result) > 1:
        return None, f"the query has {len(result)} series; make it one, as with sum(...) or max(...)"
    return _number(result[0].get("value") if isinstance(result[0], dict) else None)


def _number(sample: Any) -> tuple[float | None, str | None]:
    text = sample[1] if isinstance(sample, list) and len(sample) == 2 else None
    try:
        number = float(text) if isinstance(text, str) and len(text) <= 64 else None
    except ValueError:
        number = None
    if number is None:
        return None, "the answer is none of Prometheus's query API"
    if not isfinite(number) or number < 0:
        return None, f"the query answers {text}, which is no count"
    return number, None
