"""Stored days of arrivals -> one even history that ends now, silence told from what was not heard."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import numpy as np

from seamark.compute.backtest.holes import runs
from seamark.compute.silence import EXPECTED_LEAST, HOUR_S, expected
from seamark.core.advice import ArrivalHistory
from seamark.core.day_rates import STEP_S, STEPS, day_of, step_of
from seamark.core.traffic import FloatArray

DAYS = 35
_DAY = timedelta(days=1)


def arrival_history(days: Mapping[datetime, FloatArray], end: datetime) -> ArrivalHistory | None:
    """Return the history of at most DAYS days that ends with the last whole step before `end`.

    It begins with the first step of which anything is known; None where there is none. Days that lie after `end` (a
    clock went back) are not looked at.
    """
    today = day_of(end)
    steps = step_of(end)
    rates = np.full((DAYS + 1) * STEPS, np.nan)
    for back in range(DAYS + 1):
        found = days.get(today - back * _DAY)
        if found is not None:
            place = (DAYS - back) * STEPS
            rates[place : place + STEPS] = found
    rates = rates[steps : DAYS * STEPS + steps]
    known = np.isfinite(rates).nonzero()[0]
    if len(known) == 0:
        return None
    return ArrivalHistory(today + timedelta(seconds=steps * STEP_S), STEP_S, filled(rates[known[0] :]))


def filled(rates: FloatArray) -> FloatArray:
    """Return the rates with 0 for the silences between known steps in which hardly a request was to be expected.

    That is for at most an hour, fewer than EXPECTED_LEAST by the hours beside it (compute/silence). Any other may be an
    outage of telemetry, and is left unknown; so is what follows the last known step.
    """
    out = rates.copy()
    for start, end in runs(~np.isfinite(rates)):
        if start == 0 or end == len(rates) or (end - start) * STEP_S > HOUR_S:
            continue
        should = expected(rates, start, end, STEP_S, HOUR_S)
        if should is not None and should < EXPECTED_LEAST:
            out[start:end] = 0.0
    return out
