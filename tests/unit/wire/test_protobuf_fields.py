"""Bodies that are small on the wire and huge in memory are refused before they are parsed."""

from __future__ import annotations

import os

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from seamark.core.errors import BodyTooLarge
from seamark.wire.protobuf_fields import LOOKED_AT_BYTES, check_fields

MIB = 1024 * 1024


def field(number: int, content: bytes) -> bytes:
    size, head = len(content), bytearray()
    while size >= 0x80:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2, *head, size]) + content


def inside(path: list[int], content: bytes) -> bytes:
    for number in reversed(path):
        content = field(number, content)
    return content


SPAN, RECORD, METRIC = [1, 2, 2], [1, 2, 2], [1, 2, 2]


@pytest.mark.parametrize(
    ("signal", "path", "unit"),
    [
        ("traces", [], b"\x0a\x00"),  # resources
        ("traces", [1], b"\x12\x00"),  # scopes
        ("traces", [1, 2], b"\x12\x00"),  # spans
        ("traces", [1, 2], b"\x12\x02\x30\x01"),  # spans that say something
        ("traces", [1, 1], b"\x0a\x00"),  # resource attributes
        ("traces", [1, 1, 3], b"\x0a\x00\x1a\x00"),  # entities of a resource, which nothing here reads
        ("traces", SPAN, b"\x4a\x00"),  # attributes
        ("traces", SPAN, b"\x5a\x00"),  # events
        ("traces", SPAN, b"\x6a\x00"),  # links
        ("traces", [*SPAN, 11], b"\x1a\x00"),  # attributes of one event
        ("traces", [*SPAN, 9, 2, 5], b"\x0a\x00"),  # values of one array
        ("traces", [*SPAN, 9, 2, 6, 1, 2, 5], b"\x0a\x00"),  # the same, in a map
        ("traces", SPAN, inside([9, 2, 5], b"\x0a\x00" * 25)),  # small arrays of nothing
        ("traces", SPAN, inside([11], b"\x1a\x00" * 30)),  # events of empty attributes
        ("traces", SPAN, b"\x30\x01"),  # one number again and again
        ("logs", RECORD, b"\x32\x00"),
        ("logs", [*RECORD, 5, 5], b"\x0a\x00"),
        ("metrics", [*METRIC, 5], b"\x0a\x00"),  # points
        ("metrics", [*METRIC, 9, 1], b"\x42\x00"),  # exemplars
    ],
)
def test_a_body_of_tiny_messages_is_refused(signal: str, path: list[int], unit: bytes) -> None:
    body = inside(path, unit * (2 * MIB // len(unit)))
    with pytest.raises(BodyTooLarge, match="fields"):
        check_fields(body, signal, fields_max=20_000)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["traces", "logs", "metrics"])
def test_a_large_honest_request_passes(kind: str) -> None:
    if kind == "traces":
        request = ExportTraceServiceRequest()
        items = request.resource_spans.add().scope_spans.add().spans
    elif kind == "logs":
        request = ExportLogsServiceRequest()
        items = request.resource_logs.add().scope_logs.add().log_records
    else:
        request = ExportMetricsServiceRequest()
        items = request.resource_metrics.add().scope_metrics.add().metrics.add(name="m").gauge.data_points
    for number in range(8_000):
        item = items.add()
        for key in range(8):
            item.attributes.add(key=f"key.{key}").value.string_value = f"value {number}"
    body = request.SerializeToString()
    assert len(body) > LOOKED_AT_BYTES
    check_fields(body, kind, fields_max=110_000)
    with pytest.raises(BodyTooLarge):
        check_fields(body, kind, fields_max=50_000)


@pytest.mark.parametrize(
    "body",
    [os.urandom(MIB), b"\xff" * MIB, b"\x0a\xff\xff\xff\x7f" * MIB, b"\x0b" * MIB],
    ids=["noise", "ones", "lengths", "groups"],
)
def test_what_is_no_protobuf_comes_to_an_end(body: bytes) -> None:
    try:
        check_fields(body, "traces", fields_max=200_000)
    except BodyTooLarge:
        assert len(body) > 0


def test_a_message_inside_a_message_without_end_is_walked_without_recursion() -> None:
    value = b""
    while len(value) < 2 * MIB:
        value = field(5, field(1, value))
        if len(value) > 4_000:
            value = value * 2
    check_fields(inside([*SPAN, 9, 2], value), "traces")
