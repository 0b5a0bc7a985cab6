"""Spans of the lake to what people look for: one trace, the requests or spans that match, whole traces that match.

Which rows are wanted is found on narrow columns first; only theirs are then read whole, from the files of their time.
A span that was stored twice is told once.
"""

# ruff: noqa: S608 - the SQL is put together from texts of this file; every value is a parameter

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from seamark.core.errors import Invalid, Problem
from seamark.core.windows import Window
from seamark.store.lake import Lake, Within
from seamark.store.repeats import trace_key
from seamark.store.span_conditions import SpanCondition, compiled
from seamark.wire.traceql import EVERYTHING, Condition

TRACE_SPANS_MAX = 10_000
TRACE_BYTES_MAX = 64 * 1024 * 1024  # of attributes, resources, events and links of one trace
SEARCH_MAX = 1_000
TRACES_MAX = 200
SPANS_PER_TRACE_MAX = 100
ROUND_TRIP_S = 3600.0  # how far beyond its matching spans a trace is looked for when it is told as a whole

_FIRST_SLICE_S = 900.0
_FEW = 200  # rows of a trace that are read at once: with all their text they stay below TRACE_BYTES_MAX
_DISTINCT_ABOVE = 20_000  # rows from which on the lake, not this process, tells doubles apart
_JSON = ("attributes", "resource", "events", "links")
_REQUEST_COLUMNS = (
    "trace_id, span_id, model, version, service, instance, route, name, kind, start_at,"
    " duration_ns / 1e6 AS duration_ms, failed, http_status, synthetic"
)


@dataclass(frozen=True)
class Trace:
    """Spans of one trace by start: every column of SPANS, ids as hex, JSON columns as data.

    `partial`: there are `total` spans, and only the first were read (TRACE_SPANS_MAX, TRACE_BYTES_MAX).
    """

    spans: list[dict[str, Any]]
    total: int

    @property
    def partial(self) -> bool:
        """Whether spans were left out."""
        return len(self.spans) < self.total


@dataclass(frozen=True)
class Search:
    """What is looked for, and where: spans in `window`, of `model` alone where it is named.

    `status` is "ok", "error" or None; `requests_only` leaves out every span that is no request.
    """

    window: Window
    model: str | None = None
    condition: Condition = EVERYTHING
    min_ms: float | None = None
    status: str | None = None
    requests_only: bool = False
    slowest: bool = False  # else newest first


@dataclass(frozen=True)
class TraceFound:
    """A trace with spans that match: `matched` of them, the first few in `spans` (columns as in find()).

    `root_service` and `root_name` are None where the root was not received. Start and duration are those of all its
    spans that lie within ROUND_TRIP_S of those that match. `services` counts spans and failed spans by service.
    """

    trace_id: str
    root_service: str | None
    root_name: str | None
    start_at: datetime
    duration_ns: int
    matched: int
    services: dict[str, tuple[int, int]]
    spans: list[dict[str, Any]] = field(default_factory=list)


def trace(lake: Lake, trace_id: bytes, *, window: Window | None = None, model: str | None = None) -> Trace:
    """Return the spans of one trace, of `model` alone where it is named; a window (of span starts) makes it quick."""
    where, key = ["trace_key = $trace_key", "trace_id = $trace_id"], trace_key(trace_id)
    parameters: dict[str, Any] = {"trace_key": key, "trace_id": trace_id}
    within = None if window is None else window.bounds
    _within(where, parameters, window, model)
    # Not sorted by the lake: a sorted and limited read would look for the ids twice.
    few = lake.query(
        f"SELECT * FROM lake.spans WHERE {' AND '.join(where)} LIMIT $few_max",
        {**parameters, "few_max": _FEW + 1},
        within=within,
        of_trace=key,
    )
    if few.num_rows <= _FEW:
        once: dict[tuple[Any, ...], dict[str, Any]] = {}
        for row in sorted(few.to_pylist(), key=lambda row: (row["start_at"], row["span_id"])):
            once.setdefault((row["span_id"], row["start_at"], row["model"]), row)
        return Trace([_span(row) for row in once.values()], len(once))
    return _large(lake, where, parameters, within)


