"""Features of both versions' inputs -> more nulls, values out of range or new categories on the candidate's side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from seamark.compute.columns import FloatArray, IntArray
from seamark.compute.release.blocks import Evidence
from seamark.compute.release.shares import compare_shares

Column = npt.NDArray[Any]

_OUTER = 0.005  # of the baseline's values on either end lie outside its range


def compare_features(
    side: IntArray,
    block: IntArray,
    blocks: int,
    columns: Mapping[str, Column],
    tolerances: Mapping[str, float | None],
) -> dict[str, dict[str | None, Evidence]]:
    """Return {measure: {feature: evidence}}; arrays aligned by row, numbers with NaN and texts with None for null.

    Both sides are held to the baseline, and so that without a change both ratios are alike, however few rows there
    are: the range is that of the baseline's middle 99 %, of which the baseline itself has up to 1 % outside, and a
    category of the baseline is new in the one row that brought it, where no other row has it (Good, 1953).
    """
    found: dict[str, dict[str | None, Evidence]] = {
        name: {} for name in ("null_ratio", "out_of_range_ratio", "new_category_ratio")
    }
    for name in sorted(columns):
        column = columns[name]
        numeric = column.dtype.kind == "f"
        null = ~np.isfinite(column) if numeric else np.array([value is None for value in column], dtype=bool)
        measured = {"null_ratio": (null, np.ones(len(column), dtype=bool))}
        baseline = column[~null & (side == 0)]
        if len(baseline):
            kind = "out_of_range_ratio" if numeric else "new_category_ratio"
            measured[kind] = (_outside(column, baseline) if numeric else _new(column, side, null), ~null)
        for measure, (hits, rows) in measured.items():
            tolerance = tolerances.get(measure)
            if tolerance is not None:
                of = hits[rows].astype(np.float64)
                found[measure][name] = compare_shares(side[rows], block[rows], blocks, of, tolerance)
    return {measure: features for measure, features in found.items() if features}


def _outside(column: FloatArray, baseline: FloatArray) -> npt.NDArray[np.bool_]:
    low, high = np.quantile(baseline, [_OUTER, 1 - _OUTER])
    outside: npt.NDArray[np.bool_] = (column < low) | (column > high)
    return outside


def _new(column: Column, side: IntArray, null: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Whether no other row of the baseline has the row's category."""
    codes: dict[str, int] = {}
    code = np.array([codes.setdefault(str(value), len(codes)) for value in column.tolist()], dtype=np.int64)
    others = np.bincount(code[~null & (side == 0)], minlength=len(codes))[code] - (side == 0)
    new: npt.NDArray[np.bool_] = (others <= 0) & ~null
    return new
