"""The rows a model is held against, into the lake and out of it as feature columns."""

# ruff: noqa: S608 - the SQL is put together from texts of this file; every value is a parameter

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from seamark.core.errors import Invalid, Problem
from seamark.core.records import OUTCOMES, FeatureSchema
from seamark.store.feature_profiles import PROFILED_ROWS_MAX, FeatureProfiles, profile_rows
from seamark.store.features import FeatureColumns, categorical_list, feature_lists, named_columns
from seamark.store.lake import Lake
from seamark.store.outcomes import Answers
from seamark.store.vectors import rows_that_fit

FloatArray = npt.NDArray[np.float64]
TextArray = npt.NDArray[np.object_]


@dataclass(frozen=True)
class ReferenceRows:
    """Rows of a reference, all arrays and feature columns aligned: numbers with NaN, text with None.

    `scores` are JSON objects of classes and probabilities. What a reference does not tell is NaN or None throughout.
    """

    features: FeatureColumns
    prediction_number: FloatArray
    prediction_text: TextArray
    label_number: FloatArray
    label_text: TextArray
    scores: TextArray


def put(lake: Lake, reference_id: str, schema: FeatureSchema, rows: pa.Table, outcomes: pa.Table | None = None) -> None:
    """Store `rows`, a table with a column for each name of `schema` (numbers, text and booleans, lists).

    `outcomes` has as many rows and some of the columns OUTCOMES: what was answered and what was true. Durable on
    return. Invalid where a column is missing or is no such thing; StoreUnavailable as Lake.append.
    """
    named = [*schema.numeric, *schema.categorical, *(name for name, _ in schema.vectors)]
    problems = [Problem(name, "has no column") for name in named if name not in rows.column_names]
    if problems:
        raise Invalid("reference rows lack features: " + "; ".join(map(str, problems)), problems)
    try:
        numeric, categorical = feature_lists(rows, schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise Invalid(f"reference rows do not fit their features: {error}") from error
    count = rows.num_rows
    columns = {
        "reference_id": pa.repeat(reference_id, count),
        "schema_id": pa.repeat(pa.scalar(schema.schema_id, pa.int64()), count),
        "numeric": numeric,
        "categorical": categorical,
    }
    told = {} if outcomes is None else dict(zip(outcomes.column_names, outcomes.columns, strict=True))
    lake.append({"reference_rows": pa.table(columns | told)})


def columns(
    lake: Lake, schema: FeatureSchema, reference_id: str, rows_max: int = 200_000, characters_max: int | None = None
) -> FeatureColumns:
    """Return a reference's feature columns (0 rows where there is none of that id), over `rows_max` a fixed sample.

    Texts are cut after `characters_max`.
    """
    names = ("numeric", categorical_list(characters_max))
    found, sampled = _found(lake, reference_id, names, rows_that_fit([schema], rows_max))
    return named_columns(found, {schema.schema_id: schema}, sampled=sampled)


def rows(lake: Lake, schema: FeatureSchema, reference_id: str, rows_max: int = 200_000) -> ReferenceRows:
    """Return a reference's features with what was answered and what was true; over `rows_max` a fixed sample."""
    rows_max = rows_that_fit([schema], rows_max)
    found, sampled = _found(lake, reference_id, ("numeric", "categorical", *OUTCOMES), rows_max)
    features = named_columns(found, {schema.schema_id: schema}, sampled=sampled)
    numbers, texts = _numbers(found), _texts(found)
    return ReferenceRows(
        features,
        prediction_number=numbers["prediction_number"],
        prediction_text=texts["prediction_text"],
        label_number=numbers["label_number"],
        label_text=texts["label_text"],
        scores=texts["scores"],
    )


def profiles(
    lake: Lake, schema: FeatureSchema, reference_id: str, rows_max: int = PROFILED_ROWS_MAX
) -> FeatureProfiles:
    """Return the profiles of a reference's features; over `rows_max` rows of about so many, always the same ones."""
    found = lake.query("SELECT count(*) AS n FROM lake.reference_rows WHERE reference_id = ?", [reference_id])
    total = int(found["n"][0].as_py())
    source, parameters = "FROM lake.reference_rows WHERE reference_id = $reference_id", {"reference_id": reference_id}
    if total > rows_max:
        numbered = f"SELECT *, row_number() OVER () AS place {source}"
        source = f"FROM ({numbered}) WHERE hash(place) < {2**64 * rows_max // total}"
    return profile_rows(lake, source, parameters, {schema.schema_id: schema}, sampled=total > rows_max)


def answers(lake: Lake, reference_id: str, rows_max: int = 200_000) -> Answers:
    """Return what the rows of a reference answered, nothing throughout where it does not tell."""
    found, _ = _found(lake, reference_id, ("prediction_number", "prediction_text", "scores"), rows_max)
    return Answers(*(found[name].to_numpy() for name in ("prediction_number", "prediction_text", "scores")))


def _found(lake: Lake, reference_id: str, wanted: tuple[str, ...], rows_max: int) -> tuple[pa.Table, bool]:
    """Return these columns with schema_id, and whether they are a sample: the same one for the same reference."""
    total = lake.query("SELECT count(*) AS n FROM lake.reference_rows WHERE reference_id = ?", [reference_id])
    sampled = int(total["n"][0].as_py()) > rows_max
    numbered = ", row_number() OVER () AS place" if sampled else ""
    order = "ORDER BY hash(place), place LIMIT ?" if sampled else ""
    found = lake.query(
        f"SELECT schema_id, {', '.join(wanted)} FROM (SELECT *{numbered} FROM lake.reference_rows"
        f" WHERE reference_id = ?) {order}",
        [reference_id, rows_max] if sampled else [reference_id],
    )
    return found, sampled


def _numbers(found: pa.Table) -> dict[str, FloatArray]:
    return {name: found[name].to_numpy() for name in ("prediction_number", "label_number")}


def _texts(found: pa.Table) -> dict[str, TextArray]:
    return {name: found[name].to_numpy() for name in ("prediction_text", "label_text", "scores")}
