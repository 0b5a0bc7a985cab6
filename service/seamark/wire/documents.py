"""A body of JSON, NDJSON or an Arrow IPC stream becomes a list of records, none of them checked yet."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import msgspec

from seamark.core.errors import BodyTooLarge, InputRefused, WrongMediaType
from seamark.wire.arrow_stream import read_stream_records
from seamark.wire.budget import check_rows
from seamark.wire.values import ROWS_MAX

JSON = "application/json"
NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")
ARROW = "application/vnd.apache.arrow.stream"
MEDIA_TYPES = (JSON, NDJSON[0], ARROW)

_BLANK_LINES_MAX = 1_000_000


@dataclass(frozen=True)
class Broken:
    """A record that could not be read; `reason` says why."""

    reason: str


def read_records(body: bytes, media_type: str) -> list[Any]:
    """Return the records of a body. A broken NDJSON line is a Broken in its place; other bodies stand or fall whole.

    `media_type` comes without parameters, in lower case; "" means JSON. InputRefused, WrongMediaType, BodyTooLarge.
    """
    if media_type in ("", JSON):
        return _json(body)
    if media_type in NDJSON:
        return _lines(body)
    if media_type == ARROW:
        return read_stream_records(body)
    raise WrongMediaType(f"{media_type[:100]!r} is not read here; send {', '.join(MEDIA_TYPES)}")


def parse_json(text: bytes | str) -> Any:
    """Return what JSON text says; InputRefused where it is none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InputRefused(f"the text is no JSON: {str(error)[:300]}") from None
    except RecursionError:
        raise InputRefused("the JSON is nested too deep") from None


def _json(body: bytes) -> list[Any]:
    found = parse_json(body)
    records = [found] if isinstance(found, dict) else found
    if not isinstance(records, list):
        raise InputRefused("the body must be a JSON array of records, or one record")
    check_rows(len(records), "records")
    return records


def _lines(body: bytes) -> list[Any]:
    check_lines(body)
    records = [read_line(line) for line in BytesIO(body) if line.strip()]
    check_rows(len(records), "records")
    return records


def check_lines(body: bytes) -> None:
    """Refuse a body of so many lines that walking them is work for nothing."""
    if body.count(b"\n") > _BLANK_LINES_MAX:
        raise BodyTooLarge(f"the body has more than {_BLANK_LINES_MAX:,} lines; at most {ROWS_MAX:,} records are taken")


def read_line(line: bytes) -> Any:
    """Return the record of an NDJSON line, Broken where it is no JSON."""
    try:
        return parse_json(line)
    except InputRefused as refused:
        return Broken(refused.message)
