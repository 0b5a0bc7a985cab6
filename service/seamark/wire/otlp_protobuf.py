"""OTLP requests in protobuf become messages that can be walked; their values become plain Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from seamark.core.errors import InputRefused
from seamark.wire.attributes import ATTRIBUTES_MAX, CUT, DEPTH_MAX, TOO_DEEP, Attributes, Value
from seamark.wire.budget import ValueBudget

Request = TypeVar("Request", bound=Message)


class ProtobufReader:
    """Reads one request in protobuf. InputRefused where the body is no such message."""

    def __init__(self) -> None:
        self._budget = ValueBudget()

    def traces(self, body: bytes) -> Any:
        return _parse(ExportTraceServiceRequest, body)

    def logs(self, body: bytes) -> Any:
        return _parse(ExportLogsServiceRequest, body)

    def metrics(self, body: bytes) -> Any:
        return _parse(ExportMetricsServiceRequest, body)

    def identifier(self, raw: bytes, what: str) -> bytes:
        """Return the bytes of an id; protobuf carries them as they are."""
        return raw

    def integer(self, raw: int, what: str) -> int:
        """Return a 64-bit number; protobuf carries it as it is."""
        return raw

    def integers(self, raw: Sequence[int], what: str) -> list[int]:
        """Return 64-bit numbers; how many they are counts against the request's values."""
        self._budget.spend(len(raw))
        return list(raw)

    def doubles(self, raw: Sequence[float], what: str) -> list[float]:
        """Return floating-point numbers; how many they are counts against the request's values."""
        self._budget.spend(len(raw))
        return list(raw)

    def double(self, raw: float, what: str) -> float:
        """Return a floating-point number; protobuf carries it as it is."""
        return raw

    def optional(self, point: Any, field: str) -> float | None:
        """Return a floating-point field, None where it is absent."""
        return float(getattr(point, field)) if point.HasField(field) else None

    def value(self, point: Any) -> int | float | None:
        """Return the value of a number point, None where it has none."""
        kind = point.WhichOneof("value")
        return getattr(point, kind) if kind else None

    def data(self, metric: Any, kinds: Sequence[str]) -> tuple[str, Any] | None:
        """Return what kind of metric it is and its data; None where it is of no kind known here."""
        kind = metric.WhichOneof("data")
        return (kind, getattr(metric, kind)) if kind in kinds else None

    def attributes(self, pairs: Sequence[Any] | None, depth: int = 0) -> Attributes:
        """Return key-value pairs as a dict. Further ones than ATTRIBUTES_MAX are cut and counted."""
        if not pairs:
            return {}
        self._budget.spend(len(pairs))
        out: Attributes = {}
        for pair in pairs[:ATTRIBUTES_MAX]:
            value = pair.value
            kind = value.WhichOneof("value")
            if kind == "string_value":
                out[pair.key] = value.string_value
            elif kind == "int_value":
                out[pair.key] = value.int_value
            else:
                out[pair.key] = self._value(value, kind, depth)
        if len(pairs) > ATTRIBUTES_MAX:
            out[CUT] = len(pairs) - ATTRIBUTES_MAX
        return out

    def any_value(self, value: Any) -> Value:
        """Return what one AnyValue says."""
        return self._value(value, value.WhichOneof("value"), 0)

    def _value(self, value: Any, kind: str | None, depth: int) -> Value:
        if kind in ("string_value", "int_value", "bool_value", "double_value", "bytes_value"):
            return getattr(value, kind)
        if kind == "array_value":
            return self._array(value.array_value.values, depth + 1)
        if kind == "kvlist_value":
            return TOO_DEEP if depth >= DEPTH_MAX else self.attributes(value.kvlist_value.values, depth + 1)
        return None  # not set, or of a kind that came after this was written

    def _array(self, values: Sequence[Any], depth: int) -> Value:
        if depth > DEPTH_MAX:
            return TOO_DEEP
        self._budget.spend(len(values))
        return [self._value(value, value.WhichOneof("value"), depth) for value in values]


def _parse(kind: type[Request], body: bytes) -> Request:
    try:
        message: Request = kind.FromString(body)
    except (DecodeError, ValueError) as error:
        raise InputRefused(f"the body is no {kind.DESCRIPTOR.name} in protobuf: {_short(error)}") from None
    return message


def _short(error: Exception) -> str:
    return str(error).rpartition(": ")[2][:200]
