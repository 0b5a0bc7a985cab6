"""Predictions of the lake to feature columns for drift and to inputs for load tests. Load-test traffic is left out.

A prediction that was sent twice counts once: every read is over distinct prediction_id.
"""

# ruff: noqa: S608 - the SQL is put together from texts of this file; every value is a parameter

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from seamark.core.records import FeatureSchema
from seamark.core.windows import Window
from seamark.store.chosen import chosen
from seamark.store.feature_profiles import PROFILED_ROWS_MAX, FeatureProfiles, profile_models, profile_rows
from seamark.store.features import FeatureColumns, categorical_list, named_columns
from seamark.store.lake import Lake, Within
from seamark.store.segments import Segments
from seamark.store.vectors import REPLAY_NUMBERS_MAX, as_python, rows_that_fit

_CELLS_SMALL = 1_000_000  # numbers in a window that is read together with others, at most
_CELLS_TOGETHER = 8_000_000  # 64 MB
_REAL = 'FROM lake.predictions WHERE model = $model AND "at" >= $start AND "at" < $end AND NOT synthetic'


def feature_columns(
    lake: Lake,
    schemas: Mapping[int, FeatureSchema],
    model: str,
    version: str | None,
    window: Window | Sequence[Window],
    rows_max: int = 200_000,
    segments: Segments = (),
    characters_max: int | None = None,
) -> FeatureColumns:
    """Return the features of the predictions of a window, or of several, named over all `schemas`.

    They are of one version or of all (None), and of all `segments`. Over `rows_max` predictions, or fewer where there
    are long vectors, become a sample of so many, always the same one for the same rows. Texts are cut after
    `characters_max`, so that a megabyte in each row is no matter.
    """
    rows_max = rows_that_fit(schemas.values(), rows_max)
    asked = chosen(model, version, [window] if isinstance(window, Window) else window, segments)
    where, parameters, within = asked.where, asked.parameters, asked.within
    total = _count(lake, "count(DISTINCT prediction_id)", where, parameters, within)
    once = f"SELECT DISTINCT ON (prediction_id) prediction_id, schema_id, numeric, categorical {where}"
    if total <= rows_max:
        sql = f"SELECT schema_id, numeric, {categorical_list(characters_max)} FROM ({once})"
        return named_columns(lake.query(sql, parameters, within=within), schemas)
    rows = lake.query(
        f"SELECT schema_id, numeric, {categorical_list(characters_max)}"
        f" FROM ({once} AND prediction_id IN (SELECT prediction_id FROM"
        f" (SELECT DISTINCT prediction_id {where}) ORDER BY hash(prediction_id), prediction_id LIMIT $rows_max))",
        {**parameters, "rows_max": rows_max},
        within=within,
    )
    return named_columns(rows, schemas, sampled=True)


def feature_profiles(
    lake: Lake,
    schemas: Mapping[int, FeatureSchema],
    model: str,
    version: str | None,
    window: Window | Sequence[Window],
    rows_max: int = PROFILED_ROWS_MAX,
    segments: Segments = (),
) -> FeatureProfiles:
    """Return the profiles of the features of the predictions of a window, or of several.

    They are of one version or of all (None), and of all `segments`. Every prediction counts once. Over `rows_max` they
    are about so many, always the same ones of the same rows.
    """
    asked = chosen(model, version, [window] if isinstance(window, Window) else window, segments)
    where, parameters, within = asked.where, asked.parameters, asked.within
    found = lake.query(f"SELECT schema_id, count(*) AS n {where} GROUP BY ALL", parameters, within=within)
    counts = dict(zip(found["schema_id"].to_pylist(), found["n"].to_pylist(), strict=True))
    total = sum(counts.values())
    if total > rows_max:
        # A repeat has its original's hash: both are in the sample or neither.
        where += " AND hash(prediction_id) < $hashes_end"
        parameters["hashes_end"] = 2**64 * rows_max // total
    if total and _repeats(lake, where, parameters, within):
        columns = "prediction_id, schema_id, numeric, categorical"
        where = (
            f"FROM (WITH sent AS (SELECT {columns} {where}), repeated AS MATERIALIZED"
            " (SELECT prediction_id FROM sent GROUP BY ALL HAVING count(*) > 1)"
            f" SELECT {columns} FROM sent WHERE prediction_id NOT IN (FROM repeated)"
            f" UNION ALL SELECT DISTINCT ON (prediction_id) {columns} FROM sent"
            " WHERE prediction_id IN (FROM repeated)) WHERE true"
        )
    present = {schema_id: schemas[schema_id] for schema_id in sorted(counts) if schema_id in schemas}
    return profile_rows(lake, where, parameters, present, within=within, sampled=total > rows_max)


def groups_to_read_together(
    lake: Lake, schemas: Mapping[str, Mapping[int, FeatureSchema]], window: Window
) -> list[list[str]]:
    """Return the models whose windows are small, in groups that fit into memory; others are left out.

    Two models are a group at least.
    """
    found = lake.query(
        "SELECT model, schema_id, count(*) AS n FROM lake.predictions WHERE model IN (SELECT unnest($models))"
        ' AND "at" >= $start AND "at" < $end AND NOT synthetic GROUP BY ALL',
        {"models": list(schemas), "start": window.start, "end": window.end},
        within=window.bounds,
    )
    cells: dict[str, int] = {}
    for row in found.to_pylist():
        schema = schemas[row["model"]].get(row["schema_id"])
        cells[row["model"]] = cells.get(row["model"], 0) + row["n"] * (schema.numbers + 1 if schema else 1)
    groups: list[list[str]] = []
    held = _CELLS_TOGETHER
    for model in sorted(name for name, size in cells.items() if size <= _CELLS_SMALL):
        held += cells[model]
        if held > _CELLS_TOGETHER:
            groups.append([])
            held = cells[model]
        groups[-1].append(model)
    return [group for group in groups if len(group) > 1]


