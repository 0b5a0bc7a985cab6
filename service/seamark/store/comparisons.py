"""Requests, predictions and labels of two versions of a model, to arrays by version and block of time.

Side 0 is the baseline, side 1 the candidate. Block n begins at `window.start` + n * `block_us`.
"""

# ruff: noqa: S608 - the SQL is put together from texts of this file; every value is a parameter

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from seamark.core.records import FeatureSchema
from seamark.core.windows import Window
from seamark.store.features import FeatureColumns, FloatArray, TextArray, named_columns
from seamark.store.lake import Lake, Within
from seamark.store.spans import once
from seamark.store.vectors import READ_NUMBERS_MAX, rows_that_fit

IntArray = npt.NDArray[np.int64]

REQUESTS_MAX = 1_000_000  # of either version
ROWS_MAX = 50_000  # of predictions, and of labelled ones, of either version


@dataclass(frozen=True)
class RequestBins:
    """Requests counted by side, block and duration, arrays aligned. Block 0 is what came before the window, see there.

    `bin` is floor(64 log2(duration in ns)).
    """

    side: IntArray
    block: IntArray
    bin: IntArray
    count: IntArray
    failed: IntArray


@dataclass(frozen=True)
class PredictionRows:
    """Predictions of both versions, or a sample of them, arrays aligned by row; numbers with NaN, text with None.

    `columns` are the features; one that a row's version does not send is null there. `total` counts what the lake
    holds of each side, repeats included.
    """

    side: IntArray
    block: IntArray
    number: FloatArray
    text: TextArray
    columns: Mapping[str, npt.NDArray[Any]]
    total: tuple[int, int]


@dataclass(frozen=True)
class LabelledRows:
    """Labelled predictions of both versions, or a sample of them, arrays aligned by row."""

    side: IntArray
    block: IntArray
    prediction_number: FloatArray
    prediction_text: TextArray
    label_number: FloatArray
    label_text: TextArray


_VERSIONS = "(version = $baseline OR version = $candidate)"
_SIDE = "(version = $candidate)::BIGINT AS side"
_PREDICTED = (
    f'FROM lake.predictions WHERE model = $model AND "at" >= $start AND "at" < $end AND NOT synthetic AND {_VERSIONS}'
)


def request_bins(
    lake: Lake,
    model: str,
    versions: tuple[str, str],
    window: Window,
    block_us: int,
    warmup_s: float,
    requests_max: int = REQUESTS_MAX,
) -> RequestBins:
    """Return the real requests of the window, failed ones included, and in block 0 those of the `warmup_s` before it.

    The window's own blocks count from 1. The lake counts; what comes back is bounded by blocks and bins. Of a version
    with more than `requests_max` every n-th trace is taken, by a hash of its id.
    """
    start = window.start - timedelta(seconds=warmup_s)
    parameters: dict[str, Any] = {**_range(model, versions, window, block_us), "from": start}
    requests = (
        "FROM lake.spans WHERE model = $model AND is_request AND NOT synthetic AND start_at >= $from"
        f" AND start_at < $end AND {_VERSIONS}"
    )
    every = _every(_totals(lake, requests, parameters, (start, window.end)), requests_max)
    if max(every.values()) > 1:
        requests += f" AND hash(trace_key) % {_EVERY} = 0"
        parameters |= every
    found = lake.query(
        f"SELECT {_SIDE},"
        " CASE WHEN start_at < $start THEN 0 ELSE 1 + (epoch_us(start_at) - epoch_us($start::TIMESTAMPTZ)) // $block_us"
        " END AS block, floor(log2(greatest(duration_ns, 1)) * 64)::BIGINT AS bin,"
        " count(*) AS count, count(*) FILTER (failed) AS failed"
        f" FROM (SELECT{once(lake, Window(start, window.end))} version, start_at, duration_ns, failed {requests})"
        " GROUP BY ALL ORDER BY ALL",
        parameters,
        within=(start, window.end),
    )
    return RequestBins(*(_ints(found[name]) for name in ("side", "block", "bin", "count", "failed")))


