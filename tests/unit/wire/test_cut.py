"""What is cut from a request is counted by what it was."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from seamark.telemetry.meter import CUT
from seamark.wire.attributes import TEXT_BYTES_MAX
from seamark.wire.cut import WHAT, cut_from
from seamark.wire.inference import CUT as CUT_OF_INFERENCES
from seamark.wire.otlp import Encoding, decode_traces

AT = datetime(2026, 3, 1, tzinfo=UTC)


def decoded(request: ExportTraceServiceRequest) -> dict[str, int]:
    found = decode_traces(request.SerializeToString(), Encoding.PROTOBUF, received_at=AT)
    assert not found.refusals
    for name in ("attributes", "resource", "events", "links"):
        assert all(len(text or "") <= TEXT_BYTES_MAX + 200 for text in found.tables["spans"][name].to_pylist())
    return cut_from(found.tables)


def one_span(request: ExportTraceServiceRequest, **values: object) -> Span:
    group = request.resource_spans.add() if not request.resource_spans else request.resource_spans[0]
    scope = group.scope_spans.add() if not group.scope_spans else group.scope_spans[0]
    plain = {
        "trace_id": b"t" * 16,
        "span_id": b"s" * 8,
        "name": "GET /",
        "start_time_unix_nano": 1,
        "end_time_unix_nano": 2,
    }
    return scope.spans.add(**{**plain, **values})


def test_nothing_cut_is_nothing_counted() -> None:
    request = ExportTraceServiceRequest()
    one_span(request, name="a" * 256).attributes.add(key="k").value.string_value = "v"
    assert decoded(request) == {}


def test_ten_thousand_keys_are_a_thousand_and_a_count() -> None:
    request = ExportTraceServiceRequest()
    span = one_span(request)
    for number in range(10_000):
        span.attributes.add(key=f"k{number}").value.int_value = 1
    assert decoded(request) == {"attributes": 9_000}


def test_ten_megabytes_in_one_attribute_are_cut_and_its_neighbours_stay() -> None:
    request = ExportTraceServiceRequest()
    span = one_span(request)
    span.attributes.add(key="huge").value.string_value = "x" * 10_000_000
    span.attributes.add(key="small").value.string_value = "y"
    found = decode_traces(request.SerializeToString(), Encoding.PROTOBUF, received_at=AT)
    assert cut_from(found.tables) == {"attributes": 1}
    assert '"small":"y"' in found.tables["spans"]["attributes"][0].as_py()


def test_a_resource_that_many_spans_share_counts_once() -> None:
    request = ExportTraceServiceRequest()
    for _ in range(5):
        one_span(request)
    request.resource_spans[0].resource.attributes.add(key="huge").value.string_value = "x" * 100_000
    assert decoded(request) == {"attributes": 1}


def test_events_links_depth_and_names_are_counted_apart() -> None:
    request = ExportTraceServiceRequest()
    span = one_span(request, name="n" * 300)
    for _ in range(1_250):
        span.events.add(name="e", time_unix_nano=1)
    for _ in range(1_003):
        span.links.add(trace_id=b"t" * 16, span_id=b"s" * 8)
    value: AnyValue = span.attributes.add(key="deep").value
    for _ in range(40):
        value = value.array_value.values.add()
    cut = decoded(request)
    kept_events = 1_250 - cut["events"]
    kept_links = 1_003 - cut["links"]
    assert 0 < kept_events <= 1_000
    assert 0 < kept_links <= 1_000
    assert (cut["depth"], cut["names"]) == (1, 2)  # the name is also the route


@pytest.mark.parametrize("what", [*WHAT, *CUT_OF_INFERENCES])
def test_every_count_has_its_line_on_the_metrics_page(what: str) -> None:
    assert what in CUT
