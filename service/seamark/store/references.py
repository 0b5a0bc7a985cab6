"""The rows a model is held against, into the lake and out of it as feature columns."""

# ruff: noqa: S608 - the SQL is put together from texts of this file; every value is a parameter

from __future__ import annotations

import pyarrow as pa

from seamark.core.errors import Invalid, Problem
from seamark.core.records import REFERENCE_ROWS, FeatureSchema
from seamark.store.feature_profiles import PROFILED_ROWS_MAX, FeatureProfiles, profile_rows
from seamark.store.features import FeatureColumns, feature_lists, named_columns
from seamark.store.lake import Lake


def put(lake: Lake, reference_id: str, schema: FeatureSchema, rows: pa.Table) -> None:
    """Store `rows`, a table with a column for each name of `schema` (numbers, or text and booleans).

    Durable on return. Invalid where a column is missing or is no such thing; StoreUnavailable as Lake.append.
    """
    named = [*schema.numeric, *schema.categorical]
    problems = [Problem(name, "has no column") for name in named if name not in rows.column_names]
    if problems:
        raise Invalid("reference rows lack features: " + "; ".join(map(str, problems)), problems)
    try:
        numeric, categorical = feature_lists(rows, schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise Invalid(f"reference rows do not fit their features: {error}") from error
    count = rows.num_rows
    columns = [
        pa.repeat(reference_id, count),
        pa.repeat(pa.scalar(schema.schema_id, pa.int64()), count),
        numeric,
        categorical,
    ]
    lake.append({"reference_rows": pa.Table.from_arrays(columns, schema=REFERENCE_ROWS)})


def columns(lake: Lake, schema: FeatureSchema, reference_id: str, rows_max: int = 200_000) -> FeatureColumns:
    """Return a reference's feature columns (0 rows where there is none of that id), over `rows_max` a fixed sample."""
    total = lake.query("SELECT count(*) AS n FROM lake.reference_rows WHERE reference_id = ?", [reference_id])
    sampled = int(total["n"][0].as_py()) > rows_max
    numbered = ", row_number() OVER () AS place" if sampled else ""
    order = "ORDER BY hash(place), place LIMIT ?" if sampled else ""
    found = lake.query(
        f"SELECT schema_id, numeric, categorical FROM (SELECT *{numbered} FROM lake.reference_rows"
        f" WHERE reference_id = ?) {order}",
        [reference_id, rows_max] if sampled else [reference_id],
    )
    return named_columns(found, {schema.schema_id: schema}, sampled=sampled)


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
