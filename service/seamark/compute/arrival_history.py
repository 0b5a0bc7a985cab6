"""Stored days of arrivals -> one even history that ends now, silence told from what was not heard."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import numpy as np

from seamark.core.advice import ArrivalHistory
from seamark.core.day_rates import STEP_S, STEPS, day_of, step_of
from seamark.core.traffic import FloatArray

DAYS = 35
SILENT_STEPS_MOST = 6  # an hour: as long as silence between two times of traffic is taken for no traffic
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
    """Return the rates with 0 for what is not known between two known steps no more than an hour apart.

    A longer silence may be an outage of telemetry, and is left unknown; so is what follows the last known step.
    """
    out = rates.copy()
    known = np.isfinite(rates).nonzero()[0]
    steps = np.diff(known)
    for place in ((steps > 1) & (steps <= SILENT_STEPS_MOST + 1)).nonzero()[0]:
        out[known[place] + 1 : known[place + 1]] = 0.0
    return out
