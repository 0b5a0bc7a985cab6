"""The HPA's wish of a tick -> what its default behaviours let happen.

Scaling up: at most the double or four more, per 15 s. Scaling down: to the largest wish of the last 300 s. (Kubernetes'
horizontal pod autoscaler, autoscaling/v2: `behavior` and its defaults.)
"""

from __future__ import annotations

from collections import deque

from seamark.core.backtest import Fleet

TOLERANCE = 0.1
SCALE_DOWN_WINDOW_S = 300.0
SCALE_UP_PODS = 4


class Behaviour:
    """Remembers the wishes of the window; ticks are the periods of 15 s."""

    def __init__(self, fleet: Fleet) -> None:
        self._wishes: deque[int] = deque(maxlen=max(round(SCALE_DOWN_WINDOW_S / fleet.tick_s), 1))

    def settle(self, wish: int, total: int) -> int:
        """Return the count from now on; `total` is the count until now."""
        if not self._wishes:
            self._wishes.append(total)  # as the controller does: what runs when it starts was somebody's wish
        self._wishes.append(wish)
        if wish > total:
            return min(wish, max(2 * total, total + SCALE_UP_PODS))
        return min(max(self._wishes), total)


def within_tolerance(ratio: float) -> bool:
    """Whether the HPA leaves things as they are."""
    return abs(ratio - 1) <= TOLERANCE
