"""An order's limits -> a process in which a locustfile of somebody's own can do little else than load its target.

Three fences. Resource limits of the kernel: memory, CPU, file size, open files, processes. Landlock, where the kernel
has it (seamark_load/landlock.py). And an audit hook: it names what was refused, and sees addresses where Landlock sees
ports only. A hook guards against mistakes and common tricks; it is no jail for hostile native code.
"""

from __future__ import annotations

import math
import os
import resource
import site
import socket
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seamark_load import landlock

MEMORY_BYTES = 2 * 1024**3
FILE_BYTES = 1024**3  # the samples, too, are a file
FILES_OPEN = 16_384
PROCESSES_MORE = 256  # beside those the user has already: threads count

# What a Python process reads of a system: names, time, certificates, its own state. No configuration of services.
SYSTEM = (
    *(
        "/lib",
        "/lib64",
        "/usr/lib",
        "/usr/lib64",
        "/usr/local/lib",
        "/usr/share/zoneinfo",
        "/usr/share/ca-certificates",
    ),
    *("/usr/local/share/ca-certificates", "/usr/lib/ssl", "/etc/ssl", "/etc/pki", "/etc/ca-certificates"),
    *("/etc/hosts", "/etc/host.conf", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/localtime"),
    *("/etc/timezone", "/etc/ld.so.cache", "/etc/mime.types", "/etc/protocols", "/etc/services"),
    *("/dev/urandom", "/dev/random", "/sys/devices/system/cpu", "/sys/fs/cgroup"),
    *("/run/systemd/resolve", "/run/resolvconf"),
)
# Modules that open sockets or files in native code, where no hook sees it.
UNSEEN = frozenset(
    {"_cffi_backend", "_posixsubprocess", "adbc_driver_manager", "duckdb", "grpc", "psycopg_c", "psycopg_binary"}
    | {"pyarrow", "pycurl", "_xxsubinterpreters", "_interpreters"}
)
_NEVER = frozenset(
    {"os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn", "subprocess.Popen"}
    | {"os.killpg", "os.symlink", "os.link", "socket.bind", "socket.gethostbyaddr", "socket.getnameinfo"}
    | {"sqlite3.connect", "sqlite3.connect/handle", "cpython.PyInterpreterState_New", "resource.prlimit"}
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_MUTATIONS = frozenset(
    {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "os.chown", "os.utime"}
    | {"os.setxattr", "os.removexattr"}
)
_LOOKS = frozenset({"os.listdir", "os.scandir", "os.chdir"})
_STREAMS = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


@dataclass(frozen=True)
class Limits:
    """What the process may reach. Paths are real paths; `closed` wins over `read`, `write` and `own` over `closed`."""

    write: str
    own: str  # the folder of locustfiles
    closed: tuple[str, ...]
    endpoints: frozenset[tuple[str, int]]
    hosts: frozenset[str]
    limit_s: float


class Shut(PermissionError):
    """The sandbox does not let this be done; the message says what."""


def confine(limits: Limits, tell: Callable[[str], None]) -> int:
    """Shut the sandbox around this process; `tell` is given the words of each refusal. Nothing opens it again.

    Returns the kernel's Landlock version, 0 where the audit hook stands alone.
    """
    bound_resources(limits.limit_s)
    read = (*readable(), f"/proc/{os.getpid()}", "/proc/stat", "/proc/cpuinfo", "/proc/meminfo")
    ports = {port for _, port in limits.endpoints}
    has = landlock.restrict(read=[*read, limits.own], write=[limits.write, "/dev/null"], ports=ports)
    sys.addaudithook(hook(limits, read, tell))
    return has


def bound_resources(limit_s: float) -> None:
    """Memory, CPU, open files, file size, processes, and no core dumps."""
    cpu_s = math.ceil(limit_s) + 5
    wanted = {
        resource.RLIMIT_AS: MEMORY_BYTES,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_FSIZE: FILE_BYTES,
        resource.RLIMIT_NOFILE: FILES_OPEN,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: tasks_of_user() + PROCESSES_MORE,
    }
    for kind, value in wanted.items():
        hard = resource.getrlimit(kind)[1]
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (most, most))


def tasks_of_user() -> int:
    """How many threads this user runs now, in all processes; the kernel's limit counts those together."""
    me, count, proc = os.getuid(), 0, Path("/proc")
    for entry in proc.iterdir() if proc.is_dir() else ():
        try:
            if entry.name.isdigit() and entry.stat().st_uid == me:
                count += len(list((entry / "task").iterdir()))
        except OSError:
            continue  # it has just ended
    return count


def readable() -> tuple[str, ...]:
    """Real paths that Python, its packages and the system's libraries are read from."""
    certificates = [os.environ[name] for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)]
    packages = [sys.prefix, sys.base_prefix, *site.getsitepackages(), *sys.path, *certificates]
    narrow = [path for path in packages if path and os.path.realpath(path) not in ("/", "/usr")]
    return tuple(dict.fromkeys(os.path.realpath(path) for path in (*SYSTEM, *narrow)))


