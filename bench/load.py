"""A running server and bodies -> what it acknowledged in a steady window, how late, and what that cost it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bench.bodies import Bodies
from bench.payloads import PAYLOADS
from bench.running import ROOT, Server, clean_environment
from bench.sender import TIMEOUT_S, Order

OPEN_CONNECTIONS = 64  # enough that a request due is sent at once, unless the server is seconds behind
SOON_S = 1.5  # until the sender has started


@dataclass(frozen=True)
class Load:
    """What came of sending: requests answered 2xx (and how many bodies were ever sent), 503s, and the window's figures.

    The window begins after the warm-up and ends with the time asked for, or with the bodies if they were used up.
    Latencies are in ms; in an open loop they count from the instant the request was due.
    """

    acknowledged: int
    refused: int
    lost: int  # connections that broke; only where that was allowed
    window_s: float
    rows_per_s: float
    requests: int  # within the window
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    cpu_s: float  # of the server, in the window
    sender_cpu_s: float
    start_s: float
    end_s: float
    took_s: float  # from the first instant to the last answer, warm-up and what came late included

    @property
    def latencies(self) -> dict[str, float | None]:
        """The three quantiles by name."""
        return {"p50_ms": self.p50_ms, "p99_ms": self.p99_ms, "max_ms": self.max_ms}


def send(
    server: Server,
    bodies: Bodies,
    *,
    first: int = 0,
    count: int | None = None,
    connections: int = OPEN_CONNECTIONS,
    rate_rps: float | None = None,
    warm_s: float,
    window_s: float,
    extra_headers: Mapping[str, str] | None = None,
    lossy: bool = False,
) -> Load:
    """Send bodies `first` and after, for `warm_s` and then `window_s` seconds; RuntimeError if one is refused."""
    with sending(
        server,
        bodies,
        first=first,
        count=count,
        connections=connections,
        rate_rps=rate_rps,
        seconds=warm_s + window_s,
        extra_headers=extra_headers,
        lossy=lossy,
    ) as run:
        run.wait()
    return run.load(warm_s)


@dataclass
class Sending:
    """A sender under way."""

    server: Server
    order: Order
    process: subprocess.Popen[bytes]
    rows: int  # in a request

    def wait(self) -> None:
        """Wait until it has sent everything."""
        self.process.wait(self.order.until_s - time.monotonic() + TIMEOUT_S)

    @property
    def under_way(self) -> bool:
        """Whether it still sends."""
        return self.process.poll() is None

    def load(self, warm_s: float) -> Load:
        """Return the figures once it has ended."""
        order = self.order
        self.server.sample()
        with np.load(order.out) as found:
            if found["broken"].size:
                raise RuntimeError(f"a request was refused: {found['broken'][0]}")
            answered, refused, sender_cpu_s = found["answered"], found["refused"], float(found["cpu_s"])
            lost = len(found["lost"])
        if not len(answered):
            raise RuntimeError("no request was answered")
        start_s = order.start_s + warm_s
        end_s = min(order.until_s, float(answered[:, 0].max()))
        if end_s <= start_s:
            raise RuntimeError(f"the bodies were used up within the {warm_s:g} s of warming up; make more of them")
        within = answered[(answered[:, 0] >= start_s) & (answered[:, 0] <= end_s)]
        return Load(
            acknowledged=len(answered),
            refused=len(refused),
            lost=lost,
            window_s=end_s - start_s,
            rows_per_s=len(within) * self.rows / (end_s - start_s),
            requests=len(within),
            **quantiles_ms(within[:, 1] * 1e3),
            cpu_s=self.server.cpu_s(start_s, end_s),
            sender_cpu_s=sender_cpu_s,
            start_s=start_s,
            end_s=end_s,
            took_s=float(answered[:, 0].max()) - order.start_s,
        )


@contextmanager
def sending(
    server: Server,
    bodies: Bodies,
    *,
    first: int = 0,
    count: int | None = None,
    connections: int = OPEN_CONNECTIONS,
    rate_rps: float | None = None,
    seconds: float,
    extra_headers: Mapping[str, str] | None = None,
    lossy: bool = False,
) -> Iterator[Sending]:
    """Send in a process of its own; at the end of the `with` it is told to stop, and has stopped."""
    payload = PAYLOADS[bodies.kind]
    start_s = time.monotonic() + SOON_S
    out = server.folder / f"sent-{first}-{time.monotonic_ns()}.npz"
    order = Order(
        port=server.port,
        path=payload.path,
        headers={**payload.headers, **(extra_headers or {})},
        folder=str(bodies.folder),
        parts=bodies.parts,
        first=first,
        count=bodies.count - first if count is None else count,
        connections=connections,
        start_s=start_s,
        until_s=start_s + seconds,
        out=str(out),
        rate_rps=rate_rps,
        lossy=lossy,
    )
    command = [sys.executable, "-m", "bench.sender", json.dumps(asdict(order))]
    process = subprocess.Popen(command, cwd=ROOT, env=clean_environment())
    try:
        yield Sending(server, order, process, payload.rows)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(TIMEOUT_S)


def quantiles_ms(values_ms: Any) -> dict[str, float | None]:
    """Return median, 99th percentile and maximum, None for no values."""
    if not len(values_ms):
        return dict.fromkeys(("p50_ms", "p99_ms", "max_ms"))
    p50, p99, most = np.quantile(values_ms, [0.5, 0.99, 1.0])
    return {"p50_ms": float(p50), "p99_ms": float(p99), "max_ms": float(most)}
