"""Every alert channel, over the registry, against a real HTTP server that answers what the test dials."""

from __future__ import annotations

import dataclasses
import importlib
import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from seamark.core.errors import DeliveryFailed
from seamark.core.findings import AlertStatus
from seamark.delivery import channels, posting
from seamark.delivery.channels import CHANNELS
from seamark.delivery.channels.alertmanager import label_set
from seamark.delivery.message import AlertMessage, Channel

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET = "s3cr3t"
FIRING = AlertMessage(
    key="7f0c21d2a4",
    fingerprint="ab12",
    status=AlertStatus.FIRING,
    labels={"alertname": "SeamarkDrift", "model": "churn", "severity": "ticket", "zone": ""},
    annotations={"summary": "two features of churn drifted", "value": "0.31"},
    starts_at=AT,
    ends_at=None,
    sent_at=AT + timedelta(seconds=30),
    url="http://seamark.test/alerts",
)
RESOLVED = dataclasses.replace(
    FIRING, status=AlertStatus.RESOLVED, ends_at=AT + timedelta(minutes=5), sent_at=AT + timedelta(minutes=6)
)

every_channel = pytest.mark.parametrize("channel", CHANNELS.values(), ids=CHANNELS.keys())


class Receiver:
    """A server on loopback: keeps what it got, answers `answer` (a status, `hang`, `drop` or `endless`)."""

    def __init__(self) -> None:
        self.answer: int | str = 200
        self.headers: dict[str, str] = {}
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.release = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((self.path, dict(self.headers.items()), body))
                receiver.respond(self)

            def do_GET(self) -> None:
                receiver.got.append((self.path, dict(self.headers.items()), b"GET"))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def respond(self, request: BaseHTTPRequestHandler) -> None:
        if self.answer == "hang":
            self.release.wait(20)
        if isinstance(self.answer, str) and self.answer in ("hang", "drop"):
            request.close_connection = True
            request.connection.shutdown(socket.SHUT_RDWR)
            return
        request.send_response(200 if self.answer == "endless" else int(self.answer))
        for name, value in self.headers.items():
            request.send_header(name, value)
        if self.answer != "endless":
            request.send_header("Content-Length", "0")
        request.end_headers()
        try:
            while self.answer == "endless" and not self.release.is_set():
                request.wfile.write(b"x" * 65536)
        except OSError:
            pass

    def close(self) -> None:
        self.release.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.close()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    # Even a careless client must not be led away. Nothing here is TLS, whose certificates take long to read.
    with httpx.Client(follow_redirects=True, trust_env=False, verify=False) as made:
        yield made


def fail(channel: Channel, client: httpx.Client, url: str) -> DeliveryFailed:
    with pytest.raises(DeliveryFailed) as caught:
        channel.deliver(client, url, FIRING)
    return caught.value


def test_registry_and_folder_name_the_same_channels() -> None:
    files = {path.stem for path in Path(channels.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == set(CHANNELS), (
        "a file in delivery/channels without its line in __init__.py, or a line without a file"
    )
    for name, channel in CHANNELS.items():
        assert isinstance(channel, Channel) and channel.name == name
        assert channel in vars(importlib.import_module(f"{channels.__name__}.{name}")).values()


@every_channel
@pytest.mark.parametrize("status", [200, 202, 204])
def test_an_accepted_message_arrives_once_as_json(
    channel: Channel, receiver: Receiver, client: httpx.Client, status: int
) -> None:
    receiver.answer = status
    channel.deliver(client, receiver.url, FIRING)
    [(_, headers, body)] = receiver.got
    assert headers["Content-Type"] == "application/json"
    assert b"two features of churn drifted" in body and json.loads(body)


@every_channel
@pytest.mark.parametrize("message", [FIRING, RESOLVED], ids=["firing", "resolved"])
def test_a_repetition_is_the_same_message(
    channel: Channel, receiver: Receiver, client: httpx.Client, message: AlertMessage
) -> None:
    for _ in range(2):
        channel.deliver(client, receiver.url, message)
    assert receiver.got[0] == receiver.got[1]


@every_channel
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 400, 401, 403, 404, 410, 422])
def test_a_refusal_is_permanent(channel: Channel, receiver: Receiver, client: httpx.Client, status: int) -> None:
    receiver.answer, receiver.headers = status, {"Location": "/elsewhere"}
    assert fail(channel, client, receiver.url).permanent
    assert len(receiver.got) == 1, "a redirect was followed"


@every_channel
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_trouble_is_worth_a_retry(channel: Channel, receiver: Receiver, client: httpx.Client, status: int) -> None:
    receiver.answer = status
    assert not fail(channel, client, receiver.url).permanent


@pytest.mark.slow
@every_channel
@pytest.mark.parametrize("answer", ["hang", "drop"])
def test_no_answer_is_worth_a_retry(
    channel: Channel, receiver: Receiver, client: httpx.Client, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "TIMEOUT_S", 0.3)
    receiver.answer = answer
    assert not fail(channel, client, receiver.url).permanent