def _large(lake: Lake, where: list[str], parameters: dict[str, Any], within: Within | None) -> Trace:
    """Read a trace whose size is unknown: it is measured before any of its text is read."""
    narrow = lake.query(
        "SELECT start_at, total FROM (SELECT span_id, min(start_at) AS start_at, count(*) OVER () AS total"
        f" FROM lake.spans WHERE {' AND '.join(where)} GROUP BY span_id)"
        " ORDER BY start_at, span_id LIMIT $spans_max",
        {**parameters, "spans_max": TRACE_SPANS_MAX},
        within=within,
        of_trace=parameters["trace_key"],
    )
    last = narrow["start_at"][-1].as_py()
    _within(where, parameters, Window(narrow["start_at"][0].as_py(), last + timedelta(microseconds=1)), None)
    rows = lake.query(
        "SELECT * EXCLUDE (bytes_so_far) FROM (SELECT *, sum("
        f"{' + '.join(f'coalesce(strlen({name}), 0)' for name in _JSON)}"
        ") OVER (ORDER BY start_at, span_id ROWS UNBOUNDED PRECEDING) AS bytes_so_far FROM ("
        f"SELECT * FROM lake.spans WHERE {' AND '.join(where)}"
        " QUALIFY row_number() OVER (PARTITION BY span_id ORDER BY start_at) = 1"
        ") QUALIFY row_number() OVER (ORDER BY start_at, span_id) <= $spans_max)"
        " WHERE bytes_so_far <= $bytes_max ORDER BY start_at, span_id",
        {**parameters, "spans_max": TRACE_SPANS_MAX, "bytes_max": TRACE_BYTES_MAX},
        within=(narrow["start_at"][0].as_py(), last),
        of_trace=parameters["trace_key"],
    )
    return Trace([_span(row) for row in rows.to_pylist()], narrow["total"][0].as_py())


def find(lake: Lake, asked: Search, limit: int) -> list[dict[str, Any]]:
    """Return the spans that match, newest or slowest first, at most SEARCH_MAX.

    Each has trace_id, span_id (hex), model, version, service, instance, route, name, kind, start_at, duration_ms,
    failed, http_status, synthetic. Invalid where the status is none or a regular expression cannot be used.
    """
    keys = _keys(lake, asked, max(1, min(limit, SEARCH_MAX)))
    if all("name" in key for key in keys):
        return [_span({name: value for name, value in key.items() if name != "duration_ns"}) for key in keys]
    return whole(lake, keys, _REQUEST_COLUMNS, asked.model)


def whole(lake: Lake, keys: Sequence[dict[str, Any]], columns: str, model: str | None) -> list[dict[str, Any]]:
    """Return rows (trace_id, span_id and others of `columns`) of the spans that `keys` name, in their order.

    Of `model` alone where it is named: ids are the senders' own, and another model may have the same.
    """
    if not keys:
        return []
    parameters: dict[str, Any] = {f"at_{index}": key["start_at"] for index, key in enumerate(keys)}
    parameters |= {
        "first": min(key["start_at"] for key in keys),
        "last": max(key["start_at"] for key in keys),
        "ids": [key["span_id"] for key in keys],
    }
    # The instants are few and exact: files and row groups without one of them are not opened.
    instants = ", ".join(f"$at_{index}" for index in range(len(keys)))
    rows = lake.query(
        f"SELECT {columns} FROM lake.spans WHERE start_at >= $first AND start_at <= $last"
        f" AND start_at IN ({instants}) AND span_id IN (SELECT unnest($ids::BLOB[]))"
        + (" AND model = $model" if model is not None else ""),
        parameters if model is None else {**parameters, "model": model},
        within=(parameters["first"], parameters["last"]),
    )
    found = {(row["trace_id"], row["span_id"]): row for row in rows.to_pylist()}
    wanted = [found.get((key["trace_id"], key["span_id"])) for key in keys]
    return [_span(row) for row in wanted if row is not None]


