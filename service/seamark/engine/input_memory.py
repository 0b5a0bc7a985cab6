"""What jobs read beside the ticks -> what a tick finds at once: Prometheus's answers, histories, lateness, levels."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, Generic, TypeVar

from seamark.compute.completeness import Completeness
from seamark.core.advice import ArrivalHistory, ReplicaCapacity
from seamark.core.specs import PrometheusInput
from seamark.core.traffic import LevelReading, RecentRequests, SeenInstances
from seamark.engine.live_steps import LiveSteps, Models

NAMES_MAX = 10_000  # kept of one kind; what is beyond is read anew
ASKED = timedelta(minutes=5)

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True)
class Asked:
    """What a Prometheus answered last: a number and when, or what is wrong now (`problem`), or both."""

    value: float | None = None
    at: datetime | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Production:
    """What a model's replicas carried in production, and the version that did."""

    capacity: ReplicaCapacity
    version: str


class ForAWhile(Generic[Key, Value]):
    """Keeps what was read for a while. Two threads may read the same thing at once; either's answer is as good."""

    def __init__(self, for_s: float) -> None:
        self._for = timedelta(seconds=for_s)
        self._kept: dict[Key, tuple[datetime, Value]] = {}
        self._lock = Lock()

    def get(self, key: Key, at: datetime, read: Callable[[], Value]) -> Value:
        """Return what was read less than a while before `at`, else read it; a clock that went back reads again."""
        with self._lock:
            found = self._kept.get(key)
        if found is not None and timedelta(0) <= at - found[0] < self._for:
            return found[1]
        value = read()
        with self._lock:
            if len(self._kept) >= NAMES_MAX and key not in self._kept:
                self._kept.clear()
            self._kept[key] = (at, value)
        return value

    def forget(self) -> None:
        """Have all of it read anew."""
        with self._lock:
            self._kept.clear()


class AskedLately:
    """Which models were asked for in the last ASKED_S, by advice or by a page: they are read together."""

    def __init__(self) -> None:
        self._asked: dict[str, datetime] = {}
        self._lock = Lock()

    def note(self, models: Collection[str], at: datetime) -> None:
        """Take in that these are asked for."""
        with self._lock:
            if len(self._asked) + len(models) > NAMES_MAX:
                self._asked.clear()
            self._asked.update(dict.fromkeys(models, at))

    def lately(self, at: datetime) -> list[str]:
        """Return their names."""
        with self._lock:
            return [name for name, asked in self._asked.items() if abs(at - asked) <= ASKED]


class OfAll(Generic[Value]):
    """Keeps for a while what one read found of all models: a read for each takes a thousand models seconds."""

    def __init__(self, for_s: float) -> None:
        self._for = timedelta(seconds=for_s)
        self._read_at: datetime | None = None
        self._found: dict[str, Value | None] = {}  # of every model that was asked for, None where nothing was found
        self._lock = Lock()

    def get(
        self, model: str, at: datetime, models: Models, read: Callable[[Collection[str]], Mapping[str, Value]]
    ) -> Value | None:
        """Return what was read of a model less than a while from `at`, else read it, together with `models`.

        None where nothing was found of it. One that nobody had named then is read by itself. Who comes while it is read
        waits for it.
        """
        with self._lock:
            names: set[str] = set()
            if self._read_at is None or abs(at - self._read_at) >= self._for:
                names = {*models(), model}
                self._read_at, self._found = at, {}
            elif model not in self._found:
                names = {model}
            if names:
                found = read(names)
                self._found.update((name, found.get(name)) for name in names)
            return self._found[model]

    def forget(self) -> None:
        """Have it read anew."""
        with self._lock:
            self._read_at = None


@dataclass
class InputMemory:
    """One per service. Each mapping is replaced whole by the job that fills it, so that a reader needs no lock."""

    prometheus: Mapping[PrometheusInput, Asked] = field(default_factory=dict)
    history: Mapping[str, ArrivalHistory] = field(default_factory=dict)  # this and what follows by model
    production: Mapping[str, Production] = field(default_factory=dict)
    instances: Mapping[str, SeenInstances] = field(default_factory=dict)
    # The two above as the leading node stored them, for a node that does not fill them.
    stored_production: ForAWhile[str, Production | None] = field(default_factory=lambda: ForAWhile(60.0))
    stored_instances: ForAWhile[str, SeenInstances | None] = field(default_factory=lambda: ForAWhile(60.0))
    tested: ForAWhile[tuple[str, str], str | None] = field(default_factory=lambda: ForAWhile(3600.0))
    lateness: OfAll[Completeness | None] = field(default_factory=lambda: OfAll(20.0))
    recent: OfAll[RecentRequests] = field(default_factory=lambda: OfAll(30.0))
    running: OfAll[int] = field(default_factory=lambda: OfAll(5.0))  # instances that answered
    asked: AskedLately = field(default_factory=AskedLately)
    levels: ForAWhile[Any, list[LevelReading]] = field(default_factory=lambda: ForAWhile(10.0))
    live: LiveSteps = field(default_factory=LiveSteps)
