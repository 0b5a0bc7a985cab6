"""Drawn spans -> export requests in OTLP protobuf and OTLP JSON, as one instance of a model server sends them."""

from __future__ import annotations

import struct
from binascii import hexlify
from collections.abc import Iterator
from typing import Any

from bench import protobuf_bytes as pb
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

MODEL = "bench"
SCOPE = "opentelemetry.instrumentation.fastapi"
SPREAD_NS = 1_000_000_000  # a batch holds the spans of one second
_HEAD = struct.Struct("<2s16s2s8s")  # trace id, span id
_TIMES = struct.Struct("<cQcQ")
_CLIENT = pb.FreshText(pb.ATTRIBUTE_OF_SPAN, "client.address")
_REQUEST = pb.FreshText(pb.ATTRIBUTE_OF_SPAN, "request.id")
_SCORE = pb.fresh_double_prefix(pb.ATTRIBUTE_OF_SPAN, "model.score")
_KINDS = [b"\x30" + pb.varint(kind) for kind in KINDS]
_ERROR = pb.field(15, b"\x18\x02")
_JSON_STATUS = ("{}", '{"code":2}')


def resource_of(seed: tuple[int, ...]) -> dict[str, str]:
    """Return the resource of the instance that sends this batch: one of sixteen, on one of two versions."""
    instance = seed[-1] % 16
    return {
        "service.name": MODEL,
        "service.version": f"{7 + instance % 2}",
        "service.instance.id": f"{MODEL}-{instance:02d}",
        "host.name": SERVERS[instance],
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": "1.45.2",
    }


def protobuf(seed: tuple[int, ...], spans: int, at_ns: int) -> bytes:
    """Return an ExportTraceServiceRequest of so many fresh spans."""
    values = draw(seed, spans, at_ns, SPREAD_NS)
    resource = pb.field(1, pb.attributes(pb.ATTRIBUTE_OF_RESOURCE, resource_of(seed)))
    scope = pb.field(1, pb.field(1, SCOPE.encode()) + pb.field(2, b"0.66b0"))
    return pb.field(1, resource + pb.field(2, scope + b"".join(_protobuf_spans(values))))


def _protobuf_spans(values: SpanValues) -> Iterator[bytes]:
    start_ns, end_ns = values.start_ns.tolist(), (values.start_ns + values.duration_ns).tolist()
    rows, sizes, scores = values.batch_rows.tolist(), values.body_bytes.tolist(), values.score.tolist()
    attribute, number = pb.attribute, pb.ATTRIBUTE_OF_SPAN
    for trace in traces_of(values):
        first = trace["first"]
        shared = (
            pb.attributes(number, trace["known"]) + _CLIENT(trace["client"].encode()) + _REQUEST(trace["request_id"])
        )
        for place, n in enumerate(range(first, first + SPANS_PER_TRACE)):
            span_id = values.span_ids[8 * n : 8 * n + 8]
            span = [
                _HEAD.pack(b"\x0a\x10", trace["trace_id"], b"\x12\x08", span_id),
                b"\x22\x08" + values.span_ids[8 * first : 8 * first + 8] if place else b"",
                pb.field(5, trace["names"][place].encode()),
                _KINDS[place],
                _TIMES.pack(b"\x39", start_ns[n], b"\x41", end_ns[n]),
                shared,
                attribute(number, "http.response.status_code", 200 if place else trace["status"]),
                attribute(number, "model.batch.rows", rows[n]),
                attribute(number, "http.request.body.size", sizes[n]),
                _SCORE + struct.pack("<d", scores[n]),
                b"" if n % EVENT_EVERY else _protobuf_event(start_ns[n], sizes[n]),
                _ERROR if trace["errors"][place] else b"",
            ]
            yield pb.field(2, b"".join(span))


def _protobuf_event(start_ns: int, size: int) -> bytes:
    cached = pb.attribute(pb.ATTRIBUTE_OF_EVENT, "cache.bytes", size)
    return pb.field(11, b"\x09" + struct.pack("<Q", start_ns + 1_000_000) + pb.field(2, b"cache.miss") + cached)


