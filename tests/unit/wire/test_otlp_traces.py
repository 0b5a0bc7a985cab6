"""OTLP traces become SPANS rows, the same through protobuf and JSON; what is hostile ends in a refusal."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.otlp_messages import AT, START_NS, pairs, request, span, to_otlp_json

from seamark.core.errors import BodyTooLarge, InputRefused
from seamark.core.records import SPANS
from seamark.wire import attributes as attrs
from seamark.wire.budget import ValueBudget
from seamark.wire.otlp import Encoding, decode_traces


def decode(message, encoding=Encoding.PROTOBUF):
    body = message.SerializeToString() if encoding is Encoding.PROTOBUF else to_otlp_json(message)
    return decode_traces(body, encoding, received_at=AT)


def rows(message, encoding=Encoding.PROTOBUF):
    decoded = decode(message, encoding)
    assert decoded.refusals == ()
    return decoded.tables["spans"].to_pylist()


BOTH = pytest.mark.parametrize("encoding", list(Encoding))


@BOTH
def test_a_span_becomes_one_row_of_the_lakes_schema(encoding):
    message = request(
        span(
            "POST /predict",
            attributes={"http.route": "/predict", "http.response.status_code": 503, "ratio": 0.5},
            status=2,
            message="out of memory",
            parent=b"\x02" * 8,
        ),
        resource={
            "service.name": "churn-api",
            "service.version": "1.2",
            "seamark.model.name": "churn",
            "host.name": "node-1",
            "process.pid": 41,
        },
    )
    table = decode(message, encoding).tables["spans"]
    assert table.schema.equals(SPANS)
    table.validate(full=True)
    (row,) = table.to_pylist()
    assert json.loads(row.pop("attributes")) == {
        "http.route": "/predict",
        "http.response.status_code": 503,
        "ratio": 0.5,
        "otel.status_description": "out of memory",
    }
    assert json.loads(row.pop("resource"))["process.pid"] == 41
    assert row == {
        "trace_id": bytes(range(16)),
        "span_id": b"\x01" * 8,
        "parent_span_id": b"\x02" * 8,
        "model": "churn",
        "version": "1.2",
        "service": "churn-api",
        "instance": "node-1:41",
        "route": "/predict",
        "name": "POST /predict",
        "kind": 2,
        "status": 2,
        "http_status": 503,
        "is_request": True,
        "failed": True,
        "synthetic": False,
        "start_at": datetime(2026, 1, 1, tzinfo=UTC),
        "duration_ns": 12_000_000,
        "events": None,
        "received_at": AT,
        "scope": None,
        "links": None,
        "gen_ai_model": None,
        "input_tokens": None,
        "output_tokens": None,
        "first_token_ns": None,
    }


@BOTH
def test_scope_links_and_generative_attributes_have_columns_of_their_own(encoding):
    message = request(
        span(
            "chat gpt-x",
            attributes={
                "gen_ai.request.model": "gpt-x",
                "gen_ai.response.model": "gpt-x-2026-01-01",
                "gen_ai.usage.input_tokens": 120,
                "gen_ai.usage.completion_tokens": 45,
                "gen_ai.response.time_to_first_chunk": 0.25,
            },
        )
    )
    scope = message.resource_spans[0].scope_spans[0].scope
    scope.name = "opentelemetry.instrumentation.openai"
    message.resource_spans[0].scope_spans[0].spans[0].links.add(trace_id=b"\xab" * 16, span_id=b"\xcd" * 8)
    (row,) = decode(message, encoding).tables["spans"].to_pylist()
    assert row["scope"] == "opentelemetry.instrumentation.openai"
    assert json.loads(row["links"]) == [{"trace_id": "ab" * 16, "span_id": "cd" * 8, "attributes": {}}]
    generative = ("gen_ai_model", "input_tokens", "output_tokens", "first_token_ns")
    assert [row[name] for name in generative] == ["gpt-x-2026-01-01", 120, 45, 250_000_000]


@BOTH
@pytest.mark.parametrize(
    "resource, own, expected",
    [
        ({}, {}, ("unknown_service", "", "unknown_service", None)),
        ({"service.name": "a", "service.version": "2"}, {}, ("a", "2", "a", None)),
        ({"service.name": "a", "seamark.model.name": "m", "seamark.model.version": "7"}, {}, ("m", "7", "a", None)),
        ({"service.name": "a"}, {"seamark.model.name": "own", "seamark.model.version": 3}, ("own", "3", "a", None)),
        ({"service.name": "a", "service.instance.id": "i", "host.name": "h"}, {}, ("a", "", "a", "i")),
        ({"service.name": "a", "host.name": "h"}, {}, ("a", "", "a", None)),
        ({"service.name": " \t "}, {}, ("unknown_service", "", "unknown_service", None)),
        ({"service.name": "x\n<y>\x00"}, {}, ("x\ufffd<y>\ufffd", "", "x\ufffd<y>\ufffd", None)),
        ({"service.name": "n" * 5000}, {}, ("n" * 255 + "…", "", "n" * 255 + "…", None)),
    ],
)
def test_model_version_service_and_instance(encoding, resource, own, expected):
    (row,) = rows(request(span(attributes=own), resource=resource), encoding)
    assert (row["model"], row["version"], row["service"], row["instance"]) == expected


@pytest.mark.parametrize(
    "kind, parent, is_request",
    [
        (Span.SPAN_KIND_SERVER, b"\x02" * 8, True),
        (Span.SPAN_KIND_CONSUMER, b"\x02" * 8, True),
        (Span.SPAN_KIND_INTERNAL, b"", True),
        (Span.SPAN_KIND_UNSPECIFIED, bytes(8), True),
        (Span.SPAN_KIND_INTERNAL, b"\x02" * 8, False),
        (Span.SPAN_KIND_CLIENT, b"", False),
        (Span.SPAN_KIND_PRODUCER, b"", False),
        (77, b"", True),
    ],
)
def test_what_counts_as_a_request(kind, parent, is_request):
    (row,) = rows(request(span(kind=kind, parent=parent)))
    assert row["is_request"] is is_request


@pytest.mark.parametrize(
    "attributes, status, http_status, failed",
    [
        ({"http.status_code": 500}, 0, 500, True),
        ({"http.response.status_code": "404"}, 0, 404, False),
        ({"http.response.status_code": 499}, 2, 499, True),
        ({"http.response.status_code": 70_000}, 0, None, False),
        ({"http.response.status_code": True}, 0, None, False),
        ({}, 1, None, False),
    ],
)
def test_failure_is_an_error_status_or_an_http_status_from_500(attributes, status, http_status, failed):
    (row,) = rows(request(span(attributes=attributes, status=status)))
    assert (row["http_status"], row["failed"]) == (http_status, failed)


@pytest.mark.parametrize(
    "attributes, synthetic",
    [
        ({"user_agent.synthetic.type": "test"}, True),
        ({"user_agent.synthetic.type": ""}, False),
        ({"user_agent.original": "seamark-loadtest/0.1 run=7"}, True),
        ({"http.user_agent": "seamark-loadtest"}, True),
        ({"user_agent.original": "Mozilla/5.0 seamark-loadtest"}, False),
        ({"user_agent.original": 7}, False),
    ],
)
def test_synthetic_traffic_is_marked(attributes, synthetic):
    (row,) = rows(request(span(attributes=attributes)))
    assert row["synthetic"] is synthetic


@BOTH
def test_every_kind_of_attribute_value_becomes_json(encoding):
    values = {
        "s": "ä\u0000\ud7ff😀",
        "b": True,
        "i": -(2**63),
        "f": 1.5,
        "nan": float("nan"),
        "inf": float("-inf"),
        "bytes": b"\x00\xff",
        "list": [1, "a", [2.5, None], {"x": []}],
        "map": {"k": {"deep": False}},
        "none": None,
    }
    (row,) = rows(request(span(attributes=values)), encoding)
    expected = values | {"nan": "NaN", "inf": "-Infinity", "bytes": "AP8="}
    assert json.loads(row["attributes"]) == expected


def test_events_keep_name_time_and_attributes():
    made = span()
    made.events.add(name="exception", time_unix_nano=START_NS, attributes=pairs({"exception.type": "ValueError"}))
    made.events.add(name="undated")
    (row,) = rows(request(made))
    assert json.loads(row["events"]) == [
        {"name": "exception", "at": "2026-01-01T00:00:00.000000+00:00", "attributes": {"exception.type": "ValueError"}},
        {"name": "undated", "at": None, "attributes": {}},
    ]


BAD = [
    ({"trace_id": b"\x01" * 15}, "trace id has 15 bytes"),
    ({"trace_id": bytes(16)}, "trace id is all zeros"),
    ({"trace_id": b""}, "trace id has 0 bytes"),
    ({"span_id": bytes(8)}, "span id is all zeros"),
    ({"span_id": b"\x01" * 9}, "span id has 9 bytes"),
    ({"parent": b"\x01" * 3}, "parent span id has 3 bytes"),
    ({"end": START_NS - 2_000_000}, "ends 2 ms before it starts"),
    ({"end": 0}, "end time is not set"),
    ({"start": 0}, "start time is not set"),
    ({"start": 2**64 - 1, "end": 2**64 - 1}, "does not lie between 1970 and 2262"),
]


@BOTH
def test_a_bad_span_is_refused_and_its_neighbours_are_not(encoding):
    good = [span(span_id=bytes([7, *([i + 1] * 7)])) for i in range(len(BAD))]
    mixed = [item for pair in zip(good, (span(**fields) for fields, _ in BAD), strict=True) for item in pair]
    decoded = decode(request(*mixed), encoding)
    assert decoded.tables["spans"].column("span_id").to_pylist() == [item.span_id for item in good]
    assert [refusal.index for refusal in decoded.refusals] == list(range(1, 2 * len(BAD), 2))
    for refusal, (_, reason) in zip(decoded.refusals, BAD, strict=True):
        assert reason in refusal.reason


@BOTH
def test_an_empty_request_is_no_mistake(encoding):
    for message in (ExportTraceServiceRequest(), request()):
        decoded = decode(message, encoding)
        assert decoded.rows == 0
        assert decoded.tables == {}
        assert decoded.refusals == ()


JSON_SPAN = {
    "traceId": "000102030405060708090A0B0C0D0E0F",
    "spanId": "0101010101010101",
    "name": "predict",
    "kind": 2,
    "startTimeUnixNano": START_NS,
    "endTimeUnixNano": str(START_NS + 5),
    "status": None,
    "attributes": None,
    "somethingNew": {"ignored": [1, 2]},
}


def json_body(**changes):
    spans = [JSON_SPAN | changes]
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"scope": {}, "spans": spans}], "schemaUrl": "x"}]}).encode()


def decode_json(body):
    return decode_traces(body, Encoding.JSON, received_at=AT)


def test_json_takes_upper_case_hex_numbers_or_strings_and_ignores_what_it_does_not_know():
    (row,) = decode_json(json_body()).tables["spans"].to_pylist()
    assert row["trace_id"] == bytes(range(16))
    assert row["duration_ns"] == 5
    assert row["model"] == "unknown_service"


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"traceId": "xyz"}, "trace id: 'xyz' is not hexadecimal"),
        ({"traceId": "AAECAwQFBgcICQoLDA0ODw=="}, "is not hexadecimal"),
        ({"spanId": "00"}, "span id has 1 bytes"),
        ({"startTimeUnixNano": "soon"}, "start time: 'soon' is not a whole number"),
        ({"startTimeUnixNano": -5}, "does not lie between 1970 and 2262"),
        ({"startTimeUnixNano": 10**30, "endTimeUnixNano": 10**30}, "does not lie between 1970 and 2262"),
        ({"traceId": None, "trace_id": JSON_SPAN["traceId"]}, "trace id has 0 bytes"),
    ],
)
def test_json_that_is_read_but_wrong_is_a_refusal(changes, reason):
    decoded = decode_json(json_body(**changes))
    assert decoded.rows == 0
    assert reason in decoded.refusals[0].reason


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'"\xff"',
        b'{"resourceSpans": {}}',
        b'{"resourceSpans": [null]}',
        b'{"x":' * 100_000,
        b'{"resourceSpans":' + b"[" * 100_000,
        json_body(name="\ud800"),
        b'{"resourceSpans": [{"scopeSpans": 5}]}',
        b'{"resourceSpans": [{"resource": {"attributes": [{"key": 5}]}, "scopeSpans": [{"spans": []}]}]}',
    ],
)
def test_a_body_that_is_not_otlp_json_is_refused_whole(body):
    with pytest.raises(InputRefused):
        decode_json(body)


BAD_SPANS = [
    {"kind": "SPAN_KIND_SERVER"},
    {"attributes": [{"key": 5}]},
    {"traceId": 7},
    {"status": []},
    {"events": {"name": "x"}},
    {"startTimeUnixNano": {}},
    None,
    [],
    "span",
]


@pytest.mark.parametrize("neighbours", [1, 60])  # 60 are read in columns where all are of their form
@pytest.mark.parametrize("bad", BAD_SPANS)
def test_a_span_that_is_not_of_its_form_costs_only_itself(bad, neighbours):
    document = json.loads(json_body())
    (scope,) = document["resourceSpans"][0]["scopeSpans"]
    good = scope["spans"][0]
    spans = [good | {"spanId": f"{number + 1:016x}"} for number in range(neighbours)]
    scope["spans"] = [*spans, good | bad if isinstance(bad, dict) else bad]
    document["resourceSpans"].append(document["resourceSpans"][0] | {"scopeSpans": [{"spans": None}, {}]})
    decoded = decode_json(json.dumps(document).encode())
    assert decoded.rows == neighbours
    (refusal,) = decoded.refusals
    assert refusal.index == neighbours
    assert "Span in OTLP's JSON" in refusal.reason


# The same on every worker: a parameter is a part of a test's name.
NOISE = np.random.default_rng(1).bytes(2_000)


@pytest.mark.parametrize(
    "body", [b"\xff" * 10, b"\x0a\x05ab", b"\x0a\x08\x0a\x06\x0a\x04\x0a\x02\xff\xff", b"{}", NOISE]
)
def test_a_body_that_is_not_protobuf_is_refused_whole(body):
    with pytest.raises(InputRefused):
        decode_traces(body, Encoding.PROTOBUF, received_at=AT)


def test_a_truncated_body_is_refused_or_cleanly_shorter():
    body = request(*[span(attributes={"k": "v" * 20}) for _ in range(5)]).SerializeToString()
    for cut in range(1, len(body), 7):
        with pytest.raises(InputRefused):
            decode_traces(body[:-cut], Encoding.PROTOBUF, received_at=AT)


@BOTH
def test_deep_values_are_cut_where_they_are_too_deep(encoding):
    deep_list, deep_map = 1, 1
    for _ in range(20):
        deep_list, deep_map = [deep_list], {"k": deep_map}
    (row,) = rows(request(span(attributes={"list": deep_list, "map": deep_map})), encoding)
    assert row["attributes"].count(attrs.TOO_DEEP) == 2


@BOTH
def test_more_attributes_than_allowed_are_cut_and_counted(encoding):
    (row,) = rows(request(span(attributes={f"k{i}": i for i in range(1_500)})), encoding)
    kept = json.loads(row["attributes"])
    assert kept[attrs.CUT] == 500
    assert len(kept) == 1_001


def test_a_long_attribute_is_cut_and_counted_and_the_short_ones_stay():
    (row,) = rows(request(span(attributes={"long": "x" * 100_000, "http.route": "/p"})))
    assert json.loads(row["attributes"]) == {"http.route": "/p", attrs.CUT: 1}
    assert row["route"] == "/p"


def test_a_large_resource_is_not_stored_again_and_again_in_full(monkeypatch):
    monkeypatch.setattr(attrs, "RESOURCE_BYTES_MAX", 20_000_000)
    spans = [span(span_id=(i + 1).to_bytes(8, "big")) for i in range(2_000)]
    message = request(*spans, resource={"service.name": "churn"} | {f"k{i}": "x" * 1_000 for i in range(100)})
    table = decode(message).tables["spans"]
    assert table.num_rows == 2_000
    assert table.column("resource").nbytes < attrs.RESOURCE_BYTES_MAX + 1_000_000
    assert attrs.CUT in json.loads(table.column("resource")[0].as_py())


def test_too_many_spans_or_values_are_too_large(monkeypatch):
    monkeypatch.setattr("seamark.wire.budget.ROWS_MAX", 10)
    with pytest.raises(BodyTooLarge, match="11 spans"):
        decode(request(*[span()] * 11))
    empty_groups = ExportTraceServiceRequest()
    for _ in range(11):
        empty_groups.resource_spans.add()
    with pytest.raises(BodyTooLarge, match="resources"):
        decode(empty_groups)


@BOTH
def test_a_request_of_too_many_values_is_too_large(encoding, monkeypatch):
    monkeypatch.setattr(ValueBudget.__init__, "__defaults__", (10,))
    assert decode(request(span(attributes={f"k{i}": i for i in range(9)})), encoding).rows == 1
    for attributes in ({f"k{i}": i for i in range(10)}, {"list": [1] * 10}, {"map": {str(i): 1 for i in range(10)}}):
        with pytest.raises(BodyTooLarge, match="more than 10 attribute values"):
            decode(request(span(attributes=attributes)), encoding)


@given(st.binary(max_size=300), st.sampled_from(list(Encoding)))
def test_random_bytes_are_decoded_or_refused(body, encoding):
    try:
        decode_traces(body, encoding, received_at=AT)
    except InputRefused:
        pass


def test_what_the_stock_sdk_sends_becomes_rows():
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.trace import SpanKind

    kept = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create({"service.name": "stock"}))
    provider.add_span_processor(SimpleSpanProcessor(kept))
    with provider.get_tracer("t").start_as_current_span("GET /x", kind=SpanKind.SERVER) as opened:
        opened.set_attribute("http.route", "/x")
        opened.record_exception(ValueError("no"))
    finished = kept.get_finished_spans()
    (row,) = rows(encode_spans(finished))
    assert (row["model"], row["route"], row["is_request"], row["failed"]) == ("stock", "/x", True, False)
    assert row["trace_id"] == finished[0].context.trace_id.to_bytes(16, "big")
    assert json.loads(row["events"])[0]["attributes"]["exception.type"] == "ValueError"
