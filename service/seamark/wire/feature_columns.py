"""The features of many records, however they came, become a column per name: float64, string, list<float64> or null."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import repeat
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from seamark.core.records import FeatureSchema
from seamark.wire.prediction_record import FEATURES_MAX, name_fault
from seamark.wire.prediction_rows import cells_fit
from seamark.wire.vector_columns import Ragged, as_matrix, as_vectors, dimension_of, is_vectors, odd_vectors, vectors_of
from seamark.wire.vectors import VECTOR_NUMBERS_MAX, dimension_fault

Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]
FeatureColumns = dict[str, pa.Array]

_BLOCK = 512  # records whose values fit a processor's cache
_BOOLEANS = {True: "true", False: "false"}


class Unusual(Exception):
    """The records hold something that is read row by row only; nothing is wrong with them yet."""


class Features(Protocol):
    """The features of the records of one request."""

    def odd(self) -> Mask:
        """Return which records hold a value that can be no feature."""
        ...

    def columns(self, rows: Places) -> FeatureColumns:
        """Return the features of these records by name, null where a record does not tell one.

        Unusual: a name is bad, has two kinds, or there are too many.
        """
        ...


class NoFeatures:
    """Records that tell no features."""

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def odd(self) -> Mask:
        return np.zeros(self._rows, bool)

    def columns(self, rows: Places) -> FeatureColumns:
        return {}


class FeatureDicts:
    """A dict of finite floats, strings, booleans, lists of finite floats and None per record, or None."""

    def __init__(self, records: Sequence[dict[str, Any] | None]) -> None:
        self._records = records

    def odd(self) -> Mask:
        return np.zeros(len(self._records), bool)

    def columns(self, rows: Places) -> FeatureColumns:
        found = self._records if len(rows) == len(self._records) else [self._records[row] for row in rows.tolist()]
        records = [record or {} for record in found]
        names = tuple(records[0]) if records else ()
        alike = all(tuple(record) == names for record in records)
        if not alike:
            names = tuple(set().union(*records))
        check_names(names, len(rows))
        blocks: list[list[pa.Array]] = [[] for _ in names]
        for start in range(0, len(records), _BLOCK):
            block = records[start : start + _BLOCK]
            values = zip(*map(dict.values, block), strict=True) if alike else _values(block, names)
            for column, found_values in zip(blocks, values, strict=True):
                column.append(_column(found_values))
        return dict(zip(names, map(_joined, blocks), strict=True))


class FeatureStructs:
    """An Arrow struct of plain columns and lists of numbers, whose null records tell no features."""

    def __init__(self, structs: pa.StructArray) -> None:
        self._structs = structs
        self._columns = dict(
            zip((field.name for field in structs.type), map(as_feature, structs.flatten()), strict=True)
        )

    def odd(self) -> Mask:
        odd = np.zeros(len(self._structs), bool)
        for column in self._columns.values():
            if pa.types.is_floating(column.type):
                odd |= ~np.isfinite(column.fill_null(0.0).to_numpy())
            elif pa.types.is_list(column.type):
                odd |= odd_vectors(column)
        return odd

    def columns(self, rows: Places) -> FeatureColumns:
        whole = len(rows) == len(self._structs)
        known = self._structs.is_valid()
        if not (known if whole else known.take(rows)).true_count:
            return {}
        check_names(self._columns, len(rows))
        return {name: column if whole else column.take(rows) for name, column in self._columns.items()}


class FeaturePairs:
    """Names and values one after the other: `owners` says whose record each is; of a name given twice the last counts.

    `numbers` are NaN where a value is no number; `texts` are null where it is no string and no boolean.
    """

    def __init__(
        self,
        rows: int,
        owners: Places,
        keys: pa.Array,
        numbers: npt.NDArray[np.float64],
        numeric: Mask,
        texts: pa.Array,
    ) -> None:
        self._rows, self._owners = rows, owners
        if keys.null_count:
            raise Unusual
        encoded = keys.dictionary_encode()
        self._names: list[str] = encoded.dictionary.to_pylist()
        self._codes = encoded.indices.to_numpy()
        self._numbers, self._numeric, self._texts = numbers, numeric, texts
        self._textual = np.zeros(len(keys), bool) if texts.null_count == len(texts) else as_mask(texts.is_valid())

    def odd(self) -> Mask:
        odd = np.zeros(self._rows, bool)
        odd[self._owners[self._numeric & ~np.isfinite(self._numbers)]] = True
        odd |= np.bincount(self._owners, minlength=self._rows) > FEATURES_MAX
        return odd

    def columns(self, rows: Places) -> FeatureColumns:
        if len(self._names) > FEATURES_MAX or not cells_fit(len(self._names) * self._rows):
            raise Unusual
        place = self._places()
        if len(rows) < self._rows:
            place = place[:, rows]
        known = place >= 0
        told = np.flatnonzero(known.any(axis=1))
        check_names([self._names[code] for code in told], len(rows))
        numeric = self._numeric[place] & known
        textual = self._textual[place] & known
        return {self._names[code]: self._column(place[code], numeric[code], textual[code]) for code in told}

    def _places(self) -> npt.NDArray[np.int32]:
        """Return where the value of a name (row) of a record (column) stands, -1 where there is none."""
        names, values = len(self._names), np.arange(len(self._codes), dtype=np.int32)
        if self._alike(names):
            return np.ascontiguousarray(values.reshape(self._rows, names).T)
        place = np.full((names, self._rows), -1, np.int32)
        place[self._codes, self._owners] = values
        return place

    def _alike(self, names: int) -> bool:
        """Whether all records have the same names in the same order, which most senders' have."""
        return np.array_equal(self._codes, np.tile(np.arange(names), self._rows)) and np.array_equal(
            self._owners, np.repeat(np.arange(self._rows), names)
        )

    def _column(self, places: npt.NDArray[np.int32], numeric: Mask, textual: Mask) -> pa.Array:
        if not textual.any():
            if not numeric.any():
                return pa.nulls(len(places))
            return pa.array(self._numbers[places], mask=None if numeric.all() else ~numeric)
        if numeric.any():
            raise Unusual
        return self._texts.take(pa.array(places, mask=None if textual.all() else ~textual))


