"""Spans of the lake -> in which steps of time anything was heard at all, of whichever model."""

from __future__ import annotations

import numpy as np

from seamark.core.backtest import BoolArray
from seamark.core.windows import Window
from seamark.store.lake import Lake


def heard(lake: Lake, window: Window, step_s: float) -> BoolArray:
    """Return for each step of the window, by start, whether a span of any model began in it; shape (steps,).

    Load tests and probes count: they too show that spans come through.
    """
    steps = round(window.span_s / step_s)
    found = lake.query(
        "SELECT DISTINCT (epoch_us(start_at) - epoch_us($start::TIMESTAMPTZ)) // $step_us AS step"
        " FROM lake.spans WHERE start_at >= $start AND start_at < $end",
        {"start": window.start, "end": window.end, "step_us": round(step_s * 1e6)},
        within=window.bounds,
    )
    out = np.zeros(steps, np.bool_)
    out[found["step"].to_numpy()] = True
    return out
