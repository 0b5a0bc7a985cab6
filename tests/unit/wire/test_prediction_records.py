"""Prediction and label records in JSON, NDJSON and Arrow become rows, each refusal with its place and reason."""

import json
import struct
from datetime import UTC, datetime
from itertools import count

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamark.core.errors import BodyTooLarge, InputRefused, WrongMediaType
from seamark.core.feature_types import FixedType, TypeClash
from seamark.core.records import LABELS, PREDICTIONS, FeatureSchema
from seamark.wire import prediction_rows
from seamark.wire.documents import ARROW, JSON, NDJSON
from seamark.wire.labels import decode_labels
from seamark.wire.predictions import decode_predictions

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)


def decode(records, media_type=JSON):
    if media_type == JSON and not isinstance(records, bytes):
        records = json.dumps(records).encode()
    made = count(1)
    return decode_predictions(records, media_type, received_at=AT, new_id=lambda: f"made-{next(made)}")


def stream(table, **options):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def test_a_full_record_becomes_a_row():
    decoded = decode(
        {
            "model": "churn",
            "version": "2",
            "prediction_id": "p-1",
            "at": "2026-01-31T11:00:00+01:00",
            "trace_id": "000102030405060708090A0b0c0d0e0f",
            "segment": {"country": "DE", "tier": 1},
            "features": {"plan": "pro", "age": 41, "active": False, "income": None},
            "prediction": "stays",
            "scores": {"stays": 0.9, "churns": 0.1},
            "latency_ms": 3,
            "synthetic": True,
        }
    )
    schema = FeatureSchema(("age", "income"), ("active", "plan"))
    assert (decoded.ids, decoded.schemas, decoded.refusals) == (("p-1",), (("churn", schema),), ())
    assert decoded.tables["predictions"].schema.equals(PREDICTIONS)
    (row,) = decoded.tables["predictions"].to_pylist()
    assert json.loads(row.pop("segment")) == {"country": "DE", "tier": 1}
    assert json.loads(row.pop("scores")) == {"stays": 0.9, "churns": 0.1}
    assert row == {
        "model": "churn",
        "version": "2",
        "prediction_id": "p-1",
        "at": datetime(2026, 1, 31, 10, tzinfo=UTC),
        "trace_id": bytes(range(16)),
        "schema_id": schema.schema_id,
        "numeric": [41.0, None],
        "categorical": ["false", "pro"],
        "prediction_number": None,
        "prediction_text": "stays",
        "latency_ms": 3.0,
        "synthetic": True,
        "received_at": AT,
    }


def test_only_the_model_is_required():
    (row,) = decode([{"model": "m", "version": None}]).tables["predictions"].to_pylist()
    assert (row["version"], row["prediction_id"], row["at"], row["numeric"]) == ("", "made-1", AT, [])


REFUSED = [
    ({}, "model: None is no name"),
    ({"model": ""}, "model: '' is no name"),
    ({"model": 5}, "model: 5 is no name"),
    ({"model": "m" * 257}, "at most 256"),
    ("m", "a prediction is an object, not 'm'"),
    ({"model": "m", "feature": {}}, "'feature' is no field of a prediction; did you mean features?"),
    ({"model": "m", "features": [1]}, "features: [1] is not an object"),
    (
        {"model": "m", "features": {"x": {"y": 1}}},
        "features.x: {'y': 1} is no number, string, boolean, list of numbers or null",
    ),
    ({"model": "m", "features": {"": 1}}, "the name '' must have 1 to 256 characters"),
    ({"model": "m", "features": {"a\nb": 1}}, "control characters"),
    ({"model": "m", "features": {"x": 10**300 * 10**10}}, "features.x: a whole number of more than 64 bits"),
    ({"model": "m", "features": {str(i): 1 for i in range(1_001)}}, "1001 names; at most 1000"),
    ({"model": "m", "at": "yesterday"}, "at: 'yesterday' is no time; write it like 2026-01-31T12:00:00Z"),
    ({"model": "m", "at": "2026-01-31T12:00:00"}, "at: '2026-01-31T12:00:00' has no time zone"),
    ({"model": "m", "at": 1_767_225_600_000}, "does not lie between 1970 and 2262; numbers are seconds since 1970"),
    ({"model": "m", "at": True}, "at: True is no time"),
    ({"model": "m", "at": {}}, "at: {} is no time"),
    ({"model": "m", "at": "0001-01-01T00:00:00+05:00"}, "at: "),
    ({"model": "m", "trace_id": "12"}, "trace_id: '12'"),
    ({"model": "m", "trace_id": "g" * 32}, "is not hexadecimal"),
    ({"model": "m", "trace_id": 7}, "trace_id: 7 is no trace id"),
    ({"model": "m", "prediction_id": ""}, "prediction_id: '' is no name"),
    ({"model": "m", "prediction_id": 1.5}, "prediction_id: 1.5 is no name"),
    ({"model": "m", "prediction": [1]}, "prediction: [1] is no number and no string"),
    ({"model": "m", "scores": {"a": "b"}}, "scores.'a': 'b' is not a number"),
    ({"model": "m", "segment": {"a": []}}, "segment.'a': [] is no number"),
    ({"model": "m", "latency_ms": "3"}, "latency_ms: '3' is not a number"),
    ({"model": "m", "latency_ms": -1}, "latency_ms: -1 is negative"),
    ({"model": "m", "synthetic": "yes"}, "synthetic: 'yes' is neither true nor false"),
]