def find_traces(lake: Lake, asked: Search, limit: int, spans_per_trace: int) -> list[TraceFound]:
    """Return traces with spans that match, by their newest match, at most TRACES_MAX with SPANS_PER_TRACE_MAX each."""
    limit = max(1, min(limit, TRACES_MAX))
    keys = _keys(lake, asked, limit, by_trace=True)
    if not keys:
        return []
    condition = _condition(asked)
    starts = [key["start_at"] for key in keys]
    reach = timedelta(seconds=ROUND_TRIP_S)
    parameters: dict[str, Any] = {f"trace_{index}": key["trace_id"] for index, key in enumerate(keys)}
    parameters |= _bound(asked, condition, asked.window)
    parameters |= {"from": min(starts) - reach, "until": max(starts) + reach}
    parameters["spans_max"] = max(0, min(spans_per_trace, SPANS_PER_TRACE_MAX))
    seen = asked.window.bounds if condition.whole_traces else (min(starts), max(starts))
    within = (seen[0] - reach, seen[1] + reach)
    rows = lake.query(_traces_sql(asked, condition, len(keys)), parameters, within=within).to_pylist()
    told = {row["trace_id"]: row for row in rows}
    ordered = [told[key["trace_id"]] for key in keys if key["trace_id"] in told]
    return _traces(lake, ordered, asked.model)


def _traces_sql(asked: Search, condition: SpanCondition, traces: int) -> str:
    ids = ", ".join(f"$trace_{index}" for index in range(traces))
    inside = (
        "SELECT DISTINCT ON (trace_id, span_id) trace_id, span_id, parent_span_id, service, name, start_at,"
        " duration_ns, failed,"
        f" coalesce(start_at >= $start AND start_at < $end AND {_matches(asked, condition)}, false) AS matches"
        " FROM lake.spans"
        f" WHERE start_at >= $from AND start_at < $until AND trace_id IN ({ids})"
        + (" AND model = $model" if asked.model is not None else "")
    )
    tables = ", ".join([*condition.tables, f"inside AS ({inside})"])
    return (
        f"WITH {tables}, placed AS (SELECT *, row_number() OVER"
        " (PARTITION BY trace_id, matches ORDER BY start_at, span_id) AS place FROM inside)"
        " SELECT trace_id, arg_min(service, start_at) FILTER (parent_span_id IS NULL) AS root_service,"
        " arg_min(name, start_at) FILTER (parent_span_id IS NULL) AS root_name, min(start_at) AS start_at,"
        " max(epoch_us(start_at) * 1000 + duration_ns) - min(epoch_us(start_at)) * 1000 AS duration_ns,"
        " count(*) FILTER (matches) AS matched, map_entries(histogram(service)) AS services,"
        " map_entries(histogram(service) FILTER (failed)) AS failing,"
        " list({trace_id: trace_id, span_id: span_id, start_at: start_at} ORDER BY place)"
        " FILTER (matches AND place <= $spans_max) AS spans"
        " FROM placed GROUP BY trace_id"
    )


def _traces(lake: Lake, rows: Sequence[dict[str, Any]], model: str | None) -> list[TraceFound]:
    spans: dict[str, list[dict[str, Any]]] = {}
    keys = [key for row in rows for key in row["spans"] or ()]
    columns = f"{_REQUEST_COLUMNS}, status, attributes, resource"
    for start in range(0, len(keys), SEARCH_MAX):
        for span in whole(lake, keys[start : start + SEARCH_MAX], columns, model):
            spans.setdefault(span["trace_id"], []).append(span)
    out = []
    for row in rows:
        failing = {entry["key"]: entry["value"] for entry in row["failing"] or ()}
        services = {entry["key"]: (entry["value"], failing.get(entry["key"], 0)) for entry in row["services"]}
        out.append(
            TraceFound(
                row["trace_id"].hex(),
                row["root_service"],
                row["root_name"],
                row["start_at"].astimezone(UTC),
                row["duration_ns"],
                row["matched"],
                services,
                spans.get(row["trace_id"].hex(), []),
            )
        )
    return out


# --- which rows ----------------------------------------------------------------------------------------------------


def _keys(lake: Lake, asked: Search, limit: int, *, by_trace: bool = False) -> list[dict[str, Any]]:
    """Return trace_id, span_id and start_at of the first `limit` that match; `by_trace`, of one span of each trace.

    Without `by_trace` the other columns of find() are there too, unless so many had to be read that they were left out.
    """
    found: dict[Any, dict[str, Any]] = {}
    condition = _condition(asked)
    for piece in [asked.window] if asked.slowest else _slices(asked.window):
        rows_max = 2 * limit + 8
        while True:
            rows = _first(lake, asked, condition, piece, rows_max, by_trace=by_trace)
            for row in rows:
                found.setdefault(row["trace_id"] if by_trace else (row["trace_id"], row["span_id"]), row)
            if len(found) >= limit or len(rows) < rows_max:
                break
            rows_max *= 8  # spans stored twice, or many spans of one trace, stood in the others' way
        if len(found) >= limit:
            break
    return list(found.values())[:limit]


