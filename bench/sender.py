"""Bodies in files -> requests over N connections, as fast as they are answered or on a schedule; a process of its own.

Run as `python -m bench.sender ORDER`, ORDER a JSON object as Order below. It uses plain sockets, threads and bytes made
beforehand: the service must have the machine, not its load. SIGTERM ends it early; what was answered counts.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.bodies import Reader

TIMEOUT_S = 120.0
_RETRY_S = 1.0


@dataclass(frozen=True)
class Order:
    """What to send. Instants are of the monotonic clock. `rate_rps` None: each connection sends when it is answered."""

    port: int
    path: str
    headers: dict[str, str]
    folder: str
    parts: int
    first: int  # index of the first body to be sent
    count: int
    connections: int
    start_s: float
    until_s: float
    out: str
    rate_rps: float | None = None
    lossy: bool = False  # a connection that breaks loses its request, and the next is sent; else it ends the run


@dataclass
class Sender:
    """Takes bodies one after the other, each once; a 503 is sent again after its Retry-After, as an SDK would."""

    order: Order
    answered: list[tuple[float, float]] = field(default_factory=list)  # finished at, seconds since sent (or due)
    refused: list[float] = field(default_factory=list)  # when a 503 came
    lost: list[float] = field(default_factory=list)  # when a connection broke, of an order that is lossy
    broken: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    cpu_s: float = 0.0  # from the first instant on

    def run(self) -> None:
        """Send until the bodies or the time are used up."""
        self._bodies = Reader(Path(self.order.folder), self.order.parts)
        self._next, self._lock = 0, threading.Lock()
        head = "".join(f"{name}: {value}\r\n" for name, value in self.order.headers.items())
        self._head = f"POST {self.order.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}Content-Length: "
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(self.order.connections)]
        for thread in threads:
            thread.start()
        before_s = time.process_time()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)  # in pieces: a signal is handled between them
        self.cpu_s = time.process_time() - before_s

    def _take(self) -> int | None:
        with self._lock:
            if self.stop.is_set() or self.broken or self._next >= self.order.count:
                return None
            self._next += 1
            return self._next - 1

    def _work(self) -> None:
        try:
            connection = Connection(self.order.port)
            self.stop.wait(max(0.0, self.order.start_s - time.monotonic()))
            while (n := self._take()) is not None and time.monotonic() < self.order.until_s:
                if not self._send(connection, n):
                    return
        except (OSError, ValueError) as error:
            self.broken.append(f"{type(error).__name__}: {error}")

    def _send(self, connection: Connection, n: int) -> bool:
        order, body = self.order, self._bodies[self.order.first + n]
        begun_s = time.monotonic()
        if order.rate_rps is not None:
            begun_s = order.start_s + n / order.rate_rps
            if self.stop.wait(max(0.0, begun_s - time.monotonic())):
                return False
        request = f"{self._head}{len(body)}\r\n\r\n".encode()
        while not self.stop.is_set():
            try:
                status, headers, answer = connection.post(request, body)
            except OSError:
                if not order.lossy:
                    raise
                self.lost.append(time.monotonic())
                self.stop.wait(_RETRY_S)
                connection.reopen()
                return True
            now_s = time.monotonic()
            if 200 <= status < 300:
                self.answered.append((now_s, now_s - begun_s))
                return True
            if status not in (429, 503):
                self.broken.append(f"{status}: {answer[:300]!r}")
                return False
            self.refused.append(now_s)
            if now_s >= order.until_s:
                return False
            self.stop.wait(float(headers.get("retry-after", _RETRY_S)))
        return False


class Connection:
    """One keep-alive connection over which one request is under way at a time."""

    def __init__(self, port: int) -> None:
        self._address = ("127.0.0.1", port)
        self._socket = self._opened()

    def _opened(self) -> socket.socket:
        opened = socket.create_connection(self._address, TIMEOUT_S)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened

    def reopen(self) -> None:
        """Give the connection up and make another."""
        self._socket.close()
        self._socket = self._opened()

    def post(self, head: bytes, body: memoryview) -> tuple[int, dict[str, str], bytes]:
        """Send a request and return its answer's status, headers (names in lower case) and body."""
        self._socket.sendall(head)
        self._socket.sendall(body)
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._receive()
        first, *lines = received[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        answer = received[end + 4 :]
        length = int(headers.get("content-length", 0))
        while len(answer) < length:
            answer += self._receive()
        if headers.get("connection", "").lower() == "close":
            self.reopen()
        return int(first.split(" ", 2)[1]), headers, answer

    def _receive(self) -> bytes:
        piece = self._socket.recv(65_536)
        if not piece:
            raise ConnectionResetError("the service closed the connection before it answered")
        return piece


def main() -> int:
    """Carry out the order in argv and write what came of it beside `out`; exit 1 where a request was refused."""
    order = Order(**json.loads(sys.argv[1]))
    sender = Sender(order)
    signal.signal(signal.SIGTERM, lambda *_: sender.stop.set())
    sender.run()
    write(sender, Path(order.out))
    return 1 if sender.broken else 0


def write(sender: Sender, out: Path) -> None:
    """Write the instants and latencies of all answers."""
    found: dict[str, Any] = {
        "answered": np.array(sender.answered, dtype=float).reshape(-1, 2),
        "refused": np.array(sender.refused, dtype=float),
        "lost": np.array(sender.lost, dtype=float),
        "broken": np.array(sender.broken[:3], dtype=str),
        "cpu_s": np.array(sender.cpu_s),
    }
    with out.open("wb") as file:
        np.savez(file, **found)


if __name__ == "__main__":
    sys.exit(main())
