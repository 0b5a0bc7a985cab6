"""Seeded load-test runs of one plan, alike but for noise, and newer ones that are slower.

`noise` is the standard deviation of a run's level (the logarithm of its latencies) in each model of how runs differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from seamark.compute.baseline.judge import RunFigures
from seamark.compute.baseline.sampling import QUANTILES, errors_of

FloatArray = npt.NDArray[np.float64]
_FIRST = datetime(2026, 3, 1, 3, tzinfo=UTC)
_SHAPES: Mapping[str, Callable[[np.random.Generator, int], FloatArray]] = {
    "none": lambda rng, runs: np.zeros(runs),
    "normal": lambda rng, runs: rng.standard_normal(runs),
    "uniform": lambda rng, runs: rng.uniform(-1, 1, runs) * np.sqrt(3),
    "skewed": lambda rng, runs: rng.exponential(1, runs),
    "heavy": lambda rng, runs: rng.standard_t(3, runs) / np.sqrt(3),
    "wanders": lambda rng, runs: _wander(rng, runs, 0.5),
    "one in ten is 30 % slower": lambda rng, runs: np.log(1.3) / 0.05 * (rng.random(runs) < 0.1),
}


@dataclass(frozen=True)
class Noise:
    """How runs differ by themselves: the `shape` and size of their levels, and the requests within a run.

    `sigma` is that of a run's lognormal latencies; `pauses`: one stretch in twenty of every run is so much slower.
    """

    name: str
    sigma: float = 0.3
    between: float = 0.0
    shape: str = "none"
    pauses: float = 0.0


@dataclass(frozen=True)
class DrawnRun:
    """One run: the figures that are stored of it, and its latencies in the order they were due."""

    figures: RunFigures
    latency_ms: FloatArray


def draw(
    noise: Noise, runs: int, requests: int, seed: int, *, newest: int = 1, slower: float = 1.0, beyond: float = 0.0
) -> list[DrawnRun]:
    """Return runs, the newest first. Of the `newest` ones all latencies beyond that quantile take `slower` as long."""
    rng = np.random.default_rng([seed, runs, requests])
    levels = noise.between * _SHAPES[noise.shape](rng, runs)
    found = []
    for age in range(runs):
        logs = noise.sigma * rng.standard_normal(requests)
        if age < newest and slower != 1.0:
            logs[logs >= np.quantile(logs, beyond)] += np.log(slower)
        if noise.pauses:
            stretches = rng.random(requests // 50 + 1) < 0.05
            logs += np.log1p(noise.pauses) * stretches[np.arange(requests) // 50]
        latency_ms = 50 * np.exp(logs + levels[age])
        errors = int(rng.binomial(requests, 0.001))
        found.append(DrawnRun(_figures(age, latency_ms, errors), latency_ms))
    return found


def _figures(age: int, latency_ms: FloatArray, errors: int) -> RunFigures:
    quantiles = {name: float(np.quantile(latency_ms, p, method="inverted_cdf")) for name, p in QUANTILES.items()}
    sampling = errors_of(latency_ms, np.zeros(len(latency_ms), np.int64))
    at = _FIRST - timedelta(days=age)
    return RunFigures(f"run{age}", at, True, len(latency_ms), errors, dict(quantiles), sampling, None, {})


def _wander(rng: np.random.Generator, runs: int, keep: float) -> FloatArray:
    level = np.empty(runs)
    level[0] = rng.standard_normal()
    for run in range(1, runs):
        level[run] = keep * level[run - 1] + np.sqrt(1 - keep**2) * rng.standard_normal()
    return level
