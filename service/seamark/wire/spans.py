"""One OTLP span, whatever encoding it came in, becomes one row of SPANS or the reason why not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Protocol

import pyarrow as pa

from seamark.core.records import SPANS, SpanKind, SpanStatus
from seamark.wire.attributes import (
    CUT_LINKS,
    Attributes,
    Source,
    attributes_text,
    events_text,
    first_text,
    is_synthetic,
    model_of,
)
from seamark.wire.tables import Row, as_table
from seamark.wire.values import EPOCH, NANOS_MAX, RowRefused, clean_name

_KINDS = frozenset(map(int, SpanKind))
_STATUSES = frozenset(map(int, SpanStatus))
_REQUEST_KINDS = (SpanKind.SERVER, SpanKind.CONSUMER)
_CALLER_KINDS = (SpanKind.CLIENT, SpanKind.PRODUCER)
_STATUS_KEYS = ("http.response.status_code", "http.status_code")
STATUS_MESSAGE = "otel.status_description"  # OpenTelemetry's own name for it where a span has no such field
EVENTS_MAX = 1_000  # of one span
LINKS_MAX = 1_000  # of one span
_FIRST_TOKEN_KEYS = ("gen_ai.response.time_to_first_chunk", "gen_ai.server.time_to_first_token")  # in seconds
_FIRST_TOKEN_S_MAX = 1e9


class Reader(Protocol):
    """What the encodings differ in: the form of ids, of 64-bit numbers, of attributes."""

    def identifier(self, raw: Any, what: str) -> bytes: ...

    def integer(self, raw: Any, what: str) -> int: ...

    def attributes(self, pairs: Sequence[Any] | None, depth: int = 0) -> Attributes: ...


def span_row(reader: Reader, span: Any, source: Source, scope: str | None, received_us: int) -> Row:
    """Return the span's values in the order of SPANS; RowRefused says why it cannot be stored."""
    trace_id = _id(reader.identifier(span.trace_id, "trace id"), 16, "trace id")
    span_id = _id(reader.identifier(span.span_id, "span id"), 8, "span id")
    parent = reader.identifier(span.parent_span_id, "parent span id") or b""
    parent = _id(parent, 8, "parent span id") if any(parent) else b""
    start_ns, end_ns = _times(reader, span)
    attributes = reader.attributes(span.attributes)
    kind = span.kind if span.kind in _KINDS else 0
    status, message = _status(span)
    http_status = _http_status(attributes)
    model, version = model_of(attributes, source)
    name = clean_name(span.name or "")
    synthetic = source.synthetic or is_synthetic(attributes)
    if message:
        attributes.setdefault(STATUS_MESSAGE, message)
    return (
        trace_id,
        span_id,
        parent or None,
        model,
        version,
        source.service,
        source.instance,
        first_text(attributes, "http.route") or name,
        name,
        kind,
        status,
        http_status,
        kind in _REQUEST_KINDS or (not parent and kind not in _CALLER_KINDS),
        status == SpanStatus.ERROR or (http_status is not None and http_status >= 500),
        synthetic,
        start_ns // 1000,
        end_ns - start_ns,
        attributes_text(attributes),
        source.attributes,
        _events(reader, span.events) if span.events else None,
        received_us,
        scope,
        _links(reader, span.links) if span.links else None,
        *gen_ai(attributes),
    )


def gen_ai(attributes: Attributes) -> tuple[str | None, int | None, int | None, int | None]:
    """Return (model, input tokens, output tokens, ns to the first token) as the gen_ai conventions name them."""
    model = first_text(attributes, "gen_ai.response.model", "gen_ai.request.model")
    first_s = next((attributes[key] for key in _FIRST_TOKEN_KEYS if key in attributes), None)
    timed = isinstance(first_s, int | float) and not isinstance(first_s, bool) and 0 <= first_s < _FIRST_TOKEN_S_MAX
    return (
        model or None,
        _tokens(attributes, "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
        _tokens(attributes, "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
        round(first_s * 1e9) if timed and first_s is not None else None,
    )


def _tokens(attributes: Attributes, *keys: str) -> int | None:
    """The first of these that is a count; the older names are still sent."""
    for key in keys:
        value = attributes.get(key)
        if type(value) is int and value >= 0:
            return value
    return None


def spans_table(rows: Sequence[Row]) -> pa.Table:
    """Return rows of span_row() as a table."""
    return as_table(rows, SPANS)


def _id(raw: bytes, size: int, what: str) -> bytes:
    if len(raw) != size:
        raise RowRefused(f"{what} has {len(raw)} bytes instead of {size}")
    if not any(raw):
        raise RowRefused(f"{what} is all zeros")
    return raw


def _times(reader: Reader, span: Any) -> tuple[int, int]:
    start = reader.integer(span.start_time_unix_nano, "start time")
    end = reader.integer(span.end_time_unix_nano, "end time")
    for what, nanos in (("start time", start), ("end time", end)):
        if nanos == 0:
            raise RowRefused(f"{what} is not set")
        if not 0 < nanos <= NANOS_MAX:
            raise RowRefused(f"{what} {nanos} does not lie between 1970 and 2262, in nanoseconds")
    if end < start:
        raise RowRefused(f"the span ends {(start - end) / 1e6:g} ms before it starts")
    return start, end


def _status(span: Any) -> tuple[int, str]:
    status = span.status
    if status is None:
        return 0, ""
    return (status.code if status.code in _STATUSES else 0), status.message or ""


def _http_status(attributes: Attributes) -> int | None:
    for key in _STATUS_KEYS:
        value = attributes.get(key)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
            value = int(value)
        if type(value) is int and 100 <= value <= 599:
            return value
    return None


def _events(reader: Reader, events: Sequence[Any]) -> str | None:
    out: list[Attributes] = []
    for event in events[:EVENTS_MAX]:
        nanos = reader.integer(event.time_unix_nano, "event time")
        known = 0 < nanos <= NANOS_MAX
        at = (EPOCH + timedelta(microseconds=nanos // 1000)).isoformat() if known else None
        out.append({"name": clean_name(event.name or ""), "at": at, "attributes": reader.attributes(event.attributes)})
    return events_text(out, more=max(0, len(events) - EVENTS_MAX))


def _links(reader: Reader, links: Sequence[Any]) -> str | None:
    out: list[Attributes] = []
    for link in links[:LINKS_MAX]:
        trace_id = reader.identifier(link.trace_id, "a link's trace id")
        span_id = reader.identifier(link.span_id, "a link's span id")
        if len(trace_id) == 16 and len(span_id) == 8:
            attributes = reader.attributes(link.attributes)
            out.append({"trace_id": trace_id.hex(), "span_id": span_id.hex(), "attributes": attributes})
    return events_text(out, cut_name=CUT_LINKS, more=max(0, len(links) - LINKS_MAX))
