"""An instant -> the greenlet wakes at it, to some ten microseconds; the event loop's own timers round up to whole
milliseconds, which is longer than many a model takes to answer, and makes clumps of random arrivals.
"""

from __future__ import annotations

import ctypes
import os
import sys
from time import perf_counter

import gevent
from gevent import get_hub

_CLOCK_MONOTONIC = 1  # what perf_counter() reads on Linux
_ABSOLUTE = 1
_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC
_NANO = 1_000_000_000


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class Alarm:
    """One greenlet's alarm clock: until() returns at an instant of perf_counter(), or just after."""

    def __init__(self) -> None:
        self._fd = -1
        if sys.platform != "linux":
            return
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC)
        if self._fd < 0:
            return
        self._set_time = libc.timerfd_settime
        self._spec = _Itimerspec()
        self._spec_at = ctypes.byref(self._spec)
        self._hub = get_hub()
        self._watcher = self._hub.loop.io(self._fd, 1)

    def until(self, instant: float) -> None:
        """Let others work until `instant` (perf_counter seconds)."""
        if self._fd < 0:
            gevent.sleep(max(0.0, instant - perf_counter()))
            return
        value = self._spec.value
        value.seconds, value.nanoseconds = divmod(int(instant * _NANO), _NANO)
        self._set_time(self._fd, _ABSOLUTE, self._spec_at, None)
        self._hub.wait(self._watcher)
        os.read(self._fd, 8)

    def close(self) -> None:
        """Give the descriptor back."""
        if self._fd >= 0:
            self._watcher.stop()
            self._watcher.close()
            os.close(self._fd)
            self._fd = -1