def prediction_rows(
    lake: Lake,
    schemas: Mapping[int, FeatureSchema],
    model: str,
    versions: tuple[str, str],
    window: Window,
    block_us: int,
    rows_max: int = ROWS_MAX,
) -> PredictionRows:
    """Return the window's real predictions of both versions, each prediction once.

    Of a version with more than `rows_max` every n-th, by a hash of its id: always the same for the same rows.
    """
    rows_max = rows_that_fit(schemas.values(), rows_max, READ_NUMBERS_MAX // 2)  # of either version
    parameters = _range(model, versions, window, block_us)
    total = _totals(lake, _PREDICTED, parameters, window.bounds)
    found = lake.query(
        f"SELECT DISTINCT ON (prediction_id) {_SIDE}, {_BLOCK}, prediction_number, prediction_text, schema_id,"
        f" numeric, categorical {_PREDICTED} AND {_SAMPLED}",
        {**parameters, **_every(total, rows_max)},
        within=window.bounds,
    )
    found = _ordered(found, schemas)
    columns = _both_sides([_of_side(found, side, schemas) for side in (0, 1)])
    return PredictionRows(
        _ints(found["side"]),
        _ints(found["block"]),
        _floats(found["prediction_number"]),
        _texts(found["prediction_text"]),
        columns,
        total,
    )


def labelled_rows(
    lake: Lake,
    model: str,
    versions: tuple[str, str],
    window: Window,
    block_us: int,
    total: tuple[int, int],
    rows_max: int = ROWS_MAX,
) -> LabelledRows:
    """Return the real predictions of the window that have a label; of several labels the latest by its time counts.

    `total` are predictions of either side, as PredictionRows tells them. Where labels are fewer than `rows_max` all
    are taken; else as many predictions are looked at as may bring so many.
    """
    parameters = _range(model, versions, window, block_us)
    truth = (
        "SELECT DISTINCT ON (prediction_id) prediction_id, label_number, label_text FROM lake.labels"
        " WHERE model = $model AND prediction_id IN (SELECT prediction_id FROM predicted)"
        ' ORDER BY prediction_id, "at" DESC, received_at DESC'
    )
    predicted = (
        f"SELECT DISTINCT ON (prediction_id) prediction_id, {_SIDE}, {_BLOCK}, prediction_number,"
        f" prediction_text {_PREDICTED} AND {_SAMPLED}"
    )
    found = lake.query(
        f"WITH predicted AS ({predicted}), truth AS ({truth})"
        " SELECT side, block, prediction_number, prediction_text, label_number, label_text"
        " FROM predicted JOIN truth USING (prediction_id)",
        {**parameters, **_every(total, 4 * rows_max)},
    )
    return LabelledRows(
        _ints(found["side"]),
        _ints(found["block"]),
        _floats(found["prediction_number"]),
        _texts(found["prediction_text"]),
        _floats(found["label_number"]),
        _texts(found["label_text"]),
    )


_BLOCK = '(epoch_us("at") - epoch_us($start::TIMESTAMPTZ)) // $block_us AS block'
# As unsigned as the hash is: with a signed number DuckDB would divide 128 bits, at ten times the cost of all the rest.
_EVERY = "(CASE WHEN version = $candidate THEN $every_candidate::UBIGINT ELSE $every_baseline::UBIGINT END)"
_SAMPLED = f"hash(prediction_id) % {_EVERY} = 0"


def _totals(lake: Lake, rows: str, parameters: Mapping[str, Any], within: Within) -> tuple[int, int]:
    """Return how many of these rows either side has, repeats included."""
    asked = {name: value for name, value in parameters.items() if f"${name}" in rows or name == "candidate"}
    found = lake.query(f"SELECT {_SIDE}, count(*) AS n {rows} GROUP BY side", asked, within=within)
    counts = dict(zip(found["side"].to_pylist(), found["n"].to_pylist(), strict=True))
    return counts.get(0, 0), counts.get(1, 0)


def _every(total: tuple[int, int], rows_max: int) -> dict[str, int]:
    baseline, candidate = (max(ceil(rows / rows_max), 1) for rows in total)
    return {"every_baseline": baseline, "every_candidate": candidate}


def _range(model: str, versions: tuple[str, str], window: Window, block_us: int) -> dict[str, Any]:
    return {
        "model": model,
        "baseline": versions[0],
        "candidate": versions[1],
        "start": window.start,
        "end": window.end,
        "block_us": block_us,
    }


def _of_side(found: pa.Table, side: int, schemas: Mapping[int, FeatureSchema]) -> FeatureColumns:
    return named_columns(found.filter(pc.equal(found["side"], side)), schemas)


def _both_sides(sides: Sequence[FeatureColumns]) -> dict[str, npt.NDArray[Any]]:
    """Return each feature over the rows of both sides, null where a side has it not.

    A name that is a number on one side and text on the other is two columns: neither side may decide for both.
    """
    columns: dict[str, npt.NDArray[Any]] = {}
    for name in sorted({name for side in sides for name in side.numeric}):
        columns[name] = np.concatenate([side.numeric.get(name, np.full(side.rows, np.nan)) for side in sides])
    for name in sorted({name for side in sides for name in side.categorical}):
        missing = [np.full(side.rows, None, dtype=object) for side in sides]
        values = [side.categorical.get(name, nulls) for side, nulls in zip(sides, missing, strict=True)]
        columns[f"{name} (text)" if name in columns else name] = np.concatenate(values)
    return columns


def _ordered(found: pa.Table, schemas: Mapping[int, FeatureSchema]) -> pa.Table:
    """Return the rows of known schemas by side, and in the order in which named_columns() gives their features."""
    ids = _ints(found["schema_id"])
    order = np.lexsort((ids, _ints(found["side"])))
    return found.take(pa.array(order[np.isin(ids[order], list(schemas))], pa.int64()))


def _ints(column: pa.ChunkedArray) -> IntArray:
    found: IntArray = column.cast(pa.int64()).to_numpy()
    return found


def _floats(column: pa.ChunkedArray) -> FloatArray:
    found: FloatArray = column.cast(pa.float64()).to_numpy()
    return found


def _texts(column: pa.ChunkedArray) -> TextArray:
    found: TextArray = np.array(column.to_pylist(), dtype=object)
    return found
