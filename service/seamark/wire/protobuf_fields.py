"""How much a large OTLP request in protobuf would become in memory, counted before anything parses it.

A message of two bytes takes a parser a hundred: 64 MiB of them would be gigabytes. Only the heads of fields are read
here; whether the rest makes sense is for the parser to say.
"""

from __future__ import annotations

from typing import Any

from seamark.core.errors import BodyTooLarge
from seamark.wire.values import ROWS_MAX

LOOKED_AT_BYTES = 1024 * 1024  # a smaller body cannot become large enough to matter
FIELDS_MAX = 4_000_000  # read here, one by one
MESSAGES_MAX = 2 * FIELDS_MAX  # those inside small attributes, which are only counted, included
_HARMLESS = 1_500_000  # messages; a body that cannot hold more is not walked through
_GROUPS_MAX = 3 * ROWS_MAX  # of resources, of what they hold, and of what that holds
_WHOLE_BYTES = 64  # an attribute of no more is not looked into
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
    if len(body) < LOOKED_AT_BYTES or _most_messages(body) <= _HARMLESS * fields_max // FIELDS_MAX:
        return
    fields, messages, groups = fields_max, MESSAGES_MAX * fields_max // FIELDS_MAX, [_GROUPS_MAX] * 3
    waiting = [(0, len(body), SHAPES[signal], 0)]
    while waiting:
        at, end, shape, depth = waiting.pop()
        while at < end:
            fields -= 1
            tag, at = _varint(body, at, end)
            kind = tag & 7
            if kind == _LENGTH:
                length, at = _varint(body, at, end)
                inner = shape.get(tag >> 3)
                if inner is _PAIR or inner is _VALUE:
                    # Of what may lie in there, every part begins with this byte; text hardly ever holds it.
                    messages -= body.count(b"\n", at, at + length) if length <= _WHOLE_BYTES else 1
                elif inner is not None:
                    messages -= 1 + (0 if inner else length // 8)
                if inner and (length > _WHOLE_BYTES or (inner is not _PAIR and inner is not _VALUE)):
                    waiting.append((at, min(at + length, end), inner, depth + 1))
                if depth < len(groups):
                    groups[depth] -= 1
                at += length
            elif kind == _VARINT:
                _, at = _varint(body, at, end)
            elif kind == _FIXED64:
                at += 8
            elif kind == _FIXED32:
                at += 4
            elif kind not in (_GROUP, _GROUP_END):
                return  # no protobuf
            if fields < 0 or messages < 0 or (depth < len(groups) and groups[depth] < 0):
                raise BodyTooLarge(
                    f"the request holds too many fields (more than {fields_max:,}); send smaller batches"
                )


def _most_messages(body: bytes) -> int:
    """Return a number that the body's messages do not exceed: a short one has its length among these bytes."""
    short = len(body) - len(body.translate(None, b"\0\1\2\3\4"))
    return short + len(body) // 7


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
