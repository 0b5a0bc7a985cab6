"""OTLP trace requests in JSON become flat columns: their structs are walked a field at a time, not a span at a time.

What a field may hold beside what senders write (a number as a float, an id that is no hex) makes them odd: they are
then decoded span by span.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from seamark.wire.attribute_columns import AttributeColumns, Ints
from seamark.wire.attributes import Source, Value, read_source, resource_bytes_max
from seamark.wire.otlp_json import JsonReader, ResourceSpans, Span, Status, TracesRequest
from seamark.wire.otlp_json_values import AnyValue, KeyValue
from seamark.wire.span_columns import Odd, SpanColumns
from seamark.wire.span_event_columns import EventColumns
from seamark.wire.spans import links_of
from seamark.wire.values import HEX, ROWS_MAX, clean_name

_VALUES_MAX = 500_000  # attributes of one request; the plain reader counts those inside arrays and maps too
_NO_STATUS = Status()
_NO_VALUE = AnyValue()
_PLAIN_NUMBERS = re.compile("-?[0-9]{1,18}(?: -?[0-9]{1,18})*|[0-9]{19}(?: [0-9]{19})*")
_string_of, _integer_of = attrgetter("string_value"), attrgetter("int_value")


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
    if None in raw:
        raise Odd
    joined = "".join(raw)  # type: ignore[arg-type]  # None was looked for
    if set(map(len, raw)) - {2 * size} or not HEX.fullmatch(joined):  # type: ignore[arg-type]
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
    numbers = _whole(raw)
    if len(numbers) and numbers.min() < 0:
        raise Odd
    return numbers.astype(np.uint64)


def _whole(raw: Sequence[Any]) -> Ints:
    """Return whole numbers of less than 64 bits, written as numbers or as digits; numpy reads the latter at once."""
    kinds = set(map(type, raw))
    if kinds == {str}:
        joined = "".join(raw).replace("-", "")
        if not (joined.isascii() and joined.isdigit()) or not _PLAIN_NUMBERS.fullmatch(" ".join(raw)):
            raise Odd
        return np.array(raw, dtype="S20").astype(np.int64)
    numbers = [int(value) if type(value) is str and _PLAIN_NUMBERS.fullmatch(value) else value for value in raw]
    if not all(type(value) is int and abs(value) < 2**63 for value in numbers):
        raise Odd
    return np.array(numbers, dtype=np.int64)


def _small(raw: Sequence[int | None]) -> Ints:
    numbers = [value or 0 for value in raw]
    if any(abs(value) >= 2**31 for value in numbers):
        raise Odd
    return np.array(numbers, dtype=np.int64)


def _attributes(lists: Sequence[Sequence[KeyValue] | None], reader: JsonReader) -> AttributeColumns:
    pairs = [pair for one in lists for pair in one or ()]
    if len(pairs) > _VALUES_MAX:
        raise Odd
    values = [pair.value or _NO_VALUE for pair in pairs]
    strings = pa.array(list(map(_string_of, values)), pa.string())
    texts = np.asarray(strings.is_valid())
    integers, whole = _integers(list(map(_integer_of, values)))
    if (texts & whole).any():
        raise Odd
    doubles: list[float | None] = [None] * len(pairs)
    booleans: list[bool | None] = [None] * len(pairs)
    others: list[tuple[int, Value]] = []
    for index in np.flatnonzero(~(texts | whole)).tolist():
        value = values[index]
        if value.bool_value is not None:
            booleans[index] = value.bool_value
        elif type(value.double_value) is float:
            doubles[index] = value.double_value
        else:
            others.append((index, reader.any_value(value)))
    return AttributeColumns(
        offsets=_offsets(lists),
        keys=pa.array([pair.key or "" for pair in pairs], pa.string()),
        strings=strings,
        integers=integers,
        doubles=pa.array(doubles, pa.float64()),
        booleans=pa.array(booleans, pa.bool_()),
        others=others,
    )


def _integers(raw: Sequence[Any]) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """Return the whole numbers, null where there is none, and where there is one."""
    there = np.array([value is not None for value in raw], dtype=np.bool_)
    numbers = np.zeros(len(raw), dtype=np.int64)
    numbers[there] = _whole([value for value in raw if value is not None])
    return pa.array(numbers, mask=~there), there


def _offsets(lists: Sequence[Sequence[Any] | None]) -> Ints:
    sizes = [len(one or ()) for one in lists]
    return np.concatenate(([0], np.cumsum(sizes, dtype=np.int64))).astype(np.int64)


def _events(spans: Sequence[Span], reader: JsonReader) -> EventColumns:
    events = [event for span in spans for event in span.events or ()]
    return EventColumns(
        offsets=_offsets([span.events for span in spans]),
        time_ns=_nanos([event.time_unix_nano or 0 for event in events]),
        names=pa.array([event.name or "" for event in events], pa.string()),
        attributes=_attributes([event.attributes for event in events], reader),
    )
