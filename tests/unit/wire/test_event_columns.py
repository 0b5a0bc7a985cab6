"""Prediction events read in columns say exactly what they say read record by record."""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from seamark.core.errors import SeamarkError
from seamark.wire import prediction_columns
from seamark.wire.feature_columns import Unusual
from seamark.wire.otlp import Encoding, _log_columns, decode_logs_one_by_one

RECEIVED_US = 1_769_860_800_000_000
TIME_NS = 1_769_860_799_123_456_789


def any_value(value):
    """Return any Python value as OTLP has it."""
    if isinstance(value, dict):
        return AnyValue(kvlist_value=KeyValueList(values=pairs(value.items())))
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=map(any_value, value)))
    kinds = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value", bytes: "bytes_value"}
    return AnyValue() if value is None else AnyValue(**{kinds[type(value)]: value})


def pairs(items):
    return [KeyValue(key=key, value=any_value(value)) for key, value in items]


def record(attributes, **fields):
    told = {"event_name": "seamark.prediction", "time_unix_nano": TIME_NS} | fields
    items = attributes.items() if isinstance(attributes, dict) else attributes
    return LogRecord(attributes=pairs(items), **told)


def request(*resources):
    """Return an export: a (resource attributes, log records) per resource."""
    made = ExportLogsServiceRequest()
    for attributes, records in resources:
        group = made.resource_logs.add()
        group.resource.attributes.extend(pairs(attributes.items()))
        for half in (records[: len(records) // 2], records[len(records) // 2 :]):
            group.scope_logs.add(log_records=half)
    return made.SerializeToString()


@pytest.fixture(autouse=True, scope="module")
def _small_requests_go_in_columns_too():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prediction_columns, "ROWS_PER_MODEL", 0)
        yield


def told(decode):
    made = count()
    try:
        decoded = decode(lambda: f"made-{next(made)}")
    except SeamarkError as error:
        return type(error), error.message
    number = count()
    ids = [f"made-{next(number)}" if id_.startswith("made-") else id_ for id_ in decoded.ids]
    rows = {}
    for name, table in decoded.tables.items():
        table.validate(full=True)
        rows[name] = (table.drop_columns("prediction_id") if name == "predictions" else table).to_pylist()
    return rows, ids, decoded.refusals, decoded.schemas, list(decoded.places)


def both(body):
    """Return what the two ways say; None where the fast one leaves it to the other."""
    slow = told(lambda new_id: decode_logs_one_by_one(body, Encoding.PROTOBUF, RECEIVED_US, new_id))
    try:
        return told(lambda new_id: _log_columns(body, RECEIVED_US, new_id)), slow
    except Unusual:
        return None, slow


FEATURES = {"age": 41, "share": 0.5, "plan": "pro", "active": True, "income": None}
FULL = {
    "seamark.prediction.id": "p-1",
    "seamark.prediction.value": 0.75,
    "seamark.prediction.latency_ms": 4,
    "seamark.scores": {"yes": 0.75, "no": 0.25, "other": None},
    "seamark.segment": {"country": "DE", "tier": 1, "new": True},
    "seamark.features": FEATURES,
}
TEXTS = FULL | {"seamark.features": '{"age": 1.5, "plan": "x", "b": true, "n": null}', "seamark.scores": '{"yes": 1}'}
RESOURCE = {"service.name": "churn-api", "service.version": "3"}
USUAL = [
    [record(FULL)],
    [record(TEXTS), record(TEXTS | {"seamark.segment": "null"}), record({"seamark.features": "null"})],
    [record({}), record({"seamark.prediction.id": 17, "seamark.prediction.value": True})],
    [record({"seamark.prediction.value": "yes"}, trace_id=bytes(range(16))), record({}, trace_id=bytes(16))],
    [record({}, trace_id=bytes(range(16))), record({}, trace_id=bytes(range(1, 17)))],
    [
        record({"seamark.features": {}}),
        record({"seamark.features": {"x": 1}}),
        record({"seamark.features": {"y": "é"}}),
    ],
    [record({"seamark.features": {"x": 2**63 - 1, "b": False}})] * 20,
    [record({}, time_unix_nano=0, observed_time_unix_nano=TIME_NS), record({}, time_unix_nano=0)],
    [record([("seamark.prediction.id", "a"), ("seamark.prediction.id", "b"), ("other", [1])])],
    [record([("seamark.features", {"x": 1}), ("seamark.features", {"y": 1})])],
    [record({"seamark.model.name": f" m{i % 2}\n", "seamark.features": {f"f{i % 2}": i}}) for i in range(40)],
    [record({"seamark.model.name": " ", "seamark.model.version": "9"}), record({"seamark.model.version": ""})],
    [record({"user_agent.synthetic.type": "test"}), record({"user_agent.original": "seamark-loadtest/1"})],
]


@pytest.mark.parametrize("records", USUAL)
def test_usual_events_are_read_in_columns_and_say_the_same(records):
    fast, slow = both(request((RESOURCE, records), ({}, ()), ({"user_agent.synthetic.type": "bot"}, records)))
    assert fast == slow
    assert len(fast[0]["predictions"]) == 2 * len(records)


BAD = [
    LogRecord(event_name="app.started", attributes=pairs({"a": [1], "b": {"c": {"d": 1}}}.items())),
    record({"seamark.prediction.id": ""}),
    record({"seamark.prediction.id": 1.5}),
    record({"seamark.prediction.value": [1]}),
    record({"seamark.prediction.value": float("inf")}),
    record({"seamark.prediction.latency_ms": -1.0}),
    record({"seamark.prediction.latency_ms": True}),
    record({"seamark.features": [1]}),
    record({"seamark.features": {"x": float("nan")}}),
    record({"seamark.features": {"x": {"y": 1}}}),
    record({"seamark.features": {"x": b"1"}}),
    record({"seamark.features": {f"x{i}": 1 for i in range(1_001)}}),
    record({"seamark.scores": {"x": "y"}}),
    record({"seamark.scores": "{"}),
    record({"seamark.segment": {"x": []}}),
    record({}, trace_id=b"1"),
    record({}, time_unix_nano=2**63),
    record({}, time_unix_nano=999),
]


def test_bad_events_and_labels_among_predictions_are_judged_one_by_one():
    label = record({"seamark.prediction.id": "p", "seamark.label.value": 1}, event_name="seamark.label")
    good = record({"seamark.prediction.id": "p", "seamark.features": {"x": 1.5}})
    for records in ([good, label, *BAD], *([good, label, bad] for bad in BAD)):
        fast, slow = both(request((RESOURCE, records)))
        if fast is not None:  # more names than a model may have leave all to the other way
            assert fast == slow
        assert len(slow[0]["predictions"]) == len(slow[0]["labels"]) == 1
        assert len(slow[2]) == len(records) - 2


def field(number, content):
    return bytes([number << 3 | 2, len(content)]) + content


@pytest.mark.parametrize(
    "value",
    [
        field(1, b"a") + b"\x21" + bytes(8),  # a string, then a double
        b"\x21" + bytes(8) + field(1, b"a"),
        field(6, b"") + field(1, b"a"),
        b"\x40\x01",  # of a kind that is not known
        field(5, b"\xff"),
    ],
)
def test_values_that_are_written_twice_or_damaged_say_the_same(value):
    attributes = b"".join(
        field(6, field(1, key) + field(2, content))
        for key, content in ((b"seamark.prediction.value", value), (b"seamark.features", field(6, field(1, value))))
    )
    body = field(1, field(2, field(2, field(12, b"seamark.prediction") + attributes)))
    fast, slow = both(body)
    assert fast in (None, slow)


texts = st.one_of(st.sampled_from(["", "a", "b", " a", "é\n"]), st.text(max_size=3))
plain = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), texts)
odd = st.recursive(
    st.one_of(plain, st.binary(max_size=2)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(texts, inner, max_size=2)),
    max_leaves=4,
)
finite = st.floats(allow_nan=False, allow_infinity=False)
features = st.fixed_dictionaries(
    {"x": st.one_of(st.none(), finite, st.integers(-9, 9))},
    optional={"y": finite, "s": texts, "b": st.booleans(), "n": st.none()},
)
ATTRIBUTES = {
    "seamark.prediction.id": st.one_of(st.text("ab", min_size=1), st.integers(0, 9)),
    "seamark.prediction.value": st.one_of(finite, texts),
    "seamark.prediction.latency_ms": st.floats(0, 9),
    "seamark.scores": st.dictionaries(texts, finite, max_size=2),
    "seamark.segment": st.dictionaries(texts, st.one_of(finite, texts, st.booleans()), max_size=2),
    "seamark.features": features,
    "seamark.model.name": st.sampled_from(["m", "n", ""]),
    "seamark.model.version": texts,
    "user_agent.synthetic.type": texts,
    "user_agent.original": st.sampled_from(["seamark-loadtest/1", "curl"]),
    "other": odd,
}


