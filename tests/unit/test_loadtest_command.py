"""`seamark loadtest run` against what is no Seamark, with values that are none, and what it tells of a verdict."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result

from seamark.cli import main

RUN = {
    "id": "ab12",
    "plan": "churn-smoke",
    "attempt": 1,
    "retried_as": None,
    "status": "failed",
    "reason": "1 of 1 thresholds did not hold",
    "thresholds": [{"text": "p99(latency_ms) < 300", "actual": 20_010.4, "passed": False}],
    "error_kinds": [{"error": f"HTTP 50{index}\x1b[2J", "count": 2220 - index} for index in range(5)],
    "notes": ["the target closed connections"],
}


@contextmanager
def answering(status: int, body: bytes, media_type: str, asked: list[str], **headers: str) -> Iterator[str]:
    """A server that says the same to everybody; what it was asked is kept."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(f"{self.command} {self.path}")
            self.send_response(status)
            for name, value in {"Content-Type": media_type, "Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815 (the server asks for it so)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def serve(asked: list[str]) -> Iterator[Callable[..., str]]:
    with ExitStack() as stack:
        yield lambda *args, **headers: stack.enter_context(answering(*args, asked, **headers))


def seamark(*args: str) -> Result:
    return CliRunner().invoke(main, ["loadtest", *args], env={"SEAMARK_API_KEY": "", "GITHUB_ACTIONS": ""})


@pytest.mark.parametrize("url", ["127.0.0.1:8200", "ftp://127.0.0.1/", "", "http://", "http://[::1", "localhost"])
def test_what_is_no_url_of_a_service_is_refused_with_the_right_form(url: str) -> None:
    done = seamark("run", "x", "--url", url)
    assert (done.exit_code, type(done.exception)) == (2, SystemExit), done.output
    assert "write http://" in done.output


@pytest.mark.parametrize(
    ("status", "body", "media_type", "code"),
    [
        (404, b"<h1>none</h1>", "text/html", 2),
        (404, b'{"detail": "Not Found"}', "application/json", 2),
        (200, b"<h1>hello</h1>", "text/html", 2),
        (200, b"{}", "application/json", 2),
        (501, b"<h1>POST?</h1>", "text/html", 2),
        (502, b"<h1>Bad gateway</h1>", "text/html", 5),
    ],
)
def test_something_else_than_seamark_is_called_so(
    serve: Any, status: int, body: bytes, media_type: str, code: int
) -> None:
    url = serve(status, body, media_type)
    done = seamark("run", "x", "--url", url)
    assert (done.exit_code, type(done.exception)) == (code, SystemExit), done.output
    assert "not as Seamark does" in done.output and url in done.output


def test_a_redirect_is_told_with_where_it_leads(serve: Any) -> None:
    done = seamark("run", "x", "--url", serve(301, b"", "text/html", Location="https://seamark.example/"))
    assert (done.exit_code, "https://seamark.example/" in done.output) == (2, True), done.output


@pytest.mark.parametrize("name", ["", ".", "..", "../../x", "a/b"])
def test_a_name_that_would_be_another_path_is_refused_and_asks_for_nothing(
    serve: Any, asked: list[str], name: str
) -> None:
    url = serve(202, json.dumps(RUN).encode(), "application/json")
    for command in (("run", name), ("join", name), ("workers", name)):
        done = seamark(*command, "--url", url)
        assert (done.exit_code, "name" in done.output) == (2, True), done.output
    assert asked == []


@pytest.mark.parametrize("timeout", ["-1", "nan", "soon"])
def test_a_wait_that_is_none_is_refused(timeout: str) -> None:
    assert seamark("run", "x", "--timeout", timeout).exit_code == 2
    assert seamark("join", "x", "--wait", timeout).exit_code == 2


@pytest.mark.parametrize("option", ["--junit", "--markdown", "--html"])
def test_a_file_that_cannot_be_written_is_refused_before_a_run_is_asked_for(
    serve: Any, asked: list[str], tmp_path: Path, option: str
) -> None:
    url = serve(202, json.dumps(RUN).encode(), "application/json")
    for path in (tmp_path / "none" / "file", tmp_path):
        done = seamark("run", "x", "--url", url, option, str(path))
        assert (done.exit_code, f"cannot write {path}" in done.output) == (2, True), done.output
    assert asked == []
    assert list(tmp_path.iterdir()) == []


def test_the_verdict_ends_with_its_errors_and_notes_and_outlasts_its_files(serve: Any, tmp_path: Path) -> None:
    url = serve(200, json.dumps(RUN).encode(), "application/json")
    done = seamark("run", "x", "--url", url, "--junit", str(tmp_path / "junit.xml"))
    assert done.exit_code == 1, done.output
    assert done.stdout.splitlines() == [
        "failed: 1 of 1 thresholds did not hold",
        "  FAILED  p99(latency_ms) < 300  (measured 20,010)",
        "  2,220 x HTTP 500 [2J",
        "  2,219 x HTTP 501 [2J",
        "  2,218 x HTTP 502 [2J",
        "  and rarer errors, which the report tells",
        "  note: the target closed connections",
    ]
    assert (tmp_path / "junit.xml").exists()
