"""Spans of a load test's run to where the server's time went, by span name, and to the server span of each request.

A run's trace ids begin with its prefix (core/load_traces), so its spans are one range of ids within the run's time.
"""

# ruff: noqa: S608 - the SQL is put together from texts of this file; every value is a parameter

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from seamark.core.load_traces import SpanTime
from seamark.core.windows import Window
from seamark.store.lake import Lake

NAMES_MAX = 50
TRACES_MAX = 200


@dataclass(frozen=True)
class ServerSpan:
    """The span of a request where it reached the first instrumented server."""

    name: str
    service: str
    duration_ms: float
    failed: bool


def time_by_name(lake: Lake, prefix: str, window: Window, model: str | None) -> tuple[list[SpanTime], int, int]:
    """Return the spans of a run by service and name, those with most time of their own first.

    `window` is when spans may have begun. Returns at most NAMES_MAX, how many names there are, and how many traces have
    a span of a request. Of `model` alone where it is named.
    """
    rows = lake.query(
        f"WITH own AS ({_spans(model)}),"
        " below AS (SELECT trace_id, parent_span_id AS span_id, sum(duration_ns) AS ns FROM own"
        " WHERE parent_span_id IS NOT NULL GROUP BY ALL),"
        " timed AS (SELECT own.*, greatest(duration_ns - coalesce(below.ns, 0), 0) AS self_ns"
        " FROM own LEFT JOIN below USING (trace_id, span_id)),"
        " named AS (SELECT service, name, count(*) AS spans, count(*) FILTER (failed) AS failed,"
        " sum(duration_ns) / 1e6 AS total_ms, sum(self_ns) / 1e6 AS self_ms,"
        " quantile_disc(duration_ns, 0.5) / 1e6 AS p50_ms, quantile_disc(duration_ns, 0.99) / 1e6 AS p99_ms"
        " FROM timed GROUP BY service, name)"
        " SELECT *, sum(self_ms) OVER () AS all_ms, count(*) OVER () AS names,"
        " (SELECT count(DISTINCT trace_id) FROM own WHERE is_request) AS linked"
        f" FROM named ORDER BY self_ms DESC, service, name LIMIT {NAMES_MAX}",
        _parameters(prefix, window, model),
        within=window.bounds,
    ).to_pylist()
    if not rows:
        return [], 0, 0
    return [_span_time(row) for row in rows], rows[0]["names"], rows[0]["linked"]


def _span_time(row: dict[str, Any]) -> SpanTime:
    share = row["self_ms"] / row["all_ms"] if row["all_ms"] else 0.0
    told = (row["spans"], row["failed"], row["total_ms"], row["self_ms"], share, row["p50_ms"], row["p99_ms"])
    return SpanTime(row["service"], row["name"], *told)


def server_spans(
    lake: Lake, prefix: str, trace_ids: Sequence[str], window: Window, model: str | None
) -> dict[str, ServerSpan]:
    """Return, by trace id, the span of a request that began first; of at most TRACES_MAX traces of one run."""
    wanted = [bytes.fromhex(trace_id) for trace_id in trace_ids[:TRACES_MAX]]
    if not wanted:
        return {}
    rows = lake.query(
        "SELECT DISTINCT ON (trace_id) trace_id, name, service, duration_ns / 1e6 AS duration_ms, failed"
        f" FROM ({_spans(model)}) WHERE is_request AND trace_id IN (SELECT unnest($ids::BLOB[]))"
        " ORDER BY trace_id, start_at, span_id",
        {**_parameters(prefix, window, model), "ids": wanted},
        within=window.bounds,
    ).to_pylist()
    return {
        row["trace_id"].hex(): ServerSpan(row["name"], row["service"], row["duration_ms"], row["failed"])
        for row in rows
    }


def _spans(model: str | None) -> str:
    """Each span of the run once, without its text."""
    return (
        "SELECT DISTINCT ON (trace_id, span_id) trace_id, span_id, parent_span_id, service, name, is_request, failed,"
        " start_at, duration_ns FROM lake.spans"
        " WHERE start_at >= $start AND start_at < $end AND trace_id >= $low AND trace_id <= $high"
        + (" AND model = $model" if model is not None else "")
    )


def _parameters(prefix: str, window: Window, model: str | None) -> dict[str, Any]:
    head = bytes.fromhex(prefix)
    found: dict[str, Any] = {"low": head + b"\x00" * 8, "high": head + b"\xff" * 8}
    found |= {"start": window.start, "end": window.end}
    return found if model is None else {**found, "model": model}
