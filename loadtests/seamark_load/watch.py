"""The parent's life and this process's own load -> exit, or a warning that the generator was the bottleneck."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time

import gevent
from gevent import socket

_PR_SET_PDEATHSIG = 1
MEMORY_BYTES = 4 * 1024**3
BUSY_RATIO = 0.9
BUSY_TICKS = 3


def bound_memory() -> None:
    """Let a target that answers without end take this process down, not the machine."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def die_with_parent(parent_pid: int) -> None:
    """End this process when the service ends, however that happens.

    The kernel's own signal holds even while this process is busy; stdin, which only the service holds open, tells
    the same where the kernel has no such signal.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(3)
    gevent.spawn(_await_end_of_stdin)


def _await_end_of_stdin() -> None:
    while True:
        socket.wait_read(0)
        if not os.read(0, 4096):
            os._exit(3)


class CpuWatch:
    """This process's own CPU, as a share of one core: it sends from one thread, so 1.0 is all there is."""

    def __init__(self) -> None:
        self._first = self._last = (time.perf_counter(), time.process_time())
        self._busy_ticks = 0
        self.saturated = False
        self.last_ratio: float | None = None  # of the last second; None before the first look

    def tick(self) -> float:
        """Look once a second; three busy seconds in a row count as saturated. Returns the last second's share."""
        now = (time.perf_counter(), time.process_time())
        share = _share(self._last, now)
        self._last, self.last_ratio = now, share
        self._busy_ticks = self._busy_ticks + 1 if share > BUSY_RATIO else 0
        self.saturated = self.saturated or self._busy_ticks >= BUSY_TICKS
        return share

    @property
    def ratio(self) -> float:
        """Share of one core since the start."""
        return _share(self._first, (time.perf_counter(), time.process_time()))


def _share(since: tuple[float, float], until: tuple[float, float]) -> float:
    wall_s = until[0] - since[0]
    return (until[1] - since[1]) / wall_s if wall_s > 0 else 0.0
