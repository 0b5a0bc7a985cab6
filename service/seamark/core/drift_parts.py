"""What a feature was judged by where more than one method judged it."""

from __future__ import annotations

from dataclasses import dataclass

ALL_FEATURES = "(all features)"  # the line of a finding that judges whole rows


@dataclass(frozen=True)
class DriftPart:
    """One of a feature's methods. `threshold` is the score at which it alone would call the feature drifted."""

    method: str
    score: float
    p_value: float  # its own; the feature's is the smallest one times their number
    threshold: float | None = None
