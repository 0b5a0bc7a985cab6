"""Segments that are asked for, as labels and values, become a condition whose every value is bound."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

from seamark.store.span_conditions import pointer

Segments = Sequence[tuple[str, str]]


def segment_condition(segments: Segments, column: str = "segment") -> tuple[str, dict[str, Any]]:
    """Return (condition, its parameters): every label has its value. No segments: ("true", {}).

    `column` names a column of JSON objects and must not come from outside. Values are compared as text: true and false
    are `true` and `false`; a number is matched by any way of writing it, so `1` finds 1 and 1.0. A row without the
    label, or with null in it, does not match. Names and values may hold any character.
    """
    conditions: list[str] = []
    parameters: dict[str, Any] = {}
    for index, (label, value) in enumerate(segments):
        place = f"$segment_place_{index}"
        parameters |= {f"segment_place_{index}": pointer(label), f"segment_value_{index}": value}
        said = f"json_extract_string({column}, {place})"
        same = f"{said} = $segment_value_{index}"
        number = _number(value)
        if number is not None:
            parameters[f"segment_number_{index}"] = number
            kind = f"json_type({column}, {place}) IN ('BIGINT', 'UBIGINT', 'DOUBLE')"
            same = f"({same} OR ({kind} AND TRY_CAST({said} AS DOUBLE) = $segment_number_{index}))"
        conditions.append(same)
    return " AND ".join(conditions) or "true", parameters


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) and "_" not in text else None
