"""Rows from templates, files and plans, and the request bodies they make: what is taken, and what is refused how."""

from __future__ import annotations

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamark.app import known_names
from seamark.core.errors import Invalid
from seamark.core.specs import LoadTestPlan
from seamark.wire import payload_file
from seamark.wire.load_bodies import BODIES
from seamark.wire.payload_file import name_fault, read_payload_file
from seamark.wire.payload_template import fill
from seamark.wire.plan import parse_plan
from seamark.wire.values import RowRefused

PLAN: dict[str, Any] = {
    "model": "m",
    "target": "http://127.0.0.1:9/predict",
    "payload": {"rows": [{"x": 1}]},
    "shape": {"constant": {"rate_rps": 5, "duration_s": 1}},
}


def parsed(**more: Any) -> LoadTestPlan:
    return parse_plan({**PLAN, **more}, "p", known_names(), ["http://127.0.0.1:9"], ["m"])


def problems(**more: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as refused:
        parsed(**more)
    return {problem.field: problem.message for problem in refused.value.problems}


# --- templates -----------------------------------------------------------------------------------------------------

TEMPLATE: dict[str, Any] = {
    "age": {"$integer": [18, 90]},
    "score": {"$normal": [0, 1]},
    "share": {"$uniform": [-1, 1.5]},
    "plan": {"$choice": ["basic", "pro"]},
    "id": {"$sequence": 100},
    "nested": [{"text": {"$text": {"words": [2, 4]}}, "fixed": None}],
}


FIRST: dict[str, Any] = {
    "age": 42,
    "score": -1.5134498589193157,
    "share": 0.17955526480856743,
    "plan": "basic",
    "id": 100,
    "nested": [{"text": "even and when", "fixed": None}],
}


def test_a_template_gives_the_same_rows_for_a_seed() -> None:
    rows = fill(TEMPLATE, 1, 200)
    assert rows == fill(TEMPLATE, 1, 200) and rows[:3] == fill(TEMPLATE, 1, 3) and rows != fill(TEMPLATE, 2, 200)
    assert rows[0] == FIRST
    assert {type(row["age"]) for row in rows} == {int} and {row["plan"] for row in rows} == {"basic", "pro"}
    assert min(row["age"] for row in rows) >= 18 and max(row["age"] for row in rows) <= 90
    assert all(-1 <= row["share"] <= 1.5 for row in rows)
    assert [row["id"] for row in rows] == list(range(100, 300))
    assert {len(row["nested"][0]["text"].split()) for row in rows} == {2, 3, 4}
    mean = sum(row["score"] for row in rows) / 200
    assert abs(mean) < 4 / 200**0.5
    assert json.dumps(rows)


@given(st.integers(0, 2**53), st.integers(1, 5))
def test_every_seed_makes_rows_within_bounds(seed: int, count: int) -> None:
    for row in fill(TEMPLATE, seed, count):
        assert 18 <= row["age"] <= 90 and -1 <= row["share"] <= 1.5 and abs(row["score"]) < 40


@pytest.mark.parametrize(
    ("template", "field", "told"),
    [
        ({"x": {"$unform": [0, 1]}}, "payload.template.x", "'$unform' is no generator; known are $uniform"),
        ({"x": {"$uniform": [1, 0]}}, "payload.template.x.$uniform", "is not [lowest, highest]"),
        ({"x": {"$uniform": [0, True]}}, "payload.template.x.$uniform", "is not [lowest"),
        ({"x": {"$uniform": [0, 1e300]}}, "payload.template.x.$uniform", "is not [lowest"),
        ({"x": {"$normal": [0, -1]}}, "payload.template.x.$normal", "is not [mean"),
        ({"x": {"$integer": [0, 1.5]}}, "payload.template.x.$integer", "two whole numbers"),
        ({"x": {"$choice": []}}, "payload.template.x.$choice", "is not a list"),
        ({"x": {"$text": {"words": 0}}}, "payload.template.x.$text", "N from 1"),
        ({"x": {"$text": {"words": 10**9}}}, "payload.template.x.$text", "N from 1"),
        ({"x": {"$text": 5}}, "payload.template.x.$text", "is not {words"),
        ({"x": {"$sequence": "a"}}, "payload.template.x.$sequence", "whole number"),
        ({"x": {"$choice": [1], "y": 2}}, "payload.template.x", "stands alone"),
        ({"x": [[{"$no": 1}]]}, "payload.template.x[0][0]", "'$no' is no generator"),
        ({"$choice": [1]}, "payload.template", "is not a row"),
        ({}, "payload.template", "is not a row"),
        (5, "payload.template", "is not a row"),
        ({"x": [0] * 20_000}, "payload.template", "more than 10,000 values"),
    ],
)
def test_what_is_wrong_in_a_template_is_said(template: Any, field: str, told: str) -> None:
    assert told in problems(payload={"template": template})[field]


def test_a_template_goes_with_a_seed_and_a_number_of_rows() -> None:
    payload = parsed(payload={"template": {"x": {"$uniform": [0, 1]}}, "seed": 0, "rows": 7}).payload
    assert (payload.kind, payload.seed, payload.count) == ("template", 0, 7)
    assert (parsed(payload={"template": {"x": 1}}).payload.seed, payload.template) == (1, {"x": {"$uniform": [0, 1]}})
    assert "10,000" in problems(payload={"template": {"x": 1}, "rows": 10_001})["payload.rows"]
    assert "write one of" in problems(payload={"rows": [{}], "seed": 1})["payload"]
    assert "write one of" in problems(payload={"template": {"x": 1}, "file": "a.csv"})["payload"]


# --- files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rows.jsonl", "a-b_c.1.json", "x.csv", "x.parquet"])
def test_plain_names_are_taken(name: str) -> None:
    assert name_fault(name) == ""
    assert parsed(payload={"file": name}).payload.file == name


@pytest.mark.parametrize(
    "name",
    ["../x.csv", "/etc/x.csv", "a/b.csv", "..", ".x.csv", "x", "x.exe", "x.csv\n", "x.csv\x00", "C:x.csv", "",
     5, None, "é.csv", "a" * 200 + ".csv", "x.CSV"],
)  # fmt: skip
def test_names_with_tricks_are_refused(name: Any) -> None:
    assert name_fault(name)
    with pytest.raises(Invalid):
        parsed(payload={"file": name})


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


ROWS = [{"x": 1, "t": "a"}, {"x": 2.5, "t": None}]


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("r.jsonl", b'{"x": 1, "t": "a", "expected": 3}\n\n{"x": 2.5, "t": null}\r\n'),
        ("r.json", b'[{"x": 1, "t": "a", "expected": 3}, {"x": 2.5, "t": null}]'),
        ("r.csv", b"\xef\xbb\xbfx,t,expected\r\n1,a,3\r\n2.5,,\r\n"),
        ("r.parquet", parquet(pa.table({"x": [1.0, 2.5], "t": ["a", None], "expected": [3, None]}))),
    ],
)
def test_files_of_every_kind_give_the_same_rows(name: str, body: bytes) -> None:
    assert read_payload_file(body, name) == (ROWS, [3, None])


