"""Arrivals in which telemetry was out for a while -> which steps say nothing, and arrivals a forecast can go by.

The one rule of silence, of all who read arrivals: a silence in which EXPECTED_LEAST requests should have come, by the
lower of what came before and after, and in which no other model was heard of, is an outage and unknown. What came
"before and after" is within NEAR_S for the live arrivals (engine/live_arrivals), which change by the minute, and
within an hour for a past (engine/own_history, compute/arrival_history). Who was heard of is the readers' to look up.
"""

from __future__ import annotations

import numpy as np

from seamark.compute.backtest.holes import runs
from seamark.core.backtest import BoolArray, FloatArray

SILENT_S = 60.0  # shorter silence is silence
NEAR_S = 600.0
HOUR_S = 3600.0
EXPECTED_LEAST = 10.0  # requests that would have come in a silence, going by what came before and after


def expected(rates: FloatArray, start: int, end: int, step_s: float, around_s: float) -> float | None:
    """Return how many requests should have come in the steps [start, end), by the lower rate of `around_s` beside them.

    `rates` is requests per second of even steps; an unknown one beside counts as none. At an end of the rates the one
    side there is counts; None where there is none.
    """
    around = round(around_s / step_s)
    sides = (rates[max(start - around, 0) : start], rates[end : end + around])
    means = [float(np.nansum(side)) / len(side) for side in sides if len(side)]
    return min(means) * (end - start) * step_s if means else None


def silences(rates: FloatArray, step_s: float) -> list[tuple[int, int]]:
    """Return the stretches [start, end) without a request in which some should have come: outages, it may be.

    `rates` is requests per second of even steps; a stretch at either end has only one side to go by, and is left out.
    """
    found = []
    for start, end in runs(rates == 0):
        if (end - start) * step_s < SILENT_S or start == 0 or end == len(rates):
            continue
        if (expected(rates, start, end, step_s, NEAR_S) or 0.0) >= EXPECTED_LEAST:
            found.append((start, end))
    return found


def bridged(rates: FloatArray, out: list[tuple[int, int]]) -> tuple[FloatArray, BoolArray]:
    """Return (the rates with a straight line over each stretch of `out`, which steps say something).

    The steps beside a stretch are heard in part, and say nothing either. Where none says anything the rates stay.
    """
    known = np.ones(len(rates), np.bool_)
    for start, end in out:
        known[max(start - 1, 0) : end + 1] = False
    places = np.arange(len(rates))
    if known.all() or not known.any():
        return rates, known
    return np.interp(places, places[known], rates[known]), known
