"""What OTLP senders are answered: export responses with what was refused, and google.rpc.Status for errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from seamark.core.records import Refusal
from seamark.wire.otlp import Encoding

_REASONS_MAX = 5
_MESSAGE_LENGTH_MAX = 1_000

# google.rpc.Code, by HTTP status; the rest is INTERNAL (13).
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 409: 10, 413: 8, 415: 3, 421: 3, 422: 3, 503: 14}


def reasons(refusals: Sequence[Refusal], total: int, what: str) -> str:
    """Return the sentence that goes with refused rows: the first reasons, bounded; "" where none were refused."""
    if not refusals:
        return ""
    parts = [f"{refusal.index}: {refusal.reason[:200]}" for refusal in refusals[:_REASONS_MAX]]
    more = len(refusals) - len(parts)
    tail = f"; and {more:,} more" if more else ""
    return f"{len(refusals):,} of {total:,} {what} refused: {'; '.join(parts)}"[: _MESSAGE_LENGTH_MAX - 30] + tail


def export_answer(signal: str, encoding: Encoding, rejected: int = 0, message: str = "") -> bytes:
    """Return the answer to an export of `signal` ("traces", "logs", "metrics").

    `partial_success` is there only when something was refused.
    """
    if encoding is Encoding.JSON:
        return _json_answer(signal, rejected, message)
    response, partial, field = _ANSWERS[signal]
    told = partial(**{field: rejected, "error_message": message}) if rejected else None
    answer: bytes = response(partial_success=told).SerializeToString()
    return answer


# signal -> response, its partial success, the field that counts what was rejected
_ANSWERS: dict[str, tuple[Any, Any, str]] = {
    "traces": (ExportTraceServiceResponse, ExportTracePartialSuccess, "rejected_spans"),
    "logs": (ExportLogsServiceResponse, ExportLogsPartialSuccess, "rejected_log_records"),
    "metrics": (ExportMetricsServiceResponse, ExportMetricsPartialSuccess, "rejected_data_points"),
}
_REJECTED = {"traces": "rejectedSpans", "logs": "rejectedLogRecords", "metrics": "rejectedDataPoints"}


def _json_answer(signal: str, rejected: int, message: str) -> bytes:
    if not rejected:
        return b"{}"
    return msgspec.json.encode({"partialSuccess": {_REJECTED[signal]: str(rejected), "errorMessage": message}})


def status_code(http_status: int) -> int:
    """Return the google.rpc.Code that belongs to an HTTP status; INTERNAL where none does."""
    return _CODES.get(http_status, 13)


def status_answer(http_status: int, message: str, encoding: Encoding) -> bytes:
    """Return a google.rpc.Status: a code that belongs to the HTTP status, and the sentence."""
    code, text = status_code(http_status), message[:_MESSAGE_LENGTH_MAX]
    if encoding is Encoding.JSON:
        return msgspec.json.encode({"code": code, "message": text})
    return status_message(code, text)


def status_message(code: int, message: str, retry_after_s: int | None = None) -> bytes:
    """Return a google.rpc.Status in protobuf; with a google.rpc.RetryInfo where a retry after that time helps.

    Its few fields are of frozen messages, so written out: their Python classes would be one more distribution to
    install.
    """
    status = b"\x08" + _varint(code) + _field(2, message.encode("utf-8", "replace"))
    if retry_after_s is None:
        return status
    return status + _field(3, _field(1, _RETRY_INFO) + _field(2, retry_info(retry_after_s)))


def retry_info(seconds: int) -> bytes:
    """Return a google.rpc.RetryInfo in protobuf."""
    return _field(1, b"\x08" + _varint(seconds))  # google.protobuf.Duration


_RETRY_INFO = b"type.googleapis.com/google.rpc.RetryInfo"


def _field(number: int, raw: bytes) -> bytes:
    """Return a length-delimited field; nothing for no bytes, as protobuf has it."""
    return bytes([number << 3 | 2]) + _varint(len(raw)) + raw if raw else b""


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
