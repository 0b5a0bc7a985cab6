"""OTLP requests in JSON become structs with the fields of the protobuf messages; their values become plain Python.

Keys are lowerCamelCase only and unknown ones are ignored, ids are hex of either case, enums are integers, 64-bit
integers are strings or numbers, as the OTLP text asks.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from seamark.core.errors import BodyTooLarge, InputRefused
from seamark.wire.attributes import ATTRIBUTES_MAX, CUT, DEPTH_MAX, TOO_DEEP, Attributes, Value
from seamark.wire.budget import ValueBudget
from seamark.wire.otlp_json_items import METRICS, Nesting, nested, read_each
from seamark.wire.otlp_json_metrics import Metric, MetricsRequest, NumberPoint
from seamark.wire.otlp_json_values import AnyValue, Double, Integer, KeyValue, Resource
from seamark.wire.values import RowRefused, from_hex, shown

OBJECTS_MAX = 6_000_000  # of one request: two for each of VALUES_MAX values, and room for the rest


class Status(Struct, rename="camel", gc=False):
    code: int | None = None
    message: str | None = None


class Event(Struct, rename="camel", gc=False):
    name: str | None = None
    time_unix_nano: Integer = None
    attributes: list[KeyValue] | None = None


class Link(Struct, rename="camel", gc=False):
    trace_id: str | None = None
    span_id: str | None = None
    attributes: list[KeyValue] | None = None


class Scope(Struct, rename="camel", gc=False):
    name: str | None = None


class Span(Struct, rename="camel", gc=False):
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    name: str | None = None
    kind: int | None = None
    start_time_unix_nano: Integer = None
    end_time_unix_nano: Integer = None
    attributes: list[KeyValue] | None = None
    events: list[Event] | None = None
    links: list[Link] | None = None
    status: Status | None = None


class ScopeSpans(Struct, rename="camel", gc=False):
    scope: Scope | None = None
    spans: list[Span] | None = None


class ResourceSpans(Struct, rename="camel", gc=False):
    resource: Resource | None = None
    scope_spans: list[ScopeSpans] | None = None


class TracesRequest(Struct, rename="camel", gc=False):
    resource_spans: list[ResourceSpans] | None = None


class LogRecord(Struct, rename="camel", gc=False):
    time_unix_nano: Integer = None
    observed_time_unix_nano: Integer = None
    event_name: str | None = None
    attributes: list[KeyValue] | None = None
    trace_id: str | None = None


class ScopeLogs(Struct, rename="camel", gc=False):
    scope: Scope | None = None
    log_records: list[LogRecord] | None = None


class ResourceLogs(Struct, rename="camel", gc=False):
    resource: Resource | None = None
    scope_logs: list[ScopeLogs] | None = None


class LogsRequest(Struct, rename="camel", gc=False):
    resource_logs: list[ResourceLogs] | None = None


Request = TypeVar("Request", TracesRequest, LogsRequest, MetricsRequest)


class JsonReader:
    """Reads one request in JSON. InputRefused where the body is no such message."""

    def __init__(self) -> None:
        self._budget = ValueBudget()

    def traces(self, body: bytes) -> TracesRequest:
        return _parse(TracesRequest, body, _TRACES)

    def logs(self, body: bytes) -> LogsRequest:
        return _parse(LogsRequest, body, _LOGS)

    def metrics(self, body: bytes) -> MetricsRequest:
        return _parse(MetricsRequest, body, METRICS)

    def identifier(self, raw: str | None, what: str) -> bytes:
        """Return the bytes of an id written in hex."""
        return from_hex(raw, what) if raw else b""

    def integer(self, raw: Integer, what: str) -> int:
        """Return a 64-bit number, written as a number or as a string; absent is 0."""
        number = _integer(raw or 0)
        if number is None:
            raise RowRefused(f"{what}: {shown(raw)} is not a whole number")
        return number

    def integers(self, raw: Sequence[Integer] | None, what: str) -> list[int]:
        """Return 64-bit numbers; how many they are counts against the request's values."""
        self._budget.spend(len(raw or ()))
        return [self.integer(number, what) for number in raw or ()]

    def doubles(self, raw: Sequence[Double] | None, what: str) -> list[float]:
        """Return floating-point numbers; how many they are counts against the request's values."""
        self._budget.spend(len(raw or ()))
        return [self.double(number, what) for number in raw or ()]

    def double(self, raw: Double, what: str) -> float:
        """Return a floating-point number, written as a number or as NaN, Infinity, -Infinity; absent is 0."""
        number = _double(raw or 0.0)
        if isinstance(number, str):
            raise RowRefused(f"{what}: {shown(raw)} is not a number")
        return number

    def optional(self, point: Any, field: str) -> float | None:
        """Return a floating-point field, None where it is absent."""
        raw = getattr(point, field)
        return None if raw is None else self.double(raw, field)

    def point_value(self, point: NumberPoint) -> int | float | None:
        """Return the value of a number point, None where it has none."""
        if point.as_double is not None:
            return self.double(point.as_double, "value")
        return None if point.as_int is None else self.integer(point.as_int, "value")

    def data(self, metric: Metric, kinds: Sequence[str]) -> tuple[str, Any] | None:
        """Return what kind of metric it is and its data; None where it is of no kind known here."""
        found = ((kind, getattr(metric, kind)) for kind in kinds)
        return next(((kind, data) for kind, data in found if data is not None), None)

    def attributes(self, pairs: Sequence[KeyValue] | None, depth: int = 0) -> Attributes:
        """Return key-value pairs as a dict. Further ones than ATTRIBUTES_MAX are cut and counted."""
        if not pairs:
            return {}
        self._budget.spend(len(pairs))
        out: Attributes = {
            pair.key or "": self._value(pair.value, depth) if pair.value is not None else None
            for pair in pairs[:ATTRIBUTES_MAX]
        }
        if len(pairs) > ATTRIBUTES_MAX:
            out[CUT] = len(pairs) - ATTRIBUTES_MAX
        return out

    def any_value(self, value: AnyValue) -> Value:
        """Return what one AnyValue says."""
        return self._value(value, 0)

    def _value(self, value: AnyValue, depth: int) -> Value:
        if value.string_value is not None:
            return value.string_value
        if value.int_value is not None:
            number = _integer(value.int_value)
            return str(value.int_value) if number is None or not -(2**63) <= number < 2**63 else number
        if value.bool_value is not None:
            return value.bool_value
        if value.double_value is not None:
            return _double(value.double_value)
        if value.array_value is not None:
            return self._array(value.array_value.values or (), depth + 1)
        if value.kvlist_value is not None:
            return TOO_DEEP if depth >= DEPTH_MAX else self.attributes(value.kvlist_value.values, depth + 1)
        return None if value.bytes_value is None else _bytes(value.bytes_value)

    def _array(self, values: Sequence[AnyValue], depth: int) -> Value:
        if depth > DEPTH_MAX:
            return TOO_DEEP
        self._budget.spend(len(values))
        return [self._value(value, depth) for value in values]


