"""For an application's own tests: what would be sent is kept in a list instead."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from seamark_sdk import records


@dataclass(frozen=True)
class Sent:
    """One event as it would have been sent."""

    event: str
    model: str
    version: str
    at_ns: int
    attributes: dict[str, Any]


def _features(sent: Any) -> Any:
    """Return features as a map: where lists of numbers are among them they are sent as its text."""
    return json.loads(sent) if isinstance(sent, str) else sent


@dataclass
class Captured:
    """Everything that was logged inside `capture()`, in order."""

    events: list[Sent] = field(default_factory=list)

    @property
    def predictions(self) -> list[dict[str, Any]]:
        """The predictions in the words of Seamark's prediction records."""
        return [
            {
                "model": sent.model,
                "version": sent.version,
                "prediction_id": sent.attributes[records.PREDICTION_ID],
                "features": _features(sent.attributes[records.FEATURES]),
                "prediction": sent.attributes[records.PREDICTION_VALUE],
                "scores": sent.attributes.get(records.SCORES, {}),
                "segment": sent.attributes.get(records.SEGMENT, {}),
                "latency_ms": sent.attributes.get(records.LATENCY_MS),
                "synthetic": sent.attributes.get(records.SYNTHETIC),
            }
            for sent in self.events
            if sent.event == records.PREDICTION_EVENT
        ]

    @property
    def labels(self) -> list[dict[str, Any]]:
        """The labels in the words of Seamark's label records."""
        return [
            {
                "model": sent.model,
                "prediction_id": sent.attributes[records.PREDICTION_ID],
                "label": sent.attributes[records.LABEL_VALUE],
            }
            for sent in self.events
            if sent.event == records.LABEL_EVENT
        ]


_active: list[Captured] = []


@contextmanager
def capture() -> Iterator[Captured]:
    """Keep every event of every client in this process, whatever thread logs it; none is sent meanwhile."""
    captured = Captured()
    _active.append(captured)
    try:
        yield captured
    finally:
        # By identity: two empty captures are equal.
        _active[:] = [other for other in _active if other is not captured]


def offer(sent: Sent) -> bool:
    """Hand an event to the active captures; True where there was one."""
    for captured in tuple(_active):
        captured.events.append(sent)
    return bool(_active)
