"""OTLP log events become predictions and labels; every other record is refused with the reason."""

import json
from datetime import UTC, datetime
from itertools import count

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from seamark.core.errors import InputRefused
from seamark.core.records import LABELS, PREDICTIONS, FeatureSchema
from seamark.wire.events import ONLY_EVENTS
from seamark.wire.otlp import Encoding, decode_logs

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
LOGGED = datetime(2026, 1, 31, 11, 59, 30, 250_000, tzinfo=UTC)
LOGGED_NS = int(LOGGED.timestamp()) * 10**9 + 250_000_000


def any_value(value):
    if isinstance(value, dict):
        out = AnyValue()
        out.kvlist_value.values.extend(pairs(value))
        out.kvlist_value.SetInParent()
        return out
    kinds = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value", bytes: "bytes_value"}
    return AnyValue() if value is None else AnyValue(**{kinds[type(value)]: value})


def pairs(values):
    return [KeyValue(key=key, value=any_value(value)) for key, value in values.items()]


def prediction(event="seamark.prediction", time_ns=LOGGED_NS, observed_ns=0, trace_id=b"", **attributes):
    made = {
        "seamark.prediction.id": "p-1",
        "seamark.prediction.value": 0.75,
        "seamark.features": {"age": 41, "plan": "pro", "active": True, "income": None},
    } | {key.replace("__", "."): value for key, value in attributes.items()}
    return LogRecord(
        event_name=event,
        time_unix_nano=time_ns,
        observed_time_unix_nano=observed_ns,
        trace_id=trace_id,
        attributes=pairs({key: value for key, value in made.items() if value is not ...}),
    )


def label(value=1, event="seamark.label"):
    attributes = pairs({"seamark.prediction.id": "p-1", "seamark.label.value": value})
    return LogRecord(event_name=event, time_unix_nano=LOGGED_NS, attributes=attributes)


def request(*records, **resource):
    made = ExportLogsServiceRequest()
    group = made.resource_logs.add()
    group.resource.attributes.extend(pairs({"service.name": "churn-api", "seamark.model.name": "churn"} | resource))
    group.scope_logs.add().log_records.extend(records)
    return made


def decode(message, encoding=Encoding.PROTOBUF):
    body = message.SerializeToString()
    if encoding is Encoding.JSON:
        tree = MessageToDict(message, use_integers_for_enums=True)
        for group in tree["resourceLogs"]:
            for scope in group["scopeLogs"]:
                for record, told in zip(
                    (r for g in message.resource_logs for s in g.scope_logs for r in s.log_records),
                    scope["logRecords"],
                    strict=True,
                ):
                    told["traceId"] = record.trace_id.hex().upper()
        body = json.dumps(tree).encode()
    made = count(1)
    return decode_logs(body, encoding, received_at=AT, new_id=lambda: f"made-{next(made)}")


BOTH = pytest.mark.parametrize("encoding", list(Encoding))


@BOTH
def test_a_prediction_event_becomes_a_prediction(encoding):
    record = prediction(
        trace_id=bytes(range(16)),
        **{
            "seamark.prediction.latency_ms": 4.5,
            "seamark.scores": {"yes": 0.75, "no": 0.25},
            "seamark.segment": {"country": "DE"},
            "seamark.model.version": "2",
        },
    )
    decoded = decode(request(record), encoding)
    assert decoded.refusals == ()
    assert decoded.ids == ("p-1",)
    schema = FeatureSchema(("age", "income"), ("active", "plan"))
    assert decoded.schemas == (("churn", schema),)
    table = decoded.tables["predictions"]
    assert table.schema.equals(PREDICTIONS)
    table.validate(full=True)
    (row,) = table.to_pylist()
    assert json.loads(row.pop("scores")) == {"yes": 0.75, "no": 0.25}
    assert json.loads(row.pop("segment")) == {"country": "DE"}
    assert row == {
        "model": "churn",
        "version": "2",
        "prediction_id": "p-1",
        "at": LOGGED,
        "trace_id": bytes(range(16)),
        "schema_id": schema.schema_id,
        "numeric": [41.0, None],
        "categorical": ["true", "pro"],
        "prediction_number": 0.75,
        "prediction_text": None,
        "latency_ms": 4.5,
        "synthetic": False,
        "received_at": AT,
    }


@BOTH
def test_a_label_event_becomes_a_label(encoding):
    decoded = decode(request(label(), label(True), label("churned")), encoding)
    table = decoded.tables["labels"]
    assert table.schema.equals(LABELS)
    assert table.column("label_number").to_pylist() == [1.0, 1.0, None]
    assert table.column("label_text").to_pylist() == [None, None, "churned"]
    assert table.to_pylist()[0] | {"at": LOGGED, "received_at": AT, "model": "churn"} == table.to_pylist()[0]