def records_of(values, events):
    attributes = {name: st.one_of(usual, values) if values is not None else usual for name, usual in ATTRIBUTES.items()}
    return st.builds(
        record,
        st.fixed_dictionaries({}, optional=attributes),
        event_name=events,
        time_unix_nano=st.sampled_from([0, 1, TIME_NS, 2**64 - 1] if values is not None else [0, TIME_NS]),
        observed_time_unix_nano=st.sampled_from([0, TIME_NS + 999]),
        trace_id=st.sampled_from([b"", bytes(16), bytes(range(16))] + ([b"1"] if values is not None else [])),
    )


events = st.sampled_from(["seamark.prediction"] * 5 + ["seamark.label", "", "x"])
resources = st.dictionaries(st.sampled_from(["service.name", "seamark.model.name", "service.version"]), texts)


@pytest.mark.slow
@given(
    st.lists(st.tuples(resources, st.lists(records_of(None, st.just("seamark.prediction")), max_size=12)), max_size=3)
)
def test_any_usual_events_say_the_same_both_ways(groups):
    fast, slow = both(request(*groups))
    assert fast in (None, slow)


@pytest.mark.slow
@given(st.lists(st.tuples(resources, st.lists(records_of(odd, events), max_size=4)), max_size=2))
def test_any_odd_events_say_the_same_both_ways(groups):
    fast, slow = both(request(*groups))
    assert fast in (None, slow)
