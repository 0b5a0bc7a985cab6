"""A trace of steps or instants -> the rate of each tick, with the noise that a step's mean leaves out."""

from __future__ import annotations

from math import ceil

import numpy as np

from seamark.core.backtest import BoolArray, FloatArray, Instants, Trace

DISPERSION_MAX = 25.0  # a single wild step is not to make ticks of nothing and of everything


def tick_rates(trace: Trace, tick_s: float, seed: int) -> FloatArray:
    """Return requests per second of each tick.

    Steps longer than a tick: linear between their middles, then a Gamma number of requests per tick whose variance is
    the dispersion times its mean (Poisson's, 1, where none is given). Steps as short as a tick or shorter are
    averaged: their noise is in them already.
    """
    count = ceil(trace.duration_s / tick_s - 1e-9)
    if trace.step_s <= tick_s:
        return _averaged(trace, tick_s, count)
    middles = (np.arange(len(trace.rates)) + 0.5) * trace.step_s
    rates = np.interp((np.arange(count) + 0.5) * tick_s, middles, trace.rates)
    if trace.dispersion is None:
        dispersion = np.ones(count)
    else:
        step_of = np.minimum((np.arange(count) * tick_s / trace.step_s).astype(np.int64), len(trace.rates) - 1)
        dispersion = np.clip(trace.dispersion[step_of], 1e-3, DISPERSION_MAX)
    rng = np.random.default_rng(seed)
    return rng.gamma(np.maximum(rates * tick_s / dispersion, 1e-12), dispersion) / tick_s


def counted_ticks(trace: Trace, tick_s: float) -> BoolArray:
    """Return which of the ticks of `tick_rates` count: those whose middle lies in a step that does."""
    count = ceil(trace.duration_s / tick_s - 1e-9)
    if trace.counted is None:
        return np.ones(count, np.bool_)
    middles = ((np.arange(count) + 0.5) * tick_s / trace.step_s).astype(np.int64)
    return np.asarray(trace.counted[np.minimum(middles, len(trace.counted) - 1)])


def instants_per_tick(instants: Instants, tick_s: float) -> FloatArray:
    """Return requests per second of each tick, counted."""
    count = int(instants.duration_s // tick_s) + 1
    return np.bincount((instants.at_s / tick_s).astype(np.int64), minlength=count).astype(np.float64) / tick_s


def _averaged(trace: Trace, tick_s: float, count: int) -> FloatArray:
    """The requests so far at each tick's edge, and what came between two."""
    so_far = np.concatenate(([0.0], np.cumsum(trace.rates) * trace.step_s))
    edges = np.minimum(np.arange(count + 1) * tick_s, trace.duration_s)
    at_edges = np.interp(edges, np.arange(len(so_far)) * trace.step_s, so_far)
    return np.asarray(np.diff(at_edges) / np.maximum(np.diff(edges), 1e-9))
