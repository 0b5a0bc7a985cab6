"""OTLP/HTTP as its specification has it, against a real service: every error is a Status its sender can read."""

from __future__ import annotations

import gzip
import json
import re
import socket
from pathlib import Path

import httpx
import pytest
from google.rpc.status_pb2 import Status
from tests.memory_services import JSON, PROTOBUF, TRACES, TRACES_JSON
from tests.service_process import ServiceProcess

LIMIT = 1_000_000


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    limit = {"SEAMARK_MAX_BODY_BYTES": str(LIMIT)}
    with ServiceProcess(tmp_path_factory.mktemp("conformance"), environment=limit) as running:
        yield running


def status_of(answer):
    """The answer's Status, whatever its encoding."""
    if answer.headers["content-type"] == JSON:
        return answer.json()["code"], answer.json()["message"]
    assert answer.headers["content-type"] == PROTOBUF
    status = Status.FromString(answer.content)
    return status.code, status.message


@pytest.mark.parametrize("content_type", [PROTOBUF, JSON, f"{JSON}; charset=utf-8", "text/plain", None])
@pytest.mark.parametrize(
    "method, path, headers, content, http_status, code",
    [
        ("POST", "/v1development/profiles", {}, b"", 404, 5),
        ("POST", "/v1/nothing", {}, b"", 404, 5),
        ("GET", "/v1/traces", {"accept": "text/html"}, b"", 405, 12),
        ("PUT", "/v1/metrics", {}, b"", 405, 12),
        ("POST", "/v1/logs", {"host": "elsewhere.test"}, b"", 421, 3),
        ("POST", "/v1/logs", {"origin": "http://elsewhere.test"}, b"", 403, 7),
        ("POST", "/v1/traces", {"content-encoding": "zstd"}, b"", 400, 3),
        ("POST", "/v1/traces", {}, b"{]", 400, 3),
        ("POST", "/v1/traces", {"content-encoding": "gzip"}, b"no gzip", 400, 3),
    ],
)
def test_every_error_is_a_status_in_the_requests_encoding(
    service, content_type, method, path, headers, content, http_status, code
):
    given = headers | ({"content-type": content_type} if content_type else {})
    answer = service.http.request(method, path, headers=given, content=content)
    assert answer.status_code == http_status
    assert answer.headers["content-type"] == (PROTOBUF if content_type == PROTOBUF else JSON)
    told, message = status_of(answer)
    assert told == code
    assert message


def test_a_wrong_method_is_told_the_right_one(service):
    assert service.http.get("/v1/traces").headers["allow"] == "POST"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("body, kind", [(TRACES, PROTOBUF), (TRACES_JSON, JSON), (b"", PROTOBUF), (b"{}", JSON)])
def test_a_success_has_the_requests_encoding_too(service, body, kind, packed):
    headers = {"content-type": kind, "accept-encoding": "gzip"} | ({"content-encoding": "gzip"} if packed else {})
    answer = service.http.post("/v1/traces", content=gzip.compress(body) if packed else body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.content == (b"" if kind == PROTOBUF else b"{}")


@pytest.mark.parametrize("kind", ['"SPAN_KIND_SERVER"', '"2"', "2.0", "true"])
def test_json_enums_are_integers_only(service, kind):
    body = TRACES_JSON.replace(b'"kind": 2', b'"kind": ' + kind.encode())
    assert body != TRACES_JSON
    answer = service.http.post("/v1/traces", content=body, headers={"content-type": JSON})
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "1"


def test_json_keys_are_lower_camel_case_only(service):
    body = TRACES_JSON.replace(b"traceId", b"trace_id")
    answer = service.http.post("/v1/traces", content=body, headers={"content-type": JSON})
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "1"


def test_an_answer_stays_small_however_much_was_refused(service):
    span = json.loads(TRACES_JSON)["resourceSpans"][0]["scopeSpans"][0]["spans"][0] | {"traceId": "ff"}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span] * 5_000}]}]})
    answer = service.http.post("/v1/traces", content=body, headers={"content-type": JSON})
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "5000"
    assert len(answer.content) < 2_000


# --- too large -------------------------------------------------------------------------------------------------------


def raw_post(service, headers, size):
    """Send `size` bytes whatever happens, and only then read the answer: as simple clients do."""
    head = f"POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {PROTOBUF}\r\n"
    with socket.create_connection(("127.0.0.1", service.port), 30) as sock:
        sock.sendall((head + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n").encode())
        piece = bytes(65_536)
        chunked = headers.get("Transfer-Encoding") == "chunked"
        for _ in range(size // len(piece)):
            sock.sendall(b"10000\r\n" + piece + b"\r\n" if chunked else piece)
        if chunked:
            sock.sendall(b"0\r\n\r\n")
        return sock.recv(65_536).decode("latin-1")


SIZE = 160 * 65_536


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
@pytest.mark.parametrize("length", [{"Content-Length": str(SIZE)}, {"Transfer-Encoding": "chunked"}])
def test_who_sent_too_much_can_read_so(service, connection, length):
    answer = raw_post(service, {"Connection": connection, **length}, SIZE)
    assert answer.startswith("HTTP/1.1 413 ")
    assert PROTOBUF in answer


def test_who_asks_before_sending_is_told_at_once(service):
    head = f"POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {PROTOBUF}\r\n"
    with socket.create_connection(("127.0.0.1", service.port), 30) as sock:
        expects = f"Content-Length: {SIZE}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        sock.sendall((head + expects).encode())
        assert sock.recv(65_536).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("encoding", [PROTOBUF, JSON])
def test_a_bomb_is_refused_and_never_held(service, encoding):
    before_mb = memory_mb(service)
    bomb = gzip.compress(bytes(100_000_000), 1)
    assert len(bomb) < LIMIT
    answer = httpx.post(
        f"{service.url}/v1/traces",
        content=bomb,
        headers={"content-type": encoding, "content-encoding": "gzip"},
        trust_env=False,
    )
    assert answer.status_code == 413
    assert status_of(answer)[0] == 8
    assert memory_mb(service) - before_mb < 30


def memory_mb(service):
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024
