"""Arrivals in which telemetry was out for a while -> which steps say nothing, and arrivals a forecast can go by."""

from __future__ import annotations

import numpy as np

from seamark.compute.backtest.holes import runs
from seamark.core.backtest import BoolArray, FloatArray

SILENT_S = 60.0  # shorter silence is silence
AROUND_S = 600.0
EXPECTED_LEAST = 10.0  # requests that would have come in a silence, going by what came before and after


def silences(rates: FloatArray, step_s: float) -> list[tuple[int, int]]:
    """Return the stretches [start, end) without a request in which some should have come: outages, it may be.

    `rates` is requests per second of even steps; a stretch at either end has only one side to go by, and is left out.
    """
    around = round(AROUND_S / step_s)
    found = []
    for start, end in runs(rates == 0):
        silent_s = (end - start) * step_s
        before, after = rates[max(start - around, 0) : start], rates[end : end + around]
        if silent_s < SILENT_S or not len(before) or not len(after):
            continue
        if min(float(before.mean()), float(after.mean())) * silent_s >= EXPECTED_LEAST:
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
