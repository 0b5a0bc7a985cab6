"""One feature of a window's predictions and of a reference -> its numbers, or its levels counted side by side."""

# ruff: noqa: S608 - the SQL is put together from texts and places of this file; every value is a parameter

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seamark.core.distributions import Level, OtherLevels
from seamark.core.records import FeatureSchema
from seamark.core.windows import Window
from seamark.store.lake import Lake, Within
from seamark.store.span_conditions import pointer

ROWS_MAX = 1_000_000  # numbers of a window that are read; of more, a fixed part
LEVELS_SHOWN = 20
LEVEL_LENGTH = 200  # characters; a longer text is cut
_HASHES = 2**64
_NO_ROWS = "SELECT NULL::VARCHAR AS value WHERE false"
_ANSWERS, _SCORES = ("prediction", "(prediction)"), "scores."


@dataclass(frozen=True)
class Numbers:
    """The finite values of a side, over all its rows. `sampled`: of a part of the rows."""

    values: npt.NDArray[np.float64]
    rows: int
    sampled: bool = False


@dataclass(frozen=True)
class Levels:
    """The levels with the largest share on either side, what the rest adds up to, and rows with and without a value."""

    shown: tuple[Level, ...]
    other: OtherLevels | None
    rows: int
    present: int
    reference_rows: int
    reference_present: int


@dataclass(frozen=True)
class Traffic:
    """The real predictions of some stretches of time, of one version or of all (None), each prediction once."""

    model: str
    version: str | None
    windows: Sequence[Window]
    schemas: Mapping[int, FeatureSchema]


@dataclass(frozen=True)
class Stored:
    """The rows of a reference that was put."""

    reference_id: str
    schema: FeatureSchema


def numbers(lake: Lake, source: Traffic | Stored, feature: str) -> Numbers:
    """Return a numeric feature's values."""
    rows_sql, parameters = _rows(source, "numeric", feature, "now")
    within = _within(source)
    sampled = False
    if isinstance(source, Traffic):
        counted = lake.query(f"SELECT count(*) AS n FROM ({rows_sql})", parameters, within=within)
        rows = int(counted["n"][0].as_py())
        sampled = rows > ROWS_MAX
        if sampled:
            rows_sql = rows_sql.replace("WHERE", "WHERE hash(prediction_id) < $part AND", 1)
            parameters = {**parameters, "part": int(_HASHES * ROWS_MAX / rows)}
    column = lake.query(f"SELECT value FROM ({rows_sql})", parameters, within=within)["value"]
    values = column.to_numpy().astype(np.float64, copy=False)
    return Numbers(values[np.isfinite(values)], len(values), sampled)


def levels(lake: Lake, current: Traffic, held: Traffic | Stored | None, feature: str) -> Levels:
    """Return a categorical feature's levels in a window and in what it is held against (None: in nothing)."""
    window_sql, parameters = _rows(current, "categorical", feature, "now")
    held_sql, more = _rows(held, "categorical", feature, "held") if held else (_NO_ROWS, {})
    # One pass: the counts of both sides, joined by level, the largest shares first; the rest is added up, not sent.
    found = lake.query(
        f"""
        WITH now AS (SELECT value, count(*) AS n FROM ({window_sql}) GROUP BY value),
        held AS (SELECT value, count(*) AS n FROM ({held_sql}) GROUP BY value),
        both_sides AS (
            SELECT coalesce(now.value, held.value) AS value, coalesce(now.n, 0) AS n, coalesce(held.n, 0) AS m
            FROM now FULL JOIN held ON now.value IS NOT DISTINCT FROM held.value
        ), sums AS (
            SELECT greatest(sum(n) FILTER (value IS NOT NULL), 1) AS total_n,
                   greatest(sum(m) FILTER (value IS NOT NULL), 1) AS total_m FROM both_sides
        ), ranked AS (
            SELECT value, n, m, row_number() OVER (
                ORDER BY value IS NULL, greatest(n / total_n, m / total_m) DESC, value
            ) AS place FROM both_sides, sums
        )
        SELECT left(value, $length) AS value, value IS NULL AS missing, n, m, 1 AS levels,
               (n > 0 AND m = 0)::INT AS fresh, place <= $shown AS listed, place
        FROM ranked WHERE place <= $shown OR value IS NULL
        UNION ALL
        SELECT NULL, false, coalesce(sum(n), 0), coalesce(sum(m), 0), count(*),
               count(*) FILTER (n > 0 AND m = 0), false, coalesce(sum(n) FILTER (m = 0), 0)
        FROM ranked WHERE place > $shown AND value IS NOT NULL
        """,
        {**parameters, **more, "shown": LEVELS_SHOWN, "length": LEVEL_LENGTH},
        within=_within(current, held),
    ).to_pylist()
    return _side_by_side(found)


