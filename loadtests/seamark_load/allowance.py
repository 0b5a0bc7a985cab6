"""The rate cap of a target -> how long the next request has to wait, and a count of those that had to."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter


class Allowance:
    """A token bucket: in any T seconds at most max_rps * (T + burst_s) requests pass, and one at least.

    `max_rps` None lets everything pass. `held_back` counts requests that were delayed or not let pass at all.
    """

    def __init__(self, max_rps: float | None, *, burst_s: float, now: Callable[[], float] = perf_counter) -> None:
        self._rate, self._now = max_rps, now
        self._most = max(1.0, (max_rps or 0.0) * burst_s)
        self._tokens, self._at = self._most, now()
        self.held_back = 0

    def passes(self) -> bool:
        """Take a token if there is one: for requests that are due now or never (open loop)."""
        if self._rate is None:
            return True
        self._fill(self._rate)
        if self._tokens < 1.0:
            self.held_back += 1
            return False
        self._tokens -= 1.0
        return True

    def delay_s(self) -> float:
        """Take a token, one of later if need be, and return how many seconds from now the request may go out."""
        if self._rate is None:
            return 0.0
        self._fill(self._rate)
        self._tokens -= 1.0
        if self._tokens >= 0.0:
            return 0.0
        self.held_back += 1
        return -self._tokens / self._rate

    def _fill(self, rate: float) -> None:
        now = self._now()
        self._tokens = min(self._most, self._tokens + (now - self._at) * rate)
        self._at = now
