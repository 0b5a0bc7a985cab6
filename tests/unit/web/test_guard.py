"""The door: foreign host names, foreign origins, and the headers on every answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.responses import Response

from seamark.web.guard import HostGuard, OriginGuard, allowed_hosts


@pytest.fixture(autouse=True)
def doors(app: FastAPI) -> None:
    app.add_api_route("/x", lambda: {"ok": True}, methods=["GET", "POST", "PUT", "DELETE", "PATCH"])
    policy = {"Content-Security-Policy": "default-src 'self'"}
    app.add_api_route("/page", lambda: Response("<p>", media_type="text/html", headers=policy), methods=["GET"])
    app.add_api_route("/broken", lambda: 1 / 0, methods=["GET"])


def raw(app: Any, headers: list[tuple[bytes, bytes]], kind: str = "http") -> list[dict[str, Any]]:
    """Send one request below httpx, which would repair the headers."""
    sent: list[dict[str, Any]] = []
    scope = {"type": kind, "method": "POST", "path": "/x", "query_string": b"", "headers": headers}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


async def fine(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "localhost", "LOCALHOST:1", "localhost.", "[::1]:8000", "seamark.example"]
)
def test_own_host_names_are_answered(ask, host: str) -> None:
    assert ask("GET", "/x", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.test", "127.0.0.1.evil.test", "localhost.evil.test:8000", "10.0.0.1", "0.0.0.0", "evil.test:127"]
)
def test_foreign_host_names_are_refused(ask, host: str) -> None:
    answer = ask("GET", "/x", headers={"Host": host})
    assert answer.status_code == 421 and "SEAMARK_PUBLIC_URL" in answer.json()["detail"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"host", b"")],
        [(b"host", b"localhost"), (b"host", b"evil.test")],
        [(b"host", b"localhost@evil.test")],
        [(b"host", b"localhost/evil.test")],
        [(b"host", b"localhost:x")],
        [(b"host", b"localhost:99999999")],
        [(b"host", b"[::1")],
        [(b"host", b"local\x00host")],
        [(b"host", b"\xff\xfe")],
    ],
    ids=range(10),
)
def test_odd_host_headers_are_refused(headers: list[tuple[bytes, bytes]]) -> None:
    sent = raw(HostGuard(fine, {"localhost", "::1"}), headers)
    assert sent[0]["status"] in (400, 421)


def test_which_hosts_are_ours() -> None:
    assert allowed_hosts("192.168.1.5", "http://192.168.1.5:8000") == {"localhost", "127.0.0.1", "::1", "192.168.1.5"}
    assert "seamark.example" in (allowed_hosts("127.0.0.1", "https://Seamark.Example:444/base") or ())
    for everywhere in ("0.0.0.0", "::", "[::]"):
        assert allowed_hosts(everywhere, "http://127.0.0.1:8000") is None
    assert raw(HostGuard(fine, None), [(b"host", b"seamark.ml.svc:8000")])[0]["status"] == 200
    assert raw(HostGuard(fine, None), [])[0]["status"] == 400


OWN = [
    {},
    {"Origin": "http://127.0.0.1:8000"},
    {"Origin": "HTTP://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "https://seamark.example"},  # a proxy that passes on its own Host
    {"Origin": "https://seamark.example:443"},
    {"Host": "localhost", "Origin": "http://localhost"},
    {"Host": "localhost", "Origin": "http://localhost:80"},
]
FOREIGN = [
    {"Origin": "http://evil.test"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://127.0.0.1:8001"},
    {"Origin": "http://localhost:8000"},
    {"Origin": "http://127.0.0.1:8000@evil.test"},
    {"Origin": "http://seamark.example"},
    {"Origin": "chrome-extension://abcdef"},
    {"Origin": "http://127.0.0.1:8000/path"},
    {"Origin": "http://[::1"},
    {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("headers", OWN, ids=range(len(OWN)))
def test_own_pages_and_programs_may_change_things(ask, method: str, headers: dict[str, str]) -> None:
    assert ask(method, "/x", headers=headers).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("headers", FOREIGN, ids=range(len(FOREIGN)))
def test_pages_of_others_may_not(ask, method: str, headers: dict[str, str]) -> None:
    answer = ask(method, "/x", headers=headers)
    assert answer.status_code == 403 and "another site" in answer.json()["detail"]


@pytest.mark.parametrize("headers", FOREIGN, ids=range(len(FOREIGN)))
def test_reading_is_the_browsers_own_rule(ask, headers: dict[str, str]) -> None:
    answer = ask("GET", "/x", headers=headers)
    assert answer.status_code == 200 and "Access-Control-Allow-Origin" not in answer.headers


def test_every_origin_header_must_be_ours() -> None:
    headers = [(b"host", b"a"), (b"origin", b"http://a"), (b"origin", b"http://evil.test")]
    assert raw(OriginGuard(fine), headers)[0]["status"] == 403
    assert raw(OriginGuard(fine), headers[:2])[0]["status"] == 200


def test_websockets_are_guarded_too() -> None:
    headers = [(b"host", b"localhost"), (b"origin", b"http://evil.test")]
    assert raw(OriginGuard(fine), headers, "websocket") == [{"type": "websocket.close", "code": 1008}]
    assert raw(HostGuard(fine, {"a"}), headers, "websocket") == [{"type": "websocket.close", "code": 1008}]


def test_every_answer_wears_the_headers_and_a_page_keeps_its_policy(ask) -> None:
    for path in ("/x", "/nothing", "/broken", "/page"):
        headers = ask("GET", path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        expected = "default-src 'self'" if path == "/page" else "frame-ancestors 'none'"
        assert headers.get_list("Content-Security-Policy") == [expected]