def _side_by_side(found: list[dict[str, Any]]) -> Levels:
    missing = [row for row in found if row["missing"]]
    listed = sorted((row for row in found if row["listed"] and not row["missing"]), key=lambda row: row["place"])
    (rest,) = (row for row in found if not row["listed"] and not row["missing"])
    present, held = (sum(int(row[name]) for row in (*listed, rest)) for name in ("n", "m"))
    other = OtherLevels(
        levels=int(rest["levels"]),
        new_levels=int(rest["fresh"]) if held else 0,
        rows=int(rest["n"]),
        new_rows=int(rest["place"]) if held else 0,
        reference_rows=int(rest["m"]),
    )
    return Levels(
        shown=tuple(
            Level(row["value"], int(row["n"]), int(row["m"]), new=bool(held and row["n"] and not row["m"]))
            for row in listed
        ),
        other=other if other.levels else None,
        rows=present + sum(int(row["n"]) for row in missing),
        present=present,
        reference_rows=held + sum(int(row["m"]) for row in missing),
        reference_present=held,
    )


Value = tuple[str, dict[str, Any]]  # SQL of a value, and its parameters


def _rows(source: Traffic | Stored, kind: str, feature: str, side: str) -> Value:
    """SQL of a column `value`, a row for each row of the source; the parameters bear the side's name."""
    if isinstance(source, Stored):
        sql, parameters = _value({source.schema.schema_id: source.schema}, kind, feature, side)
        rows = f"SELECT {sql} AS value FROM lake.reference_rows WHERE reference_id = ${side}_reference"
        return rows, {f"{side}_reference": source.reference_id, **parameters}
    sql, parameters = _value(source.schemas, kind, feature, side)
    parameters |= {f"{side}_model": source.model}
    spans = []
    for place, window in enumerate(source.windows):
        parameters |= {f"{side}_start_{place}": window.start, f"{side}_end_{place}": window.end}
        spans.append(f'("at" >= ${side}_start_{place} AND "at" < ${side}_end_{place})')
    where = f"model = ${side}_model AND ({' OR '.join(spans)}) AND NOT synthetic"
    if source.version is not None:
        where += f" AND version = ${side}_version"
        parameters |= {f"{side}_version": source.version}
    once = f"SELECT DISTINCT ON (prediction_id) prediction_id, {sql} AS value FROM lake.predictions WHERE {where}"
    return once, parameters


def _within(*sources: Traffic | Stored | None) -> Within | None:
    windows = [window for source in sources if isinstance(source, Traffic) for window in source.windows]
    if not windows:
        return None
    return min(window.start for window in windows), max(window.end for window in windows)


def is_answer(feature: str) -> bool:
    """Whether a name is that of what the model answered, which is judged beside its features."""
    return feature in _ANSWERS or feature.strip("()").startswith(_SCORES)


def _value(schemas: Mapping[int, FeatureSchema], kind: str, feature: str, side: str) -> Value:
    named = any(feature in schema.numeric or feature in schema.categorical for schema in schemas.values())
    return _answer(kind, feature, side) if is_answer(feature) and not named else (_place(schemas, kind, feature), {})


def _answer(kind: str, feature: str, side: str) -> Value:
    """The SQL of what was answered: the prediction as a number or in words, or the score of one class."""
    if feature not in _ANSWERS:
        name = feature[1:-1] if feature.startswith("(") else feature
        score = pointer(name.removeprefix(_SCORES))
        return f"TRY_CAST(json_extract_string(scores, ${side}_score) AS DOUBLE)", {f"{side}_score": score}
    if kind == "numeric":
        return "prediction_number", {}
    whole = "CAST(TRY_CAST(prediction_number AS HUGEINT) AS VARCHAR)"
    number = f"CASE WHEN prediction_number = trunc(prediction_number) THEN {whole} ELSE prediction_number::VARCHAR END"
    return f"coalesce(prediction_text, {number})", {}


def _place(schemas: Mapping[int, FeatureSchema], kind: str, feature: str) -> str:
    """The SQL of a feature's value: where it stands depends on the row's schema, and a schema may lack it."""
    places: dict[int, list[int]] = {}
    for schema_id, schema in schemas.items():
        names = getattr(schema, kind)
        if feature in names:
            places.setdefault(names.index(feature) + 1, []).append(schema_id)
    type_ = "DOUBLE" if kind == "numeric" else "VARCHAR"
    if not places:
        return f"NULL::{type_}"
    cases = " ".join(
        f"WHEN schema_id IN ({', '.join(map(str, ids))}) THEN {kind}[{place}]" for place, ids in places.items()
    )
    return f"CASE {cases} END"
