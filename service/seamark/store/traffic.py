"""Spans of the lake to what advice goes by: service times, instances, lateness, minutes, first requests."""

# ruff: noqa: S608 - the SQL is put together from texts of this file; every value is a parameter

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from seamark.core.traffic import BLOCK_S, InstanceBirth, Lags, Minute, RecentRequests
from seamark.core.windows import Window
from seamark.store.lake import Lake
from seamark.store.spans import once

CAME_S = 300.0  # spans that arrived so lately tell how long requests take and how late their spans come
BEGAN_S = 900.0  # and began no longer ago than this
BIRTHS_MAX = 500

_AMONG = "model IN (SELECT unnest($models))"
_CAME = (
    f"FROM lake.spans WHERE {_AMONG} AND is_request AND NOT synthetic AND start_at >= $start AND start_at < $end"
    " AND received_at >= $came AND received_at <= $end"
)
_MODEL = "FROM lake.spans WHERE model = $model AND is_request AND start_at >= $start AND start_at < $end"


def recent(lake: Lake, models: Collection[str], at: datetime) -> dict[str, RecentRequests]:
    """Return of each of the models the durations of its requests whose spans came in the last CAME_S.

    Chosen by when the span came, not by when the request began: of those that began just now only the short ones
    are known. A model of which none came is not there.
    """
    window = Window.trailing(at, BEGAN_S)
    distinct = once(lake, window, "model, trace_id, span_id, start_at")
    rows = lake.query(
        "SELECT model, count(*) AS n, avg(duration_ns) / 1e9 AS mean_s, stddev_pop(duration_ns) / 1e9 AS spread_s,"
        f" mode(version) AS version FROM (SELECT{distinct} model, duration_ns, version {_CAME}) GROUP BY model",
        _came(models, window),
        within=window.bounds,
    ).to_pylist()
    return {
        row["model"]: RecentRequests(
            row["n"], row["mean_s"], row["spread_s"] / row["mean_s"] if row["mean_s"] else None, row["version"]
        )
        for row in rows
    }


def lags(lake: Lake, models: Collection[str], at: datetime) -> dict[str, Lags]:
    """Return of each of the models how late its spans came that arrived in the last CAME_S.

    Who claims to be ahead of us is not late. A model of which none came is not there.
    """
    window = Window.trailing(at, BEGAN_S)
    found = lake.query(
        f"SELECT model, epoch_us(received_at) // ({BLOCK_S} * 1000000) AS block,"
        " greatest(epoch_us(received_at) - epoch_us(start_at), 0) // 1000000 AS lag_s, count(*) AS n"
        f" {_CAME} GROUP BY ALL ORDER BY model",
        _came(models, window),
        within=window.bounds,
    )
    names = found["model"].combine_chunks().dictionary_encode()
    # Both ends of each model's rows: they stand together, and the dictionary is in the order of first sight.
    ends = np.searchsorted(names.indices.to_numpy(), np.arange(len(names.dictionary) + 1))
    blocks, late, counts = (found[name].to_numpy().astype(np.int64) for name in ("block", "lag_s", "n"))
    return {
        model: Lags(blocks[start:end], late[start:end], counts[start:end])
        for model, start, end in zip(names.dictionary.to_pylist(), ends[:-1].tolist(), ends[1:].tolist(), strict=True)
    }


def minutes(lake: Lake, model: str, window: Window, slow_ms: float | None) -> tuple[list[Minute], int | None]:
    """Return (real requests by the minute from the window's start, oldest first; instances of the whole window).

    `slow` are requests that were answered, and took `slow_ms` or more: how fast a failure is says nothing of the load.
    A minute without requests is not there. None: no span names its instance.
    """
    found = lake.query(
        "SELECT (epoch_us(start_at) - epoch_us($start::TIMESTAMPTZ)) // 60000000 AS minute, count(*) AS n,"
        " count(*) FILTER (failed) AS failed,"
        " count(*) FILTER (NOT failed AND duration_ns / 1e6 >= $slow_ms::DOUBLE) AS slow,"
        " mode(version) AS version"
        f" FROM (SELECT{once(lake, window)} start_at, failed, duration_ns, version {_MODEL} AND NOT synthetic)"
        " GROUP BY minute ORDER BY minute",
        {**_range(model, window), "slow_ms": slow_ms},
        within=window.bounds,
    ).to_pylist()
    if not found:
        return [], None
    told = lake.query(
        f"SELECT count(DISTINCT instance) AS n, count(*) - count(instance) AS nameless {_MODEL}",
        _range(model, window),
        within=window.bounds,
    ).to_pylist()[0]
    counted = [
        Minute(window.start + timedelta(minutes=row["minute"]), row["n"], row["failed"], row["slow"], row["version"])
        for row in found
    ]
    return counted, None if told["nameless"] else told["n"] or None


