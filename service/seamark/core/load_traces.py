"""A run's id and a request's number -> the id of its trace; and what is told of the traces of a run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from seamark.core.splitmix import mixed

_HEX = re.compile(r"[0-9a-f]{16}")


@lru_cache(maxsize=64)  # asked for with each request
def run_prefix(run_id: str) -> str:
    """Return the 16 hex digits with which every trace id of the run begins: the run's id itself, else its hash.

    >>> run_prefix("00f067aa0ba902b7")
    '00f067aa0ba902b7'
    """
    if _HEX.fullmatch(run_id) and int(run_id, 16):
        return run_id
    return hashlib.blake2b(run_id.encode(), digest_size=8).hexdigest()


def trace_id(run_id: str, seed: int, number: int) -> str:
    """Return the 32 hex digits of a request's trace: no two numbers of a run share one, and none is zero.

    The last 16 are SplitMix64 of seed and number: one to one in the number, and spread evenly, so that samplers and
    stores which go by the last bits see nothing unusual.

    >>> trace_id("00f067aa0ba902b7", 7, 0) == trace_id("00f067aa0ba902b7", 7, 0)
    True
    """
    return run_prefix(run_id) + f"{mixed(seed, number):016x}"


@dataclass(frozen=True)
class SpanTime:
    """The spans of one name: `self_ms` is the sum of what each took beyond the spans directly below it.

    Children that ran side by side may take more than their parent, which then counts with 0. `share` is of all spans'
    self time.
    """

    service: str
    name: str
    spans: int
    failed: int
    total_ms: float
    self_ms: float
    share: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class SlowRequest:
    """One of the slowest requests: what the client saw, and what its server span says (None: none was received)."""

    number: int
    trace_id: str
    due_s: float
    latency_ms: float
    service_latency_ms: float | None
    error: str | None
    server_ms: float | None
    server_name: str | None


@dataclass(frozen=True)
class RunTraces:
    """Where the server's time went in a run. `requests` were sent with a trace, `linked` of them have a server span."""

    requests: int
    linked: int
    names: Sequence[SpanTime] = ()
    names_left_out: int = 0
    slowest: Sequence[SlowRequest] = ()
