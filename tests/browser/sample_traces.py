"""Made-up spans: a request through four services with a failure in it, and what a sender could try on a page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sample_facts import AT, HOSTILE

from seamark.core.errors import StoreUnavailable
from seamark.store.traces import Search, Trace

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
MANY_ID = "00000000000000000000000000009999"
CIRCLE_ID = "0000000000000000000000000000c1c1"
START = AT - timedelta(minutes=4)


def span(
    number: int, parent: int | None, name: str, service: str, begin_ms: float, last_ms: float, **more: Any
) -> dict[str, Any]:
    """Return a span as store.traces.trace() tells it."""
    failed = more.get("status") == 2
    plain: dict[str, Any] = {
        "trace_id": TRACE_ID,
        "span_id": f"{number:016x}",
        "parent_span_id": None if parent is None else f"{parent:016x}",
        "model": "churn",
        "version": "2026.03.1",
        "service": service,
        "instance": f"{service}-7d9f",
        "route": name,
        "name": name,
        "kind": 2 if parent is None else 1,
        "status": 0,
        "http_status": (500 if failed else 200) if parent is None else None,
        "is_request": parent is None,
        "failed": failed,
        "synthetic": False,
        "start_at": START + timedelta(milliseconds=begin_ms),
        "duration_ns": int(last_ms * 1e6),
        "attributes": {"http.request.method": "POST", "http.route": name, "payload.bytes": 1834},
        "resource": {"service.name": service, "service.version": "2026.03.1", "host.name": "node-3"},
        "events": None,
        "links": None,
        "scope": "opentelemetry.instrumentation.fastapi",
    }
    return {**plain, **more}


def checkout() -> list[dict[str, Any]]:
    refused = {
        "exception.type": "CardRefused",
        "exception.message": "the issuer said no",
        "exception.stacktrace": "Traceback:\n  pay()\nCardRefused",
    }
    event = {"name": "exception", "at": (START + timedelta(milliseconds=171)).isoformat(), "attributes": refused}
    link = {"trace_id": "1" * 32, "span_id": "2" * 16, "attributes": {"why": "retry of"}}
    return [
        span(1, None, "POST /predict", "churn-api", 0, 240, status=2, links=[link]),
        span(2, 1, "validate", "churn-api", 2, 11),
        span(3, 1, "GET /features/{customer}", "feature-store", 15, 84, kind=3),
        span(4, 3, "SELECT features", "postgres", 21, 70, kind=3, attributes={"db.system.name": "postgresql"}),
        span(
            5,
            1,
            "model.predict",
            "churn-api",
            104,
            52,
            attributes={"rows": 1, "device": "cpu", "nested": {"a": [1, 2]}},
        ),
        span(
            6,
            1,
            "POST /charge",
            "billing",
            160,
            78,
            status=2,
            events=[event],
            attributes={"otel.status_description": "card refused"},
        ),
        span(7, 99, "publish prediction", "queue", 236, 1.2, kind=4),
    ]


def hostile() -> list[dict[str, Any]]:
    attributes = {HOSTILE: HOSTILE, "long": "x" * 5_000, "url": "//evil.test/<img src=x>"}
    event = {"name": HOSTILE, "at": None, "attributes": {HOSTILE: "</dd>"}}
    rows = [
        span(
            1,
            None,
            HOSTILE,
            HOSTILE,
            0,
            0,
            events=[event, {"name": "seamark.cut_events", "count": 3}],
            attributes=attributes,
        )
    ]
    rows[0]["duration_ns"] = 0
    return rows + [span(n, n - 1, f"deep {n} " + "w" * 60, f"service-{n}", 0, 0.001 * n) for n in range(2, 30)]


def sample_trace(scene: str, trace_id: bytes) -> Trace:
    """Return the scene's trace, one of very many spans, one whose parents go round, or none."""
    if scene == "failing":
        raise StoreUnavailable("the lake cannot be read: the disk is full")
    if trace_id.hex() == MANY_ID:
        return Trace([span(n, 1 if n > 1 else None, f"step {n}", "worker", n, 3) for n in range(1, 1_501)], 120_000)
    if trace_id.hex() == CIRCLE_ID:
        return Trace([span(1, 2, "hen", "farm", 0, 5), span(2, 1, "egg", "farm", 1, 5)], 2)
    rows = {"full": checkout, "hostile": hostile}.get(scene, list)() if trace_id.hex() == TRACE_ID else []
    return Trace(rows, len(rows))


def sample_requests(scene: str, asked: Search, limit: int) -> list[Mapping[str, Any]]:
    """Return the requests of the scene, as store.traces.find() tells them."""
    if scene == "failing":
        raise StoreUnavailable("the lake cannot be read: the disk is full")
    if scene == "empty":
        return []
    name = HOSTILE if scene == "hostile" else "POST /predict"
    shown = []
    for n in range(12):
        row = span(
            1,
            None,
            name if n % 4 else f"{name}/batch",
            name if scene == "hostile" else "churn-api",
            -n * 7_000,
            240 / (n + 1),
            status=2 if n % 5 == 0 else 0,
        )
        row |= {
            "trace_id": TRACE_ID,
            "duration_ms": row["duration_ns"] / 1e6,
            "synthetic": n == 3,
            "model": name if scene == "hostile" else "churn",
        }
        shown.append(row)
    return shown[:limit]