def test_each_bad_record_is_refused_by_its_place_and_the_good_ones_are_taken():
    good = {"model": "m", "features": {"x": 1}}
    records = [item for bad, _ in REFUSED for item in (good, bad)]
    decoded = decode(records)
    assert decoded.tables["predictions"].num_rows == len(REFUSED)
    assert [refusal.index for refusal in decoded.refusals] == list(range(1, len(records), 2))
    for refusal, (bad, reason) in zip(decoded.refusals, REFUSED, strict=True):
        assert reason in refusal.reason, bad


def test_names_are_united_over_the_request_and_per_model():
    decoded = decode(
        [
            {"model": "a", "features": {"x": 1, "c": None}},
            {"model": "b", "features": {"x": "red"}},
            {"model": "a", "features": {"y": 2.5, "c": "blue", "never": None}},
        ]
    )
    assert dict(decoded.schemas) == {
        "a": FeatureSchema(("never", "x", "y"), ("c",)),
        "b": FeatureSchema((), ("x",)),
    }
    table = decoded.tables["predictions"]
    assert table.column("model").to_pylist() == ["a", "b", "a"]
    assert table.column("numeric").to_pylist() == [[None, 1.0, None], [], [None, None, 2.5]]
    assert table.column("categorical").to_pylist() == [[None], ["red"], ["blue"]]


def test_the_minority_kind_of_a_name_is_refused_and_a_tie_goes_to_the_first():
    decoded = decode([{"model": "m", "features": {"x": value}} for value in (1, "two", 3, None)])
    assert [r.index for r in decoded.refusals] == [1]
    assert "features.x: 'two' is a string or boolean, but most records of this request have a number" in (
        decoded.refusals[0].reason
    )
    assert decoded.tables["predictions"].column("numeric").to_pylist() == [[1.0], [3.0], [None]]
    assert decode([{"model": "m", "features": {"x": v}} for v in ("a", 1)]).schemas[0][1].categorical == ("x",)


def test_the_versions_of_a_model_need_not_agree():
    rows = [
        {"model": "m", "version": version, "features": {"x": value, version: 1}}
        for version, value in (("a", 1), ("b", "one"), ("a", 2), ("b", "two"))
    ]
    decoded = decode(rows)
    assert (decoded.refusals, decoded.mixed, list(decoded.places)) == ((), False, [0, 1, 2, 3])
    assert decoded.schemas == (("m", FeatureSchema(("a", "x"), ())), ("m", FeatureSchema(("b",), ("x",))))
    assert decode([*rows, {"model": "m", "version": "b", "features": {"x": 3}}]).mixed


