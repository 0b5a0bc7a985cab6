"""Requests counted by version, block of time and duration -> how latency quantiles and error ratios differ."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log1p, sqrt

import numpy as np

from seamark.compute.columns import FloatArray, IntArray
from seamark.compute.release.blocks import ROWS_MIN, Evidence, Pairing, long_run_error, pair, weigh
from seamark.compute.release.shares import per_block, share_difference

BINS_PER_OCTAVE = 64  # a bin is 1.1 % wide; within it durations are taken as spread evenly
QUANTILES = {"latency_p50": 0.5, "latency_p95": 0.95, "latency_p99": 0.99}
_BEYOND_MIN = 50  # requests beyond a quantile, of either version


@dataclass(frozen=True)
class RequestCounts:
    """Requests, arrays aligned: side 0 is the baseline, 1 the candidate; `bin` is floor(64 log2(duration in ns)).

    `block` counts from 0 to `blocks`; each (side, block, bin) may be there more than once.
    """

    blocks: int
    side: IntArray
    block: IntArray
    bin: IntArray
    count: IntArray
    failed: IntArray

    def totals(self) -> tuple[int, int]:
        """Requests of the baseline and of the candidate."""
        return int(self.count[self.side == 0].sum()), int(self.count[self.side == 1].sum())

    def per_block(self, of: IntArray) -> FloatArray:
        """Sums of an aligned array, shape (2, blocks)."""
        return per_block(self.side, self.block, self.blocks, of.astype(np.float64))


def without_warmup(requests: RequestCounts, before: int, warmup: int) -> RequestCounts:
    """Return the requests of the window without those of versions that had only begun to answer.

    The first `before` blocks lie before the window: a version that answered in them is warm. Of another the first
    `warmup` blocks from its first request on are left out.
    """
    keep = requests.block >= before
    for side in (0, 1):
        mine = requests.side == side
        first = int(requests.block[mine].min()) if mine.any() else 0
        if first >= before:
            keep &= ~mine | (requests.block >= first + warmup)
    parts = (requests.side, requests.block - before, requests.bin, requests.count, requests.failed)
    return RequestCounts(requests.blocks - before, *(part[keep] for part in parts))


def compare_requests(requests: RequestCounts, tolerances: dict[str, float | None]) -> dict[str, Evidence]:
    """Return the evidence of each latency quantile and of the error ratio that has a tolerance.

    A quantile's effect is the ratio of the candidate's to the baseline's, less 1; its test is on the logarithm.
    """
    pairing = pair(requests.per_block(requests.count))
    rows = requests.totals()
    wanted = {name: p for name, p in QUANTILES.items() if tolerances.get(name) is not None}
    found: dict[str, Evidence] = {}
    if pairing is None or min(pairing.rows()) < ROWS_MIN:
        names = [*wanted, "error_ratio"] if tolerances.get("error_ratio") is not None else [*wanted]
        return {name: Evidence(rows, enlarge=_enlarge(pairing, ROWS_MIN)) for name in names}
    if wanted:
        curves = _Curves(requests, pairing)
        for name, p in wanted.items():
            found[name] = curves.compare(p, tolerances[name] or 0.0)
    tolerance = tolerances.get("error_ratio")
    if tolerance is not None:
        failed = pairing.merged(requests.per_block(requests.failed))
        found["error_ratio"] = share_difference(failed, pairing, tolerance)
    return found


class _Curves:
    """Weighted distributions of durations of both versions, over all blocks and in each."""

    def __init__(self, requests: RequestCounts, pairing: Pairing) -> None:
        self._pairing = pairing
        self._bins, place = np.unique(requests.bin, return_inverse=True)
        width = len(self._bins)
        flat = (requests.side * requests.blocks + requests.block) * width + place
        counts = np.bincount(flat, requests.count, 2 * requests.blocks * width).astype(np.float64)
        merged = pairing.merged(counts.reshape(2, requests.blocks, width))
        # Per block and version the share of its requests up to the end of each bin.
        self._blocks: FloatArray = merged.cumsum(axis=2) / pairing.counts[:, :, None]
        self._whole: FloatArray = (pairing.weights[None, :, None] * self._blocks).sum(axis=1)

    def compare(self, p: float, tolerance: float) -> Evidence:
        """Return how the quantiles differ. A block moves a quantile by (p - its share below) / density (Bahadur)."""
        pairing, rows = self._pairing, self._pairing.rows()
        if min(rows) * (1 - p) < _BEYOND_MIN:
            return Evidence(rows, enlarge=_enlarge(pairing, round(_BEYOND_MIN / (1 - p))))
        worth = pairing.effective_rows()
        logs, moves, floor = [], [], 0.0
        for side in (0, 1):
            at = self._quantile(side, p)
            # Woodruff (1952): the density from quantiles as far apart as chance alone puts them.
            reach = min(3 * sqrt(p * (1 - p) / float(worth[side])), 0.5 * (1 - p))
            slope = (self._quantile(side, p + reach) - self._quantile(side, p - reach)) / (2 * reach)
            moves.append(slope * (p - self._below(side, at)))
            floor += slope**2 * p * (1 - p) / float(worth[side])
            logs.append(at)
        harm = logs[1] - logs[0]
        error = long_run_error(pairing.weights * (moves[1] - moves[0]), sqrt(floor))
        weighed = weigh(harm, error, log1p(tolerance))
        return Evidence(
            rows,
            baseline=exp(logs[0]) / 1e6,
            candidate=exp(logs[1]) / 1e6,
            effect=exp(harm) - 1,
            low=exp(weighed.low) - 1,
            high=exp(min(weighed.high, 50.0)) - 1,
            p_worse=weighed.p_worse,
            within=weighed.within,
            better=weighed.better,
            enlarge=weighed.enlarge,
        )

    def _quantile(self, side: int, p: float) -> float:
        """The natural logarithm of a quantile in nanoseconds."""
        share = self._whole[side]
        place = min(int(np.searchsorted(share, p)), len(share) - 1)
        before = float(share[place - 1]) if place else 0.0
        step = float(share[place]) - before
        part = (p - before) / step if step > 0 else 0.0
        return (float(self._bins[place]) + min(max(part, 0.0), 1.0)) / BINS_PER_OCTAVE * log1p(1)

    def _below(self, side: int, at: float) -> FloatArray:
        """The share of each block's requests below a duration, given its natural logarithm; shape (blocks,)."""
        position = at / log1p(1) * BINS_PER_OCTAVE
        place = max(int(np.searchsorted(self._bins, position, side="right")) - 1, 0)
        part = min(max(position - float(self._bins[place]), 0.0), 1.0)
        up_to = self._blocks[side, :, place]
        before = self._blocks[side, :, place - 1] if place else np.zeros_like(up_to)
        below: FloatArray = before + part * (up_to - before)
        return below


def _enlarge(pairing: Pairing | None, rows: int) -> float | None:
    fewest = min(pairing.rows()) if pairing else 0
    return rows / fewest if 0 < fewest < rows else None
