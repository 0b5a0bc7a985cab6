"""All numeric and categorical features of many rows, side by side, become a profile: a bounded sample of whole rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seamark.compute.columns import FloatArray, IntArray, is_null, is_numeric
from seamark.compute.row_order import evenly, own_order

ROWS_MAX = 10_000
FEATURES_MAX = 512  # by name; further ones are left out
LEVEL_CHARACTERS = 200  # texts that begin alike for so long are one level

Column = Any  # an array of numbers or of objects, or an Arrow column of texts


@dataclass(frozen=True, eq=False)
class Rows:
    """Whole rows, at most 10,000, evenly taken: numbers (NaN for null), and texts as places in `levels` (-1: null)."""

    numeric: Mapping[str, FloatArray]
    categorical: Mapping[str, IntArray]
    levels: Mapping[str, pa.StringArray]
    rows: int
    nulls: int = 0  # a row counts whatever it holds

    @property
    def sampled(self) -> int:
        """How many rows the sample has."""
        return next((len(column) for column in (*self.numeric.values(), *self.categorical.values())), 0)

    @property
    def nbytes(self) -> int:
        held = (*self.numeric.values(), *self.categorical.values(), *self.levels.values())
        return sum(int(column.nbytes) for column in held)


def rows(columns: Mapping[str, Column]) -> Rows:
    """Return the profile of columns of equal length, by name: arrays of numbers, or texts with None for null."""
    total = next((len(column) for column in columns.values()), 0)
    chosen = evenly(np.arange(total), ROWS_MAX)
    numeric: dict[str, FloatArray] = {}
    categorical: dict[str, IntArray] = {}
    levels: dict[str, pa.StringArray] = {}
    for name in sorted(columns)[:FEATURES_MAX]:
        column = columns[name]
        if isinstance(column, np.ndarray) and is_numeric(column):
            numeric[name] = np.where(np.isfinite(column[chosen]), column[chosen], np.nan).astype(np.float64)
        else:
            texts = pc.utf8_slice_codeunits(_strings(column, chosen), 0, LEVEL_CHARACTERS)
            levels[name] = texts.drop_null().unique().sort()
            places = pc.index_in(texts, value_set=levels[name])
            categorical[name] = np.asarray(places.fill_null(-1), dtype=np.int64)
    order = own_order((*numeric.values(), *categorical.values()), len(chosen))
    return Rows(
        {name: column[order] for name, column in numeric.items()},
        {name: column[order] for name, column in categorical.items()},
        levels,
        total,
    )


def _strings(column: Column, chosen: IntArray) -> pa.Array:
    if isinstance(column, np.ndarray):
        values = [None if is_null(value) else str(value) for value in column[chosen].tolist()]
        safe = [None if value is None else value.encode("utf-8", "backslashreplace") for value in values]
        return pa.array(safe, pa.binary()).cast(pa.string())
    plain = column.take(pa.array(chosen)).cast(pa.string())
    return plain.combine_chunks() if isinstance(plain, pa.ChunkedArray) else plain
