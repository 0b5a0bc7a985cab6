"""An OTLP request in JSON that does not fit its form becomes the request with each item that does not fit marked.

A span whose kind is a word, say, is one bad span: what else the request holds is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from seamark.wire.otlp_json_metrics import (
    ExponentialPoint,
    Gauge,
    HistogramPoint,
    Metric,
    NumberPoint,
    SummaryPoint,
)
from seamark.wire.values import RowRefused

Request = TypeVar("Request")

_POINTS: dict[str, type[Any]] = {
    "gauge": NumberPoint,
    "sum": NumberPoint,
    "histogram": HistogramPoint,
    "exponentialHistogram": ExponentialPoint,
    "summary": SummaryPoint,
}


class Misread:
    """An item that is not of its form: whoever asks it for a field is told why (RowRefused)."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __getattr__(self, name: str) -> Any:
        raise RowRefused(self._reason)


@dataclass(frozen=True)
class Nesting:
    """Where a signal's items lie, as JSON names and as fields, and what one of them becomes."""

    groups: str
    scopes: str
    items: str
    item: Callable[[Any], Any]


def nested(groups: str, scopes: str, items: str, kind: type[Any]) -> Nesting:
    """Return the nesting of spans or log records."""
    return Nesting(groups, scopes, items, lambda raw: _read(raw, kind))


def read_each(kind: type[Request], body: bytes, nesting: Nesting) -> Request:
    """Return the request; items that are not of their form are Misread. msgspec.DecodeError where the rest is not."""
    document = msgspec.json.decode(body)
    held = []
    for scope in _scopes(document, nesting):
        found = scope.get(nesting.items)
        if isinstance(found, list):
            held.append([nesting.item(raw) for raw in found])
            scope[nesting.items] = []
    request = msgspec.convert(document, kind)
    waiting = iter(held)
    field = _field(nesting.items)
    for group in getattr(request, _field(nesting.groups)) or ():
        for scope in getattr(group, _field(nesting.scopes)) or ():
            if getattr(scope, field) is not None:
                setattr(scope, field, next(waiting))
    return request


def _scopes(document: Any, nesting: Nesting) -> Iterator[dict[str, Any]]:
    for group in _objects(document, nesting.groups):
        yield from _objects(group, nesting.scopes)


def _objects(parent: Any, name: str) -> list[dict[str, Any]]:
    found = parent.get(name) if isinstance(parent, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _field(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _read(raw: Any, kind: type[Any]) -> Any:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        return Misread(f"not a {kind.__name__} in OTLP's JSON: {str(error)[:200]}")


def _metric(raw: Any) -> Metric:
    """Return a metric with its points read one by one; all of them Misread where the metric itself is."""
    if not isinstance(raw, dict):
        return _misread(1, "not a Metric in OTLP's JSON")
    points: dict[str, list[Any]] = {}
    bare = dict(raw)
    for name, kind in _POINTS.items():
        data = raw.get(name)
        if isinstance(data, dict) and isinstance(data.get("dataPoints"), list):
            points[name] = [_read(point, kind) for point in data["dataPoints"]]
            bare[name] = {**data, "dataPoints": []}
    try:
        metric = msgspec.convert(bare, Metric)
    except msgspec.ValidationError as error:
        reason = f"not a Metric in OTLP's JSON: {str(error)[:200]}"
        return _misread(sum(map(len, points.values())) or 1, reason)
    for name, read in points.items():
        getattr(metric, _field(name)).data_points = read
    return metric


def _misread(points: int, reason: str) -> Metric:
    marked: list[Any] = [Misread(reason)] * points
    return Metric(name="unreadable", gauge=Gauge(data_points=marked))


METRICS = Nesting("resourceMetrics", "scopeMetrics", "metrics", _metric)
