"""Prediction records side by side, a column per field, become one PREDICTIONS table: the fast way for usual records.

It takes nothing that the row by row way (prediction_record.py, prediction_rows.py) would not take, and says the same of
it: records it does not understand are judged there, and where one of those would be taken, so is the whole request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from seamark.core.records import PREDICTIONS, Decoded, FeatureSchema, Refusal
from seamark.wire.feature_columns import Features, Mask, Places, Unusual, as_mask, in_lists
from seamark.wire.name_columns import read_keys, read_names
from seamark.wire.prediction_rows import MODELS_MAX, cells_fit
from seamark.wire.values import NANOS_MAX

COLUMNS_FROM_BYTES = 16 * 1024  # of a body: some twelve records; for fewer, columns cost more than rows
ROWS_PER_MODEL = 8  # with fewer records per model version on average, columns cost more than rows

# What a column of each field holds, null where a record does not tell it. Names and ids are as sent, `at` is in
# microseconds since 1970, a trace id has 16 bytes, segment and scores are JSON text.
TYPES: dict[str, pa.DataType] = {
    "model": pa.string(),
    "version": pa.string(),
    "prediction_id": pa.string(),
    "at": pa.int64(),
    "trace_id": pa.binary(),
    "segment": pa.string(),
    "prediction_number": pa.float64(),
    "prediction_text": pa.string(),
    "scores": pa.string(),
    "latency_ms": pa.float64(),
    "synthetic": pa.bool_(),
}

Judge = Callable[[Places], Sequence[Refusal]]


@dataclass
class Columns:
    """Records by field. A field that none of them tells may be left out; `odd` records are not understood here."""

    rows: int
    fields: dict[str, pa.Array]
    features: Features
    odd: Mask

    def field(self, name: str) -> pa.Array:
        """Return a field's column."""
        return self.fields[name] if name in self.fields else pa.nulls(self.rows, TYPES[name])


def build_columns(
    columns: Columns, judge: Judge, refused: Sequence[Refusal], received_us: int, new_id: Callable[[], str]
) -> Decoded:
    """Return the records as a table in the order they came, with the schemas their rows name.

    `judge` reads the records at these positions one by one and tells why each is refused; `refused` are refusals of
    records that are in no column. Unusual: the request must be read row by row.
    """
    fields, odd = _checked(columns)
    refusals = [*refused, *judge(np.flatnonzero(odd))] if odd.any() else list(refused)
    refusals.sort(key=lambda refusal: refusal.index)
    rows = np.flatnonzero(~odd)
    if not len(rows):
        return Decoded({}, tuple(refusals))
    if len(rows) < columns.rows:
        fields = {name: column.take(pa.array(rows)) for name, column in fields.items()}
    fields["version"] = fields["version"].fill_null("")
    features, groups = _features(columns.features, rows, fields["model"], fields["version"])
    ids = [new_id() if given is None else given for given in fields["prediction_id"].to_pylist()]
    fields |= features | {
        "prediction_id": pa.array(ids, pa.string()),
        "at": fields["at"].fill_null(received_us),
        "synthetic": fields["synthetic"].fill_null(False),
        "received_at": pa.array(np.full(len(rows), received_us)),
    }
    arrays = [fields[field.name] for field in PREDICTIONS]
    arrays = [
        array if array.type == kind else array.cast(kind) for array, kind in zip(arrays, PREDICTIONS.types, strict=True)
    ]
    table = pa.Table.from_arrays(arrays, schema=PREDICTIONS)
    schemas = tuple(dict.fromkeys((model, schema) for model, _, schema in groups))
    return Decoded({"predictions": table}, tuple(refusals), tuple(ids), schemas, groups=groups, places=rows)


def _checked(columns: Columns) -> tuple[dict[str, pa.Array], Mask]:
    """Return the fields with clean names, and which records must be judged one by one."""
    given = {name: columns.field(name) for name in TYPES}
    odd = columns.odd | columns.features.odd()
    clean = {
        "model": read_names(given["model"]),
        "version": read_names(given["version"], empty_is_none=True),
        "prediction_id": read_keys(given["prediction_id"]),
    }
    odd |= as_mask(clean["model"].is_null())
    for name in ("version", "prediction_id"):
        odd |= as_mask(clean[name].is_null()) & as_mask(given[name].is_valid())
    at_us = given["at"].fill_null(1).to_numpy()
    odd |= (at_us <= 0) | (at_us > NANOS_MAX // 1000)
    odd |= ~np.isfinite(given["prediction_number"].fill_null(0.0).to_numpy())
    latencies_ms = given["latency_ms"].fill_null(0.0).to_numpy()
    odd |= ~((latencies_ms >= 0) & np.isfinite(latencies_ms))
    return given | clean, odd


def _features(
    features: Features, rows: Places, models: pa.Array, versions: pa.Array
) -> tuple[dict[str, pa.Array], tuple[tuple[str, str, FeatureSchema], ...]]:
    """Return the columns that hold features, and each model version with its schema in the order they came."""
    names, codes = _model_versions(models, versions)
    if len(names) > 1 and (len(names) > MODELS_MAX or len(names) * ROWS_PER_MODEL > len(rows)):
        raise Unusual
    members = (
        [np.flatnonzero(codes == code) for code in range(len(names))] if len(names) > 1 else [np.arange(len(rows))]
    )
    parts = [in_lists(features.columns(rows[places]), len(places)) for places in members]
    schemas = [schema for schema, _, _ in parts]
    if not cells_fit(sum(len(numbers.values) + len(words.values) for _, numbers, words in parts)):
        raise Unusual
    ids = np.array([schema.schema_id for schema in schemas])
    columns = {
        "schema_id": pa.array(ids[codes]),
        "numeric": _in_order([numbers for _, numbers, _ in parts], members),
        "categorical": _in_order([words for _, _, words in parts], members),
    }
    return columns, tuple((*name, schema) for name, schema in zip(names, schemas, strict=True))


def _model_versions(models: pa.Array, versions: pa.Array) -> tuple[list[tuple[str, str]], Places]:
    """Return the models and versions in the order they came, and each row's place among them."""
    model, version = models.dictionary_encode(), versions.dictionary_encode()
    names, numbers, codes = model.dictionary.to_pylist(), version.dictionary.to_pylist(), model.indices.to_numpy()
    if len(numbers) == 1:
        return [(name, numbers[0]) for name in names], codes
    pairs = codes.astype(np.int64) * len(numbers) + version.indices.to_numpy()
    found, first, codes = np.unique(pairs, return_index=True, return_inverse=True)
    order = np.argsort(first)
    places = np.empty(len(found), np.int64)
    places[order] = np.arange(len(found))
    return [(names[pair // len(numbers)], numbers[pair % len(numbers)]) for pair in found[order].tolist()], places[
        codes
    ]


def _in_order(parts: Sequence[pa.ListArray], members: Sequence[Places]) -> pa.ListArray:
    """Return the lists of each model's rows in the order of the request."""
    if len(parts) == 1:
        return parts[0]
    return pa.concat_arrays(parts).take(pa.array(np.argsort(np.concatenate(members), kind="stable")))
