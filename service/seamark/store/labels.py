"""Predictions and the labels that came for them, to aligned arrays, for a window or for each of its steps."""

# ruff: noqa: S608 - the SQL is put together from texts of this file; every value is a parameter

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from seamark.core.windows import Window
from seamark.store.lake import Lake
from seamark.store.segments import Segments, segment_condition

FloatArray = npt.NDArray[np.float64]
TextArray = npt.NDArray[np.object_]

# Of several labels of a prediction the one that was true last counts, by its own time; of labels of one time the one
# received last. To be formatted with SQL for the ids that are wanted.
TRUTH = """
    SELECT DISTINCT ON (prediction_id) prediction_id, "at" AS label_at, label_number, label_text,
        min("at") OVER (PARTITION BY prediction_id) AS first_label_at
    FROM lake.labels WHERE model = $model AND prediction_id IN ({ids})
    ORDER BY prediction_id, label_at DESC, received_at DESC
"""


@dataclass(frozen=True)
class Labelled:
    """Labelled predictions of a window, arrays aligned by prediction: numbers with NaN, text with None.

    `lag_s` is from the prediction to its first label, never below 0. `scores` are JSON objects or None. `predictions`
    and `labelled` count the whole window, also where the arrays are a sample. `unlabelled_since` is the instant of the
    earliest prediction without a label, None where every one has its label.
    """

    prediction_number: FloatArray
    prediction_text: TextArray
    label_number: FloatArray
    label_text: TextArray
    scores: TextArray
    lag_s: FloatArray
    predictions: int
    labelled: int
    unlabelled_since: datetime | None

    @property
    def sampled(self) -> bool:
        """Whether the arrays are a part of the labelled predictions."""
        return len(self.lag_s) < self.labelled


def labelled(
    lake: Lake,
    model: str,
    window: Window,
    *,
    version: str | None = None,
    segments: Segments = (),
    rows_max: int = 200_000,
) -> Labelled:
    """Return the window's real predictions with their labels.

    Over `rows_max` labelled predictions the arrays are a sample of so many, always the same one for the same rows.
    """
    (found,) = labelled_by_step(lake, model, [window], version=version, segments=segments, rows_max=rows_max)
    return found


def steps(window: Window, step_s: float) -> list[Window]:
    """Return the window in steps of `step_s` seconds from its start on; the last one may be shorter."""
    step = timedelta(seconds=step_s)
    starts = [window.start]
    while starts[-1] + step < window.end:
        starts.append(starts[-1] + step)
    return [Window(start, min(start + step, window.end)) for start in starts]


def labelled_by_step(
    lake: Lake,
    model: str,
    windows: list[Window],
    *,
    version: str | None = None,
    segments: Segments = (),
    rows_max: int = 200_000,
) -> list[Labelled]:
    """Return what labelled() does for each of the windows, which follow each other; one read of the lake.

    A prediction that was sent twice counts once, as it was received first. `rows_max` is for all windows together.
    """
    condition, parameters = segment_condition(segments)
    parameters |= {"model": model, "start": windows[0].start, "end": windows[-1].end}
    parameters |= {"starts": [window.start for window in windows], "each_max": max(rows_max // len(windows), 1)}
    if version is not None:
        condition += " AND version = $version"
        parameters["version"] = version
    rows = lake.query(
        "WITH predicted AS ("
        ' SELECT DISTINCT ON (prediction_id) prediction_id, "at", prediction_number, prediction_text, scores'
        ' FROM lake.predictions WHERE model = $model AND "at" >= $start AND "at" < $end AND NOT synthetic'
        f' AND {condition} ORDER BY prediction_id, received_at, "at"'
        f"), truth AS ({TRUTH.format(ids='SELECT prediction_id FROM predicted')}), joined AS ("
        ' SELECT *, len(list_filter($starts::TIMESTAMPTZ[], start -> start <= "at")) - 1 AS step'
        " FROM predicted LEFT JOIN truth USING (prediction_id)"
        ") SELECT step, prediction_number, prediction_text, label_number, label_text, scores,"
        ' label_at IS NOT NULL AS labelled, greatest(epoch_us(first_label_at) - epoch_us("at"), 0) / 1e6 AS lag_s,'
        " count(*) OVER whole AS predictions, count(label_at) OVER whole AS all_labelled,"
        ' min("at") FILTER (label_at IS NULL) OVER whole AS unlabelled_since'
        " FROM joined WINDOW whole AS (PARTITION BY step)"
        # Labelled rows first; of a step without one a single row stays, which tells the step's counts.
        " QUALIFY row_number() OVER (PARTITION BY step ORDER BY label_at IS NULL, hash(prediction_id), prediction_id)"
        " <= CASE WHEN label_at IS NULL THEN 1 ELSE $each_max END"
        " ORDER BY step, hash(prediction_id), prediction_id",
        parameters,
    )
    numbers = rows["step"].to_numpy()
    bounds = np.searchsorted(numbers, np.arange(len(windows) + 1))
    return [_labelled(rows.slice(start, end - start)) for start, end in pairwise(bounds)]


def coverages(lake: Lake, model: str, windows: list[Window]) -> list[float | None]:
    """Return the labelled share of each window's predictions, None where it has none; one read of the lake."""
    found = lake.query(
        "WITH spans AS (SELECT unnest($starts::TIMESTAMPTZ[]) AS start_at, unnest($ends::TIMESTAMPTZ[]) AS end_at),"
        " predicted AS (SELECT DISTINCT start_at, prediction_id FROM lake.predictions, spans"
        ' WHERE model = $model AND "at" >= start_at AND "at" < end_at AND NOT synthetic)'
        " SELECT start_at, count(*) AS predictions, count(*) FILTER (prediction_id IN"
        " (SELECT prediction_id FROM lake.labels WHERE model = $model)) AS labelled FROM predicted GROUP BY start_at",
        {
            "model": model,
            "starts": [window.start for window in windows],
            "ends": [window.end for window in windows],
        },
    ).to_pylist()
    shares = {row["start_at"].astimezone(UTC): row["labelled"] / row["predictions"] for row in found}
    return [shares.get(window.start) for window in windows]


def _labelled(rows: pa.Table) -> Labelled:
    counted = rows.num_rows > 0
    since = rows["unlabelled_since"][0].as_py() if counted else None
    found = rows.filter(rows["labelled"])
    return Labelled(
        prediction_number=found["prediction_number"].to_numpy(),
        prediction_text=found["prediction_text"].to_numpy(),
        label_number=found["label_number"].to_numpy(),
        label_text=found["label_text"].to_numpy(),
        scores=found["scores"].to_numpy(),
        lag_s=found["lag_s"].to_numpy(),
        predictions=int(rows["predictions"][0].as_py()) if counted else 0,
        labelled=int(rows["all_labelled"][0].as_py()) if counted else 0,
        unlabelled_since=since.astimezone(UTC) if since is not None else None,
    )
