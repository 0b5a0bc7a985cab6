"""The columnar decoder and the plain one, in protobuf and in JSON: the same rows and refusals, whatever is sent."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.otlp_messages import AT, START_NS, any_value, pairs, request, requests, span, to_otlp_json

from seamark.core.errors import BodyTooLarge, InputRefused, SeamarkError
from seamark.core.records import SPANS, Decoded
from seamark.wire import attributes as attrs
from seamark.wire import otlp, otlp_arrow
from seamark.wire.budget import ValueBudget
from seamark.wire.otlp import Encoding, decode_many_traces, decode_traces_one_by_one


def plainly(message, encoding=Encoding.PROTOBUF):
    return decode_traces_one_by_one(written(message, encoding), encoding, received_at=AT)


def written(message, encoding):
    return message.SerializeToString() if encoding is Encoding.PROTOBUF else to_otlp_json(message)


def together(*messages, encoding=Encoding.PROTOBUF):
    bodies = [written(message, encoding) for message in messages]
    return decode_many_traces(bodies, encoding, received_at=[AT] * len(bodies))


def assert_same(one, other):
    assert one.refusals == other.refusals
    assert one.tables.keys() == other.tables.keys()
    for name, table in one.tables.items():
        other.tables[name].validate(full=True)
        assert table.schema.equals(other.tables[name].schema)
        assert table.to_pylist() == other.tables[name].to_pylist()


@pytest.mark.slow
@given(st.lists(requests(), min_size=1, max_size=3))
def test_a_message_gives_the_same_rows_by_every_decoder_and_encoding(messages):
    by_columns = zip(together(*messages), together(*messages, encoding=Encoding.JSON), strict=True)
    for message, (protobuf, in_json) in zip(messages, by_columns, strict=True):
        plain = plainly(message)
        for other in (protobuf, in_json, plainly(message, Encoding.JSON)):
            assert_same(plain, other)
        for table in plain.tables.values():
            table.validate(full=True)
            assert table.schema.equals(SPANS)
            bounds = pa.compute.min_max(table.column("start_at")).as_py()
            assert datetime(1970, 1, 1, tzinfo=UTC) <= bounds["min"] <= bounds["max"] < AT + timedelta(days=365 * 240)
            for column in ("attributes", "resource", "events", "links"):
                for text in table.column(column).to_pylist():
                    assert text is None or json.loads(text)


USUAL = {"http.route": "/p", "http.response.status_code": 200, "score": 0.25, "cached": True, "tenant": "t\u00e4 1"}
ODD = {
    "many attributes": span(attributes={f"k{index}": index for index in range(attrs.ATTRIBUTES_MAX + 1)}),
    "long text": span(attributes={"long": "x" * 100_000, "http.route": "/p"}),
    "a status text beside an attribute of that name": span(
        attributes={"otel.status_description": "own"}, status=2, message="of the status"
    ),
    "a parent of three zeros": span(parent=b"\0\0\0"),
}


@pytest.mark.parametrize("encoding", list(Encoding))
@pytest.mark.parametrize("odd", list(ODD.values()), ids=list(ODD))
def test_what_is_odd_is_decoded_plainly_and_its_neighbours_are_not(odd, encoding, monkeypatch):
    plain = []
    monkeypatch.setattr(
        otlp, "decode_traces_one_by_one", lambda *a, **k: plain.append(a) or decode_traces_one_by_one(*a, **k)
    )
    messages = [request(span(attributes=USUAL)), request(span(attributes=USUAL), odd), request(span(attributes=USUAL))]
    found = together(*messages, encoding=encoding)
    assert len(plain) == 1
    for message, columnar in zip(messages, found, strict=True):
        assert_same(plainly(message), columnar)


@pytest.mark.parametrize(
    "value",
    [
        [1, "a", [None, {"b": b"\\x00"}]],
        {"map": {"in": [1.5]}},
        b"raw",
        [],
        {},
        [[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]],
    ],
)
def test_values_that_nest_are_read_as_the_plain_decoder_reads_them(value):
    message = request(span(attributes=USUAL), span(attributes={"before": 1, "nested": value, "after": "x"}))
    assert_same(plainly(message), together(message)[0])


def test_more_keys_than_bits_are_told_apart():
    rare = [span(attributes={f"key {n}": n for n in range(first, first + 20)}) for first in range(0, 200, 20)]
    twice = span(attributes={"key 0": 1})
    twice.attributes.extend(pairs({"key 0": 2}))
    message = request(*rare, twice)
    assert_same(plainly(message), together(message)[0])


ODD_JSON = {
    "an id that is no hex": {"traceId": "zz" * 16},
    "an id with a space": {"spanId": "0102 30405060708"},
    "no id": {"traceId": None},
    "a time as a float": {"startTimeUnixNano": 1767225600000000000.0},
    "a time as a word": {"endTimeUnixNano": "soon"},
    "a negative time": {"startTimeUnixNano": "-5"},
    "an enormous kind": {"kind": 2**40},
    "a float for a whole number": {"attributes": [{"key": "n", "value": {"intValue": 2.0}}]},
    "a whole number of 70 bits": {"attributes": [{"key": "n", "value": {"intValue": str(2**70)}}]},
    "a word for a number": {"attributes": [{"key": "n", "value": {"intValue": "many"}}]},
    "two values at once": {"attributes": [{"key": "n", "value": {"boolValue": True, "doubleValue": 0.5}}]},
    "a string beside a number": {"attributes": [{"key": "n", "value": {"stringValue": "s", "intValue": "1"}}]},
    "an attribute without value or key": {"attributes": [{}, {"key": "b", "value": {}}]},
}


@pytest.mark.parametrize("change", list(ODD_JSON.values()), ids=list(ODD_JSON))
def test_json_that_no_sdk_writes_means_the_same_to_both(change):
    document = json.loads(to_otlp_json(request(span(attributes=USUAL), span(attributes=USUAL))))
    document["resourceSpans"][0]["scopeSpans"][0]["spans"][1] |= change
    body = json.dumps(document).encode()
    plain = decode_traces_one_by_one(body, Encoding.JSON, received_at=AT)
    assert_same(plain, decode_many_traces([body], Encoding.JSON, received_at=[AT])[0])


def test_whole_numbers_may_be_numbers_in_json():
    document = json.loads(to_otlp_json(request(span(attributes={"n": 7}))))
    (one,) = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
    one["startTimeUnixNano"] = int(one["startTimeUnixNano"])
    one["attributes"][0]["value"]["intValue"] = 7
    (found,) = decode_many_traces([json.dumps(document).encode()], Encoding.JSON, received_at=[AT])
    assert_same(plainly(request(span(attributes={"n": 7}))), found)


def test_a_key_many_times_among_many_is_found():
    made = span(attributes={f"k{n}": n for n in range(62)})
    made.attributes.extend(pairs({"k61": 1}) * 8)
    assert_same(plainly(request(made)), together(request(made))[0])


@pytest.mark.parametrize("agent", ["seamark-loadtest/1", " seamark-loadtest/1", "x seamark-loadtest"])
def test_who_is_a_load_test_is_read_the_same(agent):
    message = request(span(attributes={"user_agent.original": agent}))
    assert_same(plainly(message), together(message)[0])


def test_a_value_written_twice_is_the_last():
    message = request(span(attributes={"twice": "first"}))
    pair = message.resource_spans[0].scope_spans[0].spans[0].attributes[0]
    doubled = pair.value.SerializeToString() + any_value(5).SerializeToString()
    one = Span.FromString(message.resource_spans[0].scope_spans[0].spans[0].SerializeToString())
    one.ClearField("attributes")
    raw_pair = b"\x0a\x05twice\x12" + bytes([len(doubled)]) + doubled
    raw_span = one.SerializeToString() + b"\x4a" + bytes([len(raw_pair)]) + raw_pair
    raw_scope = b"\x12" + bytes([len(raw_span)]) + raw_span
    raw_group = b"\x12" + bytes([len(raw_scope)]) + raw_scope
    body = b"\x0a" + bytes([len(raw_group)]) + raw_group
    plain = decode_traces_one_by_one(body, Encoding.PROTOBUF, received_at=AT)
    assert json.loads(plain.tables["spans"]["attributes"][0].as_py()) == {"twice": 5}
    assert_same(plain, decode_many_traces([body], Encoding.PROTOBUF, received_at=[AT])[0])


def test_one_bad_span_of_many_is_refused_by_its_place():
    spans = [span(span_id=bytes([n + 1]) * 8) for n in range(5)]
    spans[2].end_time_unix_nano = START_NS - 1
    spans[4].trace_id = b"short"
    first, second = together(request(span()), request(*spans))
    assert (first.rows, second.rows) == (1, 3)
    assert [refusal.index for refusal in second.refusals] == [2, 4]
    assert_same(plainly(request(*spans)), second)


def test_a_body_that_is_none_costs_its_neighbours_nothing():
    good = request(span()).SerializeToString()
    found = decode_many_traces([good, b"\xff\xff", good], Encoding.PROTOBUF, received_at=[AT] * 3)
    assert [isinstance(one, Decoded) for one in found] == [True, False, True]
    assert isinstance(found[1], InputRefused)
    assert found[0].rows == found[2].rows == 1


@pytest.mark.parametrize(
    "attributes", [{f"k{n}": n for n in range(30)}, {"list": [1] * 30}, {"map": {str(n): n for n in range(30)}}]
)
def test_too_many_values_are_refused_alone(attributes, monkeypatch):
    monkeypatch.setattr(otlp_arrow, "_VALUES_MAX", 20)
    monkeypatch.setattr(ValueBudget.__init__, "__defaults__", (20,))
    found = together(request(span()), request(span(attributes=attributes)))
    assert found[0].rows == 1
    assert isinstance(found[1], BodyTooLarge)


@given(st.lists(st.binary(max_size=300), max_size=3), st.sampled_from(list(Encoding)))
def test_random_bytes_end_as_the_plain_decoder_says(bodies, encoding):
    for body, found in zip(bodies, decode_many_traces(bodies, encoding, received_at=[AT] * len(bodies)), strict=True):
        if isinstance(found, SeamarkError):
            with pytest.raises(type(found)) as raised:
                decode_traces_one_by_one(body, encoding, received_at=AT)
            assert str(raised.value) == str(found)
        elif found.rows or found.refusals:
            assert_same(decode_traces_one_by_one(body, encoding, received_at=AT), found)
        # Else nothing came of it: groups, which nobody sends any more, are passed over where the other parser refuses.


@pytest.mark.parametrize(
    "name, attributes, route, http_status",
    [
        ("GET /a/{id}", {"http.request.method": "GET", "http.route": "/a/{id}", "url.path": "/a/7"}, "/a/{id}", None),
        ("/a/{id}", {"http.method": "GET", "http.route": "/a/{id}", "http.target": "/a/7?x=1"}, "/a/{id}", None),
        ("GET", {"http.request.method": "GET", "url.path": "/a/7", "http.response.status_code": 404}, "GET", 404),
        ("HTTP GET", {"http.method": "GET", "http.target": "/a/7", "http.status_code": 404}, "HTTP GET", 404),
        ("m.V1/Predict", {"rpc.system.name": "grpc", "rpc.method": "m.V1/Predict"}, "m.V1/Predict", None),
        ("m.V1/Predict", {"rpc.system": "grpc", "rpc.service": "m.V1", "rpc.method": "Predict"}, "m.V1/Predict", None),
    ],
)
def test_older_and_newer_conventions_give_a_route_free_of_ids(name, attributes, route, http_status):
    message = request(span(name, attributes=attributes))
    plain = plainly(message)
    assert_same(plain, together(message)[0])
    (row,) = plain.tables["spans"].to_pylist()
    assert (row["route"], row["http_status"], row["failed"]) == (route, http_status, False)
