"""Ended requests of a load generator <-> chunks of columns: what a samples file is made of, and what workers send.

A chunk is a length of four bytes and a msgpack map of raw columns, so that a file which a kill cut off gives all its
whole chunks, and a generator that sends thousands a second spends microseconds on each. Arrow is left to the reader:
importing it costs a second in which nothing could be sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

CHUNK_BYTES_MAX = 64 * 1024 * 1024
ERROR_LENGTH_MAX = 300
_LENGTH_BYTES = 4
_UNKNOWN = -1


class LoadRow(NamedTuple):
    """One ended request, as core/records.py's LOAD_SAMPLES describes it; one without `sent_s` was never sent."""

    segment: int
    due_s: float
    sent_s: float | None
    latency_ms: float | None
    service_latency_ms: float | None
    http_status: int | None
    ok: bool
    error: str | None
    number: int | None = None
    first_token_ms: float | None = None
    time_per_token_ms: float | None = None
    tokens: int | None = None
    answer_matches: bool | None = None


Columns = Mapping[str, npt.NDArray[Any]]

_INTEGERS = {"segment": "<i4", "http_status": "<i2", "number": "<i4", "tokens": "<i4"}
_FLAGS = ("ok", "answer_matches")
_SECONDS = ("due_s", "sent_s")
_MILLISECONDS = ("latency_ms", "service_latency_ms", "first_token_ms", "time_per_token_ms")


def encode(rows: Sequence[LoadRow]) -> bytes:
    """Return rows as one chunk; microseconds are kept."""
    columns = dict(zip(LoadRow._fields, zip(*rows, strict=True), strict=True)) if rows else {}
    if not columns:
        return b""
    texts = columns.pop("error")
    errors = {text: code for code, text in enumerate(dict.fromkeys(t for t in texts if t is not None))}
    document: dict[str, Any] = {
        "rows": len(rows),
        "errors": [" ".join(text.split())[:ERROR_LENGTH_MAX].encode("utf-8", "replace").decode() for text in errors],
        "error": _whole([_UNKNOWN if text is None else errors[text] for text in texts], "<i4"),
    }
    for name, form in _INTEGERS.items():
        document[name] = _whole(columns[name], form)
    for name in _FLAGS:
        document[name] = _whole(columns[name], "<i1")
    for name, digits in (*((name, 6) for name in _SECONDS), *((name, 3) for name in _MILLISECONDS)):
        # None becomes NaN.
        document[name] = np.round(np.array(columns[name], dtype="<f8"), digits).tobytes()
    body = msgspec.msgpack.encode(document)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


def decode(data: bytes) -> Iterator[tuple[Columns, Sequence[str]]]:
    """Give the columns of each whole chunk and the texts that its `error` column counts through; -1 is unknown.

    Floats are NaN where unknown. What follows the last whole chunk is left out.
    """
    start = 0
    while start + _LENGTH_BYTES <= len(data):
        length = int.from_bytes(data[start : start + _LENGTH_BYTES], "big")
        start += _LENGTH_BYTES
        if length > CHUNK_BYTES_MAX or start + length > len(data):
            return
        document = msgspec.msgpack.decode(data[start : start + length], type=dict[str, Any])
        start += length
        columns = {
            **{name: np.frombuffer(document[name], form) for name, form in (*_INTEGERS.items(), ("error", "<i4"))},
            **{name: np.frombuffer(document[name], "<i1") for name in _FLAGS},
            **{name: np.frombuffer(document[name], "<f8") for name in (*_SECONDS, *_MILLISECONDS)},
        }
        yield columns, document["errors"]


def _whole(values: Sequence[int | bool | None], form: str) -> bytes:
    return np.array([_UNKNOWN if value is None else value for value in values], dtype=form).tobytes()
