"""Estimates and what labels said later -> how far off they were, and how often their intervals held the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seamark.core.performance import Estimate, EstimateFared, Performance, ScoredEstimate, ScoredMetric


def score(estimate: Estimate, truth: Performance) -> ScoredEstimate:
    """Return an estimate beside the truth, of the metrics that both have."""
    metrics = {
        name: ScoredMetric(estimated, truth.metrics[name])
        for name, estimated in estimate.metrics.items()
        if name in truth.metrics
    }
    return ScoredEstimate(estimate.window, truth.coverage or 0.0, metrics)


def fared(scored: Sequence[ScoredEstimate]) -> dict[str, EstimateFared]:
    """Return for each metric how its estimates fared."""
    found = {}
    for name in dict.fromkeys(name for one in scored for name in one.metrics):
        both = [one.metrics[name] for one in scored if name in one.metrics]
        errors = np.array([one.estimated.value - one.measured.value for one in both])
        held = [one.estimated.low <= one.measured.value <= one.estimated.high for one in both]
        mean_error = float(np.abs(errors).mean())
        found[name] = EstimateFared(len(both), float(errors.mean()), mean_error, float(np.mean(held)))
    return found
