"""A reference file's column of lists of numbers becomes a vector feature, whose lists are alike or null."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seamark.core.errors import BodyTooLarge, InputRefused
from seamark.wire.values import shown
from seamark.wire.vector_columns import VECTORS, as_vectors
from seamark.wire.vectors import VECTOR_NUMBERS_MAX, dimension_fault

_LIST = msgspec.json.Decoder(list[float])


def read_vectors(name: str, column: pa.ChunkedArray) -> tuple[pa.Array, int]:
    """Return a column of lists of numbers as list<float64>, and their dimension, 0 where all are null.

    A list with a value that is null or NaN is null as a whole: no part of a vector can be left out. InputRefused where
    lists differ in length, one is infinite somewhere, or they are empty or too long.
    """
    lists = pa.concat_arrays([as_vectors(chunk) for chunk in column.chunks] or [pa.array([], VECTORS)])
    lengths = lists.value_lengths().fill_null(-1).to_numpy(zero_copy_only=False)
    known = lengths >= 0
    if not known.any():
        return lists, 0
    dimension = int(lengths[known][0])
    fault = dimension_fault(dimension)
    if fault:
        raise InputRefused(f"column {shown(name)}, row {int(np.argmax(known))}: {fault}")
    other = known & (lengths != dimension)
    if other.any():
        row = int(np.argmax(other))
        told = f"a list of {lengths[row]:,} numbers, but the first one has {dimension:,}"
        raise InputRefused(f"column {shown(name)}, row {row}: {told}; all lists of a column are of one length")
    numbers = lists.flatten().to_numpy(zero_copy_only=False).reshape(-1, dimension)
    places = np.flatnonzero(known)
    if np.isinf(numbers).any():
        row = int(places[np.isinf(numbers).any(axis=1)][0])
        raise InputRefused(f"column {shown(name)}, row {row}: a number is infinite; send null or drop the row")
    whole = ~np.isnan(numbers).any(axis=1)
    if whole.all():
        return lists, dimension
    kept = np.zeros(len(lists), bool)
    kept[places[whole]] = True
    offsets = np.concatenate([[0], np.cumsum(kept) * dimension]).astype(np.int32)
    values = pa.array(numbers[whole].reshape(-1))
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=pa.array(~kept)), dimension if whole.any() else 0


def lists_in_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a text column whose values are all JSON lists of as many numbers as such lists, any other one as it is."""
    if not pa.types.is_string(column.type) or column.null_count == len(column):
        return column
    if not pc.all(pc.starts_with(column, "[")).as_py():
        return column
    try:
        lists = [None if text is None else _LIST.decode(text) for text in column.to_pylist()]
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return column
    alike = len({len(found) for found in lists if found is not None}) == 1 and any(lists)
    return pa.chunked_array([lists], VECTORS) if alike else column


def lists_of_values(name: str, values: list[Any]) -> pa.Array:
    """Return Python's lists of numbers and None as list<float64>; InputRefused where one is no such thing."""
    for row, value in enumerate(values):
        wrong = next((item for item in value or () if type(item) not in (int, float, type(None))), None)
        if wrong is not None:
            raise InputRefused(f"column {shown(name)}, row {row}: {shown(wrong)} in a list of numbers")
    try:
        return pa.array(
            [value and [None if item is None else float(item) for item in value] for value in values], VECTORS
        )
    except OverflowError:
        raise InputRefused(f"column {shown(name)} holds a number that is too large") from None


def check_numbers(rows: int, scalars: int, dimensions: list[int], cells_max: int) -> None:
    """Refuse a file that unfolds into too many values; all columns of vectors are named by their dimension."""
    if sum(dimensions) > VECTOR_NUMBERS_MAX:
        told = f"lists of {sum(dimensions):,} numbers per row; at most {VECTOR_NUMBERS_MAX:,} are taken"
        raise BodyTooLarge(f"the file has {told}")
    if rows * (scalars + sum(dimensions)) > cells_max:
        raise BodyTooLarge(f"the file holds more than {cells_max:,} values: send a sample")


def parquet_values(metadata: pq.FileMetaData, kept: set[str]) -> int:
    """Return how many values these columns of a Parquet file hold, those inside lists one by one."""
    total = 0
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        columns = (row_group.column(place) for place in range(row_group.num_columns))
        total += sum(column.num_values for column in columns if column.path_in_schema.split(".")[0] in kept)
    return total
