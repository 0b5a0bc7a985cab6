"""Features that are lists of numbers come in over every door, and what is no such list is refused by name and place."""

from __future__ import annotations

import io
import json
import math
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from seamark.core.errors import BodyTooLarge, InputRefused
from seamark.core.records import FeatureSchema
from seamark.wire import rows as rows_module
from seamark.wire.documents import ARROW, JSON, NDJSON
from seamark.wire.otlp import Encoding, decode_logs, decode_logs_one_by_one
from seamark.wire.predictions import decode_predictions
from seamark.wire.rows import CSV, PARQUET, decode_reference
from seamark.wire.vectors import DIMENSION_MAX

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
SCHEMA = FeatureSchema(("age",), ("plan",), (("emb", 3),))


def decode(records, media_type=JSON):
    body = json.dumps(records).encode() if media_type == JSON else b"\n".join(json.dumps(r).encode() for r in records)
    return decode_predictions(body, media_type, received_at=AT, new_id=lambda: "id")


def stream(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


RECORDS = [
    {"model": "m", "features": {"age": 1, "plan": "a", "emb": [0.5, 1, 2]}},
    {"model": "m", "features": {"age": 2, "plan": "b", "emb": None}},
] * 500


@pytest.mark.parametrize("media_type", [JSON, NDJSON[0]])
@pytest.mark.parametrize("records", [RECORDS[:2], RECORDS])
def test_a_list_of_numbers_is_one_feature(records, media_type):
    decoded = decode(records, media_type)
    assert decoded.refusals == () and decoded.schemas == (("m", SCHEMA),)
    assert decoded.tables["predictions"]["numeric"].to_pylist()[:2] == [[1, 0.5, 1, 2], [2, None, None, None]]


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float32()), pa.list_(pa.float64(), 3), pa.large_list(pa.int16()), pa.list_(pa.float16())]
)
def test_arrow_lists_are_taken(kind):
    emb = pa.array([[1, 2, 3], None] * 500, kind)
    features = pa.StructArray.from_arrays([pa.array([1.0, 2.0] * 500), emb], ["age", "emb"])
    decoded = decode_predictions(
        stream(pa.table({"model": ["m"] * 1000, "features": features})), ARROW, received_at=AT, new_id=lambda: "id"
    )
    assert decoded.schemas == (("m", FeatureSchema(("age",), (), (("emb", 3),))),)
    assert decoded.tables["predictions"]["numeric"].to_pylist()[:2] == [[1, 1, 2, 3], [2, None, None, None]]


@pytest.mark.parametrize("kind", [pa.list_(pa.string()), pa.list_(pa.list_(pa.float64())), pa.list_(pa.bool_())])
def test_arrow_lists_of_other_things_are_no_stream_of_records(kind):
    features = pa.StructArray.from_arrays([pa.nulls(2, kind)], ["emb"])
    with pytest.raises(InputRefused, match=r"features\.emb.* is of type .*lists of numbers"):
        decode_predictions(
            stream(pa.table({"model": ["m", "m"], "features": features})), ARROW, received_at=AT, new_id=lambda: "id"
        )


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "features.emb: the list is empty; send null where the vector is not known"),
        ([1.0, None], "features.emb[1]: None is not a number; send null for the whole vector where a part of it is"),
        ([1.0, "x"], "features.emb[1]: 'x' is not a number"),
        ([True], "features.emb[0]: True is not a number"),
        ([[1.0]], "features.emb[0]: [1.0] is not a number"),
        ([1.0, 10**400], "features.emb[1]: a whole number of more than 64 bits is not a finite number"),
        ([0.0] * (DIMENSION_MAX + 1), "features.emb: a list of 4,097 values; at most 4,096 are taken"),
        ({"a": 1}, "features.emb: {'a': 1} is no number, string, boolean, list of numbers or null"),
    ],
)
def test_what_is_no_vector_is_refused_alone_and_says_where(value, reason):
    good = {"model": "m", "features": {"emb": [1.0, 2.0]}}
    decoded = decode([good, {"model": "m", "features": {"emb": value}}, good], NDJSON[0])
    assert [refusal.index for refusal in decoded.refusals] == [1] and len(decoded.ids) == 2
    assert decoded.refusals[0].reason.startswith(reason)


def test_infinite_numbers_are_refused():
    body = b'{"model": "m", "features": {"emb": [1, 1e999]}}\n{"model": "m", "features": {"emb": [1, 1e308]}}'
    decoded = decode_predictions(body, NDJSON[0], received_at=AT, new_id=lambda: "id")
    assert len(decoded.ids) == 1 and [refusal.index for refusal in decoded.refusals] == [0]


