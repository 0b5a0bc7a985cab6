"""Numbers -> words for sentences: a few digits that count, thousands grouped, never an exponent a person must undo."""

from __future__ import annotations

import math

DIGITS = 4
_SMALLEST = 1e-6  # below it zeros would be counted, not read


def figure(value: float, digits: int = DIGITS) -> str:
    """Return a number with that many significant digits; of a thousand and more all of its whole part.

    >>> figure(20_010.4), figure(999.96), figure(412.26), figure(0.01234), figure(0.00005), figure(0.0), figure(-1500)
    ('20,010', '1,000', '412.3', '0.01234', '0.00005', '0', '-1,500')
    >>> figure(3e-9), figure(float("inf")), figure(412.26, 2)
    ('3e-09', 'inf', '412')
    """
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    rounded = float(f"{value:.{digits}g}")
    if abs(rounded) >= 1000:
        return f"{value:,.0f}"
    if abs(rounded) < _SMALLEST:
        return f"{rounded:.{digits}g}"
    places = digits - 1 - math.floor(math.log10(abs(rounded)))
    text = f"{value:.{max(places, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(ratio: float, digits: int = 3) -> str:
    """Return a ratio as a percentage.

    >>> percent(4.0), percent(0.0123), percent(12.0)
    ('400 %', '1.23 %', '1,200 %')
    """
    return f"{figure(ratio * 100, digits)} %"