def _first(
    lake: Lake, asked: Search, condition: SpanCondition, piece: Window, rows_max: int, *, by_trace: bool
) -> list[dict[str, Any]]:
    order = "duration_ns DESC, start_at DESC, span_id" if asked.slowest else "start_at DESC, span_id"
    told = "trace_id, span_id, start_at, duration_ns" if by_trace else f"{_REQUEST_COLUMNS}, duration_ns"
    grouped = ""
    if rows_max > _DISTINCT_ABOVE:
        told = "trace_id, arg_max(span_id, start_at) AS span_id, max(start_at) AS start_at"
        told += ", max(duration_ns) AS duration_ns"
        grouped = " GROUP BY trace_id" if by_trace else " GROUP BY trace_id, found.span_id"
    where = f"start_at >= $start AND start_at < $end AND {_matches(asked, condition)}"
    if asked.model is not None:
        where = f"model = $model AND {where}"
    tables = f"WITH {', '.join(condition.tables)} " if condition.tables else ""
    reach = timedelta(seconds=ROUND_TRIP_S if condition.whole_traces else 0.0)
    rows: list[dict[str, Any]] = lake.query(
        f"{tables}SELECT {told} FROM lake.spans AS found WHERE {where}{grouped} ORDER BY {order} LIMIT $rows_max",
        {**_bound(asked, condition, piece), "rows_max": rows_max},
        within=(piece.start - reach, piece.end + reach),
    ).to_pylist()
    return rows


def _slices(window: Window) -> Iterator[Window]:
    """Yield the window in pieces, the newest and shortest first: the newest rows are mostly in the first of them."""
    end, length_s = window.end, _FIRST_SLICE_S
    while end > window.start:
        start = max(window.start, end - timedelta(seconds=length_s))
        yield Window(start, end)
        end, length_s = start, length_s * 4


def _condition(asked: Search) -> SpanCondition:
    if asked.status not in (None, "ok", "error"):
        problem = Problem("status", "is neither ok nor error")
        raise Invalid(f"status: {asked.status!r} is neither ok nor error", [problem])
    return compiled(asked.condition, one_model=asked.model is not None)


def _matches(asked: Search, condition: SpanCondition) -> str:
    parts = ["is_request"] if asked.requests_only else []
    if asked.status is not None:
        parts.append("failed" if asked.status == "error" else "NOT failed")
    if asked.min_ms is not None:
        parts.append("duration_ns / 1e6 >= $min_ms")
    return " AND ".join([*parts, condition.text])


def _bound(asked: Search, condition: SpanCondition, piece: Window) -> dict[str, Any]:
    """The parameters of _matches() and of the piece; DuckDB refuses one too many."""
    parameters: dict[str, Any] = {"start": piece.start, "end": piece.end, **condition.parameters}
    if asked.min_ms is not None:
        parameters["min_ms"] = asked.min_ms
    if asked.model is not None:
        parameters["model"] = asked.model
    if condition.whole_traces:
        reach = timedelta(seconds=ROUND_TRIP_S)
        parameters |= {"wide_start": piece.start - reach, "wide_end": piece.end + reach}
    return parameters


def _within(where: list[str], parameters: dict[str, Any], window: Window | None, model: str | None) -> None:
    """Narrow a condition to a window and a model."""
    if window is not None:
        number = len(parameters)
        where += [f"start_at >= $start_{number}", f"start_at < $end_{number}"]
        parameters |= {f"start_{number}": window.start, f"end_{number}": window.end}
    if model is not None:
        where.append("model = $model")
        parameters["model"] = model


def _span(row: dict[str, Any]) -> dict[str, Any]:
    row.pop("trace_key", None)
    for name in ("trace_id", "span_id", "parent_span_id"):
        if row.get(name) is not None:
            row[name] = row[name].hex()
    for name in _JSON:
        if row.get(name) is not None:
            row[name] = json.loads(row[name])
    return row
