"""Folders and ports -> a process that reaches nothing else, where the kernel sees to it (Landlock, Linux 5.13+).

A guard inside Python sees only what Python does; this one holds for native code and every child, too. It needs no
rights, and what is taken cannot be had back. Names and numbers are those of linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import sys
from collections.abc import Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_CREATE_RULESET_VERSION = 1
_PR_SET_NO_NEW_PRIVS = 38
_RULE_PATH_BENEATH, _RULE_NET_PORT = 1, 2

_WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 14
_FILE_RIGHTS = _WRITE_FILE | _READ_FILE | _TRUNCATE
_READ = _READ_FILE | _READ_DIR
_REMOVE_AND_MAKE = (1 << 4) | (1 << 5) | (1 << 7) | (1 << 8)  # folders and plain files; no device, socket or link
_WRITE = _READ | _WRITE_FILE | _TRUNCATE | _REMOVE_AND_MAKE
_CONNECT_TCP, _BOTH_TCP = 1 << 1, 0b11
_SCOPED = 0b11  # abstract sockets and signals stay among ourselves


def version() -> int:
    """Which Landlock the kernel has; 0 for none."""
    if sys.platform != "linux":
        return 0
    found = ctypes.CDLL(None, use_errno=True).syscall(
        _CREATE_RULESET, None, ctypes.c_size_t(0), _CREATE_RULESET_VERSION
    )
    return max(int(found), 0)


def restrict(*, read: Iterable[str], write: Iterable[str], ports: Iterable[int]) -> int:
    """Let this thread, and all it starts, only read `read`, read and write `write` and connect TCP to `ports`.

    Nothing at all can be executed any more. Paths that do not exist are left out. Returns the kernel's version of
    Landlock, 0 where there is none and nothing is restricted; ports need 4, signals to others 6. OSError where the
    kernel refuses.
    """
    has = version()
    if not has:
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    handled_fs = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(has, 16)) - 1
    attributes = struct.pack("=QQQ", handled_fs, _BOTH_TCP, _SCOPED)[: 8 if has < 4 else 16 if has < 6 else 24]
    ruleset = _call(libc, _CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    for paths, rights in ((read, _READ), (write, _WRITE)):
        for path in paths:
            _add_path(libc, ruleset, path, rights & handled_fs)
    if has >= 4:
        for port in ports:
            _call(libc, _ADD_RULE, ruleset, _RULE_NET_PORT, struct.pack("=QQ", _CONNECT_TCP, port), 0)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    _call(libc, _RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    return has


def _add_path(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        mine = rights if stat.S_ISDIR(os.fstat(fd).st_mode) else rights & _FILE_RIGHTS
        _call(libc, _ADD_RULE, ruleset, _RULE_PATH_BENEATH, struct.pack("=Qi", mine, fd), 0)
    finally:
        os.close(fd)


def _call(libc: ctypes.CDLL, number: int, *arguments: object) -> int:
    result = int(libc.syscall(number, *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), "Landlock")
    return result
