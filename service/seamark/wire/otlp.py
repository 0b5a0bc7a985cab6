"""OTLP export requests become rows of the lake and refusals; one bad span or log record never costs its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from google.protobuf.message import DecodeError

from seamark.core.errors import InputRefused, SeamarkError
from seamark.core.feature_types import TypesOf
from seamark.core.records import Decoded, Refusal
from seamark.wire.attributes import Source, read_source, resource_bytes_max
from seamark.wire.budget import check_rows
from seamark.wire.event_columns import decode_event_columns
from seamark.wire.events import EventRows
from seamark.wire.feature_columns import Places, Unusual
from seamark.wire.otlp_arrow import span_columns
from seamark.wire.otlp_json import JsonReader, parse_traces
from seamark.wire.otlp_json_columns import span_columns as json_span_columns
from seamark.wire.otlp_protobuf import ProtobufReader
from seamark.wire.points import decode_points
from seamark.wire.prediction_columns import COLUMNS_FROM_BYTES
from seamark.wire.span_columns import Odd, SpanRows, span_rows
from seamark.wire.spans import Reader, span_row, spans_table
from seamark.wire.tables import Row
from seamark.wire.values import ROWS_MAX, RowRefused, clean_name, micros

SPAN_COLUMNS_FROM_BYTES = 8_192  # a smaller body of spans is decoded sooner one by one


class Encoding(StrEnum):
    """How an OTLP request is written, by its media type; the answer is written the same way."""

    PROTOBUF = "application/x-protobuf"
    JSON = "application/json"


READERS: dict[Encoding, type[ProtobufReader] | type[JsonReader]] = {
    Encoding.PROTOBUF: ProtobufReader,
    Encoding.JSON: JsonReader,
}


def decode_traces(body: bytes, encoding: Encoding, *, received_at: datetime) -> Decoded:
    """Return the request's spans as a SPANS table, with a Refusal (by place in the request) for each bad one.

    InputRefused: the body cannot be read at all. BodyTooLarge: it holds too many spans or values.
    """
    if len(body) < SPAN_COLUMNS_FROM_BYTES:
        return decode_traces_one_by_one(body, encoding, received_at=received_at)
    (found,) = decode_many_traces([body], encoding, received_at=[received_at])
    if isinstance(found, SeamarkError):
        raise found
    return found


def decode_traces_one_by_one(body: bytes, encoding: Encoding, *, received_at: datetime) -> Decoded:
    """Return the same as decode_traces(), slowly: what the faster ways are held against."""
    reader = READERS[encoding]()
    request = reader.traces(body)
    received_us = micros(received_at)
    groups = [(g.resource, [(s.scope, s.spans or ()) for s in scopes]) for g, scopes in _scopes(request.resource_spans)]
    rows: list[Row] = []
    refusals: list[Refusal] = []
    for index, source, scope, span in _walk(reader, groups, "spans"):
        try:
            rows.append(span_row(reader, span, source, scope, received_us))
        except RowRefused as refused:
            refusals.append(Refusal(index, str(refused)))
    return Decoded({"spans": spans_table(rows)} if rows else {}, tuple(refusals))


def decode_many_traces(
    bodies: Sequence[bytes], encoding: Encoding, *, received_at: Sequence[datetime]
) -> list[Decoded | SeamarkError]:
    """Return for each request what decode_traces_one_by_one() returns or raises, several times as fast."""
    found = _by_columns(bodies, encoding, received_at)
    if found is None and len(bodies) > 1:  # one spoils it for all: each alone
        alone = [([body], [at]) for body, at in zip(bodies, received_at, strict=True)]
        return [decode_many_traces(one, encoding, received_at=at)[0] for one, at in alone]
    if found is None:
        return [_one_by_one(bodies[0], encoding, received_at[0])]
    return [
        _one_by_one(body, encoding, received_at[index])
        if index in found.odd
        else Decoded({"spans": found.of(index)} if found.count(index) else {}, found.refusals[index])
        for index, body in enumerate(bodies)
    ]


def _by_columns(bodies: Sequence[bytes], encoding: Encoding, received_at: Sequence[datetime]) -> SpanRows | None:
    """Return the rows of these requests, None where one of them cannot be read so. What was parsed goes with it."""
    try:
        if encoding is Encoding.PROTOBUF:
            columns = span_columns(bodies)
        else:
            columns = json_span_columns([parse_traces(body) for body in bodies])
        return span_rows(columns, [micros(at) for at in received_at])
    except (ValueError, DecodeError, InputRefused, Odd):
        return None


def _one_by_one(body: bytes, encoding: Encoding, received_at: datetime) -> Decoded | SeamarkError:
    try:
        return decode_traces_one_by_one(body, encoding, received_at=received_at)
    except SeamarkError as error:
        return error


def decode_logs(
    body: bytes,
    encoding: Encoding,
    *,
    received_at: datetime,
    new_id: Callable[[], str],
    types: TypesOf | None = None,
) -> Decoded:
    """Return the request's prediction and label events as tables, with a Refusal for each other or bad record.

    `new_id` makes the id of a prediction that came without one; `types` are those of decode_predictions(). Errors as in
    decode_traces().
    """
    received_us = micros(received_at)
    if types is None and encoding is Encoding.PROTOBUF and len(body) >= COLUMNS_FROM_BYTES:
        try:
            return _log_columns(body, received_us, new_id)
        except Unusual:
            pass
    return decode_logs_one_by_one(body, encoding, received_us, new_id, types)


def decode_logs_one_by_one(
    body: bytes, encoding: Encoding, received_us: int, new_id: Callable[[], str], types: TypesOf | None = None
) -> Decoded:
    """Return the same as decode_logs(), slowly: what the faster way is held against."""
    rows = EventRows(received_us, new_id, types)
    for index, reader, source, record in _log_records(body, encoding):
        rows.add(reader, record, source, index)
    return rows.decoded()


def _log_columns(body: bytes, received_us: int, new_id: Callable[[], str]) -> Decoded:
    """Return prediction events in columns, and what else the request holds one by one."""
    others = EventRows(received_us, new_id)

    def judge(odd: Places) -> Sequence[Refusal]:
        wanted = set(odd.tolist())
        for index, reader, source, record in _log_records(body, Encoding.PROTOBUF):
            if index in wanted:
                others.add(reader, record, source, index)
        if others.holds_predictions:
            raise Unusual
        return others.decoded().refusals

    found = decode_event_columns(body, judge, received_us, new_id)
    return replace(found, tables=found.tables | others.decoded().tables)


def _log_records(body: bytes, encoding: Encoding) -> Iterator[tuple[int, Reader, Source, Any]]:
    """Yield (index in the request, its reader, source, record) for every log record."""
    reader = READERS[encoding]()
    found = _scopes(reader.logs(body).resource_logs)
    groups = [(g.resource, [(s.scope, s.log_records or ()) for s in scopes]) for g, scopes in found]
    for index, source, _, record in _walk(reader, groups, "log records"):
        yield index, reader, source, record


def decode_metrics(body: bytes, encoding: Encoding, *, received_at: datetime) -> Decoded:
    """Return the request's data points as a METRIC_POINTS table, with a Refusal for each bad one.

    Errors as in decode_traces().
    """
    reader = READERS[encoding]()
    found = _scopes(reader.metrics(body).resource_metrics)
    groups = [(g.resource, [metric for s in scopes for metric in s.metrics or ()]) for g, scopes in found]
    return decode_points(reader, groups, micros(received_at))


def _scopes(groups: Sequence[Any] | None) -> Iterator[tuple[Any, Sequence[Any]]]:
    """Yield each resource's group with its scopes, whatever the signal calls them."""
    if not groups:
        return
    check_rows(len(groups), "resources")
    seen = 0
    for group in groups:
        scopes = next((found for name in _SCOPES if (found := getattr(group, name, None)) is not None), ())
        seen += len(scopes)
        check_rows(seen, "scopes")
        yield group, scopes


_SCOPES = ("scope_spans", "scope_logs", "scope_metrics")


def _walk(
    reader: Reader, groups: Sequence[tuple[Any, Sequence[tuple[Any, Sequence[Any]]]]], what: str
) -> Iterator[tuple[int, Source, str | None, Any]]:
    """Yield (index in the request, source, scope, item) for every item; nothing is read before all are counted."""
    rows = sum(len(items) for _, lists in groups for _, items in lists)
    check_rows(rows, what)
    index = 0
    for resource, lists in groups:
        if not any(items for _, items in lists):
            continue
        source = read_source(reader.attributes(resource.attributes if resource else ()), resource_bytes_max(rows))
        for scope, items in lists:
            name = clean_name(scope.name or "") or None if scope else None
            for item in items:
                yield index, source, name, item
                index += 1


__all__ = ["ROWS_MAX", "Encoding", "decode_logs", "decode_metrics", "decode_traces"]