@pytest.mark.parametrize("times", [1, 300])
def test_a_vector_of_another_dimension_than_most_is_refused(times):
    long, short = ({"model": "m", "features": {"emb": [0.5] * size}} for size in (3, 2))
    decoded = decode([long, short, long] * times)
    assert decoded.schemas == (("m", FeatureSchema((), (), (("emb", 3),))),)
    assert [refusal.index for refusal in decoded.refusals] == list(range(1, 3 * times, 3))
    told = "features.emb: [0.5, 0.5] is a list of 2 numbers, but most records of this request have a list of 3 numbers"
    assert decoded.refusals[0].reason == f"{told}; send one kind"


def test_a_number_among_vectors_is_refused_and_the_other_way_round():
    vector, number = {"model": "m", "features": {"x": [1.0]}}, {"model": "m", "features": {"x": 1.0}}
    assert [refusal.index for refusal in decode([vector, number, vector]).refusals] == [1]
    decoded = decode([number, vector, number])
    assert decoded.refusals[0].reason.startswith("features.x: [1.0] is a list of 1 number, but most records")
    assert decoded.schemas == (("m", FeatureSchema(("x",), ())),)


def test_names_with_brackets_stay_names():
    features = {"emb": [1.0, 2.0], "emb[0]": 7, "emb[1]": "x", "emb[": None}
    decoded = decode([{"model": "m", "features": features}])
    assert decoded.schemas[0][1] == FeatureSchema(("emb[", "emb[0]"), ("emb[1]",), (("emb", 2),))
    assert decoded.tables["predictions"]["numeric"].to_pylist() == [[None, 7, 1, 2]]


@pytest.mark.slow
def test_sparse_vectors_do_not_unfold_into_gigabytes():
    wide = [{"model": "m", "features": {f"v{i}": [0.5] * 4_096}} for i in range(4)]
    records = wide + [{"model": "m"}] * 20_000
    with pytest.raises(BodyTooLarge, match="unfolds into more than"):
        decode(records)


def test_the_vectors_of_one_record_are_bounded():
    decoded = decode([{"model": "m", "features": {f"v{i}": [0.5] * 4_096 for i in range(5)}}])
    assert decoded.refusals[0].reason == "features: lists of 20,480 numbers in all; at most 16,384 are taken"


def test_a_schema_without_vectors_keeps_its_id():
    plain = FeatureSchema(("a",), ("b",))
    assert plain.schema_id == FeatureSchema(("a",), ("b",), ()).schema_id != SCHEMA.schema_id
    assert plain.numbers == 1 and SCHEMA.numbers == 4
    assert FeatureSchema(("a",), ("b",), (("v", 2),)).schema_id != FeatureSchema(("a",), ("b",), (("v", 3),)).schema_id


def export(features: list[AnyValue]) -> bytes:
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for value in features:
        record = scope.log_records.add(event_name="seamark.prediction", time_unix_nano=1_769_860_800_000_000_000)
        record.attributes.append(KeyValue(key="seamark.features", value=value))
        record.attributes.append(KeyValue(key="seamark.prediction.id", value=AnyValue(string_value="p")))
    return request.SerializeToString()


def numbers(*values: float) -> AnyValue:
    return AnyValue(array_value=ArrayValue(values=[AnyValue(double_value=value) for value in values]))


def as_map(value: AnyValue) -> AnyValue:
    return AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="emb", value=value)]))


@pytest.mark.parametrize("times", [1, 200])
@pytest.mark.parametrize(
    "feature", [AnyValue(string_value='{"emb": [0.5, 1, 2]}'), as_map(numbers(0.5, 1.0, 2.0))], ids=["text", "map"]
)
def test_log_events_take_arrays_and_their_json(feature, times):
    body = export([feature] * times)
    decoded = decode_logs(body, Encoding.PROTOBUF, received_at=AT, new_id=lambda: "id")
    plain = decode_logs_one_by_one(body, Encoding.PROTOBUF, int(AT.timestamp() * 1e6), lambda: "id")
    assert decoded.schemas == plain.schemas == (("unknown_service", FeatureSchema((), (), (("emb", 3),))),)
    assert decoded.tables["predictions"]["numeric"].to_pylist() == [[0.5, 1.0, 2.0]] * times
    assert decoded.tables["predictions"].equals(plain.tables["predictions"])


