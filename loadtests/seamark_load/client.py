"""A response of geventhttpclient -> an answer within bounds; and its connections, with the guard before each of them.

TLS is verified, redirects are not followed, answers are read only up to a bound, and a socket connects only to an
address that the guard let pass.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import gevent
from geventhttpclient import client
from geventhttpclient.connectionpool import ConnectionPool, SSLConnectionPool
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError

from seamark_load.answers import AnswerReading
from seamark_load.guard import Refused, origin_of
from seamark_load.pinned import Pins

ANSWER_BYTES_MAX = 16 * 1024 * 1024
_BLOCK = 64 * 1024
_NAMES_S = 5.0  # how long a resolved name is used again: each is checked at connect, none is looked up per request
_STATUS_MAX = 999


@dataclass(frozen=True)
class Answer:
    """What came back: `status` None where no whole answer did; `error` None where the request succeeded."""

    status: int | None
    error: str | None
    length: int = 0
    connected: bool = True
    timed_out: bool = False
    first_token_ms: float | None = None  # from the send
    time_per_token_ms: float | None = None
    tokens: int | None = None
    matches: bool | None = None  # the recorded answer


class NotConnected(OSError):
    """No connection could be made, so nothing was sent."""


class GuardedConnections(ConnectionPool):
    """Checks each address at the last step before connect(), and tells failures to connect from all others."""

    pins = Pins({})  # of this run; until they are set, nothing can be connected to

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._addresses: Any = []
        self._addresses_until_s = 0.0

    def _resolve(self) -> Any:
        if time.monotonic() >= self._addresses_until_s:
            found = super()._resolve()
            usable = self.pins.choose(self._connection_host, [str(info[4][0]) for info in found])
            self._addresses = [info for info in found if info[4][0] in usable]
            self._addresses_until_s = time.monotonic() + _NAMES_S
        return self._addresses

    def _is_socket_alive(self, sock: Any) -> bool:
        """Whether nothing has come on an idle connection, an end included.

        Looks at the socket beneath gevent's, which would wait; the original's select() takes ten times as long.
        """
        plain = getattr(sock, "_sock", None)
        if plain is None or isinstance(sock, ssl.SSLSocket) or hasattr(sock, "_sslobj"):
            return bool(super()._is_socket_alive(sock))
        try:
            plain.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _connect_socket(self, sock: Any, address: Any) -> Any:
        self.pins.check(self._connection_host, address[0])
        return super()._connect_socket(sock, address)

    def _create_socket(self) -> Any:
        try:
            return super()._create_socket()
        except Refused:
            raise
        except (OSError, RuntimeError) as error:
            raise NotConnected(_why_not_connected(error)) from None


class GuardedTlsConnections(GuardedConnections, SSLConnectionPool):
    """The same for https."""


def guard_connections(pins: Pins) -> None:
    """Make every HTTP client of this process connect through the guard, also one that a scenario makes by itself."""
    GuardedConnections.pins = pins
    client.ConnectionPool = GuardedConnections  # type: ignore[attr-defined]
    client.SSLConnectionPool = GuardedTlsConnections  # type: ignore[attr-defined]


def read_answer(
    response: Any, judge: Callable[[int], str | None], timeout_s: float, reading: AnswerReading | None = None
) -> Answer:
    """Read a streamed response to its end, within bounds, and judge it; `reading` is shown its body as it comes."""
    status = int(response.status_code)
    length = 0
    try:
        while block := response.stream.read(_BLOCK) if reading is None else _what_came(response.stream):
            length += len(block)
            if reading is not None:
                reading.feed(block)
            if length > ANSWER_BYTES_MAX:
                response.release()
                return Answer(status, f"answer longer than {ANSWER_BYTES_MAX // 1024 // 1024} MiB", length)
    except (OSError, HTTPConnectionClosed, HTTPParseError, gevent.Timeout) as broken:
        return _broken(failed(broken, timeout_s), reading)
    finally:
        response.release()
    if not 100 <= status <= _STATUS_MAX:
        return Answer(None, "the answer is not HTTP", length)
    if 300 <= status < 400:
        return Answer(status, f"redirect to {_where_to(response)} not followed", length)
    error = judge(status)
    if reading is None:
        return Answer(status, error, length)
    unread, details = reading.end(good=error is None)
    return Answer(status, error or unread, length, **details)


def _broken(answer: Answer, reading: AnswerReading | None) -> Answer:
    """A stream that broke off did begin: when, is known."""
    return answer if reading is None else replace(answer, **reading.end(good=False)[1])


def _what_came(stream: Any) -> bytes:
    """Wait for the next part of a body and return it: read() would wait until a whole block has come."""
    while not (held := stream._body_buffer):  # noqa: SLF001 - the library itself only offers to wait
        sock = stream._sock  # noqa: SLF001 - None: all of it has come
        if sock is None or stream.message_complete:
            return b""
        came = sock.recv(_BLOCK)
        stream.feed(came)
        if not came and not stream.message_complete:
            raise HTTPConnectionClosed("connection closed.")
    block = bytes(held)
    del held[:]
    return block


def failed(error: BaseException, timeout_s: float) -> Answer:
    """Return what an exception means, in one of a few constant texts: they are counted by text."""
    if isinstance(error, Refused):
        return Answer(None, f"refused: {error}", connected=False)
    if isinstance(error, NotConnected):
        return Answer(None, f"cannot connect: {error}", connected=False)
    if isinstance(error, (TimeoutError, gevent.Timeout)):
        return Answer(None, f"no answer within {timeout_s:g} s", timed_out=True)
    if isinstance(error, HTTPConnectionClosed):
        return Answer(None, "connection closed before an answer")
    if isinstance(error, HTTPParseError):
        return Answer(None, "the answer is not HTTP, or not whole")
    if isinstance(error, ConnectionError):
        return Answer(None, "connection lost")
    return Answer(None, type(error).__name__)


def _why_not_connected(error: BaseException) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return "no connection in time"
    if isinstance(error, socket.gaierror):
        return "the name does not resolve"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the TLS certificate is not trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return type(error).__name__


def _where_to(response: Any) -> str:
    location = (response.headers or {}).get("location")
    if not isinstance(location, str):
        return "nowhere"
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:", location) is None:
        return "the same origin"
    try:
        return str(origin_of(location))[:100]
    except Refused:
        return "elsewhere"
