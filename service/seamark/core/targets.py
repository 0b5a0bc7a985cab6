"""What targets.allow says of one origin: how fast and until when it may be sent requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from math import isfinite
from typing import Any

from seamark.core.figures import figure


@dataclass(frozen=True)
class TargetSpec:
    """One allowed origin. `max_rps` None: as fast as a plan asks. `until` is the last day (UTC); None: for good."""

    url: str
    max_rps: float | None = None
    until: date | None = None

    def expired(self, at: datetime) -> str | None:
        """Return the sentence that says the permission is over at `at`, or None while it holds."""
        if self.until is None or at.astimezone(UTC).date() <= self.until:
            return None
        return f"{self.url} was allowed until {self.until}; write a later day under targets.allow and apply"

    def too_fast(self, params: Mapping[str, Any]) -> str | None:
        """Return the sentence that says a shape's parameters ask for more than `max_rps`, or None."""
        peak = peak_rps(params)
        if self.max_rps is None or peak is None or peak <= self.max_rps:
            return None
        most = f"{figure(self.max_rps)} (max_rps in targets.allow)"
        return f"asks for {figure(peak)} requests/s, but {self.url} takes at most {most}"


def peak_rps(params: Any) -> float | None:
    """Return the highest rate that a shape's parameters name (whatever ends with `_rps`), None where none does.

    >>> peak_rps({"stages": [{"rate_rps": 5, "duration_s": 60}, {"rate_rps": 20, "duration_s": 1}]})
    20.0
    """
    found: list[float] = []
    if isinstance(params, Mapping):
        for key, value in params.items():
            is_rate = str(key).endswith("_rps") and isinstance(value, int | float) and isfinite(value)
            inner = float(value) if is_rate else peak_rps(value)
            found += [] if inner is None else [inner]
    elif isinstance(params, list | tuple):
        found = [inner for item in params if (inner := peak_rps(item)) is not None]
    return max(found, default=None)


def own_locustfile(scenario: str) -> bool:
    """Whether a plan's scenario is a locustfile of the user's own, by its name."""
    return scenario.endswith(".py")