def births(lake: Lake, model: str, window: Window) -> list[InstanceBirth] | None:
    """Return the instances that began a request in the window, in order; None where there are over BIRTHS_MAX."""
    rows = lake.query(
        "SELECT instance, arg_min(version, start_at) AS version, min(start_at) AS first_at, max(start_at) AS last_at,"
        f" arg_min(resource, start_at) AS resource {_MODEL} AND instance IS NOT NULL"
        f" GROUP BY instance ORDER BY first_at, instance LIMIT {BIRTHS_MAX + 1}",
        _range(model, window),
        within=window.bounds,
    ).to_pylist()
    if len(rows) > BIRTHS_MAX:
        return None
    return [
        InstanceBirth(
            row["instance"],
            row["version"],
            row["first_at"].astimezone(UTC),
            row["last_at"].astimezone(UTC),
            row["resource"],
        )
        for row in rows
    ]


def tested_version(lake: Lake, model: str, window: Window) -> str | None:
    """Return the version that answered most of the synthetic requests of a window; None where none is there."""
    found = lake.query(
        f"SELECT mode(version) AS version {_MODEL} AND synthetic", _range(model, window), within=window.bounds
    )
    return found["version"][0].as_py() or None


def counts(
    lake: Lake, window: Window, step_s: float, models: Collection[str] | None = None
) -> list[tuple[str, int, int]]:
    """Return (model, step, real requests) of every model, or each of `models`, and step of the window that had any."""
    step_us = round(step_s * 1e6)
    distinct = once(lake, window, "model, trace_id, span_id, start_at")
    among, named = ("", {}) if models is None else (f"{_AMONG} AND ", {"models": list(models)})
    rows = lake.query(
        "SELECT model, (epoch_us(start_at) - epoch_us($start::TIMESTAMPTZ)) // $step_us AS step, count(*) AS n FROM"
        f" (SELECT{distinct} model, start_at FROM lake.spans WHERE {among}is_request AND NOT synthetic"
        " AND start_at >= $start AND start_at < $end) GROUP BY ALL",
        {"start": window.start, "end": window.end, "step_us": step_us, **named},
        within=window.bounds,
    ).to_pylist()
    return [(row["model"], row["step"], row["n"]) for row in rows]


def instances(lake: Lake, models: Collection[str], window: Window) -> dict[str, int]:
    """Return of each of the models how many instances answered real requests; one that names none is not there."""
    rows = lake.query(
        f"SELECT model, count(DISTINCT instance) AS n FROM lake.spans WHERE {_AMONG} AND is_request"
        " AND NOT synthetic AND start_at >= $start AND start_at < $end AND instance IS NOT NULL GROUP BY model",
        {"models": list(models), "start": window.start, "end": window.end},
        within=window.bounds,
    ).to_pylist()
    return {row["model"]: row["n"] for row in rows}


def metric_steps(lake: Lake, window: Window, step_s: float) -> list[tuple[str, int]]:
    """Return (model, step) of every model and step in which the model sent metrics: it ran, and was heard."""
    rows = lake.query(
        'SELECT DISTINCT model, (epoch_us("at") - epoch_us($start::TIMESTAMPTZ)) // $step_us AS step'
        ' FROM lake.metric_points WHERE "at" >= $start AND "at" < $end',
        {"start": window.start, "end": window.end, "step_us": round(step_s * 1e6)},
        within=window.bounds,
    ).to_pylist()
    return [(row["model"], row["step"]) for row in rows]


def _came(models: Collection[str], window: Window) -> dict[str, Any]:
    return {
        "models": list(models),
        "start": window.start,
        "end": window.end,
        "came": window.end - timedelta(seconds=CAME_S),
    }


def _range(model: str, window: Window) -> dict[str, str | datetime]:
    return {"model": model, "start": window.start, "end": window.end}
