"""Predictions and the labels that came for them, to aligned arrays."""

# ruff: noqa: S608 - the SQL is put together from texts of this file; every value is a parameter

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from seamark.core.windows import Window
from seamark.store.lake import Lake

FloatArray = npt.NDArray[np.float64]
TextArray = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Labelled:
    """Labelled predictions of a window, arrays aligned by prediction: numbers with NaN, text with None.

    `lag_s` is from the prediction to its label, never below 0. `predictions` and `labelled` count the whole window,
    also where the arrays are a sample. `unlabelled_since` is the instant of the earliest prediction without a label,
    None where every one has its label.
    """

    prediction_number: FloatArray
    prediction_text: TextArray
    label_number: FloatArray
    label_text: TextArray
    lag_s: FloatArray
    predictions: int
    labelled: int
    unlabelled_since: datetime | None

    @property
    def sampled(self) -> bool:
        """Whether the arrays are a part of the labelled predictions."""
        return len(self.lag_s) < self.labelled


_JOINED = """
    WITH predicted AS (
        SELECT DISTINCT ON (prediction_id) prediction_id, "at", prediction_number, prediction_text FROM lake.predictions
        WHERE model = $model AND "at" >= $start AND "at" < $end AND NOT synthetic {version}
    ), truth AS (
        SELECT DISTINCT ON (prediction_id) prediction_id, "at" AS label_at, label_number, label_text FROM lake.labels
        WHERE model = $model AND prediction_id IN (SELECT prediction_id FROM predicted)
        ORDER BY prediction_id, received_at DESC, label_at DESC
    )
"""


def labelled(
    lake: Lake, model: str, window: Window, *, version: str | None = None, rows_max: int = 200_000
) -> Labelled:
    """Return the window's real predictions with their labels; of several labels the one received last counts.

    Over `rows_max` labelled predictions the arrays are a sample of so many, always the same one for the same rows.
    """
    parameters = {"model": model, "start": window.start, "end": window.end}
    if version is not None:
        parameters["version"] = version
    joined = _JOINED.format(version="" if version is None else "AND version = $version")
    totals = lake.query(
        f"{joined} SELECT count(*) AS predictions, count(label_at) AS labelled,"
        ' min("at") FILTER (label_at IS NULL) AS unlabelled_since FROM predicted LEFT JOIN truth USING (prediction_id)',
        parameters,
    ).to_pylist()[0]
    order = "ORDER BY hash(prediction_id), prediction_id LIMIT $rows_max"
    rows = lake.query(
        f"{joined} SELECT prediction_number, prediction_text, label_number, label_text,"
        ' greatest(epoch_us(label_at) - epoch_us("at"), 0) / 1e6 AS lag_s'
        f" FROM predicted JOIN truth USING (prediction_id) {order}",
        {**parameters, "rows_max": rows_max},
    )
    since = totals["unlabelled_since"]
    found = {name: column.to_numpy() for name, column in zip(rows.column_names, rows.columns, strict=True)}
    return Labelled(
        prediction_number=found["prediction_number"],
        prediction_text=found["prediction_text"],
        label_number=found["label_number"],
        label_text=found["label_text"],
        lag_s=found["lag_s"],
        predictions=totals["predictions"],
        labelled=totals["labelled"],
        unlabelled_since=since.astimezone(UTC) if since is not None else None,
    )
