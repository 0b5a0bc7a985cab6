"""A column of vectors, a matrix of rows x dimension, becomes its profile: a bounded sample of the known ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seamark.compute.row_order import evenly, own_order

ROWS_MAX = 10_000
NUMBERS_MAX = 8_000_000  # 32 MB
_LARGEST = 1e15  # larger numbers count as this one: their squares still add up in single precision

Singles = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Vectors:
    """Vectors of one dimension, in single precision: at most 10,000, evenly taken from all that are known."""

    sample: Singles
    rows: int
    nulls: int = 0

    @property
    def dimension(self) -> int:
        return int(self.sample.shape[1])

    @property
    def nbytes(self) -> int:
        return self.sample.nbytes


def vectors(column: npt.NDArray[np.floating[Any]]) -> Vectors:
    """Return the profile of a matrix; a row with a NaN or an infinity is a null."""
    known = np.flatnonzero(np.isfinite(column).all(axis=1))
    most = min(ROWS_MAX, NUMBERS_MAX // max(column.shape[1], 1))
    chosen = evenly(known, most)
    sample = np.clip(column[chosen], -_LARGEST, _LARGEST).astype(np.float32)
    sample = sample[own_order(sample.T, len(sample))]
    return Vectors(sample, len(known), len(column) - len(known))
