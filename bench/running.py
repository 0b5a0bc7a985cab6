"""A command -> a server process on loopback, sampled for CPU seconds and resident memory while it runs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parent.parent
READY_S = 60.0
STOP_S = 60.0
SAMPLE_S = 0.5  # looking through all processes costs a little


@dataclass
class Server:
    """A running server. `samples` are (monotonic instant, CPU seconds, resident bytes) of it and its children.

    Of a child only what it has to itself is added: the pages it shares with its parent are there once.
    """

    url: str
    process: psutil.Process
    folder: Path
    samples: list[tuple[float, float, int]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    def cpu_s(self, start_s: float, end_s: float) -> float:
        """CPU seconds between two monotonic instants, between samples in proportion."""
        at_s, cpu_s, _ = np.array(self.samples).T
        before, after = np.interp([start_s, end_s], at_s, cpu_s)
        return float(after - before)

    def resident_mb(self, start_s: float, end_s: float) -> tuple[list[float], list[float]]:
        """Return minutes since `start_s` and MB, for each sample between two monotonic instants."""
        chosen = [(at_s, held) for at_s, _, held in self.samples if start_s <= at_s <= end_s]
        return [(at_s - start_s) / 60 for at_s, _ in chosen], [held / 1e6 for _, held in chosen]

    def counted(self, signal_name: str) -> int:
        """Rows the service says it made durable, from its /metrics page."""
        page = httpx.get(f"{self.url}/metrics", timeout=60, trust_env=False).raise_for_status().text
        wanted = {"signal": signal_name, "outcome": "accepted"}
        families = text_string_to_metric_families(page)
        samples = (sample for family in families for sample in family.samples)
        return int(sum(s.value for s in samples if s.name == "seamark_ingest_rows_total" and s.labels == wanted))

    def watch(self) -> None:
        """Take samples until `ended`."""
        while not self.ended.is_set():
            try:
                self.sample()
            except psutil.Error:
                return
            self.ended.wait(SAMPLE_S)

    def sample(self) -> None:
        """Take one sample now."""
        self.samples.append((time.monotonic(), *_spent(self.process)))


def _spent(process: psutil.Process) -> tuple[float, int]:
    cpu_s, held = 0.0, 0
    for one in (process, *process.children(recursive=True)):
        try:
            times = one.cpu_times()
            cpu_s += times.user + times.system
            held += one.memory_info().rss if one.pid == process.pid else _private(one.pid)
        except psutil.NoSuchProcess:
            continue
    return cpu_s, held


def _private(pid: int) -> int:
    """Return the resident bytes that no other process shares; 0 where the kernel does not tell, or it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str],
    environment: dict[str, str],
    folder: Path,
    port: int,
    ready: Callable[[str], bool],
    ready_s: float = READY_S,
) -> Iterator[Server]:
    """Run a server until the end of the `with`; RuntimeError with its log where it does not come up."""
    folder.mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{port}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    server = Server(url, psutil.Process(process.pid), folder)
    watcher = threading.Thread(target=server.watch, daemon=True)
    try:
        _wait_ready(url, process, folder / "log", ready, ready_s)
        watcher.start()
        yield server
    finally:
        server.ended.set()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_ready(
    url: str, process: subprocess.Popen[bytes], log: Path, ready: Callable[[str], bool], ready_s: float
) -> None:
    deadline_s = time.monotonic() + ready_s
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            if ready(url):
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"the server did not come up:\n{log.read_text(errors='replace')[-2000:]}")


@contextmanager
def seamark(folder: Path) -> Iterator[Server]:
    """Run `seamark serve` with its defaults on `folder`/data."""
    port = free_port()
    options = ["serve", "--data-dir", str(folder / "data"), "--port", str(port), "--otlp-port", "0"]
    command = [sys.executable, "-c", "from seamark.cli import main; main()", *options]
    with running(command, clean_environment(), folder, port, _ready) as server:
        yield server


def clean_environment() -> dict[str, str]:
    """Return this process's environment without settings of the service, with the service importable."""
    paths = [str(ROOT / "service"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SEAMARK_", "OTEL_"))}
    return environment | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _ready(url: str) -> bool:
    return httpx.get(f"{url}/readyz", trust_env=False).is_success
