"""A feature that is a list of numbers, as people send it, becomes a vector of floats, or the reason why it cannot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from seamark.wire.values import RowRefused, shown

DIMENSION_MAX = 4_096
VECTOR_NUMBERS_MAX = 16_384  # of all vectors of one record: what is read at once is bounded by rows x numbers

_PART = "send null for the whole vector where a part of it is not known"


def read_vector(values: Sequence[Any], field: str) -> list[float]:
    """Return 1 to DIMENSION_MAX finite numbers as floats; RowRefused names the first that is none."""
    fault = dimension_fault(len(values))
    if fault:
        raise RowRefused(f"{field}: {fault}")
    for place, value in enumerate(values):
        if type(value) is not float and type(value) is not int:
            raise RowRefused(f"{field}[{place}]: {shown(value)} is not a number; {_PART}")
    try:
        numbers = list(map(float, values))
    except OverflowError:
        numbers = [math.inf if abs(value) >= 2**64 else float(value) for value in values]
    if not all(map(math.isfinite, numbers)):
        place = next(place for place, number in enumerate(numbers) if not math.isfinite(number))
        raise RowRefused(f"{field}[{place}]: {shown(values[place])} is not a finite number; {_PART}")
    return numbers


def dimension_fault(dimension: int) -> str:
    """Return what is wrong with a list of so many numbers, "" for nothing."""
    if not dimension:
        return "the list is empty; send null where the vector is not known"
    return f"a list of {dimension:,} values; at most {DIMENSION_MAX:,} are taken" if dimension > DIMENSION_MAX else ""
