"""Answers as they come, cut anywhere -> tokens, their times, errors, and whether the recorded answer came."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamark.compute.answer_match import MISSING, find, matches
from seamark_load.answers import Reading
from seamark_load.event_stream import Event, EventStream
from seamark_load.reader import Told
from seamark_load.scenarios import SCENARIOS
from seamark_load.scenarios.openai_chat import BROKEN, CUT, FAILED, NOT_CHAT, ChatAnswer

# --- event streams -------------------------------------------------------------------------------------------------

LINES = st.lists(
    st.sampled_from(
        [b"data: a", b"data:b c", b"data", b"data: ", b": ping", b":", b"event: error", b"id: 1", b"x", b""]
    ),
    max_size=12,
)


def events(blocks: list[bytes]) -> list[Event]:
    stream = EventStream()
    found = [event for block in blocks for event in stream.feed(block)]
    last = stream.end()
    return [*found, last] if last else found


def cuts_of(text: bytes, places: list[int]) -> Iterator[bytes]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return (text[a:b] for a, b in pairwise(edges))


@given(LINES, st.sampled_from([b"\n", b"\r\n", b"\r"]), st.lists(st.integers(0, 10_000), max_size=8))
def test_a_stream_says_the_same_wherever_it_is_cut(lines: list[bytes], end: bytes, places: list[int]) -> None:
    text = end.join([*lines, b""])
    assert events(list(cuts_of(text, places))) == events([b"\n".join([*lines, b""])])
    assert events([bytes([byte]) for byte in text]) == events([text])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"data: a\n\ndata: b\n\n", [Event(b"", b"a"), Event(b"", b"b")]),
        (b"\xef\xbb\xbfdata: a\r\n: comment\r\ndata: b\r\n\r\n", [Event(b"", b"a\nb")]),
        (b"event: error\ndata: {}\n\n", [Event(b"error", b"{}")]),
        (b"event: error\n\ndata: a\n\n", [Event(b"", b"a")]),
        (b"data:  two\n", [Event(b"", b" two")]),
        (b"data: [DONE]", [Event(b"", b"[DONE]")]),
        (b"retry: 5\nid: 1\n\n", []),
        (b"", []),
    ],
)
def test_events_are_read_as_the_standard_has_it(text: bytes, expected: list[Event]) -> None:
    assert events([text]) == expected


# --- chat ----------------------------------------------------------------------------------------------------------


def chunk(**more: Any) -> bytes:
    return b"data: " + json.dumps({"object": "chat.completion.chunk", **more}).encode() + b"\n\n"


def delta(text: str | None, finish: str | None = None, **more: Any) -> bytes:
    return chunk(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": finish}], **more)


ROLE = chunk(choices=[{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
USAGE = chunk(choices=[], usage={"prompt_tokens": 5, "completion_tokens": 7})
DONE = b"data: [DONE]\n\n"


def told(*blocks: bytes, step_s: float = 0.5) -> tuple[Told, list[float]]:
    gaps: list[float] = []
    answer = ChatAnswer(True, gaps.append)
    for index, block in enumerate(blocks):
        answer.feed(block, index * step_s)
    return answer.end(), gaps


def test_tokens_are_timed_as_they_come_and_counted_by_usage() -> None:
    answer, gaps = told(ROLE, delta("a"), delta("b") + b": ping\n\n", delta("", "stop"), USAGE, DONE)
    assert answer.error is None and answer.tokens == 7
    assert (answer.first_token_s, answer.last_token_s, gaps) == (0.5, 1.0, [500.0])
    assert find(answer.document, "choices.0.message.content") == "ab"


def test_without_usage_each_chunk_of_text_counts_as_a_token() -> None:
    answer, gaps = told(ROLE, delta("a"), delta("b"), delta("c", "length"))
    assert (answer.error, answer.tokens, len(gaps)) == (None, 3, 2)
    reasoned, _ = told(chunk(choices=[{"delta": {"reasoning_content": "hm"}}]), delta(None, "stop"), DONE)
    assert (reasoned.error, reasoned.tokens, reasoned.first_token_s) == (None, 1, 0.0)


@pytest.mark.parametrize(
    ("blocks", "error"),
    [
        ((delta("a"),), CUT),
        ((delta("a"), delta("b")[:-20]), BROKEN),
        ((delta("a"), b"event: error\ndata: out of memory\n\n"), FAILED),
        ((delta("a"), chunk(error={"message": "out of memory"}), DONE), FAILED),
        ((delta("a"), b"data: 5\n\n", DONE), BROKEN),
        ((DONE,), NOT_CHAT),
        ((b": ping\n\n",), CUT),
        ((b"data: " + b"[" * 100_000 + b"\n\n",), BROKEN),
        ((b"{",), NOT_CHAT),
        ((b'{"error": {"message": "no such model"}}',), NOT_CHAT),
        ((b'{"choices": []}',), NOT_CHAT),
        ((b"",), NOT_CHAT),
        ((b"<html>",), CUT),
    ],
)
def test_answers_that_are_none_have_failed(blocks: tuple[bytes, ...], error: str) -> None:
    answer, _ = told(*blocks)
    assert answer.error == error and len(error) < 100


def test_an_endpoint_that_does_not_stream_has_tokens_and_no_first_one() -> None:
    body = json.dumps({"choices": [{"message": {"content": "hi"}}], "usage": {"completion_tokens": 3}}).encode()
    answer, gaps = told(b" \n", body[:9], body[9:])
    assert (answer.error, answer.tokens, answer.first_token_s, gaps) == (None, 3, None, [])


def test_a_long_answer_is_put_together_once() -> None:
    """With each block all that came before was copied again: minutes for 16 MiB."""
    answer, blocks = ChatAnswer(True, lambda _: None), [b" " * 65_536, b'{"x": "' + b"a" * 65_536]
    tracemalloc.start()
    try:
        for index in range(256):
            answer.feed(blocks[index > 8], 0.0)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2**20
    assert answer.end().error == NOT_CHAT


STREAM = ROLE + delta("a", usage={"completion_tokens": True}) + delta("\u2028\n", "stop") + USAGE + DONE


@given(st.lists(st.integers(0, 10_000), max_size=10), st.booleans())
def test_a_chat_answer_is_the_same_wherever_it_is_cut(places: list[int], returns: bool) -> None:
    text = STREAM.replace(b"\n", b"\r\n") if returns else STREAM
    answer, gaps = told(*cuts_of(text, places), step_s=0.0)
    assert (answer.error, answer.tokens, gaps) == (None, 7, [0.0])
    assert find(answer.document, "choices.0.message.content") == "a\u2028\n"


@given(st.lists(st.binary(max_size=60), max_size=5), st.sampled_from(sorted(SCENARIOS)))
def test_no_answer_upsets_a_reader(blocks: list[bytes], name: str) -> None:
    reading = Reading(SCENARIOS[name], ["x"]).of(0)
    assert reading is not None
    for block in blocks:
        reading.feed(block)
    error, details = reading.end(good=True)
    assert error is None or 0 < len(error) < 100
    assert details["matches"] in (None, False)


# --- the inference protocol ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"model_name": "m", "outputs": [{"name": "y", "shape": [1], "datatype": "FP64", "data": [0.25]}]}', None),
        (b'{"outputs": []}', None),
        (b'{"error": "no such model"}', "the answer is an error of the inference protocol"),
        (b'{"predictions": [1]}', "the answer has no outputs"),
        (b"[1]", "the answer is not of the inference protocol"),
        (b"", "the answer is not of the inference protocol"),
    ],
)
@pytest.mark.parametrize("recorded", [None, 0.25])
def test_an_inference_answer_has_outputs(body: bytes, error: str | None, recorded: float | None) -> None:
    reading = Reading(SCENARIOS["open_inference_v2"], [recorded]).of(0)
    assert reading is not None
    reading.feed(body)
    assert reading.end(good=True)[0] == error


# --- recorded answers ------------------------------------------------------------------------------------------------


def compared(recorded: list[Any], bodies: list[bytes], **more: Any) -> list[bool | None]:
    reading, found = Reading(SCENARIOS["http_json"], recorded, **more), []
    for number, body in enumerate(bodies):
        one = reading.of(number)
        if one is None:
            found.append(None)
            continue
        one.feed(body)
        found.append(one.end(good=True)[1]["matches"])
    return found


def test_plain_answers_are_not_looked_at_unless_something_was_recorded() -> None:
    assert Reading(SCENARIOS["http_json"]).of(0) is None
    assert compared([None, 1.0], [b"{}", b'{"prediction": 1}', b"x", b'{"prediction": 1.1}']) == [
        None,
        True,
        None,
        False,
    ]


def test_where_the_prediction_stands_is_decided_once() -> None:
    bodies = [b"{}", b'{"predictions": [2]}', b'{"prediction": 2}', b"no json"]
    assert compared([2.0], bodies) == [None, True, False, False]
    assert compared([2.0], bodies, path="prediction") == [False, False, True, False]
    assert compared([2.0], [b'{"prediction": 2.1}'], tolerance=0.1) == [True]
    answer = b'{"outputs": [{"data": [2]}]}'
    assert compared([2.0], [answer]) == [True]


@pytest.mark.parametrize(
    ("answer", "recorded", "same"),
    [
        (1, 1.0, True), (1.0 + 1e-7, 1.0, True), (1.0 + 1e-5, 1.0, False), (0.0, 1e-15, True), ("a", "a", True),
        ("1", 1, False), (None, "a", False), (10**400, 1.0, False), (True, 1, True), ([1, 2.0], [1.0, 2], True),
        ([1], [1, 2], False), ({"a": 1}, {"a": 1.0}, True), ({"a": 1}, {"b": 1}, False), (float("nan"), 1.0, False),
    ],
)  # fmt: skip
def test_numbers_match_within_a_tolerance_and_texts_exactly(answer: Any, recorded: Any, same: bool) -> None:
    assert matches(answer, recorded) is same


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a.0.b", 1),
        ("a.1", MISSING),
        ("a.-1", MISSING),
        ("a.x", MISSING),
        ("b", MISSING),
        ("c.0", MISSING),
        ("a.²", MISSING),
    ],
)
def test_places_in_answers(path: str, value: Any) -> None:
    assert find({"a": [{"b": 1}], "c": "text"}, path) == value
