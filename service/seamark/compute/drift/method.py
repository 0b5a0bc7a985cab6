"""What a drift method is: one number for how far a window lies from its reference, and how to judge that number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from seamark.compute.calibrate import NullDistribution

__all__ = ["DriftMethod", "NullDistribution"]


@dataclass(frozen=True)
class DriftMethod:
    """A drift method: a record of functions, registered by name in `compute/drift/__init__.py`.

    Both arguments are profiles (compute/profiles.py) of one of the method's `kinds`; they stay unchanged.
    score(reference, current) is the field's own figure (equal to Evidently's where Evidently has the method), finite
    and >= 0, zero for equal samples and where one has no value, larger for a larger shift.
    null(reference, current, rng) is the score's distribution over all splits of the pooled rows into two samples of
    these sizes: what chance makes of them when nothing moved, the reference's own sampling error included.
    `small` is the score below which even a certain shift is reported as small, not as an alarm.
    """

    name: str
    kinds: frozenset[str]  # of compute/profiles.PROFILERS
    score: Callable[[Any, Any], float]
    null: Callable[[Any, Any, np.random.Generator], NullDistribution]
    small: float
    source: str  # where the formula comes from
