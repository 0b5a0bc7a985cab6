"""Many spans as flat columns, whatever encoding they came in, become SPANS rows by column arithmetic.

wire/spans.py says the same for one span after the other. It is what these columns are held equal to, and what decodes
each request in which anything is unusual (see `odd`): nothing is handled twice with two meanings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from seamark.core.records import AT, SPANS, Refusal, SpanKind, SpanStatus
from seamark.wire.attribute_columns import AttributeColumns, texts_of
from seamark.wire.attributes import (
    LOAD_TEST_AGENT,
    MODEL,
    SYNTHETIC,
    TEXT_BYTES_MAX,
    USER_AGENTS,
    VERSION,
    Source,
    to_json,
)
from seamark.wire.span_event_columns import EventColumns
from seamark.wire.spans import (
    CALLER_KINDS,
    FIRST_TOKEN_KEYS,
    INPUT_TOKEN_KEYS,
    MODEL_KEYS,
    OUTPUT_TOKEN_KEYS,
    REQUEST_KINDS,
    STATUS_KEYS,
    STATUS_MESSAGE,
    check_identity,
    first_token_ns,
    http_status,
    token_count,
)
from seamark.wire.values import NANOS_MAX, RowRefused, clean_name

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_TABLE_COLUMNS = SPANS.names


class Odd(Exception):
    """A request holds something so rare that only span_row() knows how to read it."""


@dataclass
class SpanColumns:
    """Spans of many requests, side by side; the arrays of a row each have one length, that of `request`.

    Links are rare and made by hand: (row, JSON text). `odd` are requests that must be decoded span by span instead.
    """

    requests: int
    request: Ints  # which request each span came in
    place: Ints  # its place in that request
    source: Ints  # index into sources
    sources: Sequence[Source]
    scope: Ints  # index into scopes
    scopes: Sequence[str | None]
    trace_id: pa.Array  # binary, of any length
    span_id: pa.Array
    parent_span_id: pa.Array
    name: pa.Array
    kind: Ints
    start_ns: npt.NDArray[np.uint64]
    end_ns: npt.NDArray[np.uint64]
    status: Ints
    message: pa.Array  # of the status; "" for none
    attributes: AttributeColumns
    events: EventColumns
    links: Sequence[tuple[int, str | None]] = ()
    odd: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class SpanRows:
    """What came of each request: its rows in order, and the refusals; those in `odd` have neither yet."""

    table: pa.Table
    rows: Ints  # shape (requests + 1,): request n has rows[n]:rows[n + 1]
    refusals: Sequence[tuple[Refusal, ...]]
    odd: set[int]

    def count(self, request: int) -> int:
        """Return how many rows one request has."""
        return int(self.rows[request + 1] - self.rows[request])

    def of(self, request: int) -> pa.Table:
        """Return the rows of one request."""
        return self.table.slice(int(self.rows[request]), self.count(request))


def span_rows(spans: SpanColumns, received_us: Sequence[int]) -> SpanRows:
    """Return the spans as rows of SPANS, and why some are none. `received_us` is one instant for each request."""
    events, odd_events = spans.events.texts()
    odd = spans.odd | set(np.unique(spans.request[np.concatenate([_odd_rows(spans), odd_events])]).tolist())
    sound = _sound(spans)
    refusals: list[list[Refusal]] = [[] for _ in range(spans.requests)]
    for row in np.flatnonzero(~sound).tolist():
        refusals[int(spans.request[row])].append(_refusal(spans, row))
    columns = {"events": events, **_columns(spans, np.asarray(received_us, dtype=np.int64)[spans.request])}
    long = pc.greater(pc.binary_length(columns["attributes"]), TEXT_BYTES_MAX)
    odd |= set(np.unique(spans.request[np.asarray(pc.fill_null(long, False))]).tolist())
    table = pa.Table.from_arrays([columns[name] for name in _TABLE_COLUMNS], schema=SPANS)
    if not sound.all():
        table = table.filter(pa.array(sound))
    counts = np.bincount(spans.request[sound], minlength=spans.requests)
    rows = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return SpanRows(table, rows, [tuple(found) for found in refusals], odd)


def _odd_rows(spans: SpanColumns) -> Ints:
    """Return the spans in which something is so rare that only span_row() knows how to read it."""
    length = np.asarray(pc.binary_length(spans.parent_span_id))
    found = [spans.attributes.odd_rows(), np.flatnonzero((length != 0) & (length != 8))]
    if STATUS_MESSAGE in spans.attributes.names:
        found.append(np.flatnonzero(np.asarray(pc.not_equal(spans.message, ""))))
    return np.concatenate(found)


def _sound(spans: SpanColumns) -> Flags:
    """Whether each span can be stored; check_identity() says why not."""
    start, end = spans.start_ns, spans.end_ns
    return (
        _is_id(spans.trace_id, 16)
        & _is_id(spans.span_id, 8)
        & (start > 0)
        & (start <= NANOS_MAX)
        & (end <= NANOS_MAX)
        & (end >= start)
    )


def _is_id(ids: pa.Array, size: int) -> Flags:
    right: Flags = np.asarray(pc.and_(pc.equal(pc.binary_length(ids), size), pc.not_equal(ids, b"\0" * size)))
    return right


def _refusal(spans: SpanColumns, row: int) -> Refusal:
    trace_id, span_id, parent = (c[row].as_py() for c in (spans.trace_id, spans.span_id, spans.parent_span_id))
    try:
        check_identity(trace_id, span_id, parent, int(spans.start_ns[row]), int(spans.end_ns[row]))
    except RowRefused as refused:
        return Refusal(int(spans.place[row]), str(refused))
    raise AssertionError("a span that was found unsound has nothing wrong with it")


def _columns(spans: SpanColumns, received_us: Ints) -> dict[str, pa.Array]:
    """Return every column of SPANS but `events` for every span, the unsound ones too."""
    attributes = spans.attributes
    kind = np.where((spans.kind >= 0) & (spans.kind <= max(SpanKind)), spans.kind, 0)
    status = np.where((spans.status >= 0) & (spans.status <= max(SpanStatus)), spans.status, 0)
    # A parent of zeros is none; one of a wrong length is refused later.
    parent = pc.if_else(pc.equal(spans.parent_span_id, b"\0" * 8), b"", spans.parent_span_id)
    rooted = np.asarray(pc.equal(pc.binary_length(parent), 0))
    name = _cleaned(spans.name)
    codes = _http_status(attributes)
    model, version = _own_or(attributes, MODEL, spans, "model"), _own_or(attributes, VERSION, spans, "version")
    is_request = np.isin(kind, REQUEST_KINDS) | (rooted & ~np.isin(kind, CALLER_KINDS))
    failed = (status == SpanStatus.ERROR) | (codes >= 500)
    start = spans.start_ns.astype(np.int64)
    route = attributes.texts("http.route")
    texts = _with_messages(spans, texts_of(attributes))
    generative = _generative(attributes)
    return {
        "trace_id": spans.trace_id,
        "span_id": spans.span_id,
        "parent_span_id": pc.if_else(pa.array(rooted), None, parent),
        "model": model,
        "version": version,
        "service": _of_source(spans, "service"),
        "instance": _of_source(spans, "instance"),
        "route": name if route is None else pc.coalesce(route, name),
        "name": name,
        "kind": pa.array(kind.astype(np.int8)),
        "status": pa.array(status.astype(np.int8)),
        "http_status": pa.array(codes.astype(np.int16), mask=codes < 0),
        "is_request": pa.array(is_request),
        "failed": pa.array(failed),
        "synthetic": pa.array(_synthetic(spans)),
        "start_at": pa.array(start // 1000).cast(AT),
        "duration_ns": pa.array(spans.end_ns.astype(np.int64) - start),
        "attributes": texts,
        "resource": _of_source(spans, "attributes"),
        "received_at": pa.array(received_us).cast(AT),
        "scope": pa.array(spans.scopes, pa.string()).take(pa.array(spans.scope)),
        "links": _scattered(len(spans.request), spans.links, pa.string()),
        **generative,
    }


def _cleaned(names: pa.Array) -> pa.Array:
    """Return names fit for labels: the few different ones are cleaned, all are looked up."""
    encoded = names.dictionary_encode()
    words = [clean_name(word) for word in encoded.dictionary.to_pylist()]
    return pa.array(words, pa.string()).take(encoded.indices)


def _of_source(spans: SpanColumns, attribute: str) -> pa.Array:
    values = [getattr(source, attribute) for source in spans.sources]
    return pa.array(values, pa.string()).take(pa.array(spans.source))


def _own_or(attributes: AttributeColumns, key: str, spans: SpanColumns, of_source: str) -> pa.Array:
    """A span's own attribute wins over its resource's."""
    own = attributes.texts(key)
    return _of_source(spans, of_source) if own is None else pc.coalesce(own, _of_source(spans, of_source))


def _http_status(attributes: AttributeColumns) -> Ints:
    """Return each span's HTTP status, -1 where it has none."""
    found = np.full(attributes.spans, -1, dtype=np.int64)
    for key in reversed(STATUS_KEYS):  # the first key wins: it is written last
        rows, codes = attributes.mapped(key, http_status)
        found[rows] = codes
    return found


