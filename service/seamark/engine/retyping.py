"""Prediction rows of which some were refused, or lie under a schema with nulls of another kind -> the rows to store."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from seamark.core.records import PREDICTIONS, Decoded, FeatureSchema

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Move:
    """Rows of one model that are to lie under another schema: features that are null in all of them change kind."""

    model: str
    rows: Mask
    before: FeatureSchema
    after: FeatureSchema


def kept(decoded: Decoded, rows: Mask, moves: Sequence[Move]) -> Decoded:
    """Return `decoded` with these prediction rows alone, and with `moves` done to them."""
    if rows.all() and not moves:
        return decoded
    predictions = decoded.tables["predictions"]
    for move in moves:
        predictions = _moved(predictions, move)
    predictions = predictions.filter(pa.array(rows))
    others = {name: table for name, table in decoded.tables.items() if name != "predictions"}
    schemas = dict.fromkeys([*decoded.schemas, *((move.model, move.after) for move in moves)])
    used = set(zip(predictions["model"].to_pylist(), predictions["schema_id"].to_pylist(), strict=True))
    left = np.flatnonzero(rows)
    return replace(
        decoded,
        tables=others | ({"predictions": predictions} if predictions.num_rows else {}),
        ids=tuple(decoded.ids[row] for row in left.tolist()),
        schemas=tuple(pair for pair in schemas if (pair[0], pair[1].schema_id) in used),
        groups=(),
        places=np.asarray(decoded.places, np.int64)[left] if len(decoded.places) else left,
    )


def _moved(predictions: pa.Table, move: Move) -> pa.Table:
    """Return the table with the move's rows under the other schema, in the order they came."""
    rows, before, after = move.rows, move.before, move.after
    part = predictions.filter(pa.array(rows))
    lists = {
        "numeric": _lists(part["numeric"], _numbers(before), _numbers(after), pa.float64()),
        "categorical": _lists(part["categorical"], before.categorical, after.categorical, pa.string()),
        "schema_id": pa.repeat(pa.scalar(after.schema_id, pa.int64()), part.num_rows),
    }
    for name, column in lists.items():
        part = part.set_column(part.schema.get_field_index(name), PREDICTIONS.field(name), column)
    both = pa.concat_tables([predictions.filter(pa.array(~rows)), part])
    order = np.concatenate([np.flatnonzero(~rows), np.flatnonzero(rows)])
    return both.take(pa.array(np.argsort(order, kind="stable")))


def _numbers(schema: FeatureSchema) -> list[Hashable]:
    """Return what stands at each place of the numeric list: a name, or a vector's name and a place in it."""
    vectors = ((name, place) for name, dimension in schema.vectors for place in range(dimension))
    return [*schema.numeric, *vectors]


def _lists(
    lists: pa.ChunkedArray, before: Sequence[Hashable], after: Sequence[Hashable], kind: pa.DataType
) -> pa.ListArray:
    """Return lists of the names `after`, null where `before` has no such name."""
    place_of = {name: place for place, name in enumerate(before)}
    rows = len(lists)
    values = lists.combine_chunks().flatten()
    places = np.full((rows, len(after)), -1)
    for index, name in enumerate(after):
        if name in place_of:
            places[:, index] = np.arange(rows) * len(before) + place_of[name]
    flat = places.ravel()
    taken = values.take(pa.array(flat, pa.int64(), mask=flat < 0)) if len(values) else pa.nulls(len(flat), kind)
    offsets = np.arange(rows + 1, dtype=np.int32) * np.int32(len(after))
    return pa.ListArray.from_arrays(pa.array(offsets), taken)
