"""A segment under way -> what is known of each of its requests, and what the shape is told."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from seamark.compute.load_shape import Segment, SegmentResult

_NAN = math.nan


@dataclass
class Track:
    """One segment under way: what is known of each of its requests, NaN where nothing is yet.

    Lists, not arrays: they are written one number at a time, thousands of times a second.
    """

    segment: Segment
    start_s: float
    due_s: list[float] = field(init=False)  # from start_s
    latency_ms: list[float] = field(init=False)
    service_latency_ms: list[float] = field(init=False)
    lateness_ms: list[float] = field(init=False)
    first_token_ms: list[float] = field(init=False)
    time_per_token_ms: list[float] = field(init=False)
    ok: list[bool] = field(init=False)
    ended: list[bool] = field(init=False)
    dispatched: int = 0

    def __post_init__(self) -> None:
        self.due_s = self.segment.arrivals.tolist()
        count = len(self.due_s)
        self.latency_ms, self.service_latency_ms, self.lateness_ms = ([_NAN] * count for _ in range(3))
        self.first_token_ms, self.time_per_token_ms = [_NAN] * count, [_NAN] * count
        self.ok, self.ended = [False] * count, [False] * count

    def add(self, due_s: float) -> int:
        """Take in a request that was not planned; returns its index."""
        self.due_s.append(due_s)
        for values in (
            self.latency_ms, self.service_latency_ms, self.lateness_ms, self.first_token_ms, self.time_per_token_ms
        ):  # fmt: skip
            values.append(_NAN)
        self.ok.append(False)
        self.ended.append(False)
        self.dispatched += 1
        return self.dispatched - 1

    def cut(self, at_s: float) -> None:
        """End the segment at `at_s` from its start; what is due before was handed out, and nothing else."""
        count = self.dispatched
        for values in (
            self.due_s, self.latency_ms, self.service_latency_ms, self.lateness_ms, self.first_token_ms,
            self.time_per_token_ms, self.ok, self.ended,
        ):  # fmt: skip
            del values[count:]
        self.segment = self.segment.until(at_s, self.segment.arrivals[:count])

    def result(self) -> SegmentResult:
        """What the shape is told. Copies: answers may still come in."""
        latency_ms, service_ms, lateness_ms = map(
            np.array, (self.latency_ms, self.service_latency_ms, self.lateness_ms)
        )
        tokens = np.array(self.first_token_ms), np.array(self.time_per_token_ms)
        return SegmentResult(self.segment, latency_ms, service_ms, lateness_ms, np.array(self.ok, dtype=bool), *tokens)
