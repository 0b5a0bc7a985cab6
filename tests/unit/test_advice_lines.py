"""`seamark autoscale recommend` shows every input of the advice, and what is not known of it."""

from __future__ import annotations

from datetime import UTC, datetime

from seamark.cli import _input_lines
from seamark.core.advice import AdviceInput
from seamark.core.findings import to_document

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_each_input_is_a_line_with_its_notes_below() -> None:
    inputs = (
        AdviceInput(
            "arrivals", None, "fresh", 12.3456, AT, "spans", "requests/s", note="90 % of spans come within 4 s"
        ),
        AdviceInput("queue_length", "queue.length", "stale", at=AT, unit="requests"),
        AdviceInput("history", None, "unknown", source="spans", unit="days"),
    )
    assert _input_lines(to_document(inputs)) == [
        "input                  value unit       state    source       measured at",
        "arrivals               12.35 requests/s fresh    spans        2026-03-01T12:00:00Z",
        "    90 % of spans come within 4 s",
        "queue_length         unknown requests   stale    metrics      2026-03-01T12:00:00Z",
        "    queue.length",
        "history              unknown days       unknown  spans        -",
    ]
    assert _input_lines([]) == []
