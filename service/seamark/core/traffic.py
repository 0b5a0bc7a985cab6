"""Words of traffic as advice reads it: how long requests take, who answers them, how late their spans come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

BLOCK_S = 10  # a stretch in which spans arrived

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RecentRequests:
    """Real requests whose spans came lately. Figures are None where there were none."""

    requests: int
    mean_s: float | None
    cv: float | None  # standard deviation of the durations by their mean
    version: str | None  # that answered most of them


@dataclass(frozen=True)
class Lags:
    """How many spans came so late: the arrival's block, whole seconds since the request began, and their count.

    Three columns of one length. A block is BLOCK_S in which spans arrived, numbered along time.
    """

    blocks: npt.NDArray[np.int64]
    lags_s: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Minute:
    """Real requests of one minute by start, held against the objectives. `slow` are of those that did not fail."""

    at: datetime
    requests: int
    failed: int
    slow: int
    version: str

    @property
    def answered(self) -> int:
        """How many did not fail."""
        return self.requests - self.failed


@dataclass(frozen=True)
class InstanceBirth:
    """An instance in a window: its first and last request by start, and what its resource says of where it runs."""

    name: str
    version: str
    first_at: datetime
    last_at: datetime
    resource: str | None  # JSON object


@dataclass(frozen=True)
class SeenInstance:
    """An instance that was heard of, and what its cold start took; None: not known of this one.

    `origin` is the start it shares with whatever else was started by it (workers that a server forks anew).
    """

    name: str
    version: str
    first_at: datetime
    last_at: datetime
    seconds: float | None = None
    source: str | None = None  # k8s.pod.start_time | process.creation.time | advice
    origin: str | None = None


@dataclass(frozen=True)
class SeenInstances:
    """Every instance of a model heard of since `since`, newest first; `until` is how far spans have been looked at."""

    since: datetime
    until: datetime
    seen: tuple[SeenInstance, ...] = ()
    deployment: str | None = None  # k8s.deployment.name of the newest that says so
    namespace: str | None = None


@dataclass(frozen=True)
class ColdStart:
    """What starts took, seconds: of how many, the middle one, and what nine of ten stayed within."""

    count: int
    median_s: float
    p90_s: float
    last_at: datetime
    sources: tuple[str, ...]


@dataclass(frozen=True)
class LevelReading:
    """The newest point of one series of a level, with the Kubernetes workload it speaks of, where it says so."""

    model: str
    name: str
    at: datetime
    value: float | None
    workload: str | None = None
    namespace: str | None = None
    cluster: str | None = None
