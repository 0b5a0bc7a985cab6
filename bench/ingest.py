"""A running `seamark serve` on an empty folder -> durable spans per second and what each costs, by connections."""

from __future__ import annotations

import http.client
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from bench.otlp_batches import Batches
from bench.report import Result

SPANS = 512
MODEL = "bench"
ROOT = Path(__file__).parent.parent
READY_S = 60.0
SEND_S = 20.0  # for each row of the table, or until its requests are used up
REQUESTS = 500
HEADERS = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}


def run(*, quick: bool) -> Result:
    """Send as much as goes over one connection, over four and over sixteen, each to a service of its own."""
    batches = Batches(MODEL, SPANS)
    rows = []
    for connections in (1, 4, 16):
        bodies = list(batches.make(10 if quick else REQUESTS))
        with tempfile.TemporaryDirectory() as folder, _service(Path(folder)) as (url, process):
            rows.append(_measure(url, process, bodies, connections))
    return Result(
        f"Ingest: durable spans per second, OTLP/HTTP protobuf, gzip, {SPANS} spans a request",
        rows,
        [
            "A span counts when its request was answered 200: the rows are then in the lake, on disk.",
            "CPU seconds and memory are the service's alone; the sender runs on the same cores.",
            "stored: spans the service itself counts afterwards, each once.",
        ],
        {"spans_per_request": SPANS, "bytes_per_request": len(next(batches.make(1)))},
    )


def _measure(url: str, process: psutil.Process, bodies: list[bytes], connections: int) -> dict[str, Any]:
    _send(url, bodies[:1], 1)  # the first request pays for imports and the first commit
    before_s, started_s = _cpu_s(process), time.perf_counter()
    latencies_s, refused = _send(url, bodies[1:], connections)
    taken_s, cpu_s = time.perf_counter() - started_s, _cpu_s(process) - before_s
    spans = len(latencies_s) * SPANS
    return {
        "connections": connections,
        "spans acked": spans,
        "answers 503": refused,
        "spans/s": round(spans / taken_s),
        "p50_ms": float(np.quantile(latencies_s, 0.5) * 1e3),
        "p99_ms": float(np.quantile(latencies_s, 0.99) * 1e3),
        "CPU s per 1M spans": cpu_s / spans * 1e6,
        "memory MB": round(process.memory_info().rss / 1e6),
        "stored": _stored(url) - SPANS,
    }


def _send(url: str, bodies: list[bytes], connections: int) -> tuple[list[float], int]:
    """Return the seconds each accepted request took, and how many answers asked to come again."""
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    for body in bodies:
        waiting.put(body)
    latencies_s: list[float] = []
    refused: list[int] = []
    broken: list[str] = []
    until_s = time.perf_counter() + SEND_S

    def work() -> None:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
        while not broken and time.perf_counter() < until_s:
            try:
                body = waiting.get_nowait()
            except queue.Empty:
                break
            started_s = time.perf_counter()
            connection.request("POST", "/v1/traces", body, HEADERS)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status == 200:
                latencies_s.append(time.perf_counter() - started_s)
            elif answer.status == 503:
                refused.append(1)
                waiting.put(body)
                time.sleep(float(answer.headers.get("Retry-After", "1")))
            else:
                broken.append(f"{answer.status}: {text[:300]!r}")
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if broken:
        raise RuntimeError(f"a request was refused: {broken[0]}")
    return latencies_s, len(refused)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _stored(url: str) -> int:
    """Ask the service how many requests it knows of, over a window that holds them all."""
    window = {"start": str(time.time() - 3600), "end": str(time.time() + 3600), "step": "2h"}
    answer = httpx.get(f"{url}/api/v1/models/{MODEL}/latency", params=window, timeout=60, trust_env=False)
    return sum(point["count"] for point in answer.raise_for_status().json())


@contextmanager
def _service(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    paths = [str(ROOT / "service"), os.environ.get("PYTHONPATH", "")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SEAMARK_")}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    command = "from seamark.cli import main; main()"
    options = ["serve", "--data-dir", str(folder / "data"), "--port", str(port), "--otlp-port", "0"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", command, *options], env=environment, stdout=log, stderr=log)
    try:
        _wait_ready(url, process, folder / "log")
        yield url, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + READY_S
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            if httpx.get(f"{url}/readyz", trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"the service did not come up:\n{log.read_text()[-2000:]}")
