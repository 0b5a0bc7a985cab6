"""Rows of features of the lake to how often each different row occurs, in a window and in its reference alike."""

# ruff: noqa: S608 - the SQL is put together from texts of this file; every value is a parameter

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from seamark.core.records import FeatureSchema
from seamark.core.windows import Window
from seamark.store.chosen import chosen
from seamark.store.lake import Lake
from seamark.store.segments import Segments

ROWS_MAX = 200_000  # of either side; a row of 30 features takes 8 bytes here
IntArray = npt.NDArray[np.int64]
HashArray = npt.NDArray[np.uint64]


def of_window(
    lake: Lake,
    schemas: Mapping[int, FeatureSchema],
    names: Sequence[str],
    model: str,
    version: str | None,
    windows: Sequence[Window],
    segments: Segments = (),
    rows_max: int = ROWS_MAX,
) -> HashArray:
    """Return a hash of the features `names` of each prediction.

    A prediction that was sent twice counts once. Over `rows_max` rows they are about so many, always the same ones.
    """
    asked = chosen(model, version, windows, segments).bounded(lake, rows_max)
    found = lake.query(f"SELECT DISTINCT schema_id {asked.where}", asked.parameters, within=asked.within)
    known = {schema_id: schemas[schema_id] for schema_id in found["schema_id"].to_pylist() if schema_id in schemas}
    parts = [np.empty(0, np.uint64)]
    for schema_id, schema in known.items():
        rows = lake.query(
            f"SELECT hash(prediction_id) AS id, {_hash(schema, names)} AS hashed {asked.where}"
            " AND schema_id = $schema_id",
            {**asked.parameters, "schema_id": schema_id},
            within=asked.within,
        )
        _, once = np.unique(rows["id"].to_numpy(), return_index=True)
        parts.append(rows["hashed"].to_numpy()[once])
    return np.concatenate(parts)


def of_reference(
    lake: Lake, schema: FeatureSchema, names: Sequence[str], reference_id: str, rows_max: int = ROWS_MAX
) -> HashArray:
    """Return the same of a reference's rows, the first `rows_max` of them."""
    found = lake.query(
        f"SELECT {_hash(schema, names)} AS hashed FROM lake.reference_rows WHERE reference_id = $reference_id"
        " LIMIT $rows_max",
        {"reference_id": reference_id, "rows_max": rows_max},
    )
    hashed: HashArray = found["hashed"].to_numpy()
    return hashed


def aligned(before: HashArray, after: HashArray) -> tuple[IntArray, IntArray]:
    """Return how often each different row of either side occurs on both."""
    different, places = np.unique(np.concatenate([before, after]), return_inverse=True)
    size, first = len(different), len(before)
    return (
        np.bincount(places[:first], minlength=size).astype(np.int64),
        np.bincount(places[first:], minlength=size).astype(np.int64),
    )


def _hash(schema: FeatureSchema, names: Sequence[str]) -> str:
    """Return SQL for the hash of these features: the same whatever else a row has, and in which order."""
    return f"hash({', '.join(_place(schema, name) for name in names)})"


def _place(schema: FeatureSchema, name: str) -> str:
    for kind, listed in (("numeric", schema.numeric), ("categorical", schema.categorical)):
        if name in listed:
            return f"{kind}[{listed.index(name) + 1}]"
    return "NULL"
