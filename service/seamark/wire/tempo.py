"""Spans as the lake tells them become the answers of Grafana Tempo's API: OTLP traces, search results, tags.

In JSON Tempo writes protobuf's own mapping, not OTLP's: ids of spans as base64, kinds and statuses by their names. So
does this; only the ids of search results are hex.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status, TracesData

from seamark.core.records import SpanKind, SpanStatus
from seamark.wire.spans import STATUS_MESSAGE
from seamark.wire.traceql import INTRINSICS, Condition, Field, Intrinsic, Scope, fields

ROOT_MISSING = "<root span not yet received>"  # Tempo's own words, which Grafana knows
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INT64 = range(-(2**63), 2**63)
_PARTIAL = 1

Row = Mapping[str, Any]


# --- one trace -----------------------------------------------------------------------------------------------------


def trace_protobuf(spans: Sequence[Row]) -> bytes:
    """Return spans of one trace as tempopb.Trace, which is OTLP's TracesData."""
    return bytes(_traces_data(spans).SerializeToString())


def trace_json(spans: Sequence[Row]) -> dict[str, Any]:
    """Return spans of one trace as Tempo's first API writes them: `batches`."""
    return {"batches": MessageToDict(_traces_data(spans)).get("resourceSpans", [])}


def trace_by_id_protobuf(spans: Sequence[Row], partial: str | None) -> bytes:
    """Return spans of one trace as tempopb.TraceByIDResponse; `partial` says what is missing, None nothing.

    The message has four fields, so it is written out: trace = 1, metrics = 2, status = 3 (PARTIAL is 1), message = 4.
    """
    out = _delimited(1, trace_protobuf(spans)) + _delimited(2, b"")
    if partial is not None:
        out += bytes([3 << 3, _PARTIAL]) + _delimited(4, partial.encode())
    return out


def trace_by_id_json(spans: Sequence[Row], partial: str | None) -> dict[str, Any]:
    """Return the same as JSON."""
    told = {"status": "PARTIAL", "message": partial} if partial is not None else {}
    return {"trace": MessageToDict(_traces_data(spans)), "metrics": {}, **told}


def _traces_data(spans: Sequence[Row]) -> TracesData:
    groups: dict[str, dict[str, list[Row]]] = {}
    for row in spans:
        resource = row["resource"] or {"service.name": row["service"]}
        scopes = groups.setdefault(json.dumps(resource, sort_keys=True), {})
        scopes.setdefault(row["scope"] or "", []).append(row)
    data = TracesData()
    for resource_text, scopes in groups.items():
        group = ResourceSpans(resource=Resource(attributes=_pairs(json.loads(resource_text))))
        for scope, rows in scopes.items():
            made = ScopeSpans(spans=[_span(row) for row in rows])
            made.scope.name = scope
            group.scope_spans.append(made)
        data.resource_spans.append(group)
    return data


def _span(row: Row) -> Span:
    attributes = dict(row["attributes"] or {})
    message = attributes.pop(STATUS_MESSAGE, "")
    start_ns = _nanos(row["start_at"])
    return Span(
        trace_id=bytes.fromhex(row["trace_id"]),
        span_id=bytes.fromhex(row["span_id"]),
        parent_span_id=bytes.fromhex(row["parent_span_id"] or ""),
        name=row["name"],
        kind=row["kind"],
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + row["duration_ns"],
        attributes=_pairs(attributes),
        events=[_event(event) for event in row["events"] or ()],
        links=[
            Span.Link(
                trace_id=bytes.fromhex(link["trace_id"]),
                span_id=bytes.fromhex(link["span_id"]),
                attributes=_pairs(link.get("attributes") or {}),
            )
            for link in row["links"] or ()
            if "trace_id" in link  # the last may only count what was cut
        ],
        status=_status(row["status"], message),
    )


def _status(code: int, message: Any) -> Status | None:
    if not code and not message:
        return None
    return Status(
        code=Status.StatusCode.Name(code), message=message if isinstance(message, str) else json.dumps(message)
    )


def _event(event: Row) -> Span.Event:
    at = event.get("at")
    attributes = event.get("attributes") or {key: event[key] for key in ("count",) if key in event}
    return Span.Event(
        name=event["name"],
        time_unix_nano=_nanos(datetime.fromisoformat(at)) if at else 0,
        attributes=_pairs(attributes),
    )


def _pairs(attributes: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any_value(value)) for key, value in attributes.items()]


