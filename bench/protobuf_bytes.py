"""Keys and values -> the bytes OTLP's protobuf writes for them, faster than messages could be built and serialised."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache

ATTRIBUTE_OF_RESOURCE, ATTRIBUTE_OF_SPAN, ATTRIBUTE_OF_EVENT, ATTRIBUTE_OF_RECORD = 1, 9, 3, 6


def varint(number: int) -> bytes:
    """Return a number that is not negative as protobuf's varint."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, body: bytes) -> bytes:
    """Return a field of wire type 2: a message, a text or bytes."""
    return varint(number << 3 | 2) + varint(len(body)) + body


def key_value(key: str, value: str | int | float) -> bytes:
    """Return a KeyValue without the field it stands in."""
    if isinstance(value, str):
        held = field(1, value.encode())
    elif isinstance(value, int):
        held = b"\x18" + varint(value)
    else:
        held = b"\x21" + struct.pack("<d", value)
    return field(1, key.encode()) + field(2, held)


@lru_cache(maxsize=200_000)
def attribute(number: int, key: str, value: str | int | float) -> bytes:
    """Return a KeyValue as field `number`. Only for values that come again: the cache is what makes it fast."""
    return field(number, key_value(key, value))


def attributes(number: int, values: Mapping[str, str | int | float]) -> bytes:
    """Return several, in order."""
    return b"".join(attribute(number, key, value) for key, value in values.items())


class FreshText:
    """Writes an attribute whose value never comes again, and is shorter than about 60 characters."""

    def __init__(self, number: int, key: str) -> None:
        self._tag, self._key = varint(number << 3 | 2), field(1, key.encode())

    def __call__(self, value: bytes) -> bytes:
        n, k = len(value), len(self._key)
        return b"%b%c%b\x12%c\x0a%c%b" % (self._tag, k + n + 4, self._key, n + 2, n, value)


def fresh_double_prefix(number: int, key: str) -> bytes:
    """Return what stands before the eight bytes of a double that is an attribute's value."""
    return field(number, key_value(key, 0.0))[:-8]