def _synthetic(spans: SpanColumns) -> Flags:
    found = np.array([source.synthetic for source in spans.sources], dtype=np.bool_)[spans.source]
    marked = spans.attributes.texts(SYNTHETIC)
    if marked is not None:
        found |= np.asarray(marked.is_valid())
    for key in USER_AGENTS:
        found[spans.attributes.starting_with(key, LOAD_TEST_AGENT)] = True
    return found


def _with_messages(spans: SpanColumns, texts: pa.Array) -> pa.Array:
    """Put the text of each status last into its span's attributes. Spans that have one there already are odd."""
    rows = np.flatnonzero(np.asarray(pc.not_equal(spans.message, "")))
    if not len(rows):
        return texts
    index = pa.array(rows)
    given = zip(texts.take(index).to_pylist(), spans.message.take(index).to_pylist(), strict=True)
    new = [_joined(text, message) for text, message in given]
    mask = np.zeros(len(texts), dtype=np.bool_)
    mask[rows] = True
    return pc.replace_with_mask(texts, pa.array(mask), pa.array(new, pa.string()))


def _joined(text: str | None, message: str) -> str:
    pair = f'"{STATUS_MESSAGE}":{to_json(message)}'
    return f"{{{pair}}}" if text is None else f"{text[:-1]},{pair}}}"