def test_known_types_decide_between_kinds_and_say_since_when():
    rows = [{"model": "m", "features": {"x": value}} for value in (1, 2, "one", None)]
    types = {"x": FixedType("categorical", AT, "ref-7")}
    decoded = decode_predictions(
        json.dumps(rows).encode(), JSON, received_at=AT, new_id=str, types=lambda model, version: types
    )
    assert (decoded.rows, list(decoded.places)) == (2, [2, 3])
    assert decoded.schemas == (("m", FeatureSchema((), ("x",))),)
    (first, second) = decoded.refusals
    assert (first.index, second.index) == (0, 1)
    assert first.clash == TypeClash("m", "", "x", "numeric")
    assert first.reason.startswith("features.x: 1.0 is a number; of this model it is a string or boolean since 20")
    assert "by reference ref-7; send a string or boolean" in first.reason


@pytest.mark.slow
def test_sparse_requests_may_not_unfold_into_gigabytes(monkeypatch):
    wide = [{"model": "m", "features": {f"f{i}": 1}} for i in range(1_100)]
    decoded = decode(wide)
    assert decoded.rows == 1_000
    assert "more than 1,000 features of the model" in decoded.refusals[0].reason
    monkeypatch.setattr(prediction_rows, "CELLS_MAX", 999_999)
    with pytest.raises(BodyTooLarge, match="999,999 feature values"):
        decode(wide)
    many = decode([{"model": f"m{i}"} for i in range(1_001)])
    assert [(r.index, r.reason) for r in many.refusals] == [
        (1_000, "the request names more than 1,000 models and versions")
    ]


def test_ndjson_refuses_a_broken_line_in_its_place():
    body = b'{"model": "m"}\n\n{"model": \r\n{"model": "m", "prediction": 1}\n[1]\n'
    decoded = decode(body, NDJSON[0])
    assert decoded.ids == ("made-1", "made-2")
    assert [refusal.index for refusal in decoded.refusals] == [1, 3]
    assert decode(b"", NDJSON[1]).rows == 0


@pytest.mark.parametrize("body", [b"", b"5", b'"x"', b"[{]", b"\xff", b"[" * 100_000, b'[{"model": "\xff"}]', b"null"])
def test_a_body_that_is_no_json_is_refused_whole(body):
    with pytest.raises(InputRefused):
        decode(body)


def test_other_media_types_are_named_and_too_many_records_are_too_large(monkeypatch):
    with pytest.raises(WrongMediaType, match="text/plain"):
        decode(b"x", "text/plain")
    monkeypatch.setattr("seamark.wire.budget.ROWS_MAX", 3)
    for body, media_type in ((b'[{"model":"m"},{},{},{}]', JSON), (b"{}\n{}\n{}\n{}", NDJSON[0])):
        with pytest.raises(BodyTooLarge):
            decode(body, media_type)
    with pytest.raises(BodyTooLarge):
        decode(b"\n" * 1_100_000, NDJSON[0])


def test_an_arrow_stream_says_the_same_as_json():
    at = datetime(2026, 1, 31, 10, tzinfo=UTC)
    table = pa.table(
        {
            "model": ["m", "m", None],
            "at": pa.array([at, None, at], pa.timestamp("ns", tz="Europe/Berlin")),
            "features": [{"x": 1.5, "c": "a"}, {"x": None, "c": "b"}, None],
            "scores": pa.array([[("yes", 0.5)], None, None], pa.map_(pa.string(), pa.float64())),
            "trace_id": pa.array([bytes(range(16)), None, None], pa.binary()),
            "prediction": [1, 2, 3],
        }
    )
    decoded = decode(stream(table), ARROW)
    rows = decoded.tables["predictions"].to_pylist()
    assert [(row["numeric"], row["categorical"], row["at"]) for row in rows] == [
        ([1.5], ["a"], at),
        ([None], ["b"], AT),
    ]
    assert rows[0]["trace_id"] == bytes(range(16))
    assert json.loads(rows[0]["scores"]) == {"yes": 0.5}
    assert [(r.index, r.reason.split(";")[0]) for r in decoded.refusals] == [(2, "model: None is no name")]


