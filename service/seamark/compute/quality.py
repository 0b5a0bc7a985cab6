"""A window's columns and their reference -> nulls, values out of range and categories never seen before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from seamark.core.findings import FeatureQuality

Column = npt.NDArray[Any]

NEW_CATEGORIES_SHOWN = 10


def assess(
    current: Mapping[str, Column], reference: Mapping[str, Column], kinds: Mapping[str, str]
) -> list[FeatureQuality]:
    """Return one finding per feature of the window, by name.

    Numeric columns are float64 with NaN for null, categorical ones objects with None for null. Ratios are of all rows
    of the column (nulls) or of the values that are there (range, categories); without rows or values they are None.
    """
    return [_feature(name, kinds[name], current[name], reference.get(name)) for name in sorted(current)]


def _feature(name: str, kind: str, values: Column, reference: Column | None) -> FeatureQuality:
    null = np.isnan(values) if kind == "numeric" else np.array([value is None for value in values], dtype=bool)
    present = values[~null]
    rows = len(values)
    out_of_range: float | None = None
    new_ratio: float | None = None
    new: tuple[str, ...] = ()
    if reference is not None and len(present):
        if kind == "numeric":
            out_of_range = _out_of_range(present, reference)
        else:
            new_ratio, new = _new_categories(present, reference)
    return FeatureQuality(
        feature=name,
        kind=kind,
        rows=rows,
        null_ratio=float(null.mean()) if rows else None,
        out_of_range_ratio=out_of_range,
        new_category_ratio=new_ratio,
        new_categories=new,
    )


def _out_of_range(present: Column, reference: Column) -> float | None:
    known = reference[np.isfinite(reference)]
    if not len(known):
        return None
    return float(((present < known.min()) | (present > known.max())).mean())


def _new_categories(present: Column, reference: Column) -> tuple[float | None, tuple[str, ...]]:
    known = {value for value in reference if value is not None}
    if not known:
        return None, ()
    levels = Counter(str(value) for value in present.tolist())
    fresh = [(count, level) for level, count in levels.items() if level not in known]
    fresh.sort(key=lambda pair: (-pair[0], pair[1]))
    total = sum(count for count, _ in fresh)
    return total / len(present), tuple(level for _, level in fresh[:NEW_CATEGORIES_SHOWN])
