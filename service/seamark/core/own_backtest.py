"""Words of a backtest on a model's own history: what is asked for, and what it came to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from seamark.core.advice import AdviceGate, WarmFloor
from seamark.core.backtest import Backtest, Played
from seamark.core.windows import Window

DAYS = 14.0


class OwnState(StrEnum):
    """Whether a backtest could be played; all but PLAYED leave the gate unknown."""

    PLAYED = "played"
    TOO_LITTLE_HISTORY = "too_little_history"
    NO_CAPACITY = "no_capacity"
    REFUSED = "refused"  # what was asked for, or the capacity, is impossible with this traffic
    FAILED = "failed"


@dataclass(frozen=True)
class BacktestAsked:
    """What somebody wants played. None, and DAYS: as the model is; anything else is a what-if and moves no gate."""

    at: datetime
    days: float = DAYS
    cold_start_s: float | None = None
    capacity_rps: float | None = None

    @property
    def what_if(self) -> bool:
        """Whether it is about another model, replica or time than the real ones."""
        return (self.days, self.cold_start_s, self.capacity_rps) != (DAYS, None, None)


@dataclass(frozen=True)
class OwnBacktest:
    """Policies on a model's own arrivals. `reason` is one sentence; `found` is None unless it was played.

    `window` is from the first request found to the newest one.
    """

    model: str
    at: datetime
    state: OwnState
    reason: str
    days: float
    gate: AdviceGate
    asked_at: datetime | None = None  # None: it was its daily turn
    what_if: bool = False
    window: Window | None = None
    capacity_source: str | None = None
    cold_start_source: str | None = None
    cpu_s: float | None = None
    found: Backtest | None = None
    warm_floor: WarmFloor | None = None


@dataclass(frozen=True)
class BacktestSays:
    """What recommendations tell of a backtest: kept of each that was played, longer than the backtest itself."""

    gate: AdviceGate
    warm_floor: WarmFloor | None = None


def contract(found: Backtest) -> dict[str, Any]:
    """Return a backtest as the public contract has it; `cost` only where there is a price."""
    return {
        "policies": [_policy(one) for one in found.policies],
        "verdict": found.verdict,
        "beats_hpa": found.beats_hpa,
        "gate": found.gate,
        "simulator": found.simulator,
        "days": found.days,
        "capacity_rps": found.fleet.capacity_rps,
        "cold_start_s": found.fleet.cold_start_s,
        "slo_wait_s": found.fleet.slo_wait_s,
        "notes": list(found.notes),
    }


def _policy(one: Played) -> dict[str, Any]:
    told = asdict(one)
    if one.cost is None:
        del told["cost"]
    return told