@every_channel
def test_a_closed_port_is_worth_a_retry(channel: Channel, client: httpx.Client) -> None:
    with socket.socket() as bound:  # bound and not listening: nobody else gets the port
        bound.bind(("127.0.0.1", 0))
        error = fail(channel, client, f"http://127.0.0.1:{bound.getsockname()[1]}")
    assert not error.permanent and "cannot be reached" in error.message


@every_channel
def test_an_endless_answer_does_not_hold_the_sender(channel: Channel, receiver: Receiver, client: httpx.Client) -> None:
    receiver.answer = "endless"
    channel.deliver(client, receiver.url, FIRING)


@every_channel
@pytest.mark.parametrize(
    "url",
    ["", "hook", "ftp://127.0.0.1/x", "http://", "http://127.0.0.1:99999/", "http://a b/", f"http://{'a' * 70}.test"],
)
def test_an_unusable_url_is_permanent(channel: Channel, client: httpx.Client, url: str) -> None:
    assert fail(channel, client, url).permanent


@every_channel
@pytest.mark.parametrize("status", [302, 404, 503])
def test_no_secret_of_the_url_is_told(channel: Channel, receiver: Receiver, client: httpx.Client, status: int) -> None:
    receiver.answer = status
    port = receiver.server.server_port
    urls = [f"http://user:{SECRET}@127.0.0.1:{port}/{SECRET}?token={SECRET}#{SECRET}", f"ftp://x:{SECRET}@h/{SECRET}"]
    for url in [*urls, f"http://h:notaport{SECRET}/{SECRET}"]:
        error = fail(channel, client, url)
        assert SECRET not in f"{error} {error!r} {error.message}"
        assert error.__suppress_context__ or error.__context__ is None, "the traceback would show the cause's text"


@every_channel
def test_hostile_text_is_carried_not_obeyed(channel: Channel, receiver: Receiver, client: httpx.Client) -> None:
    text = 'a"}\r\nX-Evil: 1\r\n\r\n\ud800\x00\u2028'
    message = dataclasses.replace(
        FIRING,
        key=f"k{text}",
        labels={"alertname": "A", "model": text},
        annotations={"sum\nmary": text},
        url=f"http://h/{text}",
    )
    channel.deliver(client, receiver.url, message)
    [(_, headers, body)] = receiver.got
    assert "X-Evil" not in headers
    document = json.loads(body)
    labels = (document[0] if isinstance(document, list) else document)["labels"]
    assert labels == {"alertname": "A", "model": text}


def test_the_webhooks_document_is_the_one_promised(receiver: Receiver, client: httpx.Client) -> None:
    CHANNELS["webhook"].deliver(client, f"{receiver.url}/hook?team=ml", RESOLVED)
    [(path, headers, body)] = receiver.got
    assert path == "/hook?team=ml"
    assert headers["Idempotency-Key"] == RESOLVED.key
    assert json.loads(body) == {
        "format": 1,
        "key": "7f0c21d2a4",
        "fingerprint": "ab12",
        "status": "resolved",
        "labels": {"alertname": "SeamarkDrift", "model": "churn", "severity": "ticket", "zone": ""},
        "annotations": {"summary": "two features of churn drifted", "value": "0.31"},
        "starts_at": "2026-03-01T12:00:00Z",
        "ends_at": "2026-03-01T12:05:00Z",
        "sent_at": "2026-03-01T12:06:00Z",
        "url": "http://seamark.test/alerts",
    }


def test_alertmanagers_document_is_its_own(receiver: Receiver, client: httpx.Client) -> None:
    channel = CHANNELS["alertmanager"]
    assert (channel.resend_s, channel.resend_resolved_s) == (60.0, 900.0)
    channel.deliver(client, f"{receiver.url}/am/", FIRING)
    channel.deliver(client, f"{receiver.url}/am", RESOLVED)
    assert [path for path, _, _ in receiver.got] == ["/am/api/v2/alerts"] * 2
    [firing], [resolved] = (json.loads(body) for _, _, body in receiver.got)
    assert firing == {
        "labels": {"alertname": "SeamarkDrift", "model": "churn", "severity": "ticket"},
        "annotations": {"summary": "two features of churn drifted", "value": "0.31"},
        "startsAt": "2026-03-01T12:00:00Z",
        "endsAt": "2026-03-01T12:04:30Z",
        "generatorURL": "http://seamark.test/alerts",
    }
    assert resolved == firing | {"endsAt": "2026-03-01T12:05:00Z"}


def test_alertmanager_is_never_told_an_end_before_the_start(receiver: Receiver, client: httpx.Client) -> None:
    late = dataclasses.replace(RESOLVED, ends_at=AT - timedelta(hours=1))
    CHANNELS["alertmanager"].deliver(client, receiver.url, late)
    [alert] = json.loads(receiver.got[0][2])
    assert alert["endsAt"] == alert["startsAt"]


def test_label_names_are_made_to_fit_and_stay_apart() -> None:
    assert label_set({"a.b": "1", "a-b": "2", "a_b": "3", "9": "4", "é": "5", "x": ""}) == {
        "a_b": "3",
        "a_b_2": "2",
        "a_b_3": "1",
        "_9": "4",
        "_": "5",
    }