def feature_profiles_together(
    lake: Lake, schemas: Mapping[str, Mapping[int, FeatureSchema]], window: Window
) -> dict[str, FeatureProfiles]:
    """Return feature_profiles() of each model that `schemas` names; one with repeats in its window may be left out."""
    where = 'FROM lake.predictions WHERE model IN (SELECT unnest($models)) AND "at" >= $start AND "at" < $end'
    where += " AND NOT synthetic"
    parameters = {"models": list(schemas), "start": window.start, "end": window.end}
    found = lake.query(f"SELECT model, hash(model, prediction_id) AS hashed {where}", parameters, within=window.bounds)
    hashes = found["hashed"].to_numpy()
    order = np.argsort(hashes)
    again = order[1:][hashes[order[1:]] == hashes[order[:-1]]]
    repeating = set(found["model"].take(pa.array(again)).to_pylist())
    once = {model: known for model, known in schemas.items() if model not in repeating}
    return profile_models(lake, where, {**parameters, "models": list(once)}, once, within=window.bounds)


@dataclass(frozen=True)
class Logged:
    """A prediction as it can be asked for again: its inputs by feature, what was answered (None: not told), and when.

    Numbers are floats, vectors lists of floats, everything else is text; a value that is missing or no number is None.
    """

    inputs: dict[str, Any]
    prediction: float | str | None
    at: datetime


def logged_requests(
    lake: Lake, schemas: Mapping[int, FeatureSchema], model: str, window: Window, rows_max: int, *, newest: bool
) -> list[Logged]:
    """Return the window's newest `rows_max` predictions, or its first, oldest first. Long vectors make it fewer."""
    order = "DESC" if newest else "ASC"
    rows_max = rows_that_fit(schemas.values(), rows_max, REPLAY_NUMBERS_MAX)
    # Which ones are chosen is found without their features; only theirs are then read.
    found = lake.query(
        f'WITH chosen AS (SELECT prediction_id, min("at") AS first_at {_REAL} GROUP BY prediction_id'
        f" ORDER BY first_at {order}, prediction_id {order} LIMIT $rows_max)"
        " SELECT schema_id, numeric, categorical, prediction_number, prediction_text, first_at FROM"
        " (SELECT DISTINCT ON (prediction_id) prediction_id, schema_id, numeric, categorical, prediction_number,"
        f" prediction_text {_REAL} AND prediction_id IN (SELECT prediction_id FROM chosen))"
        " JOIN chosen USING (prediction_id) ORDER BY first_at DESC, prediction_id DESC",
        {**_range(model, window), "rows_max": rows_max},
        within=window.bounds,
    )
    ids = found["schema_id"].to_numpy()
    inputs: dict[int, dict[str, Any]] = {}
    for schema_id in np.unique(ids).tolist():
        schema = schemas.get(schema_id)
        if schema is None:
            continue
        places = np.flatnonzero(ids == schema_id)
        columns = named_columns(found.take(pa.array(places)), {schema_id: schema})
        names = [*schema.numeric, *schema.categorical, *columns.vectors]
        values: list[list[Any]] = [_finite(columns.numeric[name]) for name in schema.numeric]
        values += [columns.categorical[name].tolist() for name in schema.categorical]
        values += [as_python(matrix) for matrix in columns.vectors.values()]
        rows = zip(*values, strict=True) if values else (() for _ in places)
        inputs.update(zip(places.tolist(), (dict(zip(names, row, strict=True)) for row in rows), strict=True))
    numbers, texts, at = (found[name].to_pylist() for name in ("prediction_number", "prediction_text", "first_at"))
    return [
        Logged(inputs[place], texts[place] if numbers[place] is None else numbers[place], at[place])
        for place in sorted(inputs, reverse=True)
    ]


def arrivals(lake: Lake, model: str, window: Window, rows_max: int) -> npt.NDArray[np.float64]:
    """Return when the window's predictions came, in seconds from its start, ascending: at most the first `rows_max`."""
    found = lake.query(
        f'SELECT epoch_us(min("at")) - epoch_us($start) AS us {_REAL}'
        " GROUP BY prediction_id ORDER BY us LIMIT $rows_max",
        {**_range(model, window), "rows_max": rows_max},
        within=window.bounds,
    )
    return np.asarray(found["us"].to_numpy(), dtype=np.float64) / 1e6


def count(lake: Lake, model: str, window: Window) -> int:
    """Return how many predictions the window holds."""
    return _count(lake, "count(DISTINCT prediction_id)", _REAL, _range(model, window), window.bounds)


def _count(lake: Lake, what: str, where: str, parameters: Mapping[str, Any], within: Within) -> int:
    found = lake.query(f"SELECT {what} AS n {where}", parameters, within=within)
    return int(found["n"][0].as_py())


def _repeats(lake: Lake, where: str, parameters: Mapping[str, Any], within: Within) -> bool:
    """Whether a prediction_id may come twice: where no two hashes are alike, none does."""
    found = lake.query(f"SELECT hash(prediction_id) AS hashed {where}", parameters, within=within)
    hashes = np.sort(found["hashed"].to_numpy())
    return bool((hashes[1:] == hashes[:-1]).any())


def _finite(values: np.ndarray[Any, np.dtype[np.float64]]) -> list[float | None]:
    found = values.astype(object)
    found[~np.isfinite(values)] = None
    return list(found)


def _range(model: str, window: Window) -> dict[str, Any]:
    return {"model": model, "start": window.start, "end": window.end}
