"""Predictions of the lake to what they answered, and to the rows of a reference. Load-test traffic is left out."""

# ruff: noqa: S608 - the SQL is put together from texts of this file; every value is a parameter

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from seamark.core.records import OUTCOMES, FeatureSchema
from seamark.core.windows import Window
from seamark.store.chosen import chosen
from seamark.store.features import FeatureColumns, named_columns
from seamark.store.labels import TRUTH
from seamark.store.lake import Lake, Within
from seamark.store.segments import Segments
from seamark.store.vectors import rows_that_fit

ROWS_MAX = 200_000


@dataclass(frozen=True)
class Answers:
    """What was predicted, arrays aligned: numbers with NaN, text with None; `scores` are JSON objects or None."""

    number: npt.NDArray[np.float64]
    text: npt.NDArray[np.object_]
    scores: npt.NDArray[np.object_]

    @property
    def tell(self) -> bool:
        """Whether any row tells anything."""
        if np.isfinite(self.number).any():
            return True
        return any(value is not None for side in (self.text, self.scores) for value in side.tolist())


def answers(
    lake: Lake,
    model: str,
    version: str | None,
    window: Window | Sequence[Window],
    segments: Segments = (),
    rows_max: int = ROWS_MAX,
) -> Answers:
    """Return what the predictions of a window, or of several, answered.

    Of more than `rows_max` they are a sample of about so many, always the same one for the same rows.
    """
    asked = chosen(model, version, [window] if isinstance(window, Window) else window, segments).bounded(lake, rows_max)
    wanted = ("prediction_number", "prediction_text", "scores")
    found = lake.query(
        f"SELECT hash(prediction_id) AS hashed, {', '.join(wanted)} {asked.where}",
        asked.parameters,
        within=asked.within,
    )
    # A repeat has its original's hash; and in the order of hashes rows are always in the same order.
    _, once = np.unique(found["hashed"].to_numpy(), return_index=True)
    return Answers(*(found[name].take(pa.array(once)).to_numpy() for name in wanted))


def as_reference(
    lake: Lake,
    schemas: Mapping[int, FeatureSchema],
    model: str,
    version: str | None,
    window: Window,
    rows_max: int = ROWS_MAX,
) -> tuple[FeatureColumns, pa.Table]:
    """Return the window's predictions as rows of a reference: features, and OUTCOMES with the labels that have come.

    Both are aligned. Rows of schemas that are not known are left out.
    """
    rows_max = rows_that_fit(schemas.values(), rows_max)
    wanted = "schema_id, numeric, categorical, prediction_number, prediction_text, scores"
    sql, parameters, _ = _sampled(wanted, model, version, window, (), rows_max)
    found = lake.query(
        f"WITH chosen AS ({sql}), truth AS ({TRUTH.format(ids='SELECT prediction_id FROM chosen')}"
        ") SELECT chosen.*, label_number, label_text FROM chosen LEFT JOIN truth USING (prediction_id)"
        " ORDER BY schema_id, prediction_id",  # named_columns() puts them in the order of their schemas
        parameters,
    )
    known = found.filter(pa.array(np.isin(found["schema_id"].to_numpy(), list(schemas))))
    return named_columns(known, schemas, sampled=found.num_rows >= rows_max), known.select(OUTCOMES)


def unlabelled(
    lake: Lake,
    schemas: Mapping[int, FeatureSchema],
    model: str,
    version: str | None,
    window: Window,
    segments: Segments = (),
    rows_max: int = ROWS_MAX,
    *,
    with_features: bool = True,
) -> tuple[FeatureColumns, pa.Table]:
    """Return the window's features and, aligned, `at`, prediction_number, prediction_text and scores, without labels.

    Of more than `rows_max` the same sample for the same rows. Rows of schemas that are not known are left out, but not
    where no features are asked for.
    """
    wanted = ("at", "prediction_number", "prediction_text", "scores")
    asked = ("schema_id", "numeric", "categorical", *wanted) if with_features else wanted
    columns = ", ".join(f'"{name}"' for name in asked)
    sql, parameters, within = _sampled(columns, model, version, window, segments, rows_max)
    if not with_features:
        found = lake.query(f"{sql} ORDER BY prediction_id", parameters, within=within)
        return FeatureColumns({}, {}, found.num_rows, sampled=found.num_rows >= rows_max), found.select(wanted)
    found = lake.query(f"{sql} ORDER BY schema_id, prediction_id", parameters, within=within)
    known = found.filter(pa.array(np.isin(found["schema_id"].to_numpy(), list(schemas))))
    return named_columns(known, schemas, sampled=found.num_rows >= rows_max), known.select(wanted)


def _sampled(
    wanted: str,
    model: str,
    version: str | None,
    window: Window | Sequence[Window],
    segments: Segments,
    rows_max: int,
) -> tuple[str, dict[str, Any], Within]:
    """Return SQL for these columns of the predictions asked for, each once, its parameters and its time."""
    asked = chosen(model, version, [window] if isinstance(window, Window) else window, segments)
    # Which rows are in the sample is found without their columns; only theirs are then read.
    sample = (
        f"SELECT prediction_id FROM (SELECT DISTINCT prediction_id {asked.where})"
        " ORDER BY hash(prediction_id), prediction_id LIMIT $rows_max"
    )
    sql = f"SELECT DISTINCT ON (prediction_id) prediction_id, {wanted} {asked.where} AND prediction_id IN ({sample})"
    return sql, asked.parameters | {"rows_max": rows_max}, asked.within
