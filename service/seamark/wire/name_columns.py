"""Columns of names, ids and instants as people send them become checked ones, as values.py has them one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from seamark.wire.values import EPOCH, NAME_LENGTH_MAX, RowRefused, read_instant_us, read_name, read_trace_id

_TRACE_ID_BYTES = 16


def read_names(texts: pa.Array, *, empty_is_none: bool = False) -> pa.Array:
    """Return names that come again and again as read_name() has them, null where it refuses one or there is none."""
    if _plain(texts):
        return texts
    encoded = texts.dictionary_encode()
    names = [_read_name(name, empty_is_none) for name in encoded.dictionary.to_pylist()]
    return pa.array(names, pa.string()).take(encoded.indices)


def read_keys(texts: pa.Array) -> pa.Array:
    """Return ids as read_name() has them, null where it refuses one or there is none."""
    if _plain(texts):
        return texts
    return pa.array([_read_name(text, False) for text in texts.to_pylist()], pa.string())


def read_each(values: Sequence[Any], read: Callable[[Any], Any], kind: pa.DataType) -> tuple[pa.Array, list[int]]:
    """Return what `read` makes of each value (None stays None) and the places of those it refuses."""
    out: list[Any] = [None] * len(values)
    refused: list[int] = []
    for place, value in enumerate(values):
        if value is not None:
            try:
                out[place] = read(value)
            except RowRefused:
                refused.append(place)
    return pa.array(out, kind), refused


def read_instants(values: Sequence[Any]) -> tuple[pa.Array, list[int]]:
    """Return texts and numbers as microseconds since 1970, which may lie too far away, and the places of bad ones."""
    try:
        since = [datetime.fromisoformat(value) - EPOCH for value in values]
    except (TypeError, ValueError, OverflowError):  # TypeError: a number, None, or a text without time zone
        return read_each(values, lambda value: read_instant_us(value, "at"), pa.int64())
    return pa.array(since, pa.duration("us")).cast(pa.int64()), []


def read_trace_ids(values: Sequence[Any]) -> tuple[pa.Array, list[int]]:
    """Return trace ids in hex as bytes, null where there is none, and the places of bad ones."""
    known = [value for value in values if value is not None]
    if not known:
        return pa.nulls(len(values), pa.binary()), []
    if len(known) == len(values) and set(map(len, known)) == {2 * _TRACE_ID_BYTES}:
        try:
            raw = bytes.fromhex("".join(known))
        except ValueError:
            raw = b""
        if len(raw) == _TRACE_ID_BYTES * len(values):  # not: hex may hold spaces
            ids = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(values), [None, pa.py_buffer(raw)])
            return trace_ids(ids), []
    return read_each(values, lambda value: read_trace_id(value, "trace_id"), pa.binary())


def trace_ids(raw: pa.FixedSizeBinaryArray) -> pa.Array:
    """Return ids of 16 bytes each, without nulls, as binary; null where all bytes are zero."""
    size, buffer = len(raw), raw.buffers()[1]
    there = np.frombuffer(buffer, np.uint64).reshape(-1, 2)[raw.offset : raw.offset + size].any(axis=1)
    ids = raw.cast(pa.binary())
    return ids if there.all() else ids.filter(pa.array(there)).take(pa.array(np.cumsum(there) - 1, mask=~there))


def _plain(texts: pa.Array) -> bool:
    """Whether each text that is there is of 1 to 256 printable ASCII characters and no space: surely a clean name."""
    known = texts.drop_null() if texts.null_count else texts
    if not len(known):
        return True
    _, offsets, data = known.buffers()
    starts = np.frombuffer(offsets, np.int32)[known.offset : known.offset + len(known) + 1]
    lengths = np.diff(starts)
    letters = np.frombuffer(data or b"", np.uint8)[starts[0] : starts[-1]]
    if not 0 < lengths.min() <= lengths.max() <= NAME_LENGTH_MAX:
        return False
    return bool(letters.min() > ord(" ") and letters.max() < 0x7F)


def _read_name(text: str | None, empty_is_none: bool) -> str | None:
    if text is None or (empty_is_none and not text):
        return "" if text is not None else None
    try:
        return read_name(text, "")
    except RowRefused:
        return None
