"""Goals and the document: unknown stays unknown, and what people wrote around the tables stays theirs."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from bench import document
from bench.report import Goal, machine, table


@pytest.mark.parametrize(
    "measured, at_least, reached",
    [(60.0, True, True), (59.9, True, False), (60.0, False, True), (60.1, False, False), (None, True, None)],
)
def test_a_goal_is_reached_missed_or_unknown(measured, at_least, reached):
    goal = Goal("what", 60.0, measured, "how", at_least=at_least)
    assert goal.reached is reached
    assert goal.row()["measured"] == measured


def test_what_was_not_measured_shows_as_a_dash():
    row = Goal("what", 60.0, None, "not measured: give --peers").row()
    assert table([row]).splitlines()[-1] == "| what | at most 60 | - | - | not measured: give --peers |"


def result_file(folder, measured):
    result = {
        "title": "Ingest",
        "quick": False,
        "command": "python -m bench ingest",
        "at": "2026-03-01T00:00:00+00:00",
        "machine": machine(),
        "goals": [asdict(Goal("durable spans/s", 60_000, measured, "how", at_least=True)) | {"reached": True}],
        "notes": ["how to read it"],
    }
    (folder / "ingest.json").write_text(json.dumps(result))


def test_the_tables_are_put_between_the_markers_and_the_prose_stays(tmp_path):
    place = tmp_path / "benchmarks.md"
    place.write_text("# Benchmarks\n\nBefore.\n\n<!-- bench: begin -->\nold\n<!-- bench: end -->\n\nAfter.\n")
    for measured in (61_000.0, 70_123.0):
        result_file(tmp_path, measured)
        document.write(place, tmp_path)
    text = place.read_text()
    assert text.startswith("# Benchmarks\n\nBefore.\n\n<!-- bench: begin -->")
    assert text.endswith("<!-- bench: end -->\n\nAfter.\n")
    assert "| durable spans/s | at least 60,000 | 70,123 | yes | how |" in text
    assert "`python -m bench ingest`, 2026-03-01" in text
    assert "old" not in text
    assert "61,000" not in text


def test_a_document_without_markers_gets_them(tmp_path):
    result_file(tmp_path, 61_000.0)
    document.write(tmp_path / "new.md", tmp_path)
    assert (tmp_path / "new.md").read_text().startswith("# Benchmarks\n\n<!-- bench: begin -->")
