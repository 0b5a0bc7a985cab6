"""The sandbox's fences by themselves: what the audit hook lets pass, and what the kernel refuses without it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from seamark_load import landlock
from seamark_load.sandbox import Limits, Shut, hook, readable, take_out, tasks_of_user

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = Path(np.__file__).parents[1]
NATIVE = str(next((PACKAGES / "numpy" / "linalg").glob("_umath_linalg.*.so")))


class Folders:
    def __init__(self, top: Path) -> None:
        top = top.resolve()
        self.data, self.own, self.work = top / "data", top / "data" / "loadtests", top / "data" / "run" / "files"
        self.own.mkdir(parents=True)
        self.work.mkdir(parents=True)
        self.told: list[str] = []
        limits = Limits(
            write=str(self.work),
            own=str(self.own),
            closed=(str(self.data),),
            endpoints=frozenset({("10.0.0.7", 8080)}),
            hosts=frozenset({"models.example"}),
            limit_s=9.0,
        )
        self.check = hook(limits, ("/usr/lib", "/proc/1"), self.told.append)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folders:
    made = Folders(tmp_path)
    monkeypatch.chdir(made.work)
    return made


def test_what_a_locustfile_needs_passes(folders: Folders) -> None:
    for event, arguments in (
        ("open", (str(folders.own / "users.csv"), "r", os.O_RDONLY)),
        ("open", (os.fsencode(folders.work / "out.csv"), "w", os.O_WRONLY | os.O_CREAT)),
        ("open", ("out.csv", "w", os.O_WRONLY)),
        ("open", (Path("/usr/lib/python3/os.py"), None, os.O_RDONLY)),
        ("open", (7, "rb", os.O_RDONLY)),
        ("open", ("/dev/null", "w", os.O_WRONLY)),
        ("os.listdir", (str(folders.own),)),
        ("os.listdir", (None,)),
        ("os.rename", ("a", "b", -1, -1)),
        ("os.kill", (os.getpid(), 15)),
        ("socket.connect", (None, ("10.0.0.7", 8080))),
        ("socket.sendmsg", (None, None)),
        ("socket.getaddrinfo", ("Models.Example.", 8080, 0, 1, 6)),
        ("socket.getaddrinfo", (b"10.0.0.7", 8080, 0, 1, 6)),
        ("socket.__new__", (None, socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, 0)),
        ("import", ("numpy", None, None, None, None)),
        ("import", ("numpy.linalg._umath_linalg", NATIVE, None, None, None)),
        ("object.__setattr__", (Folders, "__name__", "x")),
        ("sys._getframe", (None,)),
        ("compile", (None, "x")),
    ):
        folders.check(event, arguments)
    assert folders.told == []


class Text(str):
    """Says it is what is allowed, whoever asks."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash("10.0.0.7")


