"""Half-open spans of time, [start, end), and the words people write for their lengths."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")


def parse_duration(text: str) -> float:
    """Return the seconds in a Prometheus-style duration.

    >>> parse_duration("1h30m"), parse_duration("500ms")
    (5400.0, 0.5)
    >>> parse_duration("soon")
    Traceback (most recent call last):
    ValueError: 'soon' is not a duration; write a number and a unit, like 30s, 5m, 1h30m, 30d
    """
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration; write a number and a unit, like 30s, 5m, 1h30m, 30d")
    return float(sum(float(number) * _UNITS_S[unit] for number, unit in parts))


def format_duration(seconds: float) -> str:
    """Return the shortest exact way to write `seconds`.

    >>> format_duration(5400), format_duration(86400), format_duration(0.25)
    ('1h30m', '1d', '250ms')
    """
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    out, left = "", float(seconds)
    for unit in ("d", "h", "m"):
        whole = int(left // _UNITS_S[unit])
        if whole:
            out += f"{whole}{unit}"
            left -= whole * _UNITS_S[unit]
    return out + (f"{left:g}s" if left or not out else "")


@dataclass(frozen=True)
class Window:
    """A span of time: from `start` (inside) to `end` (outside), both aware UTC."""

    start: datetime
    end: datetime

    @classmethod
    def trailing(cls, end: datetime, span_s: float) -> Window:
        """The `span_s` seconds that end at `end`."""
        return cls(end - timedelta(seconds=span_s), end)

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        """Start and end."""
        return self.start, self.end

    @property
    def span_s(self) -> float:
        """Length in seconds."""
        return (self.end - self.start).total_seconds()