@BOTH
def test_other_records_are_refused_and_cost_their_neighbours_nothing(encoding):
    records = [LogRecord(event_name="app.started"), prediction(), LogRecord(), label(), label(value=None)]
    decoded = decode(request(*records), encoding)
    assert {name: table.num_rows for name, table in decoded.tables.items()} == {"predictions": 1, "labels": 1}
    assert [(refusal.index, refusal.reason) for refusal in decoded.refusals] == [
        (0, ONLY_EVENTS),
        (2, ONLY_EVENTS),
        (4, "label: missing; write a number, a string, true or false"),
    ]


def test_the_older_event_name_attribute_and_json_text_are_read_too():
    record = prediction(event="", **{"event.name": "seamark.prediction", "seamark.features": '{"age": 3.5}'})
    decoded = decode(request(record))
    assert decoded.tables["predictions"].column("numeric").to_pylist() == [[3.5]]


def test_time_is_the_records_own_then_when_it_was_observed_then_arrival():
    records = [prediction(), prediction(time_ns=0, observed_ns=LOGGED_NS), prediction(time_ns=0)]
    assert decode(request(*records)).tables["predictions"].column("at").to_pylist() == [LOGGED, LOGGED, AT]


def test_an_id_is_made_where_none_was_sent():
    records = [prediction(**{"seamark.prediction.id": ...}), prediction(), prediction(**{"seamark.prediction.id": 17})]
    assert decode(request(*records)).ids == ("made-1", "p-1", "17")


def test_synthetic_predictions_are_marked():
    records = [prediction(**{"user_agent.synthetic.type": "test"}), prediction()]
    assert decode(request(*records)).tables["predictions"].column("synthetic").to_pylist() == [True, False]


@pytest.mark.parametrize(
    "attributes, reason",
    [
        ({"seamark.features": "[1]"}, "features: [1] is not an object"),
        ({"seamark.features": "{"}, "seamark.features: the text is no JSON"),
        ({"seamark.features": 5}, "features: 5 is not an object"),
        ({"seamark.features": {"x": float("nan")}}, "features.x: nan is not a finite number"),
        (
            {"seamark.features": {"x": {"y": 1}}},
            "features.x: {'y': 1} is no number, string, boolean, list of numbers or null",
        ),
        ({"seamark.features": {"x": b"\x00"}}, "features.x"),
        ({"seamark.features": {f"f{i}": i for i in range(1_001)}}, "more than 1,000 names"),
        ({"seamark.prediction.value": {"a": 1}}, "prediction: {'a': 1} is no number and no string"),
        ({"seamark.prediction.latency_ms": -1.0}, "latency_ms: -1.0 is negative"),
        ({"seamark.prediction.id": "x" * 300}, "prediction_id"),
        ({"seamark.scores": {"yes": "likely"}}, "scores.'yes': 'likely' is not a number"),
        ({"seamark.segment": {"a": {}}}, "segment.'a'"),
    ],
)
def test_a_bad_prediction_is_refused_with_its_field(attributes, reason):
    decoded = decode(request(prediction(**attributes), prediction()))
    assert decoded.tables["predictions"].num_rows == 1
    (refusal,) = decoded.refusals
    assert refusal.index == 0
    assert reason in refusal.reason


def test_a_trace_id_of_a_wrong_length_is_refused_and_zeros_mean_none():
    decoded = decode(request(prediction(trace_id=b"\x01"), prediction(trace_id=bytes(16))))
    assert decoded.tables["predictions"].column("trace_id").to_pylist() == [None]
    assert "32 hexadecimal digits" in decoded.refusals[0].reason


def test_a_malformed_body_is_refused_whole():
    for encoding, body in ((Encoding.JSON, b'{"resourceLogs": 5}'), (Encoding.PROTOBUF, b"\xff\xff")):
        with pytest.raises(InputRefused):
            decode_logs(body, encoding, received_at=AT, new_id=str)


@pytest.mark.parametrize("bad", [{"eventName": 5}, {"attributes": {}}, {"timeUnixNano": []}, None, 7])
def test_a_json_record_that_is_not_of_its_form_costs_only_itself(bad):
    tree = MessageToDict(request(prediction(), label()), use_integers_for_enums=True)
    (scope,) = tree["resourceLogs"][0]["scopeLogs"]
    scope["logRecords"].insert(0, scope["logRecords"][0] | bad if isinstance(bad, dict) else bad)
    decoded = decode_logs(json.dumps(tree).encode(), Encoding.JSON, received_at=AT, new_id=lambda: "new")
    assert {name: table.num_rows for name, table in decoded.tables.items()} == {"predictions": 1, "labels": 1}
    (refusal,) = decoded.refusals
    assert refusal.index == 0
    assert "LogRecord in OTLP's JSON" in refusal.reason