def json(seed: tuple[int, ...], spans: int, at_ns: int) -> bytes:
    """Return the same request as OTLP JSON: hex ids, 64-bit numbers as texts."""
    values = draw(seed, spans, at_ns, SPREAD_NS)
    resource = ",".join(_json_text(key, value) for key, value in resource_of(seed).items())
    return (
        f'{{"resourceSpans":[{{"resource":{{"attributes":[{resource}]}},"scopeSpans":[{{"scope":{{"name":"{SCOPE}",'
        f'"version":"0.66b0"}},"spans":[{",".join(_json_spans(values))}]}}]}}]}}'
    ).encode()


def _json_spans(values: SpanValues) -> Iterator[str]:
    start_ns, end_ns = values.start_ns.tolist(), (values.start_ns + values.duration_ns).tolist()
    rows, sizes, scores = values.batch_rows.tolist(), values.body_bytes.tolist(), values.score.tolist()
    span_ids = hexlify(values.span_ids).decode()
    for trace in traces_of(values):
        first = trace["first"]
        trace_id, root = trace["trace_id"].hex(), span_ids[16 * first : 16 * first + 16]
        known = ",".join(
            _json_text(key, value) if isinstance(value, str) else _json_int(key, value)
            for key, value in trace["known"].items()
        )
        shared = (
            f"{known},{_json_text('client.address', trace['client'])},"
            f"{_json_text('request.id', trace['request_id'].decode())}"
        )
        for place, n in enumerate(range(first, first + SPANS_PER_TRACE)):
            parent = f'"parentSpanId":"{root}",' if place else ""
            event = (
                ""
                if n % EVENT_EVERY
                else f',"events":[{{"timeUnixNano":"{start_ns[n] + 1_000_000}","name":"cache.miss",'
                f'"attributes":[{_json_int("cache.bytes", sizes[n])}]}}]'
            )
            yield (
                f'{{"traceId":"{trace_id}","spanId":"{span_ids[16 * n : 16 * n + 16]}",{parent}'
                f'"name":"{trace["names"][place]}","kind":{KINDS[place]},"startTimeUnixNano":"{start_ns[n]}",'
                f'"endTimeUnixNano":"{end_ns[n]}","attributes":[{shared},'
                f"{_json_int('http.response.status_code', 200 if place else trace['status'])},"
                f"{_json_int('model.batch.rows', rows[n])},{_json_int('http.request.body.size', sizes[n])},"
                f'{{"key":"model.score","value":{{"doubleValue":{scores[n]!r}}}}}]{event},'
                f'"status":{_JSON_STATUS[trace["errors"][place]]}}}'
            )


def _json_text(key: str, value: str) -> str:
    return f'{{"key":"{key}","value":{{"stringValue":"{value}"}}}}'


def _json_int(key: str, value: int) -> str:
    return f'{{"key":"{key}","value":{{"intValue":"{value}"}}}}'


def traces_of(values: SpanValues) -> Iterator[dict[str, Any]]:
    """Yield what the four spans of each trace share, as plain Python values."""
    routes, servers = values.route_of_trace.tolist(), values.server_of_trace.tolist()
    agents, tenants = values.agent_of_trace.tolist(), values.tenant_of_trace.tolist()
    statuses, calls = values.status_of_trace.tolist(), values.call_failed_of_trace.tolist()
    request_ids = hexlify(values.request_ids)
    for n, (a, b, c) in enumerate(values.address_of_trace.tolist()):
        route = ROUTES[routes[n]]
        yield {
            "first": n * SPANS_PER_TRACE,
            "trace_id": values.trace_ids[16 * n : 16 * n + 16],
            "names": (f"{NAMES[0]} {route}", *NAMES[1:]),
            "known": {
                "http.request.method": "POST",
                "http.route": route,
                "server.address": SERVERS[servers[n]],
                "server.port": PORT,
                "user_agent.original": AGENTS[agents[n]],
                "tenant": TENANTS[tenants[n]],
            },
            "client": f"10.{a}.{b}.{c}",
            "request_id": request_ids[16 * n : 16 * n + 16],
            "status": statuses[n],
            "errors": (statuses[n] >= 500, False, False, calls[n]),
        }