def test_log_events_refuse_what_is_no_vector():
    bad = [as_map(numbers(1.0, math.nan)), as_map(numbers()), AnyValue(string_value='{"emb": [1, "x"]}')]
    decoded = decode_logs(
        export([as_map(numbers(1.0, 2.0)), *bad] * 60), Encoding.PROTOBUF, received_at=AT, new_id=lambda: "id"
    )
    assert len(decoded.ids) == 60 and len(decoded.refusals) == 180
    assert {refusal.reason.split(":")[0] for refusal in decoded.refusals} == {
        "features.emb[1]",
        "features.emb",
    }


def test_numbers_are_kept_exactly_through_columns():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(600, 5)) * 10.0 ** rng.integers(-300, 300, (600, 5))
    decoded = decode([{"model": "m", "features": {"emb": row}} for row in values.tolist()])
    assert decoded.tables["predictions"]["numeric"].to_pylist() == values.tolist()


# --- reference files -------------------------------------------------------------------------------------------------

TABLE = pa.table({"age": [1.0, 2.0, 3.0], "emb": [[0.5, 1.0], None, [2.0, 3.0]]})


def decode_rows(body, media_type):
    found = decode_reference(body, media_type)
    return found.schema, found.features


def parquet(table):
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def cast(kind):
    return TABLE.set_column(1, "emb", TABLE["emb"].cast(kind))


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        (PARQUET, parquet(TABLE)),
        (PARQUET, parquet(cast(pa.list_(pa.float32())))),
        (ARROW, stream(cast(pa.list_(pa.float64(), 2)))),
        (ARROW, stream(TABLE)),
        (CSV, b'age,emb\n1,"[0.5, 1]"\n2,\n3,"[2,3]"\n'),
        (JSON, json.dumps(TABLE.to_pylist()).encode()),
        (NDJSON[0], b"\n".join(json.dumps(row).encode() for row in TABLE.to_pylist())),
    ],
)
def test_reference_files_take_list_columns(media_type, body):
    schema, table = decode_rows(body, media_type)
    assert schema == FeatureSchema(("age",), (), (("emb", 2),))
    assert table.to_pylist() == TABLE.to_pylist()


def test_a_reference_vector_with_an_unknown_part_is_null():
    table = pa.table({"emb": [[1.0, None], [1.0, 2.0], [float("nan"), 1.0], None, [3.0, 4.0]]})
    schema, rows = decode_rows(stream(table), ARROW)
    assert rows["emb"].to_pylist() == [None, [1.0, 2.0], None, None, [3.0, 4.0]]
    assert schema.vectors == (("emb", 2),)
    schema, rows = decode_rows(stream(table.slice(2, 2)), ARROW)
    assert schema == FeatureSchema(("emb",), ()) and rows["emb"].to_pylist() == [None, None]


@pytest.mark.parametrize(
    ("lists", "told"),
    [
        ([[1.0], None, [1.0, 2.0]], "row 2: a list of 2 numbers, but the first one has 1; all lists"),
        ([None, []], "row 1: the list is empty"),
        ([[1.0], [math.inf]], "row 1: a number is infinite"),
        ([[0.0] * 5_000], "row 0: a list of 5,000 values; at most 4,096 are taken"),
    ],
)
def test_reference_columns_that_are_no_vectors_are_refused(lists, told):
    with pytest.raises(InputRefused, match="column 'emb', " + told):
        decode_rows(stream(pa.table({"emb": pa.array(lists, pa.list_(pa.float64()))})), ARROW)


@pytest.mark.parametrize(
    "rows",
    [[{"x": [1, "a"]}], [{"x": [[1]]}], [{"x": [True]}], [{"x": [10**400]}], [{"x": [1]}, {"x": 1}], [{"x": {}}]],
)
def test_json_rows_refuse_other_lists(rows):
    with pytest.raises(InputRefused, match="column 'x'"):
        decode_rows(json.dumps(rows).encode(), JSON)


def test_csv_texts_that_look_like_lists_stay_texts_unless_all_are_alike():
    schema, _ = decode_rows(b'tags,note,one\n"[1,2]","[x","[]"\n"[1]","[1]","[]"\n', CSV)
    assert schema == FeatureSchema((), ("note", "one", "tags"))


def test_a_short_parquet_file_may_not_unfold_into_too_many_numbers(monkeypatch):
    body = parquet(pa.table({"emb": [[0.0] * 1_000] * 300}))
    monkeypatch.setattr(rows_module, "CELLS_MAX", 200_000)
    with pytest.raises(BodyTooLarge, match="holds more than 200,000 values"):
        decode_rows(body, PARQUET)
    with pytest.raises(BodyTooLarge, match=r"lists of 20,000 numbers per row"):
        decode_rows(json.dumps([{f"v{i}": [0.5] * 4_000 for i in range(5)}]).encode(), JSON)
