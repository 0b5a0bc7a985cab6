"""What a drift method is: one number for how far a window lies from its reference, and how to judge that number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

# Numeric columns are float64 without NaN; categorical columns are arrays of str. Nulls are removed before.
Column = npt.NDArray[Any]


@dataclass(frozen=True)
class NullDistribution:
    """How the score behaves when nothing moved, for these rows: p_value(score) and its inverse score_at(p)."""

    p_value: Callable[[float], float]
    score_at: Callable[[float], float]


@dataclass(frozen=True)
class DriftMethod:
    """A drift method: a record of functions, registered by name in `compute/drift/__init__.py`.

    score(reference, current) is the field's own figure (equal to Evidently's where Evidently has the method), finite
    and >= 0, zero for equal samples, larger for a larger shift; arguments stay unchanged.
    null(reference, current, rng) is the score's distribution over all splits of the pooled rows into two samples of
    these sizes: what chance makes of them when nothing moved, the reference's own sampling error included.
    `small` is the score below which even a certain shift is reported as small, not as an alarm.
    """

    name: str
    kinds: frozenset[str]  # of "numeric", "categorical"
    score: Callable[[Column, Column], float]
    null: Callable[[Column, Column, np.random.Generator], NullDistribution]
    small: float
    source: str  # where the formula comes from
