"""A day of rates in steps of ten minutes, as bytes and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from seamark.core.traffic import FloatArray

STEP_S = 600.0
STEPS = 144  # of a day
_STORED = np.dtype("<f4")


def day_of(at: datetime) -> datetime:
    """Return the midnight (UTC) that an instant's day began with."""
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def step_of(at: datetime) -> int:
    """Return which step of its day an instant lies in, 0 to STEPS - 1."""
    return int((at - day_of(at)) / timedelta(seconds=STEP_S))


def nothing() -> FloatArray:
    """Return a day of which nothing is known, shape (STEPS,)."""
    return np.full(STEPS, np.nan)


def to_bytes(rates: FloatArray) -> bytes:
    """Return a day's rates, shape (STEPS,), in 576 bytes."""
    return rates.astype(_STORED).tobytes()


def from_bytes(stored: bytes) -> FloatArray:
    """Return the rates of a stored day; what is no day, negative or infinite is not known."""
    if len(stored) != STEPS * _STORED.itemsize:
        return nothing()
    rates = np.frombuffer(stored, dtype=_STORED).astype(np.float64)
    rates[~(np.isfinite(rates) & (rates >= 0))] = np.nan
    return rates
