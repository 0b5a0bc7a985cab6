"""Spans of a run by name and by request, against plain arithmetic over the same spans."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from tests.empty_stores import put_lake
from tests.lake_rows import AT, rows_of

from seamark.core.load_traces import trace_id
from seamark.core.windows import Window
from seamark.store import run_traces
from seamark.store.lake import Lake

RUN, OTHER = "00f067aa0ba902b7", "00f067aa0ba902b8"
WINDOW = Window(AT - timedelta(seconds=60), AT + timedelta(seconds=60))


def trees() -> list[dict[str, Any]]:
    """Thirty requests of the run, each a root with two children, and some of others."""
    chance, found = random.Random(5), []
    for number in range(30):
        trace = bytes.fromhex(trace_id(RUN, 7, number))
        at = AT + timedelta(milliseconds=number)
        ids = [(number * 10 + place + 1).to_bytes(8, "big") for place in range(3)]
        total = chance.randint(10, 50) * 1_000_000
        root = {"trace_id": trace, "span_id": ids[0], "start_at": at, "duration_ns": total, "failed": number % 10 == 0}
        found.append({**root, "parent_span_id": b"\x01" * 8, "name": "POST /predict"})
        for place in (1, 2):
            below = {"trace_id": trace, "span_id": ids[place], "parent_span_id": ids[0], "start_at": at, "kind": 1}
            share = total * (7 if place == 2 and number == 3 else 2) // 5  # once more than the parent itself
            found.append(
                {**below, "is_request": False, "name": f"step {place}", "duration_ns": share, "model": "other"}
            )
    return found


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    opened = put_lake(tmp_path_factory.mktemp("lake"))
    rows = trees()
    strangers = [
        {"trace_id": bytes.fromhex(trace_id(OTHER, 7, 1)), "span_id": b"\x09" * 8},
        {"trace_id": bytes.fromhex("00f067aa0ba902b6" + "f" * 16), "span_id": b"\x08" * 8},
        {"trace_id": bytes.fromhex(trace_id(RUN, 7, 99)), "span_id": b"\x07" * 8, "start_at": AT + timedelta(hours=1)},
    ]
    opened.append({"spans": rows_of("spans", [*rows, *strangers])})
    opened.append({"spans": rows_of("spans", rows[:5])})  # sent twice
    yield opened
    opened.close()


def test_time_is_told_by_name(lake: Lake) -> None:
    names, count, linked = run_traces.time_by_name(lake, RUN, WINDOW, None)
    expected: dict[str, list[tuple[int, int]]] = defaultdict(list)
    rows = trees()
    for row in rows:
        below = sum(r["duration_ns"] for r in rows if r["parent_span_id"] == row["span_id"])
        expected[row["name"]].append((row["duration_ns"], max(row["duration_ns"] - below, 0)))
    assert (count, linked, {span.name for span in names}) == (3, 30, set(expected))
    assert [span.self_ms for span in names] == sorted((span.self_ms for span in names), reverse=True)
    everything = sum(own for pairs in expected.values() for _, own in pairs)
    for span in names:
        pairs = expected[span.name]
        assert span.spans == 30 and span.failed == (3 if span.name == "POST /predict" else 0)
        assert span.total_ms == pytest.approx(sum(total for total, _ in pairs) / 1e6)
        assert span.self_ms == pytest.approx(sum(own for _, own in pairs) / 1e6)
        assert span.share == pytest.approx(sum(own for _, own in pairs) / everything)
        assert span.p50_ms == sorted(total for total, _ in pairs)[14] / 1e6


def test_a_reader_of_one_model_is_told_of_its_spans_alone(lake: Lake) -> None:
    names, _, linked = run_traces.time_by_name(lake, RUN, WINDOW, "churn")
    assert ([span.name for span in names], linked) == (["POST /predict"], 30)
    assert run_traces.time_by_name(lake, RUN, WINDOW, "other")[2] == 0
    assert run_traces.time_by_name(lake, "f" * 16, WINDOW, None) == ([], 0, 0)


def test_the_server_span_of_each_request_is_its_first(lake: Lake) -> None:
    wanted = [trace_id(RUN, 7, 3), trace_id(RUN, 7, 4), trace_id(RUN, 7, 99), trace_id(OTHER, 7, 1)]
    found = run_traces.server_spans(lake, RUN, wanted, WINDOW, None)
    assert set(found) == set(wanted[:2])
    assert found[wanted[0]].duration_ms == trees()[9]["duration_ns"] / 1e6
    assert run_traces.server_spans(lake, RUN, [], WINDOW, None) == {}
