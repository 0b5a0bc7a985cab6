"""Reads of generative spans on a real lake: tokens and times to the first token, each span once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.lake_rows import AT, rows_of

from seamark.core.errors import Invalid
from seamark.core.windows import Window
from seamark.store import tokens as reads
from seamark.store.local_lake import LocalLake

HOUR = Window.trailing(AT, 3600)


def put(lake: LocalLake, model: str, *rows: dict[str, Any]) -> None:
    plain = {"model": model, "start_at": HOUR.start, "kind": 3, "is_request": False, "gen_ai_model": "large"}
    lake.append({"spans": rows_of("spans", [plain | row for row in rows])})


def test_tokens_are_added_per_step_and_a_span_that_came_twice_counts_once(lake):
    chat = {"input_tokens": 100, "output_tokens": 20, "first_token_ns": 300_000_000}
    later = {"input_tokens": 5, "start_at": HOUR.start + timedelta(seconds=60)}
    put(lake, "chat", chat, chat | {"first_token_ns": 500_000_000}, later, {})
    put(lake, "chat", chat)
    put(lake, "chat", {"trace_id": b"s" * 16, "synthetic": True} | chat)
    first, second = reads.token_steps(lake, "chat", HOUR, 60.0)
    assert (first.at, first.requests, first.input_tokens, first.output_tokens) == (HOUR.start, 2, 200, 40)
    assert (first.input_tokens_per_s, first.output_tokens_per_s) == (200 / 60, 40 / 60)
    assert (first.first_token_p50_ms, first.first_token_p95_ms) == (400.0, 490.0)
    assert (second.input_tokens, second.output_tokens, second.first_token_p50_ms) == (5, None, None)
    assert reads.token_steps(lake, "chat", HOUR, 60.0, synthetic=None)[0].requests == 3


def test_tokens_are_told_by_generative_model_and_the_rest_is_folded(lake, monkeypatch):
    monkeypatch.setattr(reads, "GROUPS_MAX", 1)
    put(lake, "groups", {"output_tokens": 1}, {"output_tokens": 2}, {"output_tokens": 4, "gen_ai_model": None})
    found = {
        step.by["gen_ai_model"]: step.output_tokens
        for step in reads.token_steps(lake, "groups", HOUR, 60.0, ("gen_ai_model",))
    }
    assert found == {"large": 3, "other": 4}


def test_a_model_without_such_spans_has_no_steps_and_a_wrong_group_is_refused(lake):
    put(lake, "plain", {"gen_ai_model": None})
    assert reads.token_steps(lake, "plain", HOUR, 60.0) == []
    with pytest.raises(Invalid, match="'route' is not one of gen_ai_model, version"):
        reads.token_steps(lake, "plain", HOUR, 60.0, ("route",))