def hook(limits: Limits, read: Iterable[str], tell: Callable[[str], None]) -> Callable[[str, tuple[Any, ...]], None]:
    """Return the audit hook: it raises Shut for what must not be done.

    One closure: what it decides by has no name in a module by which it could be replaced.
    """
    read, pid = tuple(read), os.getpid()
    realpath, fsdecode = os.path.realpath, os.fsdecode
    names = limits.hosts | {ip for ip, _ in limits.endpoints}

    def refuse(what: str) -> None:
        tell(what)
        raise Shut(f"refused: {what}")

    def within(path: str, folders: Iterable[str]) -> bool:
        return any(path == folder or path.startswith(f"{folder}/") for folder in folders)

    def check_path(path: Any, *, writes: bool) -> None:
        if isinstance(path, int):
            return
        real = realpath(fsdecode(path if path is not None else "."))
        if within(real, (limits.write,)) or (writes and real == "/dev/null"):
            return
        if writes:
            refuse(f"writing {real[:200]}; a locustfile writes into its working folder only")
        if not within(real, (limits.own,)) and (within(real, limits.closed) or not within(real, (*read, "/dev/null"))):
            refuse(f"reading {real[:200]}; data files belong beside the locustfile")

    def check_endpoint(address: Any) -> None:
        # Exact types and exact members only: nothing that could say one thing here and another to the kernel.
        known = type(address) is tuple and len(address) >= 2 and (address[0], address[1]) in limits.endpoints
        if not known or type(address[0]) is not str or type(address[1]) is not int:
            refuse(f"connecting to {str(address)[:100]}, which is no address that an allowed target began the run with")

    def check_host(host: Any) -> None:
        text = host.decode("latin-1") if isinstance(host, bytes) else host
        if type(text) is not str or text.rstrip(".").lower() not in names:
            refuse(f"resolving {str(text)[:100]!r}, which is on no line of targets.allow")

    def check(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _NEVER or event.startswith("ctypes."):
            refuse(f"{event}; a locustfile starts no process, loads no library and serves nothing")
        elif event == "open":
            check_path(arguments[0], writes=bool(arguments[2] & _WRITES))
        elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            if event != "socket.sendmsg" or arguments[1] is not None:
                check_endpoint(arguments[1])
        elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
            check_host(arguments[0])
        elif event == "socket.__new__":
            if arguments[1] not in (*_STREAMS, -1) or arguments[2] & 0xF not in (socket.SOCK_STREAM, 0xF):
                refuse("a socket that is none of TCP")
        elif event in _MUTATIONS:
            for path in arguments[: 2 if event == "os.rename" else 1]:
                check_path(path, writes=True)
        elif event in _LOOKS:
            check_path(arguments[0], writes=False)
        elif event == "os.kill":
            if arguments[0] != pid:
                refuse(f"a signal to process {arguments[0]}")
        elif event == "import" and arguments[0] in UNSEEN:
            told = f"importing {arguments[0]}, whose connections and files cannot be seen here"
            tell(told)
            raise ImportError(f"refused: {told}")  # what asks for it may well do without

    return check
