"""What a scaling policy is: from what is known at the end of a tick, the replicas it wants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from seamark.core.backtest import Fleet, FloatArray, IntArray


def _none() -> IntArray:
    return np.zeros(0, np.int64)


def _nothing() -> FloatArray:
    return np.zeros(0)


@dataclass(frozen=True)
class Seen:
    """What can be known at the end of a tick. The arrays end with it; nothing of what comes is in them."""

    arrivals: FloatArray  # requests per second of each tick so far
    used: FloatArray  # how busy the ready replicas were in each tick so far, 0 to 1
    ready: int
    starting: int
    readies: IntArray = field(default_factory=_none)  # replicas that were ready in each tick so far
    waiting: FloatArray = field(default_factory=_nothing)  # requests at each tick's end; empty: nobody measures them

    @property
    def total(self) -> int:
        """Replicas that are paid for."""
        return self.ready + self.starting


# The count of replicas wanted from now on.
Decide = Callable[[Seen], int]


@dataclass(frozen=True)
class Policy:
    """One policy: `begin` makes the decider of a run; or `schedule`, which is shown the whole trace beforehand.

    A schedule is the count of ready replicas in each tick; each start is paid a cold start earlier.
    """

    name: str
    about: str
    begin: Callable[[Fleet], Decide] | None = None
    schedule: Callable[[FloatArray, Fleet], IntArray] | None = None
