"""A column's name, a number of rows and a seed -> the same rows in every process that asks: numpy only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[Any]  # float64 of numbers, NaN for null; of texts the places in LEVELS
Draw = Callable[[np.random.Generator, int], Column]
Move = Callable[[np.random.Generator, int, float], Column]

LEVELS = np.array([f"level {n}" for n in range(1_001)])
MISSING = 0.02  # share of nulls where nothing moved
WINDOWS_PER_REFERENCE = 10


@dataclass(frozen=True)
class Case:
    """One way in which a column moves: `move(rng, rows, size)` draws it; `size` by the window's rows."""

    name: str
    column: str
    move: Move
    sizes: Mapping[int, float]
    told: str  # what size is, with {} for it


def zipf(levels: int) -> npt.NDArray[np.float64]:
    """Return shares that fall with the rank: 1, 1/2, 1/3, ..."""
    weights = 1.0 / np.arange(1, levels + 1)
    shares: npt.NDArray[np.float64] = weights / weights.sum()
    return shares


def _levels(shares: npt.NDArray[np.float64]) -> Draw:
    ends = shares.cumsum()[:-1]
    return lambda rng, rows: ends.searchsorted(rng.random(rows), side="right")


def _normal(rng: np.random.Generator, rows: int) -> Column:
    return rng.normal(size=rows)


def _lognormal(rng: np.random.Generator, rows: int) -> Column:
    return rng.lognormal(size=rows)


def _zero_inflated(rng: np.random.Generator, rows: int, zeros: float = 0.6) -> Column:
    return np.where(rng.random(rows) < zeros, 0.0, rng.lognormal(size=rows))


def _counts(rng: np.random.Generator, rows: int) -> Column:
    return rng.poisson(3.0, rows).astype(np.float64)


def _with_nulls(rng: np.random.Generator, rows: int, missing: float = MISSING) -> Column:
    return np.where(rng.random(rows) < missing, np.nan, rng.normal(size=rows))


COLUMNS: dict[str, Draw] = {
    "normal": _normal,
    "lognormal": _lognormal,
    "zero-inflated": _zero_inflated,
    "heavy ties": _counts,
    "8 levels": _levels(zipf(8)),
    "100 levels": _levels(zipf(100)),
    "1,000 levels": _levels(zipf(1_000)),
    "binary": _levels(np.array([0.9, 0.1])),
}
# Columns of cases alone: a model that is watched for false alarms does not have them.
MORE: dict[str, Draw] = {"normal with nulls": _with_nulls}


def kind(column: str) -> str:
    """Return "numeric" or "categorical"."""
    return "categorical" if "levels" in column or column == "binary" else "numeric"


def _some(column: str, moved: Callable[[np.random.Generator, Column], Column]) -> Move:
    """Move a share of the rows, each by `moved`."""

    def move(rng: np.random.Generator, rows: int, share: float) -> Column:
        drawn = COLUMNS[column](rng, rows)
        return np.where(rng.random(rows) < share, moved(rng, drawn), drawn)

    return move


def _to_rarer_half(rng: np.random.Generator, drawn: Column) -> Column:
    return rng.integers(4, 8, len(drawn))


# Chosen before anything was measured; sizes so that a good answer finds most of it and a poor one little.
CASES = (
    Case("mean shift", "normal", lambda rng, rows, by: rng.normal(by, 1, rows), {300: 0.25, 3_000: 0.09}, "by {} sd"),
    Case("wider spread", "normal", lambda rng, rows, by: rng.normal(0, by, rows), {300: 1.2, 3_000: 1.07}, "x {}"),
    Case(
        "a rare category grows",
        "100 levels",
        _some("100 levels", lambda rng, drawn: np.full_like(drawn, 60)),
        {300: 0.03, 3_000: 0.009},
        "by {} of the rows",
    ),
    Case(
        "a new category",
        "100 levels",
        _some("100 levels", lambda rng, drawn: np.full_like(drawn, 1_000)),
        {300: 0.012, 3_000: 0.0025},
        "{} of the rows",
    ),
    Case("more is missing", "normal with nulls", _with_nulls, {300: 0.06, 3_000: 0.032}, f"{MISSING} to {{}}"),
    Case(
        "a heavy tail grows",
        "lognormal",
        lambda rng, rows, by: rng.lognormal(by, 1, rows),
        {300: 0.25, 3_000: 0.09},
        "x exp({})",
    ),
    Case("more zeros", "zero-inflated", _zero_inflated, {300: 0.72, 3_000: 0.645}, "0.6 to {}"),
    Case(
        "some rows in another unit",
        "lognormal",
        _some("lognormal", lambda rng, drawn: drawn * 100),
        {300: 0.02, 3_000: 0.004},
        "{} of the rows x 100",
    ),
    Case(
        "cut off at the top",
        "normal",
        lambda rng, rows, at: np.minimum(rng.normal(size=rows), at),
        {300: 2.0, 3_000: 2.9},
        "at {} sd",
    ),
    Case(
        "rows move to rarer levels",
        "8 levels",
        _some("8 levels", _to_rarer_half),
        {300: 0.15, 3_000: 0.05},
        "{} of the rows",
    ),
)


def reference(column: str, rows: int, seed: int) -> Column:
    """Return a reference's column; the same seed gives other rows than in a window."""
    return _drawing(column)(_rng(1, column, rows, rows, seed), rows)


def window(column: str, reference_rows: int, rows: int, seed: int) -> Column:
    """Return a window's column in which nothing moved."""
    return _drawing(column)(_rng(2, column, reference_rows, rows, seed), rows)


def moved(case: Case, rows: int, size: float, seed: int) -> Column:
    """Return a window's column in which the case happened."""
    return case.move(_rng(3, case.name, rows, round(size * 1e6), seed), rows, size)


def _drawing(column: str) -> Draw:
    return COLUMNS.get(column) or MORE[column]


def _rng(use: int, name: str, first: int, second: int, seed: int) -> np.random.Generator:
    return np.random.default_rng([use, *name.encode(), first, second, seed])
