"""Rates and durations -> the instants at which requests are due, within bounds that keep a test a test."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from seamark.core.errors import Problem

FloatArray = npt.NDArray[np.float64]

RATE_MIN_RPS = 0.001
RATE_MAX_RPS = 10_000.0
DURATION_MIN_S = 0.1
DURATION_MAX_S = 6 * 3600.0
REQUESTS_MAX = 5_000_000.0


def poisson(rate_rps: float, duration_s: float, rng: np.random.Generator) -> FloatArray:
    """Return ascending instants in [0, duration_s) of a Poisson process.

    Given their number, which is Poisson with mean rate x duration, the instants are uniform order statistics
    (Ross, Introduction to Probability Models, 5.3).
    """
    return np.sort(rng.uniform(0.0, duration_s, rng.poisson(rate_rps * duration_s)))


def uniform(rate_rps: float, duration_s: float) -> FloatArray:
    """Return instants 1/rate apart in [0, duration_s)."""
    return np.arange(round(rate_rps * duration_s)) / rate_rps


def ramped(even: FloatArray, first_rps: float, last_rps: float, duration_s: float) -> FloatArray:
    """Return the instants of a process whose rate goes evenly from one to the other, from those of its mean rate.

    By inversion (Devroye, Non-Uniform Random Variate Generation, VI.1.3): the integrated rate first·t + (last -
    first)·t²/2/duration reaches at the new instant what the mean rate reaches at the old one.
    """
    share = even / duration_s  # of all arrivals, expected by then
    slope, mean = last_rps - first_rps, (first_rps + last_rps) / 2
    # The root of first·x + slope·x²/2 = mean·share in x = t/duration, in the form that takes no difference of likes.
    x = 2 * mean * share / (first_rps + np.sqrt(np.maximum(first_rps**2 + 2 * slope * mean * share, 0.0)))
    return np.minimum(x * duration_s, np.nextafter(duration_s, 0.0))


def check_number(
    params: Mapping[str, Any], name: str, problems: list[Problem], *, least: float, most: float, unit: str
) -> float | None:
    """Return a number in [least, most], or None with its problem added."""
    if name not in params:
        problems.append(Problem(name, f"is missing; write a number from {least:g} to {most:g} ({unit})"))
        return None
    value = params[name]
    good = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300 and isfinite(value)
    if not good or not least <= value <= most:
        problems.append(Problem(name, f"{_shown(value)} is not a number from {least:g} to {most:g} ({unit})"))
        return None
    return float(value)


def check_keys(params: Any, known: tuple[str, ...], problems: list[Problem]) -> bool:
    """Whether `params` is a mapping; adds a problem for each name that is not known."""
    if not isinstance(params, Mapping):
        problems.append(Problem("", f"{_shown(params)} is not a mapping; write {', '.join(known)}"))
        return False
    told = f"is not known here; known are {', '.join(known)}"
    problems.extend(Problem(str(name)[:100], told) for name in params if name not in known)
    return True


def check_total(requests: float, duration_s: float, problems: list[Problem]) -> None:
    """Add a problem for a test that is too long or sends too much."""
    if duration_s > DURATION_MAX_S:
        problems.append(Problem("", f"takes {duration_s:.0f} s; at most {DURATION_MAX_S:.0f} s are run"))
    if requests > REQUESTS_MAX:
        problems.append(Problem("", f"sends {requests:.0f} requests; at most {REQUESTS_MAX:.0f} are sent"))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
