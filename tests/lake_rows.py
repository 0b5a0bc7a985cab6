"""Rows of the lake's tables for tests: a row is a dict, what it does not name has a plain value."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from seamark.core.records import TABLES, FeatureSchema

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCHEMA = FeatureSchema(numeric=("age", "income"), categorical=("plan", "active"))

_PLAIN: dict[str, dict[str, Any]] = {
    "spans": {
        "model": "churn",
        "version": "v1",
        "service": "churn-api",
        "instance": "pod-1",
        "route": "/predict",
        "name": "POST /predict",
        "kind": 2,
        "status": 0,
        "http_status": 200,
        "is_request": True,
        "failed": False,
        "synthetic": False,
        "start_at": AT,
        "duration_ns": 5_000_000,
        "attributes": '{"http.route":"/predict"}',
        "resource": '{"service.name":"churn-api"}',
        "events": "[]",
        "received_at": AT,
    },
    "metric_points": {
        "model": "churn",
        "version": "v1",
        "service": "churn-api",
        "instance": "pod-1",
        "name": "queue",
        "unit": "{request}",
        "kind": "gauge",
        "at": AT,
        "value": 1.0,
        "resource": '{"service.name":"churn-api"}',
        "received_at": AT,
    },
    "predictions": {
        "model": "churn",
        "version": "v1",
        "at": AT,
        "schema_id": SCHEMA.schema_id,
        "numeric": [41.0, None],
        "categorical": ["basic", "true"],
        "prediction_number": 0.7,
        "synthetic": False,
        "received_at": AT,
    },
    "labels": {"model": "churn", "label_number": 1.0, "at": AT, "received_at": AT},
    "inference_payloads": {
        "model": "churn",
        "version": "v1",
        "half": "request",
        "at": AT,
        "synthetic": False,
        "body": b'{"instances": [[1, 2]]}',
        "body_bytes": 23,
        "received_at": AT,
    },
    "load_samples": {"run_id": "run-1", "segment": 0, "due_s": 0.0, "ok": True},
    "reference_rows": {"reference_id": "ref-1", "schema_id": SCHEMA.schema_id},
}


def rows_of(table: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Return rows as a lake table; ids that a row does not name are counted up."""
    named = [{**_PLAIN[table], **_ids(table, index), **row} for index, row in enumerate(rows)]
    return pa.Table.from_pylist(named, schema=TABLES[table])


def spans(count: int, *, first: int = 0, **same: Any) -> pa.Table:
    """Return `count` spans with ids from `first` on."""
    return rows_of("spans", [{**_ids("spans", first + index), **same} for index in range(count)])


def predictions(count: int, *, first: int = 0, **same: Any) -> pa.Table:
    """Return `count` predictions with ids from `first` on."""
    return rows_of("predictions", [{**_ids("predictions", first + index), **same} for index in range(count)])


def _ids(table: str, index: int) -> dict[str, Any]:
    if table == "spans":
        return {"trace_id": (index + 1).to_bytes(16, "big"), "span_id": (index + 1).to_bytes(8, "big")}
    if table == "inference_payloads":
        return {"inference_id": f"i{index}"}
    return {"prediction_id": f"p{index}"} if table in ("predictions", "labels") else {}