def nulls_without_bytes(rows):
    """Return a stream whose one batch claims `rows` rows of a null column, for which no byte is needed."""
    body = bytearray(stream(pa.table({"model": pa.nulls(77_777)})))
    place = body.index(struct.pack("<q", 77_777))
    while place >= 0:
        body[place : place + 8] = struct.pack("<q", rows)
        place = body.find(struct.pack("<q", 77_777))
    return bytes(body)


@pytest.mark.parametrize(
    "body, reason",
    [
        (b"", "no Arrow IPC stream"),
        (b"ARROW1\0\0", "no Arrow IPC stream"),
        (stream(pa.table({"model": ["m"] * 100}))[:-60], "no Arrow IPC stream"),
        (stream(pa.table({"model": ["m" * 10_000]}), compression="zstd"), "compressed inside"),
        (nulls_without_bytes(2**60), "more than 100,000 rows"),
        (stream(pa.table({"model": pa.array(["m"]).dictionary_encode()})), "is of type dictionary"),
        (stream(pa.table({"model": [["m"]]})), "is of type list"),
        (stream(pa.table({"at": pa.array([0], pa.timestamp("us"))})), "no time zone"),
        (stream(pa.table({"at": pa.array([0], pa.date32())})), "is of type date32"),
        (stream(pa.table({"model": ["m"], "at": pa.array([2**62], pa.timestamp("us", "UTC"))})), "out of range"),
        (stream(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["model", "model"])), "one name"),
    ],
)
def test_arrow_streams_are_not_believed(body, reason):
    with pytest.raises(InputRefused, match=reason):
        decode(body, ARROW)


@given(st.data())
def test_damaged_arrow_streams_are_decoded_or_refused(data):
    body = bytearray(stream(pa.table({"model": ["m", "n"], "features": [{"x": 1.0, "c": "a"}, None]})))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(body), ARROW)
    except InputRefused:
        pass


def test_labels_are_numbers_or_words():
    body = json.dumps(
        [
            {"model": "m", "prediction_id": "p", "label": 1.5, "at": 1_767_225_600.25},
            {"model": "m", "prediction_id": 7, "label": "cat"},
            {"model": "m", "prediction_id": "p", "label": True},
            {"model": "m", "prediction_id": "p", "label": None},
            {"model": "m", "label": 1},
            {"model": "m", "prediction_id": "p", "label": [1]},
            {"model": "m", "prediction_id": "p", "lable": 1},
        ]
    ).encode()
    decoded = decode_labels(body, JSON, received_at=AT)
    table = decoded.tables["labels"]
    assert table.schema.equals(LABELS)
    assert decoded.ids == ("p", "7", "p")
    assert table.column("label_number").to_pylist() == [1.5, None, 1.0]
    assert table.column("label_text").to_pylist() == [None, "cat", None]
    assert table.column("at").to_pylist()[0] == datetime(2026, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)
    assert [refusal.index for refusal in decoded.refusals] == [3, 4, 5, 6]
    assert "did you mean label?" in decoded.refusals[-1].reason


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda v: st.one_of(st.lists(v, max_size=3), st.dictionaries(st.text(max_size=5), v, max_size=3)),
    max_leaves=6,
)
records = st.fixed_dictionaries(
    {},
    optional={
        name: st.one_of(good, json_values)
        for name, good in {
            "model": st.sampled_from(["a", "b"]),
            "features": st.dictionaries(st.sampled_from("xyz"), json_values, max_size=3),
            "prediction": st.floats(),
            "at": st.floats(),
            "trace_id": st.text("0123456789abcdef", min_size=32, max_size=32),
            "scores": json_values,
            "prediction_id": json_values,
        }.items()
    },
)


@given(st.lists(st.one_of(records, json_values), max_size=6))
def test_every_record_is_taken_or_refused_once(batch):
    import msgspec

    decoded = decode(msgspec.json.encode(batch))
    assert decoded.rows + len(decoded.refusals) == len(batch)
    assert len(decoded.ids) == decoded.rows
    schemas = {(model, schema.schema_id): schema for model, schema in decoded.schemas}
    for table in decoded.tables.values():
        table.validate(full=True)
        for row in table.to_pylist():
            schema = schemas[row["model"], row["schema_id"]]
            assert (len(row["numeric"]), len(row["categorical"])) == (len(schema.numeric), len(schema.categorical))