def test_cells_of_csv_are_what_they_look_like() -> None:
    text = b"a,b,c,d,e,f\n007,1e3,true,-0,1_000,nan\n"
    ([row], _) = read_payload_file(text, "r.csv")
    assert row == {"a": "007", "b": 1000.0, "c": True, "d": 0, "e": "1_000", "f": "nan"}


@pytest.mark.parametrize(
    ("name", "body", "told"),
    [
        ("r.jsonl", b'{"x": 1}\n{"x": \n', "line 2"),
        ("r.jsonl", b'{"x": 1}\n\n5\n', "line 3: 5 is not an object"),
        ("r.jsonl", b"[" * 100_000, "line 1"),
        ("r.jsonl", b"", "has no rows"),
        ("r.json", b'{"x": 1}', "is not a list of rows"),
        ("r.json", b"[1]", "row 1: 1 is not an object"),
        ("r.json", b"[" * 100_000, "r.json"),
        ("r.csv", b"a,b\n1,2\n1,2,3\n", "line 3: 3 cells under 2"),
        ("r.csv", b"a,a\n1,2\n", "line 1: every column needs a name"),
        ("r.csv", b"a\n\xff\n", "cannot be read"),
        ("r.csv", b'a\n"open\n', "cannot be read"),
        ("r.parquet", b"PAR1 no", "cannot be read"),
        ("r.parquet", parquet(pa.table({"x": [1]}))[:-9], "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(name: str, body: bytes, told: str) -> None:
    with pytest.raises(Invalid, match="payload file r") as refused:
        read_payload_file(body, name)
    assert told in refused.value.message


def test_files_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload_file, "ROWS_MAX", 10)
    monkeypatch.setattr(payload_file, "VALUES_BYTES_MAX", 100_000)
    with pytest.raises(Invalid, match="more than 10 rows"):
        read_payload_file(b"{}\n" * 11, "r.jsonl")
    with pytest.raises(Invalid, match="more than 10 rows"):
        read_payload_file(parquet(pa.table({"x": range(11)})), "r.parquet")
    with pytest.raises(Invalid, match="of values"):  # a short file that unfolds
        read_payload_file(parquet(pa.table({"x": ["y" * 50_000] * 9})), "r.parquet")
    monkeypatch.setattr(payload_file, "FILE_BYTES_MAX", 10)
    with pytest.raises(Invalid, match="MiB"):
        read_payload_file(b" " * 11, "r.json")


# --- bodies --------------------------------------------------------------------------------------------------------


def body(scenario: str, row: Any) -> Any:
    return json.loads(BODIES[scenario](row, "m"))


def test_features_become_tensors_of_their_types() -> None:
    row = {"f": 1.5, "i": 3, "b": True, "t": "a", "v": [1, 2.5], "big": 2**63}
    assert body("open_inference_v2", row) == {
        "inputs": [
            {"name": "f", "shape": [1], "datatype": "FP64", "data": [1.5]},
            {"name": "i", "shape": [1], "datatype": "INT64", "data": [3]},
            {"name": "b", "shape": [1], "datatype": "BOOL", "data": [True]},
            {"name": "t", "shape": [1], "datatype": "BYTES", "data": ["a"]},
            {"name": "v", "shape": [1, 2], "datatype": "FP64", "data": [1.0, 2.5]},
            {"name": "big", "shape": [1], "datatype": "FP64", "data": [float(2**63)]},
        ]
    }
    whole = {"inputs": [], "parameters": {"a": 1}}
    assert body("open_inference_v2", whole) == whole


@pytest.mark.parametrize(
    "row", [{}, {"x": None}, {"x": {}}, {"x": []}, {"x": [1, "a"]}, {"x": float("nan")}, {"x": 10**400}, {"x": [None]}]
)
def test_features_without_a_tensor_are_refused(row: dict[str, Any]) -> None:
    with pytest.raises(RowRefused):
        body("open_inference_v2", row)


def test_prompts_become_chats_that_stream() -> None:
    assert body("openai_chat", {"prompt": "hi", "max_tokens": 5}) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "max_tokens": 5,
        "stream_options": {"include_usage": True},
    }
    whole = body("openai_chat", {"messages": [{"role": "system", "content": "x"}], "model": "other", "stream": False})
    assert whole == {"model": "other", "messages": [{"role": "system", "content": "x"}], "stream": False}
    for row in ({}, {"prompt": 5}, {"messages": []}, {"messages": "hi"}, {"prompt": "\ud800"}):
        with pytest.raises(RowRefused):
            body("openai_chat", row)


def test_a_plan_whose_rows_make_no_request_is_refused() -> None:
    told = problems(scenario="openai_chat", payload={"rows": [{"prompt": "a"}, {"x": 1}]})
    assert "has neither `prompt`" in told["payload.rows[1]"]
    assert (
        "no openai_chat request" in problems(scenario="openai_chat", payload={"template": {"x": 1}})["payload.template"]
    )
    assert parsed(scenario="openai_chat", payload={"template": {"prompt": {"$text": {"words": 9}}}}).payload.template


# --- what is asked of answers --------------------------------------------------------------------------------------


def test_where_the_answer_stands_and_how_near_it_must_be() -> None:
    plan = parsed(answer="outputs.1.data.0", answer_tolerance=0.01, thresholds=["answer_mismatch_ratio < 0.01"])
    assert (plan.answer, plan.answer_tolerance) == ("outputs.1.data.0", 0.01)
    assert (parsed().answer, parsed().answer_tolerance, parsed(answer_tolerance=0).answer_tolerance) == (None, 1e-6, 0)
    assert plan.document["answer"] == "outputs.1.data.0"
    for wrong in ("a..b", ".", "a.", 5, ".".join("a" * 30)):
        assert "answer" in problems(answer=wrong)
    assert "answer_tolerance" in problems(answer_tolerance=-1)


def test_what_is_told_of_whole_runs_alone_is_no_condition_of_their_parts() -> None:
    search = {"capacity": {"start_rps": 1, "stop_rps": 5, "step_s": 5}}
    told = problems(shape=search, thresholds=["goodput_ratio > 0.9", "p95(first_token_ms) < 5"])
    assert list(told) == ["thresholds[0]"]
    told = problems(abort=["p95(first_token_ms) > 5", "error_ratio > 0.5 for 5s"])
    assert list(told) == ["abort[0]"]
