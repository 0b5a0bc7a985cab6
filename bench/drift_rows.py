"""A seed -> the same rows of numbers and texts in every process that asks: numpy only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LEVELS = (2, 3, 5, 8, 8, 12, 20, 50, 100, 1000)
NUMERIC, CATEGORICAL = 20, len(LEVELS)


def numbers(seed: int, rows: int, columns: int = NUMERIC) -> npt.NDArray[np.float64]:
    """Return rows x columns, in turn normal, lognormal, mostly zero, and counts."""
    rng = np.random.default_rng([seed, rows, 0])
    made = rng.normal(size=(rows, columns))
    made[:, 1::4] = np.exp(made[:, 1::4])
    made[:, 2::4] = np.maximum(made[:, 2::4] - 0.5, 0.0)
    made[:, 3::4] = np.floor(10 * np.exp(made[:, 3::4] / 2))
    return made


def codes(seed: int, rows: int, columns: int = CATEGORICAL) -> npt.NDArray[np.int64]:
    """Return rows x columns of levels: column c has LEVELS[c % 10] of them, whose shares fall as 1 / rank."""
    rng = np.random.default_rng([seed, rows, 1])
    made = np.empty((rows, columns), dtype=np.int64)
    for column in range(columns):
        weights = np.cumsum(1.0 / np.arange(1, LEVELS[column % len(LEVELS)] + 1))
        made[:, column] = np.searchsorted(weights / weights[-1], rng.random(rows))
    return made


def texts() -> list[str]:
    """Return the text of each code."""
    return [f"level {code}" for code in range(max(LEVELS))]
