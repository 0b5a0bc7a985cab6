"""A payload file - JSON lines, JSON, CSV or Parquet - becomes rows, and the answers expected of them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from seamark.core.errors import Invalid
from seamark.wire.values import shown

FILE_BYTES_MAX = 64 * 1024 * 1024
ROWS_MAX = 100_000
VALUES_BYTES_MAX = 256 * 1024 * 1024  # of a Parquet file once unfolded
EXPECTED = "expected"  # what the model answers to a row; it is not sent

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def name_fault(name: object) -> str:
    """Return what keeps `name` from being a payload file's, "" for nothing: a plain name, no path, a known ending."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return "is no file name; write 1 to 100 letters, digits, '.', '_' or '-', without a folder"
    if name.rpartition(".")[2] not in READERS:
        return f"does not end in one of {', '.join(f'.{ending}' for ending in READERS)}"
    return ""


def read_payload_file(body: bytes, name: str) -> tuple[list[dict[str, Any]], list[Any]]:
    """Return the rows of a file and, in the same order, what each has as `expected` (None: nothing).

    Invalid says which line, or row, cannot be taken and why.
    """
    if len(body) > FILE_BYTES_MAX:
        raise Invalid(f"payload file {name} has more than {FILE_BYTES_MAX // 1024 // 1024} MiB; send a sample")
    try:
        rows = _checked(READERS[name.rpartition(".")[2]](body, name), name)
    except (pa.ArrowException, OSError, EOFError, msgspec.DecodeError, UnicodeError, csv.Error) as error:
        raise Invalid(f"payload file {name} cannot be read: {str(error)[:300]}") from None
    if not rows:
        raise Invalid(f"payload file {name} has no rows")
    return rows, [row.pop(EXPECTED, None) for row in rows]


def _checked(rows: Iterable[tuple[str, Any]], name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for place, row in rows:
        if not isinstance(row, dict):
            raise Invalid(f"payload file {name}, {place}: {shown(row)} is not an object of names and values")
        if len(found) >= ROWS_MAX:
            raise Invalid(f"payload file {name} has more than {ROWS_MAX:,} rows; send a sample")
        found.append(row)
    return found


def _json_lines(body: bytes, name: str) -> Iterator[tuple[str, Any]]:
    decoder = msgspec.json.Decoder()
    for number, line in enumerate(body.split(b"\n"), 1):
        if line.strip():
            try:
                yield f"line {number}", decoder.decode(line)
            except (msgspec.DecodeError, RecursionError) as error:
                raise Invalid(f"payload file {name}, line {number}: {str(error)[:200]}") from None


def _json(body: bytes, name: str) -> Iterator[tuple[str, Any]]:
    try:
        found = msgspec.json.decode(body)
    except RecursionError:
        raise Invalid(f"payload file {name} is nested too deeply") from None
    if not isinstance(found, list):
        raise Invalid(f"payload file {name} is not a list of rows, but {shown(found)}")
    return ((f"row {index}", row) for index, row in enumerate(found, 1))


def _csv(body: bytes, name: str) -> Iterator[tuple[str, Any]]:
    """Cells that are written as numbers are numbers, true and false flags, empty ones null, all others text."""
    reader = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
    heads = next(reader, [])
    if len(set(heads)) < len(heads) or not all(heads):
        raise Invalid(f"payload file {name}, line 1: every column needs a name, each another one")
    for cells in reader:
        if not cells:
            continue
        if len(cells) != len(heads):
            told = f"{len(cells)} cells under {len(heads)} column names"
            raise Invalid(f"payload file {name}, line {reader.line_num}: {told}")
        yield f"line {reader.line_num}", dict(zip(heads, map(_cell, cells), strict=True))


_WORDS: dict[str, Any] = {"": None, "true": True, "false": False}
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")


def _cell(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):  # not 007 and 0123: those are names
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _parquet(body: bytes, name: str) -> Iterator[tuple[str, Any]]:
    with pq.ParquetFile(pa.py_buffer(body)) as file:
        if file.metadata.num_rows > ROWS_MAX:
            raise Invalid(f"payload file {name} has more than {ROWS_MAX:,} rows; send a sample")
        number, unfolded = 0, 0
        for batch in file.iter_batches(batch_size=256):
            unfolded += batch.nbytes
            if unfolded > VALUES_BYTES_MAX:
                raise Invalid(f"payload file {name} holds more than {VALUES_BYTES_MAX // 1024 // 1024} MiB of values")
            for row in batch.to_pylist():
                number += 1
                yield f"row {number}", row


READERS: Mapping[str, Callable[[bytes, str], Iterable[tuple[str, Any]]]] = {
    "jsonl": _json_lines,
    "json": _json,
    "csv": _csv,
    "parquet": _parquet,
}
