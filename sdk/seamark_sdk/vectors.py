"""Features that are lists of numbers, beside single ones, become the JSON text that OTLP carries best."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from seamark_sdk.records import DIMENSION_MAX, ENTRIES_MAX, NAME_LENGTH_MAX, Cuts, Scalar, clean_map, clean_name


def clean_features(features: Mapping[Any, Any], cuts: Cuts) -> dict[str, Scalar] | str:
    """Return features as a map of single values, or, where a list of numbers is among them, as the text of one.

    A list, a tuple or a one-dimensional array of 1 to 4,096 numbers is a vector; one with a number that is not known is
    null as a whole. What is neither a single value nor a vector is noted in `cuts`.
    """
    vectors: dict[str, list[float] | None] = {}
    singles: dict[Any, Any] = {}
    for key, value in features.items():
        found = _vector(value)
        name = clean_name(key)
        if found is None:
            singles[key] = value
        elif 0 < len(name) <= NAME_LENGTH_MAX and len(vectors) < ENTRIES_MAX:
            vectors[name] = found if all(map(math.isfinite, found)) else None
        else:
            cuts.left_out.append(name[:NAME_LENGTH_MAX])
    cleaned = clean_map(singles, cuts)
    if not vectors:
        return cleaned
    return json.dumps({**cleaned, **vectors}, ensure_ascii=False, separators=(",", ":"))


def _vector(value: Any) -> list[float] | None:
    """Return a value as a vector, None where it is none."""
    values = value
    if not isinstance(value, list | tuple):
        if getattr(value, "ndim", None) != 1:
            return None
        try:
            values = value.tolist()
        except Exception:  # noqa: BLE001 - foreign code may raise what it likes
            return None
        if isinstance(values, list) and len(values) == 1:  # an array of one element is its one value
            return None
    if not isinstance(values, list | tuple) or not 0 < len(values) <= DIMENSION_MAX:
        return None
    try:
        if any(isinstance(item, str | bytes | bool) for item in values):
            return None
        return [math.nan if item is None else float(item) for item in values]
    except (TypeError, ValueError, OverflowError):
        return None
