"""A request's number -> one HTTP exchange with the target -> what came back.

The exchange is a head that is the same for all requests but for its trace and length, over geventhttpclient's
connections and its parser. Locust's own client builds and checks each request anew, which takes longer than sending it.
"""

from __future__ import annotations

import os
import random
from typing import Any
from urllib.parse import quote, urlsplit

from geventhttpclient.response import HTTPSocketPoolResponse

from seamark.core.load_traces import trace_id
from seamark_load.answers import Reading
from seamark_load.client import Answer, GuardedConnections, GuardedTlsConnections, failed, read_answer
from seamark_load.guard import Guard, Origin
from seamark_load.order import Order
from seamark_load.scenarios.scenario import Scenario

BLOCK_BYTES = 16 * 1024


class Sender:
    """Sends the rows of one order to its target, over connections that are kept."""

    def __init__(self, order: Order, guard: Guard, scenario: Scenario, reading: Reading) -> None:
        self._order, self._scenario, self._reading = order, scenario, reading
        origin = guard.check_url(order.target)
        self._connections = _connections(origin, order)
        self._before_trace = _head(order, origin, scenario)
        self._bodies = order.payloads
        self._bits = random.Random(os.urandom(8)).getrandbits

    def send(self, number: int, due: float) -> Answer:
        """Send one request and return what came back; `due` is where its response time begins."""
        body = self._bodies[number % len(self._bodies)]
        trace = trace_id(self._order.run_id, self._order.seed, number)
        rest = f"00-{trace}-{self._bits(64) or 1:016x}-01\r\nContent-Length: {len(body)}\r\n\r\n"
        request = self._before_trace + rest.encode("ascii") + body
        reading = self._reading.of(number)
        try:
            response = self._exchange(request)
        except Exception as error:  # noqa: BLE001 - whatever ended it, it is told in words
            return failed(error, self._order.timeout_s)
        return read_answer(_Streamed(response), self._scenario.judge, self._order.timeout_s, reading)

    def _exchange(self, request: bytes) -> HTTPSocketPoolResponse:
        connections = self._connections
        sock = connections.get_socket()
        try:
            sock.sendall(request)
        except BaseException:
            connections.release_socket(sock)
            raise
        return HTTPSocketPoolResponse(sock, connections, block_size=BLOCK_BYTES, method=self._scenario.method)


class _Streamed:
    """An unread response in the form that read_answer() takes."""

    __slots__ = ("stream",)

    def __init__(self, response: HTTPSocketPoolResponse) -> None:
        self.stream = response

    @property
    def status_code(self) -> int:
        return self.stream.status_code

    @property
    def headers(self) -> Any:
        return self.stream.info()

    def release(self) -> None:
        self.stream.release()


def _connections(origin: Origin, order: Order) -> GuardedConnections:
    kind = GuardedTlsConnections if origin.scheme == "https" else GuardedConnections
    return kind(
        origin.host,
        origin.port,
        origin.host,
        origin.port,
        size=order.in_flight_max + 1,
        connection_timeout=order.timeout_s,
        network_timeout=None,  # OpenLoop cuts off what takes too long
    )


def _head(order: Order, origin: Origin, scenario: Scenario) -> bytes:
    """The request up to its trace, the only header but the body's length that differs."""
    parts = urlsplit(order.target)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {
        "Host": str(origin).partition("://")[2],
        **scenario.headers,
        "User-Agent": f"seamark-loadtest/{order.version}",
        "Accept-Encoding": "identity",
        "baggage": f"user_agent.synthetic.type=test,seamark.loadtest.run={quote(order.run_id, safe='')}",
        "seamark-synthetic": "test",
    }
    lines = [f"{scenario.method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\ntraceparent: ").encode("latin-1")
