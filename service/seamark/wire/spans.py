"""One OTLP span, whatever encoding it came in, becomes one row of SPANS or the reason why not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Protocol

import pyarrow as pa

from seamark.core.records import SPANS, SpanKind, SpanStatus
from seamark.wire.attributes import (
    CUT_LINKS,
    Attributes,
    Source,
    Value,
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
REQUEST_KINDS = (SpanKind.SERVER, SpanKind.CONSUMER)
CALLER_KINDS = (SpanKind.CLIENT, SpanKind.PRODUCER)
STATUS_KEYS = ("http.response.status_code", "http.status_code")
STATUS_MESSAGE = "otel.status_description"  # OpenTelemetry's own name for it where a span has no such field
EVENTS_MAX = 1_000  # of one span
LINKS_MAX = 1_000  # of one span
# Older names of the gen_ai conventions are still sent; of several the first that says something counts.
MODEL_KEYS = ("gen_ai.response.model", "gen_ai.request.model")
INPUT_TOKEN_KEYS = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
OUTPUT_TOKEN_KEYS = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")
FIRST_TOKEN_KEYS = ("gen_ai.response.time_to_first_chunk", "gen_ai.server.time_to_first_token")  # in seconds
_FIRST_TOKEN_S_MAX = 1e9


class Reader(Protocol):
    """What the encodings differ in: the form of ids, of 64-bit numbers, of attributes."""

    def identifier(self, raw: Any, what: str) -> bytes: ...

    def integer(self, raw: Any, what: str) -> int: ...

    def attributes(self, pairs: Sequence[Any] | None, depth: int = 0) -> Attributes: ...


def span_row(reader: Reader, span: Any, source: Source, scope: str | None, received_us: int) -> Row:
    """Return the span's values in the order of SPANS; RowRefused says why it cannot be stored."""
    trace_id = reader.identifier(span.trace_id, "trace id")
    span_id = reader.identifier(span.span_id, "span id")
    parent = reader.identifier(span.parent_span_id, "parent span id") or b""
    start_ns = reader.integer(span.start_time_unix_nano, "start time")
    end_ns = reader.integer(span.end_time_unix_nano, "end time")
    check_identity(trace_id, span_id, parent, start_ns, end_ns)
    parent = parent if any(parent) else b""
    attributes = reader.attributes(span.attributes)
    kind = span.kind if span.kind in _KINDS else 0
    status, message = _status(span)
    code = _first(attributes, STATUS_KEYS, http_status)
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
        code,
        kind in REQUEST_KINDS or (not parent and kind not in CALLER_KINDS),
        status == SpanStatus.ERROR or (code is not None and code >= 500),
        synthetic,
        start_ns // 1000,
        end_ns - start_ns,
        attributes_text(attributes),
        source.attributes,
        events_of(reader, span.events) if span.events else None,
        received_us,
        scope,
        links_of(reader, span.links) if span.links else None,
        *gen_ai(attributes),
    )


def gen_ai(attributes: Attributes) -> tuple[str | None, int | None, int | None, int | None]:
    """Return (model, input tokens, output tokens, ns to the first token) as the gen_ai conventions name them."""
    return (
        first_text(attributes, *MODEL_KEYS) or None,
        _first(attributes, INPUT_TOKEN_KEYS, token_count),
        _first(attributes, OUTPUT_TOKEN_KEYS, token_count),
        _first(attributes, FIRST_TOKEN_KEYS, first_token_ns),
    )


def token_count(value: Value) -> int | None:
    """Return a number of tokens, None where the value is none."""
    return value if type(value) is int and value >= 0 else None


def first_token_ns(value: Value) -> int | None:
    """Return seconds as nanoseconds, None where the value is no such time."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return round(value * 1e9) if 0 <= value < _FIRST_TOKEN_S_MAX else None


def http_status(value: Value) -> int | None:
    """Return an HTTP status written as a number or as three digits, None where the value is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
        value = int(value)
    return value if type(value) is int and 100 <= value <= 599 else None


def _first(attributes: Attributes, keys: Sequence[str], read: Callable[[Value], int | None]) -> int | None:
    return next((found for key in keys if (found := read(attributes.get(key))) is not None), None)


def spans_table(rows: Sequence[Row]) -> pa.Table:
    """Return rows of span_row() as a table."""
    return as_table(rows, SPANS)


def check_identity(trace_id: bytes, span_id: bytes, parent: bytes, start_ns: int, end_ns: int) -> None:
    """Raise RowRefused where a span has no proper ids or times. A parent of zeros is none."""
    _check_id(trace_id, 16, "trace id")
    _check_id(span_id, 8, "span id")
    if any(parent):
        _check_id(parent, 8, "parent span id")
    for what, nanos in (("start time", start_ns), ("end time", end_ns)):
        if nanos == 0:
            raise RowRefused(f"{what} is not set")
        if not 0 < nanos <= NANOS_MAX:
            raise RowRefused(f"{what} {nanos} does not lie between 1970 and 2262, in nanoseconds")
    if end_ns < start_ns:
        raise RowRefused(f"the span ends {(start_ns - end_ns) / 1e6:g} ms before it starts")


def _check_id(raw: bytes, size: int, what: str) -> None:
    if len(raw) != size:
        raise RowRefused(f"{what} has {len(raw)} bytes instead of {size}")
    if not any(raw):
        raise RowRefused(f"{what} is all zeros")


def _status(span: Any) -> tuple[int, str]:
    status = span.status
    if status is None:
        return 0, ""
    return (status.code if status.code in _STATUSES else 0), status.message or ""


def events_of(reader: Reader, events: Sequence[Any]) -> str | None:
    """Return span events as a JSON array of at most EVENTS_MAX; a last one counts what is cut."""
    out: list[Attributes] = []
    for event in events[:EVENTS_MAX]:
        nanos = reader.integer(event.time_unix_nano, "event time")
        known = 0 < nanos <= NANOS_MAX
        at = (EPOCH + timedelta(microseconds=nanos // 1000)).isoformat(timespec="microseconds") if known else None
        out.append({"name": clean_name(event.name or ""), "at": at, "attributes": reader.attributes(event.attributes)})
    return events_text(out, more=max(0, len(events) - EVENTS_MAX))


def links_of(reader: Reader, links: Sequence[Any]) -> str | None:
    """Return span links as a JSON array; one without proper ids leads nowhere and is left out."""
    out: list[Attributes] = []
    for link in links[:LINKS_MAX]:
        trace_id = reader.identifier(link.trace_id, "a link's trace id")
        span_id = reader.identifier(link.span_id, "a link's span id")
        if len(trace_id) == 16 and len(span_id) == 8:
            attributes = reader.attributes(link.attributes)
            out.append({"trace_id": trace_id.hex(), "span_id": span_id.hex(), "attributes": attributes})
    return events_text(out, cut_name=CUT_LINKS, more=max(0, len(links) - LINKS_MAX))
