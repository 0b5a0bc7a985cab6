"""Traffic of two versions as it comes in: seeded, with tails, bursts, drift and slow stretches -> rows by block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seamark.compute.release.latency import BINS_PER_OCTAVE, RequestCounts

FloatArray = npt.NDArray[np.float64]

BLOCKS = 120
MEDIAN_MS = 20.0


@dataclass(frozen=True)
class Traffic:
    """How requests of one window behave. Times are in blocks of the window, of which there are BLOCKS.

    `sigma` is the spread of a lognormal's logarithm. `daily`: the logarithm of the median moves so far up and down
    over the window, for both versions alike, and the rate with it. `own`: each version has a level of its own that
    wanders (a standard deviation of the logarithm), and forgets in `memory` blocks. `pauses`: this share of blocks, in
    one version at a time, has `paused` of its requests tenfold slow. `ramp`: the candidate's share of traffic grows
    from 1 % to this; else it is `share` all the time. `errors` is the share that fails.
    """

    name: str
    sigma: float = 0.5
    daily: float = 0.0
    own: float = 0.0
    memory: float = 4.0
    pauses: float = 0.0
    paused: float = 0.05
    ramp: bool = False
    share: float = 0.5
    errors: float = 0.002


CASES = (
    Traffic("independent, tails of sigma 0.5"),
    Traffic("independent, tails of sigma 1", sigma=1.0),
    Traffic("a daily rhythm common to both, candidate at 20 %", daily=0.5, share=0.2),
    Traffic("a daily rhythm, candidate's share grows from 1 to 50 %", daily=0.5, ramp=True),
    Traffic("each version's level wanders, 1 minute", own=0.05, memory=2.0),
    Traffic("each version's level wanders, 5 minutes", own=0.05, memory=10.0),
    Traffic("pauses of one version at a time, 1 block in 20", pauses=0.05),
    Traffic("all of it", daily=0.5, own=0.05, memory=4.0, pauses=0.05, ramp=True),
)


@dataclass(frozen=True)
class Sides:
    """Requests of both versions, arrays aligned: side (1 is the candidate), block, latency in ms, failed."""

    side: npt.NDArray[np.int64]
    block: npt.NDArray[np.int64]
    latency_ms: FloatArray
    failed: npt.NDArray[np.bool_]

    def counts(self) -> RequestCounts:
        """The same, counted as the lake does."""
        bins = np.floor(np.log2(self.latency_ms * 1e6) * BINS_PER_OCTAVE).astype(np.int64)
        one = np.ones(len(bins), dtype=np.int64)
        return RequestCounts(BLOCKS, self.side, self.block, bins, one, self.failed.astype(np.int64))


def draw(traffic: Traffic, rows: int, seed: int, *, slower: float = 1.0, beyond: float = 0.0) -> Sides:
    """Return a window in which the version with fewer requests has about `rows`.

    The candidate's latencies are `slower` times as long beyond its quantile `beyond` (0: all of them).
    """
    rng = np.random.default_rng([seed, 20])
    phase = np.sin(np.linspace(0, 2 * np.pi, BLOCKS, endpoint=False) + rng.uniform(0, 2 * np.pi))
    load = (1.0 + 0.6 * phase) if traffic.daily else np.ones(BLOCKS)
    share = np.linspace(0.01, 0.5, BLOCKS) if traffic.ramp else np.full(BLOCKS, traffic.share)
    expected = np.stack([load * (1 - share), load * share])
    counts = rng.poisson(expected / expected.sum(axis=1).min() * rows)
    pieces = []
    for side in (0, 1):
        level = np.log(MEDIAN_MS) + traffic.daily * phase + _wander(rng, traffic)
        paused = rng.random(BLOCKS) < traffic.pauses
        block = np.repeat(np.arange(BLOCKS), counts[side])
        normal = rng.standard_normal(len(block))
        latency_ms = np.exp(level[block] + traffic.sigma * normal)
        latency_ms[paused[block] & (rng.random(len(block)) < traffic.paused)] *= 10.0
        if side == 1 and slower != 1.0:
            latency_ms = np.where(latency_ms > np.quantile(latency_ms, beyond), latency_ms * slower, latency_ms)
        pieces.append((np.full(len(block), side), block, latency_ms, rng.random(len(block)) < traffic.errors))
    return Sides(*(np.concatenate([piece[part] for piece in pieces]) for part in range(4)))


def _wander(rng: np.random.Generator, traffic: Traffic) -> FloatArray:
    """A level per block that keeps a standard deviation of `own` and forgets in `memory` blocks (an AR(1) process)."""
    keep = float(np.exp(-1.0 / traffic.memory))
    level = np.empty(BLOCKS)
    level[0] = rng.standard_normal()
    for block in range(1, BLOCKS):
        level[block] = keep * level[block - 1] + np.sqrt(1 - keep**2) * rng.standard_normal()
    return traffic.own * level


@dataclass(frozen=True)
class Answers:
    """Predictions of both versions, arrays aligned: number, whether it is right, and features with nulls."""

    side: npt.NDArray[np.int64]
    block: npt.NDArray[np.int64]
    prediction: FloatArray
    label: FloatArray
    features: dict[str, npt.NDArray[Any]]


def draw_answers(
    rows: int, seed: int, *, accuracy: tuple[float, float] = (0.9, 0.9), swing: float = 0.5, features: bool = True
) -> Answers:
    """Return predictions and labels of two classes with five features, about `rows` of each version.

    For both versions alike some blocks are harder than others: the logarithm of the odds to be wrong swings so far.
    With `features`: a normal one, one with a heavy tail, one often null, 8 even levels, 2,000 uneven levels.
    """
    rng = np.random.default_rng([seed, 21])
    harder = swing * np.sin(np.linspace(0, 4 * np.pi, BLOCKS) + rng.uniform(0, 2 * np.pi))
    side = np.repeat([0, 1], rng.poisson(rows, 2))
    block = rng.integers(0, BLOCKS, len(side))
    wrong = 1 - np.array(accuracy)[side]
    odds = wrong / (1 - wrong) * np.exp(harder[block])
    chance = odds / (1 + odds)
    for one in (0, 1):  # as the odds swing, so that the accuracy over all is the one asked for
        chance[side == one] *= (1 - accuracy[one]) / chance[side == one].mean()
    label = (rng.random(len(side)) < 0.3).astype(np.float64)
    prediction = np.where(rng.random(len(side)) < chance, 1 - label, label)
    if not features:
        return Answers(side, block, prediction, label, {})
    levels = 1.0 / np.arange(1, 2001)
    columns = {
        "normal": rng.standard_normal(len(side)) + harder[block],
        "heavy": rng.standard_t(2, len(side)),
        "often null": np.where(rng.random(len(side)) < 0.3, np.nan, rng.random(len(side))),
        "even": rng.integers(0, 8, len(side)).astype(str).astype(object),
        "uneven": rng.choice(2000, len(side), p=levels / levels.sum()).astype(str).astype(object),
    }
    return Answers(side, block, prediction, label, columns)
