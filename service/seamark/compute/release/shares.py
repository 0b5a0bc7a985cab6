"""Sums per block of both versions -> how two shares, or two means, differ."""

from __future__ import annotations

from math import sqrt

import numpy as np

from seamark.compute.columns import FloatArray, IntArray
from seamark.compute.release.blocks import ROWS_MIN, Error, Evidence, Pairing, long_run_error, pair, weigh


def per_block(side: IntArray, block: IntArray, blocks: int, values: FloatArray | None = None) -> FloatArray:
    """Return how many rows, or the sum of their values, each version has in each block; shape (2, blocks)."""
    return np.bincount(side * blocks + block, values, 2 * blocks).reshape(2, blocks).astype(np.float64)


def compare_shares(
    side: IntArray, block: IntArray, blocks: int, hits: FloatArray, tolerance: float, *, lower_is_worse: bool = False
) -> Evidence:
    """Return the evidence of a share: arrays aligned by row, `hits` is 1.0 where the row counts and 0.0 elsewhere."""
    counts = per_block(side, block, blocks)
    pairing = pair(counts)
    rows = (int(counts[0].sum()), int(counts[1].sum()))
    if pairing is None or min(pairing.rows()) < ROWS_MIN:
        return Evidence(rows, enlarge=_enlarge(rows))
    merged = pairing.merged(per_block(side, block, blocks, hits))
    return share_difference(merged, pairing, tolerance, lower_is_worse=lower_is_worse)


def share_difference(hits: FloatArray, pairing: Pairing, tolerance: float, *, lower_is_worse: bool = False) -> Evidence:
    """Return the evidence of a share, given its hits per shared block of both versions, shape (2, blocks).

    The error is at least that of independent rows with one hit and one miss added to each side (Agresti and Caffo,
    2000), so that no hit at all does not pass for certainty.
    """
    shares = hits / pairing.counts
    whole = (pairing.weights * shares).sum(axis=1).clip(0.0, 1.0)
    worth = pairing.effective_rows()
    guarded = (whole * worth + 1) / (worth + 2)
    floor = sqrt(float((guarded * (1 - guarded) / (worth + 2)).sum()))
    parts = pairing.weights * ((shares[1] - whole[1]) - (shares[0] - whole[0]))
    return _points(whole, long_run_error(parts, floor), pairing.rows(), tolerance, lower_is_worse=lower_is_worse)


def compare_means(side: IntArray, block: IntArray, blocks: int, values: FloatArray, tolerance: float) -> Evidence:
    """Return the evidence of a mean of values that are not negative, relative to the baseline's; higher is worse."""
    counts = per_block(side, block, blocks)
    pairing = pair(counts)
    rows = (int(counts[0].sum()), int(counts[1].sum()))
    if pairing is None or min(pairing.rows()) < ROWS_MIN:
        return Evidence(rows, enlarge=_enlarge(rows))
    means = pairing.merged(per_block(side, block, blocks, values)) / pairing.counts
    whole = (pairing.weights * means).sum(axis=1)
    if not float(whole[0]) > 0:
        return Evidence(pairing.rows(), float(whole[0]), float(whole[1]), note="the baseline's errors are all 0")
    ratio = float(whole[1] / whole[0])
    parts = pairing.weights * ((means[1] - whole[1]) - ratio * (means[0] - whole[0])) / whole[0]
    weighed = weigh(ratio - 1, long_run_error(parts, 0.0), tolerance)
    return Evidence(
        pairing.rows(),
        baseline=float(whole[0]),
        candidate=float(whole[1]),
        effect=ratio - 1,
        low=weighed.low,
        high=weighed.high,
        p_worse=weighed.p_worse,
        within=weighed.within,
        better=weighed.better,
        enlarge=weighed.enlarge,
    )


def _points(
    whole: FloatArray, error: Error, rows: tuple[int, int], tolerance: float, *, lower_is_worse: bool
) -> Evidence:
    effect = float(whole[1] - whole[0])
    sign = -1.0 if lower_is_worse else 1.0
    weighed = weigh(sign * effect, error, tolerance)
    low, high = (-weighed.high, -weighed.low) if lower_is_worse else (weighed.low, weighed.high)
    return Evidence(
        rows,
        baseline=float(whole[0]),
        candidate=float(whole[1]),
        effect=effect,
        low=max(low, -1.0),
        high=min(high, 1.0),
        p_worse=weighed.p_worse,
        within=weighed.within,
        better=weighed.better,
        enlarge=weighed.enlarge,
    )


def _enlarge(rows: tuple[int, int]) -> float | None:
    return ROWS_MIN / min(rows) if 0 < min(rows) < ROWS_MIN else None
