"""Every error as an RFC 9457 problem: what, where, what would be right; bounded, and without internals."""

from __future__ import annotations

import inspect
import json
import logging
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse

from seamark.core import errors
from seamark.core.errors import BufferFull, DeliveryFailed, Invalid, NotFound, Problem, SeamarkError, StoreUnavailable
from seamark.web.problems import ERRORS_MAX

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, SeamarkError) and kind not in (SeamarkError, DeliveryFailed)
]


class Record(BaseModel):
    model: str
    count: int = 0


@pytest.fixture
def door(app: FastAPI) -> Any:
    """Make an endpoint at /x that raises what it is given."""

    def make(error: BaseException) -> None:
        def fail() -> None:
            raise error

        app.add_api_route("/x", fail, methods=["GET"])

    return make


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_is_its_own_problem(ask, door, kind: type[SeamarkError]) -> None:
    door(kind("rows is -1; write 1 or more", [Problem("rows", "-1 is too small", 7), Problem("", "and more")]))
    answer = ask("GET", "/x")
    assert answer.status_code == kind.status and answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert body["type"] == f"urn:seamark:{kind.kind}" and body["status"] == kind.status and body["title"]
    assert body["detail"] == "rows is -1; write 1 or more"
    assert body["errors"] == [
        {"field": "rows", "message": "-1 is too small", "line": 7},
        {"field": "", "message": "and more", "line": None},
    ]
    assert ("WWW-Authenticate" in answer.headers) == (kind.status == 401)


@pytest.mark.parametrize("error, after", [(BufferFull("full"), "1"), (StoreUnavailable("full disk"), "5")])
def test_what_can_be_retried_says_when(ask, door, error: SeamarkError, after: str) -> None:
    door(error)
    answer = ask("GET", "/x")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, after)


def test_a_refusal_is_final(ask, door) -> None:
    door(NotFound("there is no model 'x'"))
    assert "Retry-After" not in ask("GET", "/x").headers


def test_long_and_hostile_details_are_cut_and_carried(ask, door) -> None:
    problems = [Problem(f"f{n}", "\ud800" * 5000) for n in range(ERRORS_MAX + 3)]
    door(Invalid("\ud800\u2028\x00" + "x" * 100_000, problems))
    answer = ask("GET", "/x")
    assert answer.status_code == 422 and len(answer.content) < 700_000
    assert len(answer.json()["errors"]) == ERRORS_MAX + 1
    assert answer.json()["errors"][-1]["message"] == "3 more errors are not shown"
    assert answer.json()["detail"].endswith("(100003 characters)")


def test_unknown_paths_and_methods(ask, app) -> None:
    app.add_api_route("/only-get", lambda: {"ok": True}, methods=["GET"])
    gone = ask("GET", "/nothing%0d%0ahere")
    assert gone.status_code == 404 and gone.json()["type"] == "about:blank"
    assert "/docs lists what there is" in gone.json()["detail"]
    wrong = ask("POST", "/only-get")
    assert wrong.status_code == 405 and wrong.headers["Allow"] == "GET"
    assert wrong.json()["detail"] == "POST is not possible at /only-get; GET is"


def test_other_http_errors_keep_their_words(ask, door) -> None:
    door(HTTPException(418, "short and stout", headers={"X-Pot": "tea"}))
    answer = ask("GET", "/x")
    assert (answer.status_code, answer.json()["detail"], answer.headers["X-Pot"]) == (418, "short and stout", "tea")


@pytest.fixture
def taking(app: FastAPI) -> None:
    def take(records: list[Record], limit: int = 10) -> int:
        return len(records)

    app.add_api_route("/take", take, methods=["POST"])


def test_a_wrong_field_is_named_with_its_value_and_what_is_right(ask, taking) -> None:
    answer = ask("POST", "/take?limit=many", json=[{"model": "a"}, {"count": "three" * 100}])
    assert answer.status_code == 422
    found = {entry["field"]: entry["message"] for entry in answer.json()["errors"]}
    assert found["body[1].model"] == "is missing, and is needed"
    assert found["body[1].count"].startswith("got 'three") and len(found["body[1].count"]) < 200
    assert "valid integer" in found["body[1].count"]
    assert found["query.limit"].startswith("got 'many'; ")


def test_a_body_that_is_no_json_is_malformed(ask, taking) -> None:
    answer = ask("POST", "/take", content=b'[{"model": ', headers={"Content-Type": "application/json"})
    assert answer.status_code == 400 and "the body is not JSON" in answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "\\ud800"}',
        b'[{"model": "\\ud800", "count": "\\ud800"}]',
        b"[" * 900 + b"]" * 900,
        b"[{" + b'"k": 1,' * 9000 + b'"k": 1}]',
        b'[{"model": 1, "count": ' + b"9" * 4000 + b"}]",
        b'[{"model": NaN, "count": Infinity}]',
        b"[" + b"{}," * 5000 + b"{}]",
        b"\xff\xfe\x00",
        b"",
    ],
    ids=range(9),
)
def test_hostile_bodies_get_a_bounded_refusal(ask, taking, body: bytes) -> None:
    answer = ask("POST", "/take", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422) and len(answer.content) < 50_000
    assert json.loads(answer.content)["status"] == answer.status_code


def test_what_nobody_foresaw_is_told_by_its_id_only(ask, door, caplog: pytest.LogCaptureFixture) -> None:
    door(RuntimeError("password=hunter2"))
    with caplog.at_level(logging.ERROR):
        answer = ask("GET", "/x")
    assert answer.status_code == 500 and answer.json()["type"] == "urn:seamark:internal"
    assert "hunter2" not in answer.text and "Traceback" not in answer.text
    error_id = answer.json()["detail"].rsplit(" ", 1)[1]
    [record] = caplog.records
    assert error_id in record.getMessage() and record.exc_info is not None


def test_an_answer_that_breaks_off_is_not_completed(ask, app, caplog: pytest.LogCaptureFixture) -> None:
    def halves():
        yield b"half"
        raise RuntimeError("broke")

    app.add_api_route("/x", lambda: StreamingResponse(halves()), methods=["GET"])
    with pytest.raises(RuntimeError, match="broke"):
        ask("GET", "/x")
    assert "error" in caplog.text