def check_names(names: Collection[str], rows: int) -> None:
    """Unusual: too many names or values for one model, or a bad name."""
    if len(names) > FEATURES_MAX or not cells_fit(len(names) * rows) or any(map(name_fault, names)):
        raise Unusual


def in_lists(columns: FeatureColumns, rows: int) -> tuple[FeatureSchema, pa.ListArray, pa.ListArray]:
    """Return the columns' schema, and its numeric and its categorical values as a list per record.

    Unusual: vectors of one name differ in dimension, or there are too many numbers.
    """
    categorical = tuple(sorted(name for name, column in columns.items() if pa.types.is_string(column.type)))
    vectors = _dimensions(columns)
    numeric = tuple(sorted(columns.keys() - set(categorical) - vectors.keys()))
    schema = FeatureSchema(numeric, categorical, tuple(sorted(vectors.items())))
    if not cells_fit((schema.numbers + len(categorical)) * rows):
        raise Unusual
    matrix = np.empty((rows, schema.numbers))
    for place, name in enumerate(numeric):
        column = columns[name]
        unknown = column.null_count == len(column)  # a column of lists, too, of which the known ones were refused
        matrix[:, place] = np.nan if unknown else column.to_numpy(zero_copy_only=False)
    place = len(numeric)
    for name, dimension in schema.vectors:
        matrix[:, place : place + dimension] = as_matrix(columns[name], dimension)
        place += dimension
    # Known numbers are finite: NaN stands for null.
    nulls = any(columns[name].null_count for name in (*numeric, *vectors))
    numbers = pa.array(matrix.ravel(), pa.float64(), from_pandas=nulls)
    return schema, _lists(numbers, rows), _lists(_interleaved([columns[name] for name in categorical], rows), rows)


def _dimensions(columns: FeatureColumns) -> dict[str, int]:
    """Return the dimension of each vector, 0 never: a column without a list is null throughout."""
    try:
        found = {name: dimension_of(column) for name, column in columns.items() if pa.types.is_list(column.type)}
    except Ragged:
        raise Unusual from None
    known = {name: dimension for name, dimension in found.items() if columns[name].null_count < len(columns[name])}
    if any(map(dimension_fault, known.values())) or sum(known.values()) > VECTOR_NUMBERS_MAX:
        raise Unusual
    return known


def as_mask(booleans: pa.Array) -> Mask:
    """Return booleans without nulls as a NumPy mask."""
    mask: Mask = booleans.to_numpy(zero_copy_only=False)
    return mask


def _interleaved(columns: Sequence[pa.Array], rows: int) -> pa.Array:
    if not columns:
        return pa.array([], pa.string())
    order = np.arange(len(columns) * rows).reshape(len(columns), rows).T.ravel()
    return pa.concat_arrays(columns).take(pa.array(order))


def _lists(values: pa.Array, rows: int) -> pa.ListArray:
    width = len(values) // rows
    return pa.ListArray.from_arrays(pa.array(np.arange(rows + 1, dtype=np.int32) * np.int32(width)), values)


def _values(records: Sequence[dict[str, Any]], names: Sequence[str]) -> Iterator[list[Any]]:
    return ([record.get(name) for record in records] for name in names)


def _joined(blocks: Sequence[pa.Array]) -> pa.Array:
    if len(blocks) == 1:
        return blocks[0]
    kinds = {block.type for block in blocks if not pa.types.is_null(block.type)}
    if len(kinds) > 1:
        raise Unusual
    return pa.concat_arrays(
        [block if block.type == kind else block.cast(kind) for block in blocks for kind in kinds or {block.type}]
    )


def _column(values: Sequence[Any]) -> pa.Array:
    kinds = set(map(type, values)) - {type(None)}
    if not kinds:
        return pa.nulls(len(values))
    if kinds == {bool}:
        return pa.array(map(_BOOLEANS.get, values, repeat(None)), pa.string(), size=len(values))
    if kinds == {list}:
        return vectors_of(values)
    if kinds not in ({float}, {str}):
        raise Unusual
    return pa.array(values, pa.float64() if kinds == {float} else pa.string())


def as_feature(column: pa.Array) -> pa.Array:
    """Return a plain Arrow column as numbers, words or vectors; null columns stay what they are."""
    kind = column.type
    if is_vectors(kind):
        return as_vectors(column)
    if pa.types.is_null(kind) or pa.types.is_string(kind) or pa.types.is_float64(kind):
        return column
    if pa.types.is_boolean(kind) or pa.types.is_large_string(kind):
        return column.cast(pa.string())
    return column.cast(pa.float64(), safe=False)
