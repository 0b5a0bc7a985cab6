"""Rows in whatever order they were read become rows in an order of their own, so that the order tells nowhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def evenly(places: Ints, most: int) -> Ints:
    """Return at most so many of the places, evenly spaced."""
    if len(places) <= most:
        return places
    return places[np.linspace(0, len(places) - 1, most).astype(np.int64)]


def own_order(columns: Iterable[npt.NDArray[Any]], rows: int) -> Ints:
    """Return the places of the rows sorted by a hash of their values: each column's bits times an odd number, added up.

    Rows of one hash are as good as always the same row, and then their order does not matter.
    """
    multipliers = np.random.default_rng(0)
    keys = np.zeros(rows, dtype=np.uint64)
    for column in columns:
        bits = np.ascontiguousarray(column).view(f"u{column.dtype.itemsize}").astype(np.uint64)
        mixed = (bits ^ (bits >> np.uint64(29))) * np.uint64(int(multipliers.integers(2**62)) * 2 + 1)
        keys += mixed ^ (mixed >> np.uint64(32))
    return np.argsort(keys, kind="stable")
