"""OTLP export requests become rows of the lake and refusals; one bad span or log record never costs its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from seamark.core.records import Decoded, Refusal
from seamark.wire.attributes import Source, read_source, resource_bytes_max
from seamark.wire.budget import check_rows
from seamark.wire.event_columns import decode_event_columns
from seamark.wire.events import EventRows
from seamark.wire.feature_columns import Places, Unusual
from seamark.wire.otlp_json import JsonReader
from seamark.wire.otlp_protobuf import ProtobufReader
from seamark.wire.prediction_columns import COLUMNS_FROM_BYTES
from seamark.wire.spans import Reader, span_row, spans_table
from seamark.wire.tables import Row
from seamark.wire.values import ROWS_MAX, RowRefused, clean_name, micros

POINTS_OF = ("gauge", "sum", "histogram", "exponential_histogram", "summary")


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


def decode_logs(body: bytes, encoding: Encoding, *, received_at: datetime, new_id: Callable[[], str]) -> Decoded:
    """Return the request's prediction and label events as tables, with a Refusal for each other or bad record.

    `new_id` makes the id of a prediction that came without one. Errors as in decode_traces().
    """
    received_us = micros(received_at)
    if encoding is Encoding.PROTOBUF and len(body) >= COLUMNS_FROM_BYTES:
        try:
            return _log_columns(body, received_us, new_id)
        except Unusual:
            pass
    return decode_logs_one_by_one(body, encoding, received_us, new_id)


def decode_logs_one_by_one(body: bytes, encoding: Encoding, received_us: int, new_id: Callable[[], str]) -> Decoded:
    """Return the same as decode_logs(), slowly: what the faster way is held against."""
    rows = EventRows(received_us, new_id)
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
    return Decoded(found.tables | others.decoded().tables, found.refusals, found.ids, found.schemas)


def _log_records(body: bytes, encoding: Encoding) -> Iterator[tuple[int, Reader, Source, Any]]:
    """Yield (index in the request, its reader, source, record) for every log record."""
    reader = READERS[encoding]()
    found = _scopes(reader.logs(body).resource_logs)
    groups = [(g.resource, [(s.scope, s.log_records or ()) for s in scopes]) for g, scopes in found]
    for index, source, _, record in _walk(reader, groups, "log records"):
        yield index, reader, source, record


def count_points(body: bytes, encoding: Encoding) -> int:
    """Return how many metric data points the request holds. Errors as in decode_traces()."""
    groups = READERS[encoding]().metrics(body).resource_metrics
    lists = [scope.metrics or () for _, scopes in _scopes(groups) for scope in scopes]
    check_rows(sum(map(len, lists)), "metrics")
    return sum(_points(metric) for metrics in lists for metric in metrics)


def _points(metric: Any) -> int:
    holders = (getattr(metric, kind) for kind in POINTS_OF)
    return sum(len(holder.data_points or ()) for holder in holders if holder is not None)


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


__all__ = ["ROWS_MAX", "Encoding", "count_points", "decode_logs", "decode_traces"]
