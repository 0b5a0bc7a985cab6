"""OTLP export requests become rows of the lake and refusals; one bad span or log record never costs its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from seamark.core.records import Decoded, Refusal
from seamark.wire.attributes import Source, read_source, resource_bytes_max
from seamark.wire.budget import check_rows
from seamark.wire.events import EventRows
from seamark.wire.otlp_json import JsonReader
from seamark.wire.otlp_protobuf import ProtobufReader
from seamark.wire.points import decode_points
from seamark.wire.spans import Reader, span_row, spans_table
from seamark.wire.tables import Row
from seamark.wire.values import ROWS_MAX, RowRefused, clean_name, micros


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
    reader = READERS[encoding]()
    request = reader.logs(body)
    found = _scopes(request.resource_logs)
    groups = [(g.resource, [(s.scope, s.log_records or ()) for s in scopes]) for g, scopes in found]
    rows = EventRows(micros(received_at), new_id)
    for index, source, _, record in _walk(reader, groups, "log records"):
        rows.add(reader, record, source, index)
    return rows.decoded()


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