class Pair(tuple):  # type: ignore[type-arg]
    """Another pair of the same kind."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        return ("10.0.0.7", 8080)[index]


def test_nothing_of_an_object_that_may_lie_is_run_where_it_is_judged(folders: Folders) -> None:
    class Spy(str):
        __slots__ = ()

        def told(self, *_: object) -> Any:
            raise AssertionError("it could look at the frames of who judges it")

        __eq__ = __hash__ = __str__ = __repr__ = rstrip = lower = __format__ = __getitem__ = told

    for event, given in (("socket.connect", (Spy("10.0.0.7"), 8080)), ("socket.getaddrinfo", Spy("x"))):
        with pytest.raises(Shut, match="no plain"):
            folders.check(event, (None, given) if event == "socket.connect" else (given,))
    with pytest.raises(ImportError, match="no plain name"):
        folders.check("import", (Spy("numpy"), None, None, None, None))


def test_no_frame_of_a_refusal_leads_to_a_cell_that_holds_the_addresses(folders: Folders) -> None:
    with pytest.raises(Shut) as refused:
        folders.check("socket.connect", (None, ("10.0.0.8", 8080)))
    trace = refused.tb
    while trace.tb_next is not None:
        trace = trace.tb_next
    held = dict(trace.tb_frame.f_locals)
    assert held["endpoints"] == frozenset({("10.0.0.7", 8080)})
    cells = [cell.cell_contents for value in held.values() for cell in getattr(value, "__closure__", None) or ()]
    assert cells and not any(type(value) is Limits or value == held["endpoints"] for value in cells)


READ = os.O_RDONLY
REFUSED: list[tuple[str, tuple[Any, ...]]] = [
    ("open", ("{data}/seamark.db", "r", READ)),
    ("open", ("../samples.bin", "r", READ)),
    ("open", ("../../seamark.db", None, READ)),
    ("open", ("{work}/../../seamark.db", "r", READ)),
    ("open", ("{own}/../seamark.db", "r", READ)),
    ("open", ("/usr/lib/../../etc/shadow", "r", READ)),
    ("open", ("/usr/libexec", "r", READ)),
    ("open", ("/proc/2/environ", "r", READ)),
    ("open", ("{own}/shop.py", "w", os.O_WRONLY)),
    ("open", ("/usr/lib/x", "a", os.O_APPEND)),
    ("open", ("/usr/lib/x", None, os.O_CREAT)),
    ("os.listdir", ("{data}",)),
    ("os.chdir", ("/",)),
    ("os.remove", ("{own}/shop.py", -1)),
    ("os.rename", ("{own}/shop.py", "mine.py", -1, -1)),
    ("os.rename", ("mine.py", "{own}/shop.py", -1, -1)),
    ("os.symlink", ("a", "b", -1)),
    ("os.link", ("a", "b", -1, -1)),
    ("os.kill", (1, 9)),
    ("os.killpg", (1, 9)),
    ("os.fork", ()),
    ("os.exec", ("/bin/sh", [], None)),
    ("os.posix_spawn", ("/bin/sh", [], {})),
    ("os.system", ("true",)),
    ("subprocess.Popen", ("true", [], None, None)),
    ("ctypes.dlopen", (None,)),
    ("ctypes.call_function", (1, ())),
    ("cpython.PyInterpreterState_New", ()),
    ("sqlite3.connect", (":memory:",)),
    ("socket.bind", (None, ("127.0.0.1", 0))),
    ("socket.connect", (None, ("10.0.0.7", 8081))),
    ("socket.connect", (None, ("10.0.0.8", 8080))),
    ("socket.connect", (None, ("::ffff:10.0.0.7", 8080, 0, 0))),
    ("socket.connect", (None, ("models.example", 8080))),
    ("socket.connect", (None, ("167772167", 8080))),
    ("socket.connect", (None, (b"10.0.0.7", 8080))),
    ("socket.connect", (None, (Text("6.6.6.6"), 8080))),
    ("socket.connect", (None, Pair(("6.6.6.6", 8080)))),
    ("socket.connect", (None, ["10.0.0.7", 8080])),
    ("socket.connect", (None, ("169.254.169.254", 80))),
    ("socket.connect", (None, "/run/docker.sock")),
    ("socket.connect", (None, b"\0abstract")),
    ("socket.sendto", (None, ("10.0.0.8", 53))),
    ("socket.sendmsg", (None, ("10.0.0.8", 53))),
    ("socket.getaddrinfo", ("evil.test", 80, 0, 0, 0)),
    ("socket.getaddrinfo", (None, 80, 0, 0, 0)),
    ("socket.getaddrinfo", (Text("evil.test"), 80, 0, 0, 0)),
    ("socket.gethostbyname", ("evil.test",)),
    ("socket.gethostbyaddr", ("10.0.0.7",)),
    ("socket.getnameinfo", (("10.0.0.7", 80),)),
    ("socket.__new__", (None, socket.AF_INET, socket.SOCK_DGRAM, 0)),
    ("socket.__new__", (None, socket.AF_INET, socket.SOCK_RAW, 0)),
    ("socket.__new__", (None, 16, socket.SOCK_RAW, 0)),
    ("gc.get_objects", (-1,)),
    ("gc.get_referrers", ((),)),
    ("gc.get_referents", ((),)),
    ("object.__setattr__", (hook, "__code__", None)),
]


@pytest.mark.parametrize(("event", "arguments"), REFUSED, ids=[f"{event}-{i}" for i, (event, _) in enumerate(REFUSED)])
def test_anything_else_is_refused_and_told(folders: Folders, event: str, arguments: tuple[Any, ...]) -> None:
    places = {"data": folders.data, "own": folders.own, "work": folders.work}
    given = tuple(a.format(**places) if type(a) is str and "{" in a else a for a in arguments)
    with pytest.raises(Shut, match="refused: "):
        folders.check(event, given)
    assert len(folders.told) == 1


def test_a_link_into_the_data_is_followed_before_it_is_judged(folders: Folders) -> None:
    (folders.data / "seamark.db").write_text("secret")
    (folders.own / "innocent.csv").symlink_to(folders.data / "seamark.db")
    with pytest.raises(Shut, match="reading"):
        folders.check("open", (str(folders.own / "innocent.csv"), "r", os.O_RDONLY))


@pytest.mark.parametrize(
    ("name", "path", "says"),
    [
        *(
            (name, None, f"importing {name}")
            for name in ("duckdb", "grpc", "_cffi_backend", "pyarrow", "zmq", "uvloop")
        ),
        ("zmq.backend.cython._zmq", None, "cannot be seen"),
        ("pyarrow.fs", None, "cannot be seen"),
        ("gevent.resolver.ares", None, "cannot be seen"),
        ("harmless", "{packages}/zmq/backend/cython/_zmq.abi3.so", "cannot be seen"),
        ("harmless", "{packages}/gevent/resolver/cares.cpython-311-x86_64-linux-gnu.so", "cannot be seen"),
        ("harmless", "{packages}/_duckdb.so", "cannot be seen"),
        ("harmless", "{packages}/gevent//resolver/cares.so", "in no folder of packages"),
        ("harmless", "{packages}/gevent/./resolver/cares.so", "in no folder of packages"),
        ("harmless", "{packages}/../harmless.so", "in no folder of packages"),
        ("harmless", "{work}/harmless.so", "in no folder of packages"),
        ("harmless", "/proc/self/fd/7", "in no folder of packages"),
        ("harmless", "harmless.so", "in no folder of packages"),
        ("harmless", Path("/usr/lib/harmless.so"), "in no folder of packages"),
    ],
)
def test_modules_that_connect_in_native_code_are_not_to_be_had(
    folders: Folders, name: str, path: Any, says: str
) -> None:
    given = path.format(packages=PACKAGES, work=folders.work) if type(path) is str else path
    with pytest.raises(ImportError, match=says):
        folders.check("import", (name, given, None, None, None))


def test_what_is_taken_out_is_not_to_be_had_of_those_who_imported_it(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("gone", "gone.below", "goner", "holder")
    gone, below, goner, holder = (ModuleType(name) for name in names)
    for name, module in zip(names, (gone, below, goner, holder), strict=True):
        monkeypatch.setitem(sys.modules, name, module)
    vars(holder).update(g=gone, b=below, kept=goner, connect=type("C", (), {"__module__": "gone.below"}), n=1)
    take_out({"gone"})
    assert "gone" not in sys.modules and "gone.below" not in sys.modules and "goner" in sys.modules
    assert {name for name in vars(holder) if not name.startswith("__")} == {"kept", "n"}


def test_what_may_be_read_is_never_everything() -> None:
    assert not {"/", "/usr", "/etc", "/proc", "/home", "/tmp"} & set(readable())
    assert tasks_of_user() >= 1


ALONE = """
import json, os, socket, sys
from seamark_load import landlock
read, write, secret, allowed, other = json.loads(sys.argv[1])
import encodings.idna
told = {"version": landlock.restrict(read=read, write=[write], ports=[allowed])}
def attempt(name, do):
    try:
        do()
        told[name] = None
    except OSError as error:
        told[name] = error.errno
