"""OTLP trace requests in protobuf become flat columns without a Python object for each span, many requests at once.

ptars reads them by a message type of our own: OTLP's fields by their numbers, but what nests without end (arrays and
maps) or is rare (resources, links) stays bytes, and is read by the plain reader where it is there at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValueList
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from seamark.wire.attribute_columns import AttributeColumns, Ints
from seamark.wire.attributes import Source, Value, read_source, resource_bytes_max
from seamark.wire.otlp_protobuf import ProtobufReader
from seamark.wire.span_columns import SpanColumns
from seamark.wire.span_event_columns import EventColumns
from seamark.wire.spans import links_of
from seamark.wire.trimmed_messages import (
    BOOL,
    BYTES,
    BYTES_LIST,
    DOUBLE,
    FIXED64,
    INT32,
    INT64,
    STRING,
    Messages,
    reader_of,
)
from seamark.wire.values import ROWS_MAX, clean_name

_VALUES_MAX = 500_000  # attributes of one request; the plain reader counts those inside arrays and maps too
_SOURCES_MAX = 1_024
_CACHED_BYTES = 8_192  # larger resources are read each time

_MESSAGES: Messages = {
    "Value": {
        "string": (1, STRING),
        "boolean": (2, BOOL),
        "integer": (3, INT64),
        "double": (4, DOUBLE),
        "array": (5, BYTES),
        "map": (6, BYTES),
        "bytes": (7, BYTES),
    },
    "Attribute": {"key": (1, STRING), "value": (2, "Value")},
    "Event": {"time": (1, FIXED64), "name": (2, STRING), "attributes": (3, "[Attribute]")},
    "Status": {"message": (2, STRING), "code": (3, INT32)},
    "Span": {
        "trace_id": (1, BYTES),
        "span_id": (2, BYTES),
        "parent_span_id": (4, BYTES),
        "name": (5, STRING),
        "kind": (6, INT32),
        "start": (7, FIXED64),
        "end": (8, FIXED64),
        "attributes": (9, "[Attribute]"),
        "events": (11, "[Event]"),
        "links": (13, BYTES_LIST),
        "status": (15, "Status"),
    },
    "Scope": {"name": (1, STRING)},
    "ScopeSpans": {"scope": (1, "Scope"), "spans": (2, "[Span]")},
    "ResourceSpans": {"resource": (1, BYTES), "scope_spans": (2, "[ScopeSpans]")},
    "Traces": {"resource_spans": (1, "[ResourceSpans]")},
}
_HANDLER = reader_of("Traces", _MESSAGES, ("Value",))


class _Level:
    """The items of all lists of one column, and for each the index of the list that held it."""

    def __init__(self, lists: pa.Array) -> None:
        offsets = lists.offsets.to_numpy(zero_copy_only=False).astype(np.int64)
        self.items = lists.values.slice(offsets[0], offsets[-1] - offsets[0])
        self.offsets: Ints = offsets - offsets[0]
        self.parent: Ints = np.repeat(np.arange(len(lists)), np.diff(offsets))


def span_columns(bodies: Sequence[bytes]) -> SpanColumns:
    """Return the spans of these requests. ValueError or DecodeError: one of them is no OTLP trace request.

    BodyTooLarge: together they hold too many values inside arrays and maps.
    """
    groups = _Level(_HANDLER.list_to_record_batch(list(bodies)).column(0))
    scopes = _Level(pc.struct_field(groups.items, "scope_spans"))
    spans = _Level(pc.struct_field(scopes.items, "spans"))
    group = scopes.parent[spans.parent]
    request = groups.parent[group]
    sizes = np.bincount(request, minlength=len(bodies))
    first = np.cumsum(sizes) - sizes
    found = {name: pc.struct_field(spans.items, name) for name in spans.items.type.names}
    attributes = _Level(found["attributes"])
    level = _Level(found["events"])
    events = _events(level)
    values = np.bincount(request[attributes.parent], minlength=len(bodies))
    values += np.bincount(request[level.parent[events.attributes.row]], minlength=len(bodies))
    return SpanColumns(
        requests=len(bodies),
        request=request,
        place=np.arange(len(request)) - first[request],
        source=group,
        sources=_sources(groups, sizes),
        scope=spans.parent,
        scopes=_scopes(scopes.items),
        trace_id=found["trace_id"],
        span_id=found["span_id"],
        parent_span_id=found["parent_span_id"],
        name=found["name"],
        kind=np.asarray(found["kind"]).astype(np.int64),
        start_ns=np.asarray(found["start"]),
        end_ns=np.asarray(found["end"]),
        status=np.asarray(pc.fill_null(pc.struct_field(found["status"], "code"), 0)).astype(np.int64),
        message=pc.fill_null(pc.struct_field(found["status"], "message"), ""),
        attributes=_attributes(attributes),
        events=events,
        links=_links(found["links"]),
        odd=set(np.flatnonzero((sizes > ROWS_MAX) | (values > _VALUES_MAX)).tolist()),
    )


def _sources(groups: _Level, sizes: Ints) -> list[Source]:
    raw = pc.struct_field(groups.items, "resource").to_pylist()
    limits = [resource_bytes_max(int(sizes[request])) for request in groups.parent]
    return [
        (_source if len(one) < _CACHED_BYTES else _read)(one, limit) for one, limit in zip(raw, limits, strict=True)
    ]


def _read(resource: bytes, text_bytes_max: int) -> Source:
    attributes = ProtobufReader().attributes(Resource.FromString(resource).attributes)
    return read_source(attributes, text_bytes_max)


_source = lru_cache(maxsize=_SOURCES_MAX)(_read)  # a sender's resource comes with each of its requests


def _scopes(items: pa.Array) -> list[str | None]:
    names = pc.struct_field(pc.struct_field(items, "scope"), "name").to_pylist()
    return [clean_name(name or "") or None for name in names]


def _attributes(level: _Level) -> AttributeColumns:
    value = pc.struct_field(level.items, "value")
    typed = {name: pc.struct_field(value, name) for name in value.type.names}
    kinds = sum((np.asarray(column.is_valid()).astype(np.int8) for column in typed.values()), np.int8(0))
    return AttributeColumns(
        offsets=level.offsets,
        keys=pc.struct_field(level.items, "key"),
        strings=typed["string"],
        integers=typed["integer"],
        doubles=typed["double"],
        booleans=typed["boolean"],
        others=[
            *_others(typed["array"], lambda raw: AnyValue(array_value=ArrayValue.FromString(raw))),
            *_others(typed["map"], lambda raw: AnyValue(kvlist_value=KeyValueList.FromString(raw))),
            *_others(typed["bytes"], lambda raw: AnyValue(bytes_value=raw)),
        ],
        doubtful=np.flatnonzero(np.asarray(kinds) > 1),
    )


def _others(column: pa.Array, message: Callable[[bytes], Any]) -> list[tuple[int, Value]]:
    if column.null_count == len(column):
        return []
    reader = ProtobufReader()
    index = np.flatnonzero(np.asarray(column.is_valid()))
    return [(int(at), reader.any_value(message(column[at].as_py()))) for at in index]


def _events(level: _Level) -> EventColumns:
    found = {name: pc.struct_field(level.items, name) for name in level.items.type.names}
    return EventColumns(
        offsets=level.offsets,
        time_ns=np.asarray(found["time"]),
        names=found["name"],
        attributes=_attributes(_Level(found["attributes"])),
    )


def _links(lists: pa.Array) -> list[tuple[int, str | None]]:
    """Return (span, JSON text) for each span that has links."""
    level = _Level(lists)
    if not len(level.items):
        return []
    reader = ProtobufReader()
    links = [Span.Link.FromString(raw) for raw in level.items.to_pylist()]
    starts = level.offsets.tolist()
    return [
        (int(row), links_of(reader, links[starts[row] : starts[row + 1]]))
        for row in np.flatnonzero(np.diff(level.offsets))
    ]