_TRACES = nested("resourceSpans", "scopeSpans", "spans", Span)
_LOGS = nested("resourceLogs", "scopeLogs", "logRecords", LogRecord)


def parse_traces(body: bytes) -> TracesRequest:
    """Return a request in which every span is of its form. InputRefused where one is not."""
    return _parse(TracesRequest, body, None)


def _parse(kind: type[Request], body: bytes, nesting: Nesting | None) -> Request:
    """Return the request; with `nesting`, one in which items that are not of their form are marked."""
    # `{}` is three bytes and becomes thirty times as much: counted before anything is built.
    if body.count(b"{") > OBJECTS_MAX:
        raise BodyTooLarge(f"the request holds more than {OBJECTS_MAX:,} JSON objects; send smaller batches")
    try:
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.ValidationError:
            if nesting is None:
                raise
        return read_each(kind, body, nesting)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InputRefused(f"the body is no {kind.__name__} in OTLP's JSON: {str(error)[:300]}") from None
    except RecursionError:
        raise InputRefused("the body's JSON is nested too deep") from None


def _integer(raw: int | float | str) -> int | None:
    if isinstance(raw, str):
        digits = raw.removeprefix("-")
        return int(raw) if digits.isascii() and digits.isdigit() and len(digits) <= 20 else None
    return int(raw) if isinstance(raw, int) or raw.is_integer() else None


def _double(raw: float | str) -> float | str:
    """A word that is no number stays the word it is: nothing is lost by it."""
    try:
        return float(raw)
    except ValueError:
        return raw


def _bytes(raw: str) -> bytes | str:
    plain = raw.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return raw