attempt("read own", lambda: open(os.path.join(read[0], "data.csv")).read())
attempt("write own", lambda: open(os.path.join(write, "out"), "w").write("x"))
attempt("remove own", lambda: os.remove(os.path.join(write, "out")))
attempt("allowed port", lambda: socket.create_connection(("127.0.0.1", allowed), 5))
attempt("read secret", lambda: open(secret).read())
attempt("write secret", lambda: open(secret, "a"))
attempt("remove secret", lambda: os.remove(secret))
attempt("write beside", lambda: open(os.path.join(read[0], "new"), "w"))
attempt("link", lambda: os.symlink(secret, os.path.join(write, "link")))
attempt("parent environ", lambda: open(f"/proc/{os.getppid()}/environ").read())
attempt("execute", lambda: os.execv(sys.executable, [sys.executable, "-c", "0"]))
attempt("other port", lambda: socket.create_connection(("127.0.0.1", other), 5))
attempt("bind", lambda: socket.socket().bind(("127.0.0.1", 0)))
attempt("signal", lambda: os.kill(os.getppid(), 0))
print(json.dumps(told))
"""


@pytest.mark.skipif(landlock.version() < 1, reason="this kernel has no Landlock")
def test_the_kernel_refuses_the_same_to_native_code_and_children(tmp_path: Path) -> None:
    """No audit hook here: what holds is what the kernel holds."""
    read, write, secret = tmp_path / "own", tmp_path / "work", tmp_path / "secret"
    for folder in (read, write):
        folder.mkdir()
    (read / "data.csv").write_text("1")
    secret.write_text("hunter2")
    with socket.create_server(("127.0.0.1", 0)) as allowed, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [listening.getsockname()[1] for listening in (allowed, other)]
        given = json.dumps([[str(read)], str(write), str(secret), *ports])
        path = os.pathsep.join(str(ROOT / part) for part in ("service", "loadtests"))
        ran = subprocess.run(
            [sys.executable, "-c", ALONE, given],
            env={"PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    told = json.loads(ran.stdout)
    version = told.pop("version")
    passed = {"read own", "write own", "remove own", "allowed port"}
    unfenced = set() if version >= 6 else {"signal"} if version >= 4 else {"signal", "other port", "bind"}
    for name, errno in told.items():
        if name not in unfenced:
            assert (errno is None) == (name in passed), (name, errno)
    assert secret.read_text() == "hunter2"
