"""Single values of a row, as people send them, become checked ones; what cannot be taken says why."""

from __future__ import annotations

import math
import re
import reprlib
from datetime import UTC, datetime, timedelta
from typing import Any

NAME_LENGTH_MAX = 256
CUT_NAME = "\u2026"  # the last character of a name that was longer
NAMELESS = "unknown_service"  # what OpenTelemetry calls a service that names itself nowhere
ROWS_MAX = 100_000  # in one request, whatever their kind

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
NANOS_MAX = 2**63 - 1  # 2262: every reader down the line can hold the instant, whatever its unit
_MICROS_MAX = NANOS_MAX // 1000
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
HEX = re.compile("[0-9a-fA-F]*")

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 60
_repr.maxdict = _repr.maxlist = _repr.maxtuple = 3
_repr.maxlevel = 2


class RowRefused(Exception):
    """One row cannot be taken; the message is the reason its sender reads. The rest of its request is not touched."""


def shown(value: object) -> str:
    """Return a value for an error message: short, whatever its size.

    >>> shown("a" * 1000)[:9], shown(2**200)
    ("'aaaaaaaa", 'a whole number of more than 64 bits')
    """
    if isinstance(value, int) and abs(value) >= 2**64:
        return "a whole number of more than 64 bits"
    return _UNPRINTABLE.sub("\ufffd", _repr.repr(value))


def clean_name(text: str) -> str:
    """Return `text` fit for a label: no control characters, no space around it, at most 256 characters.

    >>> len(clean_name("a" * 1000)), clean_name("a" * 1000)[-2:]
    (256, 'a…')
    """
    name = _UNPRINTABLE.sub("\ufffd", text[: NAME_LENGTH_MAX * 2].strip())
    return name if len(name) <= NAME_LENGTH_MAX else name[: NAME_LENGTH_MAX - 1] + CUT_NAME


def read_name(value: object, field: str) -> str:
    """Return a name that was asked for: a string of 1 to 256 characters."""
    if not isinstance(value, str) or not value.strip():
        raise RowRefused(f"{field}: {shown(value)} is no name; write a string that is not empty")
    if len(value) > NAME_LENGTH_MAX:
        raise RowRefused(f"{field}: {shown(value)} has {len(value)} characters; at most {NAME_LENGTH_MAX} are taken")
    return clean_name(value)


def read_key(value: object, field: str) -> str:
    """Return an id by which rows are joined: a string of 1 to 256 characters, or a whole number."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**64:
        return str(value)
    return read_name(value, field)


def read_number(value: object, field: str) -> float:
    """Return a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RowRefused(f"{field}: {shown(value)} is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise RowRefused(f"{field}: {shown(value)} is not a finite number; send null where it is not known")
    return number


def read_trace_id(value: object, field: str) -> bytes | None:
    """Return the 16 bytes of a trace id written in hex (or given as bytes); all zero means none."""
    raw = value if isinstance(value, bytes) else from_hex(value, field) if isinstance(value, str) else None
    if raw is None or len(raw) not in (0, 16):
        raise RowRefused(f"{field}: {shown(value)} is no trace id; write 32 hexadecimal digits")
    return raw if any(raw) else None


def from_hex(text: str, what: str) -> bytes:
    r"""Return the bytes of hex digits of either case.

    >>> from_hex("0aFF", "trace id")
    b'\n\xff'
    """
    if len(text) % 2 or not HEX.fullmatch(text):
        raise RowRefused(f"{what}: {shown(text)} is not hexadecimal")
    return bytes.fromhex(text)


def micros(at: datetime) -> int:
    """Return an aware instant as microseconds since 1970."""
    return (at - EPOCH) // _MICROSECOND


def read_instant_us(value: object, field: str) -> int:
    """Return the microseconds since 1970 of an RFC 3339 text, of epoch seconds, or of an aware datetime.

    >>> read_instant_us("2026-01-01T00:00:00+01:00", "at") == read_instant_us(1767222000, "at")
    True
    """
    us = _parse_instant_us(value, field)
    if not 0 < us <= _MICROS_MAX:
        hint = "; numbers are seconds since 1970" if isinstance(value, int | float) else ""
        raise RowRefused(f"{field}: {shown(value)} does not lie between 1970 and 2262{hint}")
    return us


def _parse_instant_us(value: Any, field: str) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return round(min(max(read_number(value, field), -1e18), 1e18) * 1_000_000)
    try:
        at = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        if at.tzinfo is None:
            raise RowRefused(f"{field}: {shown(value)} has no time zone; write it like 2026-01-31T12:00:00Z")
        return micros(at)
    except (TypeError, ValueError, OverflowError):
        raise RowRefused(f"{field}: {shown(value)} is no time; write it like 2026-01-31T12:00:00Z") from None
