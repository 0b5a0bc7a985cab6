"""Calls to a running Seamark, for the command line: every failure becomes one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from threading import Event
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx

from seamark.core.clock import SystemClock
from seamark.core.errors import InputRefused, Problem, SeamarkError, StartRefused

UPLOAD_S = 600.0
RECONNECT_S = 1.0
GONE_S = 60.0  # a service that is restarted is back by then


class Unreachable(SeamarkError):
    """The service did not answer, or failed."""

    kind = "unreachable"


class NotSeamark(StartRefused):
    """Something answers there, and it is not a Seamark."""


class _Following:
    """How far a run was followed: the last event's id, when the service was last heard, when to give up."""

    def __init__(self, clock: SystemClock, timeout_s: float, show: Callable[[dict[str, Any]], None]) -> None:
        self._clock, self.show = clock, show
        self._heard_s = clock.monotonic_s()
        self._deadline_s = self._heard_s + timeout_s
        self.last_id = ""

    def heard(self) -> None:
        """The service is there."""
        self._heard_s = self._clock.monotonic_s()

    @property
    def overdue(self) -> bool:
        """Whether the wait is over."""
        return self._clock.monotonic_s() > self._deadline_s

    @property
    def gone_for_good(self) -> bool:
        """Whether the service was silent for too long."""
        return self.overdue or self._clock.monotonic_s() - self._heard_s > GONE_S


class Client:
    """A client of one service. Refusals raise InputRefused with the service's own words; silence raises Unreachable."""

    def __init__(self, url: str, api_key: str | None) -> None:
        self.url = _checked(url)
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=60.0, trust_env=False)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    @staticmethod
    def quoted(name: str) -> str:
        """A name as one part of a path; StartRefused for one that would lead to another path: empty, or dots."""
        if name.strip(". ") == "":
            raise StartRefused(f"{name[:100]!r} is not a name")
        return quote(name, safe="")

    def get(self, path: str, params: dict[str, Any] | None = None) -> Any:
        """GET a JSON document."""
        return self._json("GET", path, params=params)

    def text(self, path: str, params: dict[str, Any] | None = None) -> str:
        """GET text."""
        return self._call("GET", path, params=params).text

    def post(self, path: str, document: Any = None, params: dict[str, Any] | None = None) -> Any:
        """POST JSON and return the JSON answer."""
        return self._json("POST", path, json=document, params=params)

    def put(self, path: str, text: str, params: dict[str, Any] | None = None) -> Any:
        """PUT text and return the JSON answer."""
        return self._json("PUT", path, content=text.encode(), params=params)

    def upload(self, path: str, body: bytes | dict[str, Any], media_type: str = "", *, params: dict[str, Any]) -> Any:
        """PUT a file of a media type, or a JSON document, that may take minutes; return the JSON answer."""
        if isinstance(body, dict):
            return self._json("PUT", path, json=body, params=params, timeout=UPLOAD_S)
        headers = {"Content-Type": media_type}
        return self._json("PUT", path, content=body, headers=headers, params=params, timeout=UPLOAD_S)

    def delete(self, path: str) -> None:
        """DELETE."""
        self._call("DELETE", path)

    def wait_for_run(self, run_id: str, timeout_s: float, show: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Return the ended run, following its events; `show` is handed each line of progress, and what it waits for.

        A service that goes away is waited for: it may be restarted, and the run made again.
        """
        following = _Following(SystemClock(), timeout_s, show)
        path = f"/api/v1/runs/{run_id}"
        while True:
            try:
                self._follow(f"{path}/events", following)
                run: dict[str, Any] = self.get(path)
            except (httpx.HTTPError, Unreachable) as error:
                if following.gone_for_good:
                    raise Unreachable(f"{self.url} went away while run {run_id} ran: {error}") from None
                Event().wait(RECONNECT_S)
                continue
            following.heard()
            if run["status"] not in ("queued", "running"):
                return run
            if following.overdue:
                told = f"run {run_id} has not ended within {timeout_s:g} s; it goes on: {self.url}/runs/{run_id}"
                raise Unreachable(told)

    def _follow(self, path: str, following: _Following) -> None:
        """Show a run's live progress until its events end or the deadline has come; goes on where it was left."""
        kind = ""
        headers = {"Last-Event-ID": following.last_id} if following.last_id else {}
        with self._http.stream("GET", path, headers=headers) as events:
            for line in events.iter_lines():
                following.heard()
                name, _, value = line.partition(": ")
                if name == "id":
                    following.last_id = value
                elif name == "event":
                    kind = value
                elif name == "data" and kind in ("progress", "waiting"):
                    following.show(json.loads(value))
                if following.overdue:
                    return

    def _json(self, method: str, path: str, **kwargs: Any) -> Any:
        response = self._call(method, path, **kwargs)
        try:
            return response.json()
        except ValueError:
            raise _not_seamark(self.url, response) from None

    def _call(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **kwargs)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreachable(
                f"no answer from {self.url}: {str(error) or type(error).__name__}. Is `seamark serve` running there?"
            ) from None
        if response.is_success:
            return response
        raise _refusal(self.url, response)


def _checked(url: str) -> str:
    """The service's URL without its last slashes; StartRefused for one that is none."""
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        parts = httpx.URL("")
    if parts.scheme not in ("http", "https") or not parts.host:
        right = f"http://{url[:200]}" if url and "/" not in url else "http://HOST:PORT"
        raise StartRefused(f"{url[:200]!r} is not the URL of a service (--url, SEAMARK_URL); write {right}")
    return url.rstrip("/")


def _not_seamark(url: str, response: httpx.Response) -> SeamarkError:
    """What to say of an answer that is not in Seamark's words."""
    code, kind = response.status_code, response.headers.get("content-type", "no type").partition(";")[0]
    if response.is_redirect:
        where = response.headers.get("location", "elsewhere")[:300]
        return NotSeamark(f"{url} leads on to {where}; give the service's own URL (--url, SEAMARK_URL)")
    if code in (502, 503, 504):
        return Unreachable(f"{url} answered HTTP {code}, and not as Seamark does: is it a proxy whose Seamark is away?")
    told = f"{url} answered, but not as Seamark does (HTTP {code}, {kind[:60]})"
    return NotSeamark(f"{told}; is it the URL of the service (--url, SEAMARK_URL), and not of a model?")


def _refusal(url: str, response: httpx.Response) -> SeamarkError:
    try:
        document = response.json()
        # Other services have a `detail` too; a problem has its type.
        detail = str(document["detail"]) if "type" in document else None
    except (ValueError, KeyError, TypeError):
        detail = None
        document = {}
    if detail is None:
        return _not_seamark(url, response)
    if response.status_code >= 500:
        return Unreachable(f"the service failed: {detail}")
    problems = [Problem(p.get("field", ""), p.get("message", ""), p.get("line")) for p in document.get("errors", [])]
    return InputRefused(detail, problems)
