"""A reference file - Parquet, CSV, Arrow or JSON rows - becomes features, and outcomes where it tells some."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from seamark.core.errors import BodyTooLarge, InputRefused, WrongMediaType
from seamark.core.records import FeatureSchema
from seamark.wire.arrow_stream import read_stream
from seamark.wire.documents import ARROW, JSON, NDJSON
from seamark.wire.reference_outcomes import from_values, is_outcome, read_outcomes
from seamark.wire.values import NAME_LENGTH_MAX, clean_name, shown
from seamark.wire.vector_columns import is_vectors
from seamark.wire.vector_rows import check_numbers, lists_in_texts, lists_of_values, parquet_values, read_vectors

ROWS_MAX = 5_000_000
COLUMNS_MAX = 1_000
CELLS_MAX = 100_000_000
TEXT_BYTES_MAX = 1024 * 1024 * 1024  # of all strings once unfolded
CSV_NULLS = ("", "NaN", "nan", "NA", "N/A", "null", "NULL")

PARQUET = "application/vnd.apache.parquet"
_OLDER = ("application/x-parquet", "application/parquet")
CSV = "text/csv"
MEDIA_TYPES = (PARQUET, CSV, ARROW, JSON, NDJSON[0])

# Columns of a prediction log that are neither features nor outcomes.
LEFT_OUT = frozenset({"prediction_id", "at", "model", "version"})


@dataclass(frozen=True)
class ReferenceFile:
    """Rows of a reference: `features` has a column for each name of the schema, `outcomes` those of OUTCOMES it tells.

    `untyped` are features without a single value: they count as numbers, and say nothing of what they are.
    """

    schema: FeatureSchema
    features: pa.Table
    outcomes: pa.Table
    untyped: tuple[str, ...] = ()


def decode_reference(body: bytes, media_type: str) -> ReferenceFile:
    """Return a reference file's rows: features as float64, string or list<float64>, with nulls, and outcomes.

    Integers, floats and decimals are numeric (NaN is null); strings, booleans and dictionaries are categorical; lists
    of numbers are vectors, in CSV as JSON (`"[0.5, 1]"`) in every cell of a column that has a value.
    LEFT_OUT columns are left out; outcomes as in read_outcomes(). InputRefused says what is wrong; BodyTooLarge,
    WrongMediaType as they say.
    """
    try:
        return _as_reference(_read(body, media_type))
    except (pa.ArrowException, OSError, EOFError, msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InputRefused(f"the body is no {media_type}: {str(error)[:300]}") from None


def _as_reference(table: pa.Table) -> ReferenceFile:
    _check_names(table.column_names)
    kept = [name for name in table.column_names if name not in LEFT_OUT]
    _check_size(table.num_rows, len(kept))
    if not kept or not table.num_rows:
        raise InputRefused("the file has no rows" if kept else "the file has no columns left to watch")
    told = [name for name in kept if is_outcome(name)]
    schema, features = _as_features(table.select([name for name in kept if name not in told]))
    untyped = tuple(name for name in features.column_names if features[name].null_count == features.num_rows)
    return ReferenceFile(schema, features, read_outcomes(table.select(told), _converted), untyped)


def _read(body: bytes, media_type: str) -> pa.Table:
    reader = READERS.get(media_type)
    if reader is None:
        raise WrongMediaType(f"{media_type[:100]!r} is not read here; send {', '.join(MEDIA_TYPES)}")
    return reader(body, LEFT_OUT)


def _as_features(table: pa.Table) -> tuple[FeatureSchema, pa.Table]:
    numeric: dict[str, pa.Array] = {}
    categorical: dict[str, pa.Array] = {}
    vectors: dict[str, tuple[pa.Array, int]] = {}
    for name in table.column_names:
        column = table.column(name)
        if is_vectors(column.type):
            vectors[name] = read_vectors(name, column)
            continue
        (numeric if _is_number(column.type) else categorical)[name] = _converted(name, column)
    numeric |= {
        name: pa.nulls(table.num_rows, pa.float64()) for name, (_, dimension) in vectors.items() if not dimension
    }
    dimensions = {name: dimension for name, (_, dimension) in vectors.items() if dimension}
    check_numbers(table.num_rows, table.num_columns - len(dimensions), list(dimensions.values()), CELLS_MAX)
    schema = FeatureSchema(tuple(sorted(numeric)), tuple(sorted(categorical)), tuple(sorted(dimensions.items())))
    if not table.num_columns:  # without a feature there are still rows: of outcomes
        return schema, table
    return schema, pa.table({**numeric, **categorical, **{name: vectors[name][0] for name in dimensions}})


def _check_names(names: Sequence[str]) -> None:
    if len(names) > COLUMNS_MAX:
        raise BodyTooLarge(f"the file has {len(names):,} columns; at most {COLUMNS_MAX:,} are taken")
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise InputRefused(f"two columns are called {shown(twice)}")
    for name in names:
        if not 0 < len(name) <= NAME_LENGTH_MAX or clean_name(name) != name:
            told = f"1 to {NAME_LENGTH_MAX} printable characters without space around them"
            raise InputRefused(f"the column name {shown(name)} cannot be taken; names have {told}")


def _check_size(rows: int, columns: int) -> None:
    if rows > ROWS_MAX:
        raise BodyTooLarge(f"the file has {rows:,} rows; at most {ROWS_MAX:,} are taken: send a sample")
    if rows * columns > CELLS_MAX:
        raise BodyTooLarge(f"{rows:,} rows of {columns:,} columns are more than {CELLS_MAX:,} values: send a sample")


def _is_number(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_null(kind))


def _converted(name: str, column: pa.ChunkedArray) -> pa.Array:
    """Return a column as float64 or as string, in one piece."""
    kind = column.type
    if _is_number(kind):
        values = pa.concat_arrays(column.cast(pa.float64(), safe=False).chunks or [pa.array([], pa.float64())])
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float64()), values)
        if pc.any(pc.is_inf(values)).as_py():
            row = pc.index(pc.fill_null(pc.is_inf(values), False), True).as_py()
            raise InputRefused(
                f"column {shown(name)}, row {row}: the value is infinite; leave it empty or drop the row"
            )
        return values
    if pa.types.is_dictionary(kind):
        _check_text(name, max((_longest(chunk.dictionary) for chunk in column.chunks), default=0) * len(column))
        column = column.cast(kind.value_type)
        return _converted(name, column if pa.types.is_boolean(kind.value_type) else column.cast(pa.string()))
    if not (pa.types.is_boolean(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        told = "features are numbers, strings, booleans or lists of numbers: convert it or drop it"
        raise InputRefused(f"column {shown(name)} is of type {str(kind)[:100]}; {told}")
    _check_text(name, 5 * len(column) if pa.types.is_boolean(kind) else column.nbytes)
    return pa.concat_arrays(column.cast(pa.string()).chunks)


def _longest(dictionary: pa.Array) -> int:
    return pc.max(pc.binary_length(dictionary.cast(pa.string()))).as_py() or 0


def _check_text(name: str, text_bytes: int) -> None:
    if text_bytes > TEXT_BYTES_MAX:
        raise BodyTooLarge(f"column {shown(name)} holds more than {TEXT_BYTES_MAX:,} bytes of text: send a sample")


def _parquet(body: bytes, ignore: Collection[str]) -> pa.Table:
    with pq.ParquetFile(pa.py_buffer(body)) as file:
        schema = file.schema_arrow
        _check_names(schema.names)
        kept = [name for name in schema.names if name not in ignore]
        _check_size(file.metadata.num_rows, len(kept))
        if parquet_values(file.metadata, set(kept)) > CELLS_MAX:
            raise BodyTooLarge(f"the file holds more than {CELLS_MAX:,} values: send a sample")
        # Dictionaries stay folded: a short file may repeat one long text five million times.
        texts = [field.name for field in schema if pa.types.is_string(field.type) and field.name in kept]
    with pq.ParquetFile(pa.py_buffer(body), read_dictionary=texts) as file:
        return file.read(columns=kept)


def _csv(body: bytes, ignore: Collection[str]) -> pa.Table:
    table = _csv_read(body, {})
    # Dates are text here: a prediction log carries them as text too, so that both sides name the same categories.
    texts = {field.name: pa.string() for field in table.schema if pa.types.is_temporal(field.type)}
    table = _csv_read(body, texts) if texts else table
    return pa.table([lists_in_texts(column) for column in table.columns], names=table.column_names)


def _csv_read(body: bytes, types: dict[str, pa.DataType]) -> pa.Table:
    options = pacsv.ConvertOptions(
        column_types=types, null_values=list(CSV_NULLS), strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    return pacsv.read_csv(io.BytesIO(body), convert_options=options)


def _arrow(body: bytes, ignore: Collection[str]) -> pa.Table:
    return read_stream(body, ROWS_MAX)


def _json(body: bytes, ignore: Collection[str]) -> pa.Table:
    return _from_records(msgspec.json.decode(body), ignore)


def _ndjson(body: bytes, ignore: Collection[str]) -> pa.Table:
    return _from_records(msgspec.json.Decoder().decode_lines(body), ignore)


def _from_records(records: Any, ignore: Collection[str]) -> pa.Table:
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise InputRefused("the rows must be JSON objects of column names and values")
    names: dict[str, None] = {}
    for record in records:
        names.update(dict.fromkeys(record))
        if len(names) > COLUMNS_MAX:
            raise BodyTooLarge(f"the rows name more than {COLUMNS_MAX:,} columns")
    _check_size(len(records), len(names))
    kept = [name for name in names if name not in ignore]
    return pa.table({name: _from_values(name, [record.get(name) for record in records]) for name in kept})


def _from_values(name: str, values: list[Any]) -> pa.Array:
    if is_outcome(name) and (outcome := from_values(name, values)) is not None:
        return outcome
    kinds = {type(value) for value in values} - {type(None)}
    if kinds <= {int, float}:
        try:
            return pa.array([None if value is None else float(value) for value in values], pa.float64())
        except OverflowError:
            raise InputRefused(f"column {shown(name)} holds a number that is too large") from None
    if kinds <= {str, bool}:
        words = {True: "true", False: "false"}
        return pa.array([words[value] if isinstance(value, bool) else value for value in values], pa.string())
    if kinds == {list}:
        return lists_of_values(name, values)
    first = next((i for i, value in enumerate(values) if isinstance(value, list | dict)), None)
    told = f"row {first} holds {shown(values[first])}" if first is not None else "numbers and words are mixed"
    raise InputRefused(f"column {shown(name)}: {told}; a column is all numbers, all strings and booleans, or lists")


READERS: dict[str, Callable[[bytes, Collection[str]], pa.Table]] = {
    PARQUET: _parquet,
    **dict.fromkeys(_OLDER, _parquet),
    CSV: _csv,
    ARROW: _arrow,
    JSON: _json,
    **dict.fromkeys(NDJSON, _ndjson),
}
