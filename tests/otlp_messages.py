"""OTLP trace requests for tests: made by hand, drawn at random, written in either encoding."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

from google.protobuf.json_format import MessageToDict
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from seamark.wire.attributes import CUT

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
START_NS = 1_767_225_600_000_000_123


def any_value(value):
    out = AnyValue()
    if isinstance(value, bool):
        out.bool_value = value
    elif isinstance(value, int):
        out.int_value = value
    elif isinstance(value, float):
        out.double_value = value
    elif isinstance(value, str):
        out.string_value = value
    elif isinstance(value, bytes):
        out.bytes_value = value
    elif isinstance(value, list):
        out.array_value.values.extend(map(any_value, value))
        out.array_value.SetInParent()
    elif isinstance(value, dict):
        out.kvlist_value.values.extend(pairs(value))
        out.kvlist_value.SetInParent()
    return out


def pairs(values):
    return [KeyValue(key=key, value=any_value(value)) for key, value in values.items()]


def span(name="predict", kind=Span.SPAN_KIND_SERVER, attributes=None, **fields):
    made = Span(
        trace_id=fields.pop("trace_id", bytes(range(16))),
        span_id=fields.pop("span_id", b"\x01" * 8),
        name=name,
        kind=kind,
        start_time_unix_nano=fields.pop("start", START_NS),
        end_time_unix_nano=fields.pop("end", START_NS + 12_000_000),
        attributes=pairs(attributes or {}),
        parent_span_id=fields.pop("parent", b""),
    )
    made.status.code = fields.pop("status", 0)
    made.status.message = fields.pop("message", "")
    assert not fields
    return made


def request(*spans, resource=None):
    made = ExportTraceServiceRequest()
    group = made.resource_spans.add()
    group.resource.attributes.extend(pairs({"service.name": "churn"} if resource is None else resource))
    group.scope_spans.add().spans.extend(spans)
    return made


def to_otlp_json(message):
    """Return the message in OTLP's JSON: proto3 JSON, but ids in hex and enums as integers."""

    def rewrite(node):
        if isinstance(node, list):
            return [rewrite(item) for item in node]
        if not isinstance(node, dict):
            return node
        out = {key: rewrite(value) for key, value in node.items()}
        for key in ("traceId", "spanId", "parentSpanId"):
            if key in out:
                out[key] = base64.b64decode(out[key]).hex()
        return out

    return json.dumps(rewrite(MessageToDict(message, use_integers_for_enums=True))).encode()


# --- drawn at random ---

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
scalars = st.one_of(
    st.integers(0, 700),
    st.sampled_from(["200", "503", "seamark-loadtest/1", 'say "no"\n']),
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(width=64),
    texts,
    st.binary(max_size=8),
)
values = st.recursive(
    scalars, lambda v: st.one_of(st.lists(v, max_size=3), st.dictionaries(texts, v, max_size=3)), max_leaves=8
)
keys = st.one_of(
    texts,
    st.sampled_from(
        [
            "service.name",
            "seamark.model.name",
            "seamark.model.version",
            "http.route",
            "http.status_code",
            "http.response.status_code",
            "user_agent.original",
            "user_agent.synthetic.type",
            "gen_ai.request.model",
            "gen_ai.response.model",
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.completion_tokens",
            "gen_ai.response.time_to_first_chunk",
            "otel.status_description",
            CUT,
        ]
    ),
)
maps = st.dictionaries(keys, values, max_size=5)
nanos = st.one_of(st.just(0), st.integers(0, 2**64 - 1), st.integers(START_NS, START_NS + 10**10))

starts = st.one_of(nanos, *[st.integers(START_NS, START_NS + 10**6)] * 4)
ends = st.one_of(nanos, *[st.integers(START_NS + 10**6, START_NS + 10**10)] * 4)


@st.composite
def spans(draw):
    made = Span(
        trace_id=draw(st.one_of(st.binary(max_size=17), *[st.binary(min_size=16, max_size=16)] * 4)),
        span_id=draw(st.one_of(st.binary(max_size=9), *[st.binary(min_size=8, max_size=8)] * 4)),
        parent_span_id=draw(st.sampled_from([b"", b"p" * 8, b"\0" * 8, b"\0" * 3, b"odd"])),
        name=draw(texts),
        kind=draw(st.integers(-1, 7)),
        start_time_unix_nano=draw(starts),
        end_time_unix_nano=draw(ends),
        attributes=pairs(draw(maps)),
    )
    made.status.code = draw(st.integers(0, 3))
    made.status.message = draw(texts)
    if draw(st.integers(0, 5)) == 0:
        made.attributes.extend(list(made.attributes))  # each key twice
    if draw(st.integers(0, 3)) == 0:
        made.links.add(trace_id=draw(st.sampled_from([b"", b"x" * 16])), span_id=b"y" * 8, attributes=pairs(draw(maps)))
    for _ in range(draw(st.integers(0, 2))):
        made.events.add(name=draw(texts), time_unix_nano=draw(nanos), attributes=pairs(draw(maps)))
    return made


@st.composite
def requests(draw):
    made = ExportTraceServiceRequest()
    for _ in range(draw(st.integers(0, 2))):
        group = made.resource_spans.add()
        group.resource.attributes.extend(pairs(draw(maps)))
        for _ in range(draw(st.integers(0, 2))):
            scope = group.scope_spans.add()
            scope.scope.name = draw(texts)
            scope.spans.extend(draw(st.lists(spans(), max_size=3)))
    return made
