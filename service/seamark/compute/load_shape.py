"""What a load shape is: segments of planned arrivals, each of which may depend on how the last one went."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from seamark.core.errors import Problem
from seamark.core.thresholds import Threshold

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Users:
    """A closed loop: so many users, started one after the other, each of which waits for its answer.

    After an answer a user thinks for `wait_s` before it sends again.
    """

    count: int
    spawn_per_s: float
    wait_s: float = 0.0


@dataclass(frozen=True)
class Segment:
    """A stretch of one asked rate. `arrivals` are the due instants in seconds from the segment's start, ascending.

    With `users` no instant is planned and `asked_rps` is 0: what is sent depends on how fast answers come. `start_s`
    (from the run's first instant) None: the segment begins when the one before is over.
    """

    index: int
    asked_rps: float
    duration_s: float
    arrivals: FloatArray
    users: Users | None = None
    start_s: float | None = None

    def until(self, end_s: float, arrivals: FloatArray) -> Segment:
        """The segment as it was run where it ended early, with the arrivals that were due before `end_s`."""
        return replace(self, duration_s=end_s, arrivals=arrivals)


@dataclass(frozen=True)
class SegmentResult:
    """How a segment went, arrays aligned by request: latency from the due instant (NaN: never answered), success."""

    segment: Segment
    latency_ms: FloatArray
    service_latency_ms: FloatArray
    lateness_ms: FloatArray
    ok: npt.NDArray[np.bool_]
    first_token_ms: FloatArray | None = None  # of answers that stream; NaN, and None for all, where there was none
    time_per_token_ms: FloatArray | None = None


class Ended(Protocol):
    """What ended in a second: how many requests, failed ones among them, and the times of those that have one.

    `lateness_ms` has one for each that was sent; `latency_ms` none for those that were never answered.
    """

    @property
    def done(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def latency_ms(self) -> Sequence[float]: ...
    @property
    def service_latency_ms(self) -> Sequence[float]: ...
    @property
    def lateness_ms(self) -> Sequence[float]: ...


class Watch(Protocol):
    """Looks at one segment while it is under way."""

    def hopeless(self, ended: Ended) -> bool:
        """Take in what ended of the segment in the last second; whether its outcome is beyond doubt, and bad."""


# Yields the next segment to run, is sent its result, returns when the shape is over.
Segments = Generator[Segment, SegmentResult, None]


@dataclass(frozen=True)
class Shape:
    """A load shape: a record of functions, registered by name in `compute/shapes/__init__.py`.

    check() lists every problem of the parameters (field names relative to the shape: `rate_rps`), never raises.
    segments() is deterministic for a seed; it is given the plan's thresholds, by which a search decides.
    describe() says in one line what will be sent. longest_s() bounds the time it can take.
    `feedback` True: a segment begins when every request of the last one has ended, whose whole result the shape is
    sent (a search). False: segments follow each other without a gap, and a result holds what is known by then.
    `give_up`, of shapes with feedback: a watch for each segment, asked once a second. A segment that it calls hopeless
    ends there: what is due later is not sent, and its result is of a segment as short as it was run.
    The same functions run in the service (to check and preview) and in the load generator's process (to send).
    """

    name: str
    check: Callable[[Mapping[str, Any]], list[Problem]]
    segments: Callable[[Mapping[str, Any], Sequence[Threshold], int], Segments]
    describe: Callable[[Mapping[str, Any]], str]
    longest_s: Callable[[Mapping[str, Any]], float]
    feedback: bool = True
    give_up: Callable[[Segment, Sequence[Threshold]], Watch] | None = None
