"""An Arrow IPC stream from outside becomes a table, or records, without being believed: sizes are checked before use.

A stream can be small and claim to be vast: compressed buffers, columns of nulls without bytes, dictionaries of one
long text. So the messages are walked first (flatbuffer layout: Arrow's Message.fbs), and only plain types are read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from seamark.core.errors import BodyTooLarge, InputRefused
from seamark.wire.budget import check_rows
from seamark.wire.values import ROWS_MAX
from seamark.wire.vector_columns import is_vectors

_MESSAGES_MAX = 100_000
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3  # MessageHeader
_HEADER_TYPE, _HEADER = 1, 2  # slots of Message
_LENGTH, _COMPRESSION = 0, 3  # slots of RecordBatch
_DATA = 1  # slot of DictionaryBatch


def read_stream(body: bytes, rows_max: int) -> pa.Table:
    """Return the stream's rows as a validated table; InputRefused or BodyTooLarge say what is wrong with it."""
    with _damage_refused():
        _check_messages(body, rows_max)
        with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
            table = reader.read_all()
        table.validate(full=True)
        return table


def read_stream_records(body: bytes) -> list[dict[str, Any]]:
    """Return the stream's rows as records: `features`, `segment` and `scores` are structs or maps.

    A timestamp column (only `at` may be one) must carry a time zone.
    """
    return as_records(read_record_table(body))


def read_record_table(body: bytes) -> pa.Table:
    """Return the stream's rows as a table of columns that records may have. Errors as in read_stream()."""
    table = read_stream(body, ROWS_MAX)
    check_rows(table.num_rows, "records")
    with _damage_refused():
        names = table.column_names
        if len(set(names)) != len(names):
            raise InputRefused("two columns of the stream have one name")
        for name, column in zip(names, table.columns, strict=True):
            _check_column(name, column.type)
    return table


def as_records(table: pa.Table) -> list[dict[str, Any]]:
    """Return the rows of read_record_table() as dicts."""
    with _damage_refused():
        columns = [_values(name, table.column(name)) for name in table.column_names]
        return [dict(zip(table.column_names, values, strict=True)) for values in zip(*columns, strict=True)]


@contextmanager
def _damage_refused() -> Iterator[None]:
    """Whatever the library says of a damaged stream, also late (a column name that is no UTF-8), is a refusal."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, OverflowError, EOFError, struct.error) as error:
        raise InputRefused(f"the body is no Arrow IPC stream: {str(error)[:200]}") from None


def _check_column(name: str, kind: pa.DataType) -> None:
    if pa.types.is_timestamp(kind) and name == "at":
        if kind.tz is None:
            raise InputRefused("the column at has no time zone; make it a timestamp in UTC")
    elif pa.types.is_map(kind):
        _check_plain(name, kind.key_type)
        if not _may_be_vectors(name, kind.item_type):
            _check_plain(name, kind.item_type)
    elif pa.types.is_struct(kind):
        for field in kind:
            if not _may_be_vectors(name, field.type):
                _check_plain(f"{name}.{field.name}", field.type)
        if len({field.name for field in kind}) != kind.num_fields:
            raise InputRefused(f"two fields of the column {name[:100]!r} have one name")
    elif not pa.types.is_binary(kind):
        _check_plain(name, kind)


def _values(name: str, column: pa.ChunkedArray) -> list[Any]:
    if name == "at" and pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", tz="UTC"), safe=False)
    values: list[Any] = column.to_pylist()
    if pa.types.is_map(column.type):
        return [None if pairs is None else dict(pairs) for pairs in values]
    return values


def _may_be_vectors(name: str, kind: pa.DataType) -> bool:
    return name == "features" and is_vectors(kind)


def _check_plain(name: str, kind: pa.DataType) -> None:
    types = pa.types
    plain = (
        types.is_null,
        types.is_boolean,
        types.is_integer,
        types.is_floating,
        types.is_string,
        types.is_large_string,
    )
    if not any(is_kind(kind) for is_kind in plain):
        told = "numbers, strings and booleans are read, in columns, structs and maps; lists of numbers as features"
        raise InputRefused(f"the column {name[:100]!r} is of type {str(kind)[:100]}; {told}")


def _check_messages(body: bytes, rows_max: int) -> None:
    rows = 0
    for header_type, metadata, header in _headers(body):
        batch: int | None = header
        if header_type == _DICTIONARY_BATCH:
            field = _slot(metadata, header, _DATA)
            batch = None if field is None else _follow(metadata, field)
        if header_type not in (_DICTIONARY_BATCH, _RECORD_BATCH) or batch is None:
            continue
        if _slot(metadata, batch, _COMPRESSION) is not None:
            raise InputRefused("the Arrow stream is compressed inside; write it plain and send it with gzip")
        length = _slot(metadata, batch, _LENGTH)
        rows += 0 if length is None else struct.unpack_from("<q", metadata, length)[0]
        if rows > rows_max:
            raise BodyTooLarge(f"the stream holds more than {rows_max:,} rows; send smaller ones")


def _headers(body: bytes) -> Iterator[tuple[int, memoryview, int]]:
    """Yield (header type, metadata, position of the header in it) for every message of the stream."""
    reader = pa.ipc.MessageReader.open_stream(pa.py_buffer(body))
    for _ in range(_MESSAGES_MAX):
        try:
            message = reader.read_next_message()
        except StopIteration:
            return
        metadata = memoryview(message.metadata).cast("B")
        root = struct.unpack_from("<I", metadata, 0)[0]
        kind, header = _slot(metadata, root, _HEADER_TYPE), _slot(metadata, root, _HEADER)
        if kind is not None and header is not None:
            yield metadata[kind], metadata, _follow(metadata, header)
    raise BodyTooLarge(f"the stream has more than {_MESSAGES_MAX:,} batches; send fewer, larger ones")


def _slot(data: memoryview, table: int, slot: int) -> int | None:
    """Return where a field of a flatbuffer table lies, None where it is absent."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    if not 0 <= vtable < len(data):
        raise ValueError("a message of the stream is damaged")
    entry = 4 + 2 * slot
    if entry + 2 > struct.unpack_from("<H", data, vtable)[0]:
        return None
    offset: int = struct.unpack_from("<H", data, vtable + entry)[0]
    return table + offset if offset else None


def _follow(data: memoryview, position: int) -> int:
    """Return where the table lies that a field refers to."""
    return position + int(struct.unpack_from("<I", data, position)[0])
