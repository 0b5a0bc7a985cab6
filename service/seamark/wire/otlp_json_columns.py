"""OTLP trace requests in JSON become flat columns: their structs are walked a field at a time, not a span at a time.

What a field may hold beside what senders write (a number as a float, an id that is no hex) makes them odd: they are
then decoded span by span.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from seamark.wire.attribute_columns import AttributeColumns, Ints
from seamark.wire.attributes import Source, Value, read_source, resource_bytes_max
from seamark.wire.otlp_json import JsonReader, ResourceSpans, Span, Status, TracesRequest
from seamark.wire.otlp_json_values import KeyValue
from seamark.wire.span_columns import Odd, SpanColumns
from seamark.wire.span_event_columns import EventColumns
from seamark.wire.spans import links_of
from seamark.wire.values import HEX, ROWS_MAX, clean_name

_VALUES_MAX = 500_000  # attributes of one request; the plain reader counts those inside arrays and maps too
_NO_STATUS = Status()


def span_columns(requests: Sequence[TracesRequest]) -> SpanColumns:
    """Return the spans of these requests; Odd where one of them must be decoded span by span."""
    reader = JsonReader()
    groups = [(number, group) for number, one in enumerate(requests) for group in one.resource_spans or ()]
    scopes = [(number, scope) for number, (_, group) in enumerate(groups) for scope in group.scope_spans or ()]
    spans = [span for _, scope in scopes for span in scope.spans or ()]
    if max(len(groups), len(scopes), len(spans)) > ROWS_MAX:
        raise Odd
    scope = np.repeat(np.arange(len(scopes)), [len(one.spans or ()) for _, one in scopes])
    source = np.array([number for number, _ in scopes], dtype=np.int64)[scope]
    request = np.array([number for number, _ in groups], dtype=np.int64)[source]
    sizes = np.bincount(request, minlength=len(requests))
    statuses = [span.status or _NO_STATUS for span in spans]
    return SpanColumns(
        requests=len(requests),
        request=request,
        place=np.arange(len(spans)) - (np.cumsum(sizes) - sizes)[request],
        source=source,
        sources=[_source(reader, group, int(sizes[number])) for number, group in groups],
        scope=scope,
        scopes=[clean_name(one.scope.name or "") or None if one.scope else None for _, one in scopes],
        trace_id=_ids([span.trace_id for span in spans], 16),
        span_id=_ids([span.span_id for span in spans], 8),
        parent_span_id=_parents([span.parent_span_id for span in spans]),
        name=pa.array([span.name or "" for span in spans], pa.string()),
        kind=_small([span.kind for span in spans]),
        start_ns=_nanos([span.start_time_unix_nano for span in spans]),
        end_ns=_nanos([span.end_time_unix_nano for span in spans]),
        status=_small([status.code for status in statuses]),
        message=pa.array([status.message or "" for status in statuses], pa.string()),
        attributes=_attributes([span.attributes for span in spans], reader),
        events=_events(spans, reader),
        links=[(row, links_of(reader, span.links)) for row, span in enumerate(spans) if span.links],
    )


def _source(reader: JsonReader, group: ResourceSpans, rows: int) -> Source:
    attributes = group.resource.attributes if group.resource else ()
    return read_source(reader.attributes(attributes), resource_bytes_max(rows))


def _ids(raw: Sequence[str | None], size: int) -> pa.Array:
    """Return ids of one size, written in hex."""
    joined = "".join([text or "" for text in raw])
    if any(text is None or len(text) != 2 * size for text in raw) or not HEX.fullmatch(joined):
        raise Odd
    ends = np.arange(0, (len(raw) + 1) * size, size, dtype=np.int32)
    return pa.Array.from_buffers(
        pa.binary(), len(raw), [None, pa.py_buffer(ends.tobytes()), pa.py_buffer(bytes.fromhex(joined))]
    )


def _parents(raw: Sequence[str | None]) -> pa.Array:
    there = [text for text in raw if text]
    found = iter(_ids(there, 8).to_pylist())
    return pa.array([next(found) if text else b"" for text in raw], pa.binary())


def _nanos(raw: Sequence[Any]) -> npt.NDArray[np.uint64]:
    """Return instants written as digits, or as whole numbers."""
    texts = [value for value in raw if type(value) is str]
    joined = "".join(texts)
    if texts and not (joined.isascii() and joined.isdigit() and all(0 < len(text) <= 19 for text in texts)):
        raise Odd
    if len(texts) == len(raw):
        return np.array(texts or (), dtype="S19").astype(np.uint64)
    numbers = [int(value) if type(value) is str else value for value in raw]
    if not all(type(value) is int and 0 <= value < 2**63 for value in numbers):
        raise Odd
    return np.array(numbers, dtype=np.uint64)


def _small(raw: Sequence[int | None]) -> Ints:
    numbers = [value or 0 for value in raw]
    if any(abs(value) >= 2**31 for value in numbers):
        raise Odd
    return np.array(numbers, dtype=np.int64)


def _attributes(lists: Sequence[Sequence[KeyValue] | None], reader: JsonReader) -> AttributeColumns:
    pairs = [pair for one in lists for pair in one or ()]
    if len(pairs) > _VALUES_MAX:
        raise Odd
    values = [pair.value for pair in pairs]
    rest = [
        (index, value)
        for index, value in enumerate(values)
        if value is not None and value.string_value is None and value.int_value is None
    ]
    doubles: list[float | None] = [None] * len(pairs)
    booleans: list[bool | None] = [None] * len(pairs)
    others: list[tuple[int, Value]] = []
    for index, value in rest:
        if value.bool_value is not None:
            booleans[index] = value.bool_value
        elif type(value.double_value) is float:
            doubles[index] = value.double_value
        else:
            others.append((index, reader.any_value(value)))
    sizes = [len(one or ()) for one in lists]
    strings = [None if value is None else value.string_value for value in values]
    return AttributeColumns(
        offsets=np.concatenate(([0], np.cumsum(sizes, dtype=np.int64))).astype(np.int64),
        keys=pa.array([pair.key or "" for pair in pairs], pa.string()),
        strings=pa.array(strings, pa.string()),
        integers=_integers([None if v is None or v.string_value is not None else v.int_value for v in values]),
        doubles=pa.array(doubles, pa.float64()),
        booleans=pa.array(booleans, pa.bool_()),
        others=others,
    )


def _integers(raw: Sequence[Any]) -> pa.Array:
    texts = [value for value in raw if type(value) is str]
    joined = "".join([text.removeprefix("-") for text in texts])
    if texts and not (joined.isascii() and joined.isdigit() and all(0 < len(text) <= 18 for text in texts)):
        raise Odd
    numbers = [int(value) if type(value) is str else value for value in raw]
    if not all(value is None or (type(value) is int and abs(value) < 2**63) for value in numbers):
        raise Odd
    return pa.array(numbers, pa.int64())


def _events(spans: Sequence[Span], reader: JsonReader) -> EventColumns:
    events = [event for span in spans for event in span.events or ()]
    sizes = [len(span.events or ()) for span in spans]
    return EventColumns(
        offsets=np.concatenate(([0], np.cumsum(sizes, dtype=np.int64))).astype(np.int64),
        time_ns=_nanos([event.time_unix_nano or 0 for event in events]),
        names=pa.array([event.name or "" for event in events], pa.string()),
        attributes=_attributes([event.attributes for event in events], reader),
    )
