"""Whatever HTTP client a locustfile uses -> its origin is checked, its target's rate kept and its requests marked.

Three places see them all: http.client (urllib, urllib3, requests, HttpUser), geventhttpclient (FastHttpUser), and the
sessions of both kinds of users, where a request can be delayed before Locust begins to time it. Each hop of a redirect
passes them again.
"""

from __future__ import annotations

import http.client
import os
import random
from collections.abc import Callable, Mapping
from itertools import count
from time import perf_counter
from typing import Any
from urllib.parse import quote

import gevent
from gevent.local import local
from geventhttpclient import client as gevent_client
from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession
from urllib3.connection import HTTPConnection, HTTPSConnection

from seamark.core.load_traces import trace_id
from seamark_load.allowance import Allowance
from seamark_load.guard import Guard, Origin, Refused, origin_of

BURST_S = 0.1
_NUMBER = "seamark.number"  # in Locust's context of a request; its event hands it on
# Span ids must differ between runs, whatever a locustfile seeds.
_SPAN_IDS = random.Random(os.urandom(16))


class EveryRequest:
    """The checks of one run. `refused` is told of each URL that was, `cut_off` of each request (when it was sent, by
    perf_counter, and its number) whose user was ended while it waited.

    Requests are numbered as they are sent; `run_id`, `seed` and the number give the id of the trace.
    """

    def __init__(
        self,
        guard: Guard,
        caps: Mapping[str, float],
        refused: Callable[[str], None],
        cut_off: Callable[[float, int | None], None],
        *,
        run_id: str,
        seed: int,
    ) -> None:
        self._guard, self._refused, self._cut_off = guard, refused, cut_off
        self._allowances = {origin: Allowance(rps, burst_s=BURST_S) for origin, rps in caps.items()}
        self._paid = local()
        self._sent_at: dict[object, tuple[float, int | None]] = {}
        self._run_id, self._seed, self._numbers = run_id, seed, count()

    @property
    def held_back(self) -> int:
        """How many requests a rate cap has delayed."""
        return sum(allowance.held_back for allowance in self._allowances.values())

    @property
    def in_flight(self) -> list[tuple[float, int | None]]:
        """When the requests that sessions wait for now were sent, and their numbers."""
        return list(self._sent_at.values())

    @staticmethod
    def take_number(context: Any) -> int | None:
        """Take a request's number out of the context of its event; None: it was not marked, so no trace is its own."""
        number = context.pop(_NUMBER, None) if isinstance(context, dict) else None
        return number if isinstance(number, int) else None

    def install(self) -> None:
        """Stand in the way of every request of this process, for good."""
        for session in (HttpSession, FastHttpSession):
            self._wrap(session, "request", self._of_session)
        self._wrap(http.client.HTTPConnection, "putrequest", self._of_connection)
        for connection in (http.client.HTTPConnection, http.client.HTTPSConnection, HTTPConnection, HTTPSConnection):
            if "connect" in vars(connection):
                self._wrap(connection, "connect", self._of_connect)
        self._wrap(gevent_client.HTTPClient, "request", self._of_gevent_client)

    def _wrap(self, owner: type, name: str, around: Callable[..., Any]) -> None:
        original = getattr(owner, name)

        def wrapped(this: Any, *arguments: Any, **settings: Any) -> Any:
            return around(original, this, *arguments, **settings)

        setattr(owner, name, wrapped)

    def _of_session(self, original: Any, this: Any, method: Any, url: Any, *rest: Any, **settings: Any) -> Any:
        try:
            self._take(origin_of(str(this._build_url(url))))  # noqa: SLF001 - as Locust will
            self._paid.yes = True
        except Refused:
            pass  # the connection says so, and Locust counts it as a request that failed
        number = None
        if len(rest) < 4:  # else FastHttpSession was given its headers by position
            number, settings = self._marked(settings)
        me = object()
        sent_at = perf_counter()
        self._sent_at[me] = sent_at, number
        try:
            return original(this, method, url, *rest, **settings)
        except gevent.GreenletExit:
            self._cut_off(sent_at, number)
            raise
        finally:
            self._sent_at.pop(me, None)
            self._paid.yes = False

    def _marked(self, settings: dict[str, Any]) -> tuple[int | None, dict[str, Any]]:
        """Number a request and mark it, so that the service tells a test's traffic from live traffic, and this run's.

        What the file says itself stands; a request in a trace of the file's own has no number.
        """
        own = settings.get("headers") or {}
        marks = {
            "baggage": f"user_agent.synthetic.type=test,seamark.loadtest.run={quote(self._run_id, safe='')}",
            "seamark-synthetic": "test",
        }
        if any(str(name).lower() == "traceparent" for name in own):
            return None, {**settings, "headers": {**marks, **own}}
        number = next(self._numbers)
        trace, span_id = trace_id(self._run_id, self._seed, number), _SPAN_IDS.getrandbits(64) or 1
        headers = {"traceparent": f"00-{trace}-{span_id:016x}-01", **marks, **own}
        context = {**(settings.get("context") or {}), _NUMBER: number}
        return number, {**settings, "headers": headers, "context": context}

    def _of_connect(self, original: Any, this: Any, *arguments: Any, **settings: Any) -> Any:
        self._check(_url_of(this))  # before TLS begins, too
        return original(this, *arguments, **settings)

    def _of_connection(self, original: Any, this: Any, method: str, url: str, *rest: Any, **settings: Any) -> Any:
        if not url.startswith("/"):
            self._check(url)  # what a proxy would be asked for
        self._pass(_url_of(this))
        return original(this, method, url, *rest, **settings)

    def _of_gevent_client(self, original: Any, this: Any, *arguments: Any, **settings: Any) -> Any:
        self._pass(_url("https" if this.ssl else "http", this.host, this.port))
        return original(this, *arguments, **settings)

    def _check(self, url: str) -> Origin:
        try:
            return self._guard.check_url(url)
        except Refused as error:
            self._refused(str(error))
            raise

    def _pass(self, url: str) -> None:
        """Check where a request is about to go; take its token where its session has not."""
        origin = self._check(url)
        if getattr(self._paid, "yes", False):
            self._paid.yes = False  # the next hop of a redirect pays for itself
        else:
            self._take(origin)

    def _take(self, origin: Origin) -> None:
        allowance = self._allowances.get(str(origin))
        if allowance is not None and (wait_s := allowance.delay_s()) > 0:
            gevent.sleep(wait_s)


def _url_of(connection: Any) -> str:
    """The origin a connection of http.client speaks with, behind its proxy where it has a tunnel."""
    tunnel = getattr(connection, "_tunnel_host", None)
    if tunnel:
        return _url("https", tunnel, connection._tunnel_port)  # noqa: SLF001 - there is no other way to ask
    scheme = "https" if connection.default_port == http.client.HTTPS_PORT else "http"
    return _url(scheme, connection.host, connection.port)


def _url(scheme: str, host: Any, port: Any) -> str:
    name = str(host).strip("[]")
    return f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}"
