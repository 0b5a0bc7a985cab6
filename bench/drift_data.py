"""A case and a seed -> the same reference and window in every process that asks: numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FEATURES = 10
SHIFTED = 2  # of FEATURES, in a window with a shift

Columns = dict[str, npt.NDArray[np.float64] | npt.NDArray[np.str_]]


@dataclass(frozen=True)
class Case:
    """Columns of one kind: how many rows the reference and the window have, and how many levels (0: numbers)."""

    name: str
    reference_rows: int
    rows: int
    levels: int = 0


CASES = (
    Case("numbers, 100 rows against 10,000", 10_000, 100),
    Case("numbers, 1,000 against 10,000", 10_000, 1_000),
    Case("numbers, 1,000 against 1,000", 1_000, 1_000),
    Case("8 levels, 1,000 against 1,000", 1_000, 1_000, levels=8),
    Case("100 levels, 1,000 against 1,000", 1_000, 1_000, levels=100),
)
LARGE = Case("20 columns of 100,000 rows", 100_000, 100_000)


def draw(case: Case, seed: int, *, shifted: bool, features: int = FEATURES) -> tuple[Columns, Columns]:
    """Return (reference, window), drawn anew for each seed.

    Numbers are normal; a shift moves the mean by half a standard deviation. Levels are Zipf-like (weight 1 / rank); a
    shift moves a fifth of the rows to the rarest half of the levels.
    """
    rng = np.random.default_rng([seed, case.rows, case.levels])
    reference = {f"f{n}": _column(case, rng, case.reference_rows, moved=False) for n in range(features)}
    window = {f"f{n}": _column(case, rng, case.rows, moved=shifted and n < SHIFTED) for n in range(features)}
    return reference, window


def _column(
    case: Case, rng: np.random.Generator, rows: int, *, moved: bool
) -> npt.NDArray[np.float64] | npt.NDArray[np.str_]:
    if not case.levels:
        return rng.normal(0.5 if moved else 0.0, 1.0, rows)
    weights = 1.0 / np.arange(1, case.levels + 1)
    if moved:
        weights = 0.8 * weights / weights.sum()
        weights[case.levels // 2 :] += 0.2 / (case.levels - case.levels // 2)
    levels = np.array([f"level{n}" for n in range(case.levels)])
    return rng.choice(levels, rows, p=weights / weights.sum())
