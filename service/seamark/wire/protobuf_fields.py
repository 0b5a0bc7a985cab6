"""How much a large OTLP request in protobuf would become in memory, counted before anything parses it.

A message of two bytes takes a parser a hundred: 64 MiB of them would be gigabytes. Only the heads of fields are read
here; whether the rest makes sense is for the parser to say.
"""

from __future__ import annotations

from typing import Any

from seamark.core.errors import BodyTooLarge

LOOKED_AT_BYTES = 1024 * 1024  # a smaller body cannot become large enough to matter
FIELDS_MAX = 4_000_000
_WHOLE_BYTES = 64  # a message of no more is not looked into
_VARINT, _FIXED64, _LENGTH, _GROUP, _GROUP_END, _FIXED32 = range(6)

# Which fields of a message are messages, by number. What is not named has no parts of its own.
Shape = dict[int, Any]
_VALUE: Shape = {}
_PAIR: Shape = {2: _VALUE}
_VALUE.update({5: {1: _VALUE}, 6: {1: _PAIR}})
_RESOURCE: Shape = {1: _PAIR, 3: {}}
_SCOPE: Shape = {3: _PAIR}
_SPAN: Shape = {9: _PAIR, 11: {3: _PAIR}, 13: {4: _PAIR}}
_RECORD: Shape = {5: _VALUE, 6: _PAIR}
_EXEMPLAR: Shape = {7: _PAIR}
_NUMBER: Shape = {5: _EXEMPLAR, 7: _PAIR}
_HISTOGRAM: Shape = {8: _EXEMPLAR, 9: _PAIR}
_EXPONENTIAL: Shape = {1: _PAIR, 11: _EXEMPLAR}
_SUMMARY: Shape = {6: {}, 7: _PAIR}
_METRIC: Shape = {
    5: {1: _NUMBER},
    7: {1: _NUMBER},
    9: {1: _HISTOGRAM},
    10: {1: _EXPONENTIAL},
    11: {1: _SUMMARY},
    12: _PAIR,
}


def _request(item: Shape) -> Shape:
    return {1: {1: _RESOURCE, 2: {1: _SCOPE, 2: item}}}


SHAPES: dict[str, Shape] = {"traces": _request(_SPAN), "logs": _request(_RECORD), "metrics": _request(_METRIC)}


def check_fields(body: bytes, signal: str, fields_max: int = FIELDS_MAX) -> None:
    """BodyTooLarge where the request of `signal` ("traces", "logs", "metrics") has more than `fields_max` fields.

    A body that is no protobuf, or a short one, passes: the parser refuses it, or it does no harm.
    """
    if len(body) < LOOKED_AT_BYTES:
        return
    left = fields_max
    waiting = [(0, len(body), SHAPES[signal])]
    while waiting:
        at, end, shape = waiting.pop()
        while at < end:
            left -= 1
            tag, at = _varint(body, at, end)
            kind = tag & 7
            if kind == _LENGTH:
                length, at = _varint(body, at, end)
                inner = shape.get(tag >> 3)
                if inner and length > _WHOLE_BYTES:
                    waiting.append((at, min(at + length, end), inner))
                elif inner is not None:
                    left -= length // 8
                at += length
            elif kind == _VARINT:
                _, at = _varint(body, at, end)
            elif kind == _FIXED64:
                at += 8
            elif kind == _FIXED32:
                at += 4
            elif kind not in (_GROUP, _GROUP_END):
                return  # no protobuf
            if left < 0:
                raise BodyTooLarge(f"the request holds more than {fields_max:,} fields; send smaller batches")


def _varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    """Return the number at `at` and the place after it; the end of the message where it is cut off."""
    if at >= end:
        return 0, end
    byte = body[at]
    if byte < 0x80:
        return byte, at + 1
    value = shift = 0
    while at < end and shift < 70:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    return value, end
