"""Drawn spans of several models -> a table for the lake, as the service would have decoded them from their requests."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.span_bodies import SCOPE
from bench.span_values import (
    AGENTS,
    EVENT_EVERY,
    KINDS,
    NAMES,
    PORT,
    ROUTES,
    SERVERS,
    SPANS_PER_TRACE,
    TENANTS,
    SpanValues,
    draw,
)
from seamark.core.records import AT, SPANS

MODELS = ("fraud", "churn", "search-rank", "eta", "captions")
MODEL_SHARES = (0.5, 0.25, 0.12, 0.08, 0.05)
INSTANCES = 8  # of each model
_LATE_US = 400_000  # until a batch has arrived, at most


def table(seed: tuple[int, ...], spans: int, at_ns: int, span_ns: int, *, new_version: float) -> pa.Table:
    """Return so many spans that begin within [at_ns, at_ns + span_ns), in the order they would arrive.

    `new_version` is the share of traces on version 8; the others are on 7.
    """
    values = draw(seed, spans, at_ns, span_ns)
    rng = np.random.default_rng(np.random.SeedSequence((*seed, 1)))
    traces = spans // SPANS_PER_TRACE
    model = rng.choice(len(MODELS), traces, p=MODEL_SHARES)
    instance = model * INSTANCES + rng.integers(0, INSTANCES, traces)
    version = (rng.random(traces) < new_version).astype(np.int64)
    start_us = values.start_ns // 1000
    late_us = rng.integers(10_000, _LATE_US, traces)
    received_us = _per_span(start_us[::SPANS_PER_TRACE] + values.duration_ns[::SPANS_PER_TRACE] // 1000 + late_us)
    columns = (
        _who(model, version, instance)
        | _what(values)
        | {
            "start_at": pa.array(start_us, AT),
            "received_at": pa.array(received_us, AT),
        }
    )
    missing = {field.name: pa.nulls(spans, field.type) for field in SPANS if field.name not in columns}
    found = pa.table(columns | missing).select(SPANS.names).cast(SPANS)
    return found.take(pa.array(np.argsort(received_us, kind="stable")))


def _who(model: Any, version: Any, instance: Any) -> dict[str, Any]:
    instances = [f"{name}-{n}" for name in MODELS for n in range(INSTANCES)]
    resources = [_resource(place, version) for place in range(len(instances)) for version in (7, 8)]
    named = _choose(MODELS, model)
    return {
        "model": named,
        "service": named,
        "version": _choose(("7", "8"), version),
        "instance": _choose(instances, instance),
        "resource": _choose(resources, instance * 2 + version),
        "scope": pa.repeat(SCOPE, len(model) * SPANS_PER_TRACE),
    }


@cache
def _resource(place: int, version: int) -> str:
    model, n = MODELS[place // INSTANCES], place % INSTANCES
    return (
        f'{{"service.name":"{model}","service.version":"{version}","service.instance.id":"{model}-{n}",'
        f'"host.name":"{SERVERS[n]}","telemetry.sdk.language":"python","telemetry.sdk.name":"opentelemetry",'
        f'"telemetry.sdk.version":"1.45.2"}}'
    )


def _what(values: SpanValues) -> dict[str, Any]:
    root = np.arange(values.spans) % SPANS_PER_TRACE == 0
    call = np.arange(values.spans) % SPANS_PER_TRACE == SPANS_PER_TRACE - 1
    status = np.where(root, _per_span(values.status_of_trace), 200)
    error = (root & (status >= 500)) | (call & _per_span(values.call_failed_of_trace))
    span_ids = np.frombuffer(values.span_ids, "V8")
    parents = pa.array(_per_span(span_ids[::SPANS_PER_TRACE]).tolist(), pa.binary())
    return {
        "trace_id": _binary(_per_span(np.frombuffer(values.trace_ids, "V16"))),
        "span_id": _binary(span_ids),
        "parent_span_id": pc.if_else(pa.array(root), None, parents),
        "route": _choose(ROUTES, values.route_of_trace),
        "name": _names(values, root),
        "kind": pa.array(np.resize(KINDS, values.spans), pa.int8()),
        "status": pa.array(np.where(error, 2, 0), pa.int8()),
        "http_status": pa.array(status, pa.int16()),
        "is_request": pa.array(root),
        "failed": pa.array(error | (status >= 500)),
        "synthetic": pa.repeat(False, values.spans),
        "duration_ns": pa.array(values.duration_ns),
        "attributes": _attributes(values, status),
        "events": _events(values),
    }


def _names(values: SpanValues, root: Any) -> pa.Array:
    roots = _choose([f"{NAMES[0]} {route}" for route in ROUTES], values.route_of_trace)
    return pc.if_else(pa.array(root), roots, pa.array(NAMES).take(pa.array(np.arange(values.spans) % len(NAMES))))


def _attributes(values: SpanValues, status: Any) -> pa.Array:
    ids = values.request_ids.hex()
    request_ids = pa.array([ids[n : n + 16] for n in range(0, len(ids), 16)])
    address = [_number(values.address_of_trace[:, n]) for n in range(3)]
    shared = _join(
        '{"http.request.method":"POST","http.route":"',
        pa.array(ROUTES).take(pa.array(values.route_of_trace)),
        '","server.address":"',
        pa.array(SERVERS).take(pa.array(values.server_of_trace)),
        f'","server.port":{PORT},"user_agent.original":"',
        pa.array(AGENTS).take(pa.array(values.agent_of_trace)),
        '","tenant":"',
        pa.array(TENANTS).take(pa.array(values.tenant_of_trace)),
        '","client.address":"10.',
        address[0],
        ".",
        address[1],
        ".",
        address[2],
        '","request.id":"',
        request_ids,
        '","http.response.status_code":',
    )
    return _join(
        shared.take(pa.array(_per_span(np.arange(len(shared))))),
        _number(status),
        ',"model.batch.rows":',
        _number(values.batch_rows),
        ',"http.request.body.size":',
        _number(values.body_bytes),
        ',"model.score":',
        _number(values.score),
        "}",
    )


def _events(values: SpanValues) -> pa.Array:
    at = pa.array((values.start_ns + 1_000_000) // 1000, pa.timestamp("us"))
    texts = _join(
        '[{"name":"cache.miss","at":"',
        pc.strftime(at, format="%Y-%m-%dT%H:%M:%S"),  # with the microseconds
        '+00:00","attributes":{"cache.bytes":',
        _number(values.body_bytes),
        "}}]",
    )
    return pc.if_else(pa.array(np.arange(values.spans) % EVENT_EVERY == 0), texts, None)


def _join(*pieces: Any) -> pa.Array:
    return pc.binary_join_element_wise(*pieces, "")


def _number(values: Any) -> pa.Array:
    return pa.array(values).cast(pa.string())


def _per_span(of_trace: Any) -> Any:
    return np.repeat(of_trace, SPANS_PER_TRACE)


def _choose(words: Any, of_trace: Any) -> pa.Array:
    return pa.array(words).take(pa.array(_per_span(of_trace)))


def _binary(items: Any) -> pa.Array:
    size, count = items.dtype.itemsize, len(items)
    offsets = np.arange(0, size * (count + 1), size, dtype=np.int32)
    return pa.Array.from_buffers(pa.binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(items.tobytes())])
