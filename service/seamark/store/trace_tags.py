"""Spans of the lake to the names and values a query may use: which attributes there are, and what they hold.

Read from the newest rows of a window, so that the answer costs the same however much is stored.
"""

# ruff: noqa: S608 - the SQL is put together from texts of this file; every value is a parameter

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from seamark.core.records import SpanKind, SpanStatus
from seamark.core.windows import Window
from seamark.store.lake import Lake
from seamark.store.span_conditions import SERVICE_NAME, compiled, pointer
from seamark.store.traces import ROUND_TRIP_S
from seamark.wire.spans import STATUS_MESSAGE
from seamark.wire.traceql import DURATIONS, EVERYTHING, Condition, Field, Intrinsic, Scope

NAMES_MAX = 1_000
VALUES_MAX = 1_000
VALUE_LENGTH_MAX = 1_024  # longer values are left out: nobody picks them from a list
WINDOW_MAX_S = 24 * 3600.0
JSON_ROWS_MAX = 50_000  # rows whose attributes are read
COLUMN_ROWS_MAX = 2_000_000  # rows whose names and services are read

_COLUMNS = {
    Intrinsic.NAME: "name",
    Intrinsic.ROOT_NAME: "name",
    Intrinsic.ROOT_SERVICE_NAME: "service",
}
_TYPES = {"VARCHAR": "string", "BIGINT": "int", "UBIGINT": "int", "DOUBLE": "float", "BOOLEAN": "bool"}
_CUTS_MAX = 8


def tag_names(lake: Lake, window: Window, *, model: str | None = None) -> dict[Scope, list[str]]:
    """Return the names of attributes that spans and resources of the window have, by name; at most NAMES_MAX each."""
    newest = _newest(lake, window, model, JSON_ROWS_MAX)
    found = {}
    for scope, column in ((Scope.RESOURCE, "resource"), (Scope.SPAN, "attributes")):
        rows = lake.query(
            f"SELECT DISTINCT unnest(json_keys({column})) AS name FROM (SELECT DISTINCT {column} FROM"
            f" (SELECT {column} FROM lake.spans WHERE {_inside(model)} LIMIT $rows_max))"
            " ORDER BY name LIMIT $names_max",
            {**_parameters(newest, model), "rows_max": JSON_ROWS_MAX, "names_max": NAMES_MAX},
            within=newest.bounds,
        )
        found[scope] = rows["name"].to_pylist()
    return found


def tag_values(
    lake: Lake, field: Field, window: Window, *, model: str | None = None, condition: Condition = EVERYTHING
) -> list[tuple[str, str]]:
    """Return (type, value) of what spans that match `condition` have under `field`, the commonest first.

    Types are string, int, float, bool and keyword (statuses and kinds). At most VALUES_MAX; durations have none.
    """
    if field.scope is Scope.INTRINSIC:
        intrinsic = Intrinsic(field.name)
        if intrinsic in DURATIONS:
            return []
        if intrinsic is Intrinsic.STATUS:
            return [("keyword", status.name.lower()) for status in SpanStatus]
        if intrinsic is Intrinsic.KIND:
            return [("keyword", kind.name.lower()) for kind in SpanKind]
        if intrinsic in _COLUMNS:
            root = " AND parent_span_id IS NULL" if intrinsic is not Intrinsic.NAME else ""
            return _of_column(lake, _COLUMNS[intrinsic], root, window, model, condition)
        field = Field(Scope.SPAN, STATUS_MESSAGE)
    if field.name == SERVICE_NAME and field.scope is not Scope.SPAN:
        return _of_column(lake, "service", "", window, model, condition)
    return _of_attribute(lake, field, window, model, condition)


def _of_column(
    lake: Lake, column: str, root: str, window: Window, model: str | None, condition: Condition
) -> list[tuple[str, str]]:
    rows_max = COLUMN_ROWS_MAX if condition == EVERYTHING else JSON_ROWS_MAX
    told = f"'VARCHAR' AS kind, {column} AS text"
    return _values(lake, told, root, _newest(lake, window, model, rows_max), model, condition, rows_max)


def _of_attribute(
    lake: Lake, field: Field, window: Window, model: str | None, condition: Condition
) -> list[tuple[str, str]]:
    columns = {Scope.SPAN: ["attributes"], Scope.RESOURCE: ["resource"]}.get(field.scope, ["attributes", "resource"])
    documents = ", ".join(f"json_extract({column}, $place)" for column in columns)
    told = f"json_type(coalesce({documents})) AS kind, json_extract_string(coalesce({documents}), '$') AS text"
    newest = _newest(lake, window, model, JSON_ROWS_MAX)
    return _values(lake, told, "", newest, model, condition, JSON_ROWS_MAX, {"place": pointer(field.name)})


def _values(
    lake: Lake,
    told: str,
    root: str,
    newest: Window,
    model: str | None,
    condition: Condition,
    rows_max: int,
    parameters: dict[str, Any] | None = None,
) -> list[tuple[str, str]]:
    asked = compiled(condition, one_model=model is not None)
    bound = {**_parameters(newest, model), **asked.parameters, **(parameters or {})}
    reach = timedelta(seconds=ROUND_TRIP_S if asked.whole_traces else 0.0)
    if asked.whole_traces:
        bound |= {"wide_start": newest.start - reach, "wide_end": newest.end + reach}
    tables = f"WITH {', '.join(asked.tables)} " if asked.tables else ""
    rows = lake.query(
        f"{tables}SELECT kind, text, count(*) AS n FROM (SELECT {told} FROM lake.spans"
        f" WHERE {_inside(model)}{root} AND {asked.text} LIMIT $rows_max)"
        f" WHERE kind IN ({', '.join(repr(kind) for kind in _TYPES)}) AND strlen(text) BETWEEN 1 AND $length_max"
        " GROUP BY ALL ORDER BY n DESC, text LIMIT $values_max",
        {**bound, "rows_max": rows_max, "length_max": VALUE_LENGTH_MAX, "values_max": VALUES_MAX},
        within=(newest.start - reach, newest.end + reach),
    )
    return [(_TYPES[row["kind"]], row["text"]) for row in rows.to_pylist()]


def _newest(lake: Lake, window: Window, model: str | None, rows_max: int) -> Window:
    """Return the end of the window that holds about `rows_max` rows; counting instants is cheaper than sorting them."""
    window = replace(window, start=max(window.start, window.end - timedelta(seconds=WINDOW_MAX_S)))
    for _ in range(_CUTS_MAX):
        sql = f"SELECT count(*) AS n FROM lake.spans WHERE {_inside(model)}"
        counted = lake.query(sql, _parameters(window, model), within=window.bounds)
        rows = counted["n"][0].as_py()
        if rows <= rows_max:
            break
        window = replace(window, start=window.end - timedelta(seconds=window.span_s * 0.9 * rows_max / rows))
    return window


def _inside(model: str | None) -> str:
    return "start_at >= $start AND start_at < $end" + (" AND model = $model" if model is not None else "")


def _parameters(window: Window, model: str | None) -> dict[str, Any]:
    return {"start": window.start, "end": window.end, **({"model": model} if model is not None else {})}