def _generative(attributes: AttributeColumns) -> dict[str, pa.Array]:
    """Return the gen_ai columns; for the traffic that has none of it this costs a look at the keys."""
    models = [found for key in MODEL_KEYS if (found := attributes.texts(key)) is not None]
    return {
        "gen_ai_model": pc.coalesce(*models) if models else pa.nulls(attributes.spans, pa.string()),
        "input_tokens": _first(attributes, INPUT_TOKEN_KEYS, token_count),
        "output_tokens": _first(attributes, OUTPUT_TOKEN_KEYS, token_count),
        "first_token_ns": _first(attributes, FIRST_TOKEN_KEYS, first_token_ns),
    }


def _first(attributes: AttributeColumns, keys: Sequence[str], read: Callable[[Any], int | None]) -> pa.Array:
    found: npt.NDArray[np.int64] = np.full(attributes.spans, -1, dtype=np.int64)
    for key in reversed(keys):
        rows, values = attributes.mapped(key, read)
        found[rows] = values
    return pa.array(found, mask=found < 0)


def _scattered(rows: int, values: Sequence[tuple[int, Any]], kind: pa.DataType) -> pa.Array:
    """Return a column of `rows` nulls with these values put into it."""
    if not values:
        return pa.nulls(rows, kind)
    index = np.full(rows, -1, dtype=np.int64)
    index[[row for row, _ in values]] = np.arange(len(values))
    return pa.array([value for _, value in values], kind).take(pa.array(index, mask=index < 0))