def _any_value(value: Any) -> AnyValue:
    made = AnyValue()
    if isinstance(value, bool):
        made.bool_value = value
    elif isinstance(value, int) and value in _INT64:
        made.int_value = value
    elif isinstance(value, int | float):
        made.double_value = float(value)
    elif isinstance(value, str):
        made.string_value = value
    elif isinstance(value, list):
        made.array_value.values.extend(_any_value(item) for item in value)
        made.array_value.SetInParent()
    elif isinstance(value, Mapping):
        made.kvlist_value.values.extend(_pairs(value))
        made.kvlist_value.SetInParent()
    return made


def _nanos(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000


def _delimited(number: int, content: bytes) -> bytes:
    length, head = len(content), bytearray([number << 3 | 2])
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + content


# --- search --------------------------------------------------------------------------------------------------------


def trace_found(found: Row, condition: Condition) -> dict[str, Any]:
    """Return a trace that was found (the fields of store.traces.TraceFound) as one entry of a search's answer.

    Its spans carry the values of the fields that were asked for.
    """
    asked = list(dict.fromkeys(fields(condition)))
    spans = [_span_found(span, asked) for span in found["spans"]]
    span_set = {"spans": spans, "matched": found["matched"]}
    return {
        "traceID": found["trace_id"],
        "rootServiceName": found["root_service"] or ROOT_MISSING,
        "rootTraceName": found["root_name"] or "",
        "startTimeUnixNano": str(_nanos(found["start_at"])),
        "durationMs": found["duration_ns"] // 1_000_000,
        "spanSet": span_set,
        "spanSets": [span_set],
        "serviceStats": {
            service: {"spanCount": spans, **({"errorCount": failed} if failed else {})}
            for service, (spans, failed) in found["services"].items()
        },
    }


def _span_found(span: Row, asked: Iterable[Field]) -> dict[str, Any]:
    told = [(field.name, _told_value(span, field)) for field in asked]
    return {
        "spanID": span["span_id"],
        "name": span["name"],
        "startTimeUnixNano": str(_nanos(span["start_at"])),
        "durationNanos": str(round(span["duration_ms"] * 1e6)),
        "attributes": [
            {"key": name, "value": MessageToDict(_any_value(value))} for name, value in told if value is not None
        ],
    }


def _told_value(span: Row, field: Field) -> Any:
    if field.scope is Scope.INTRINSIC:
        words = {
            Intrinsic.STATUS: SpanStatus(span["status"]).name.lower(),
            Intrinsic.KIND: SpanKind(span["kind"]).name.lower(),
            Intrinsic.STATUS_MESSAGE: (span["attributes"] or {}).get(STATUS_MESSAGE),
        }
        return words.get(Intrinsic(field.name))
    places = {Scope.SPAN: ("attributes",), Scope.RESOURCE: ("resource",)}.get(field.scope, ("attributes", "resource"))
    return next((held[field.name] for place in places if field.name in (held := span[place] or {})), None)


# --- tags ----------------------------------------------------------------------------------------------------------

INTRINSIC = "intrinsic"
TAG_SCOPES = ("resource", "span", INTRINSIC)
INTRINSIC_TAGS = sorted(INTRINSICS)


def scoped_tags(names: Mapping[Scope, Sequence[str]], scope: str | None) -> dict[str, Any]:
    """Return names of attributes by scope; of one scope where it is named, of none where that is none of ours."""
    tags = {str(one): list(found) for one, found in names.items()} | {INTRINSIC: INTRINSIC_TAGS}
    shown = [name for name in TAG_SCOPES if scope in (None, name)]
    return {"scopes": [{"name": name, "tags": tags.get(name, [])} for name in shown], "metrics": {}}


def flat_tags(names: Mapping[Scope, Sequence[str]], scope: str | None) -> dict[str, Any]:
    """Return the same as one list."""
    listed = scoped_tags(names, scope)["scopes"]
    shown = [one["tags"] for one in listed if one["name"] != INTRINSIC or scope == INTRINSIC]
    return {"tagNames": sorted({tag for tags in shown for tag in tags}), "metrics": {}}


def typed_values(values: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return values of a tag with their types."""
    return {"tagValues": [{"type": kind, "value": value} for kind, value in values], "metrics": {}}


def flat_values(values: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return values of a tag as text."""
    return {"tagValues": list(dict.fromkeys(value for _, value in values)), "metrics": {}}
