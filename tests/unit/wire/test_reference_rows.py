"""Reference files of every format become the same schema and the same rows."""

import io
import json
from datetime import date
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamark.core.errors import BodyTooLarge, InputRefused, WrongMediaType
from seamark.core.records import FeatureSchema
from seamark.wire import rows as reference
from seamark.wire.rows import ARROW, CSV, JSON, NDJSON, PARQUET, decode_reference

TABLE = pa.table(
    {
        "plan": ["pro", None, "free"],
        "age": [41, 17, None],
        "income": [1.5, float("nan"), 2.5],
        "active": [True, False, None],
        "label": [1, 0, 1],
    }
)
SCHEMA = FeatureSchema(("age", "income"), ("active", "plan"))
NUMERIC = [[41.0, 1.5], [17.0, None], [None, 2.5]]
CATEGORICAL = [["true", "pro"], ["false", None], [None, "free"]]


def decode_rows(body, media_type):
    found = decode_reference(body, media_type)
    return found.schema, found.features


def parquet(table, **options):
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def arrow(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


RECORDS = [
    {"plan": "pro", "age": 41, "income": 1.5, "active": True, "label": 1},
    {"age": 17, "active": False, "label": 0, "plan": None},
    {"plan": "free", "income": 2.5, "label": 1},
]
BODIES = [
    (PARQUET, parquet(TABLE)),
    (PARQUET, parquet(TABLE, compression="zstd", use_dictionary=False)),
    ("application/x-parquet", parquet(TABLE)),
    (ARROW, arrow(TABLE)),
    (CSV, b"plan,age,income,active,label\npro,41,1.5,true,1\n,17,NaN,false,0\nfree,,2.5,,1\n"),
    (JSON, json.dumps(RECORDS).encode()),
    (NDJSON[0], b"\n".join(json.dumps(record).encode() for record in RECORDS)),
]


@pytest.mark.parametrize("media_type, body", BODIES)
def test_every_format_says_the_same(media_type, body):
    schema, table = decode_rows(body, media_type)
    assert schema == SCHEMA
    assert [list(row) for row in zip(*(table.column(n).to_pylist() for n in schema.numeric), strict=True)] == NUMERIC
    texts = [list(row) for row in zip(*(table.column(n).to_pylist() for n in schema.categorical), strict=True)]
    assert texts == CATEGORICAL
    assert {table.schema.field(n).type for n in schema.numeric} == {pa.float64()}
    assert {table.schema.field(n).type for n in schema.categorical} == {pa.string()}
    table.validate(full=True)


OUTCOMES = pa.table(
    {
        "x": [1.0, 2.0, 3.0],
        "at": ["2026-01-01T00:00:00Z"] * 3,
        "prediction": ["yes", "no", None],
        "target": [True, False, None],
        "scores": [{"yes": 0.9, "no": 0.1}, {"yes": 0.25, "no": None}, None],
    }
)
TEXTS = OUTCOMES.set_column(4, "scores", [['{"yes": 0.9, "no": 0.1}', '{"yes": 0.25}', None]])
WIDE = (
    OUTCOMES.drop_columns(["scores"])
    .append_column("scores.yes", [[0.9, 0.25, None]])
    .append_column("scores.no", [[0.1, None, None]])
)
MAPS = OUTCOMES.set_column(
    4,
    pa.field("scores", pa.map_(pa.string(), pa.float64())),
    [pa.array([[("yes", 0.9), ("no", 0.1)], [("yes", 0.25)], None], pa.map_(pa.string(), pa.float64()))],
)


@pytest.mark.parametrize(
    "media_type, body",
    [
        (PARQUET, parquet(OUTCOMES)),
        (PARQUET, parquet(TEXTS)),
        (PARQUET, parquet(WIDE)),
        (PARQUET, parquet(MAPS)),
        (ARROW, arrow(OUTCOMES)),
        (ARROW, arrow(MAPS)),
        (JSON, json.dumps([{k: v for k, v in row.items() if v is not None} for row in OUTCOMES.to_pylist()]).encode()),
        (CSV, b"x,prediction,target,scores.yes,scores.no\n1,yes,true,0.9,0.1\n2,no,false,0.25,\n3,,,,\n"),
        (
            CSV,
            b'x,prediction,target,scores\n1,yes,true,"{""yes"":0.9,""no"":0.1}"\n2,no,false,"{""yes"":0.25}"\n3,,,\n',
        ),
    ],
)
def test_what_was_answered_and_what_was_true_is_kept_beside_the_features(media_type, body):
    found = decode_reference(body, media_type)
    assert (found.schema, found.untyped) == (FeatureSchema(("x",), ()), ())
    assert set(found.outcomes.column_names) == {"prediction_text", "label_number", "scores"}
    assert found.outcomes["prediction_text"].to_pylist() == ["yes", "no", None]
    assert found.outcomes["label_number"].to_pylist() == [1.0, 0.0, None]
    scores = [None if text is None else json.loads(text) for text in found.outcomes["scores"].to_pylist()]
    assert scores == [{"yes": 0.9, "no": 0.1}, {"yes": 0.25}, None]


def test_a_reference_may_tell_outcomes_alone_and_features_without_a_value():
    alone = decode_reference(b"prediction,label\n0.5,1\n0.25,\n", CSV)
    assert (alone.schema, alone.features.num_rows) == (FeatureSchema((), ()), 2)
    assert alone.outcomes.to_pydict() == {"prediction_number": [0.5, 0.25], "label_number": [1.0, None]}
    assert decode_reference(b'[{"x": null, "y": 1}]', JSON).untyped == ("x",)
    rows = b'[{"x": 1, "label": true, "prediction": 3}, {"x": 1, "label": 0}]'
    assert decode_reference(rows, JSON).outcomes.to_pydict() == {
        "prediction_number": [3.0, None],
        "label_number": [1.0, 0.0],
    }


@pytest.mark.parametrize(
    "media_type, body, reason",
    [
        (CSV, b"x,label,target\n1,1,1\n", "label and target both"),
        (CSV, b"x,scores,scores.a\n1,{},1\n", "scores and 'scores.a' both"),
        (CSV, b"x,scores.a\n1,high\n", "'scores.a' holds words"),
        (CSV, b"x,scores\n1,0.7\n", "column scores is of type double; send a struct, a map, or JSON text"),
        (CSV, b"x,scores\n1,{}\n2,[1]\n", "'scores', row 1: '\\[1\\]' is no JSON object"),
        (PARQUET, parquet(pa.table({"x": [1], "scores": [{"a": [1]}]})), "'scores', row 0: scores.'a'"),
        (PARQUET, parquet(pa.table({"x": [1], "prediction": [[1]]})), "'prediction' is of type list"),
        (PARQUET, parquet(pa.table({"x": [1], "label": [float("inf")]})), "'label', row 0: the value is infinite"),
        (JSON, b'[{"x": 1, "prediction": 1}, {"x": 1, "prediction": "a"}]', "'prediction': numbers and words"),
        (JSON, b'[{"x": 1, "scores": {"a": 1e999}}]', "no application/json"),
        (JSON, b'[{"x": 1, "scores": {"a": 1}}, {"x": 1, "scores": {"a": "b"}}]', "'scores', row 1: scores.'a'"),
        (JSON, b'[{"x": 1, "scores": {"a": 1}}, {"x": 1, "scores": 3}]', "'scores': row 0 holds"),
    ],
)
def test_outcomes_that_cannot_be_taken_are_named(media_type, body, reason):
    with pytest.raises(InputRefused, match=reason):
        decode_reference(body, media_type)


def test_all_numbers_and_all_words_find_their_kind():
    table = pa.table(
        {
            "u64": pa.array([2**63], pa.uint64()),
            "f16": pa.array([np.float16(0.5)], pa.float16()),
            "dec": pa.array([Decimal("1.25")]),
            "none": pa.nulls(1),
            "large": pa.array(["x"], pa.large_string()),
            "dict": pa.array(["d"]).dictionary_encode(),
            "int_dict": pa.array([7]).dictionary_encode(),
        }
    )
    schema, rows = decode_rows(arrow(table), ARROW)
    assert schema == FeatureSchema(("dec", "f16", "none", "u64"), ("dict", "int_dict", "large"))
    numbers = {"dec": 1.25, "f16": 0.5, "none": None, "u64": float(2**63)}
    assert rows.to_pylist() == [{**numbers, "dict": "d", "int_dict": "7", "large": "x"}]


def test_dates_in_csv_are_words_as_in_a_prediction_log():
    schema, rows = decode_rows(b"day,n\n2026-01-31,1\n2026-02-01,2\n", CSV)
    assert schema.categorical == ("day",)
    assert rows.column("day").to_pylist() == ["2026-01-31", "2026-02-01"]


@pytest.mark.parametrize(
    "media_type, body, reason",
    [
        (PARQUET, b"PAR1", "no application/vnd.apache.parquet"),
        (PARQUET, parquet(TABLE)[:-20], "no application/vnd.apache.parquet"),
        (PARQUET, parquet(pa.table({"d": [date(2026, 1, 1)]})), "'d' is of type date32"),
        (PARQUET, parquet(pa.table({"x": [["a"]]})), "'x' is of type list"),
        (PARQUET, parquet(pa.table({"x": pa.array([], pa.int64())})), "no rows"),
        (PARQUET, parquet(pa.table({"at": [1]})), "no columns left"),
        (ARROW, b"", "no Arrow IPC stream"),
        (ARROW, arrow(pa.table({"x": [1.0, float("inf")]})), "'x', row 1: the value is infinite"),
        (ARROW, arrow(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["x", "x"])), "two columns are called 'x'"),
        (ARROW, arrow(pa.table({"a\nb": [1]})), "cannot be taken"),
        (CSV, b"", "no text/csv"),
        (CSV, b"a,b\n1\n", "no text/csv"),
        (JSON, b"{}", "must be JSON objects"),
        (JSON, b"[1]", "must be JSON objects"),
        (JSON, b"[{", "no application/json"),
        (JSON, b"[" * 100_000, "no application/json"),
        (JSON, b'[{"x": 1}, {"x": "a"}]', "'x': numbers and words are mixed"),
        (JSON, b'[{"x": 1}, {"x": [2]}]', "'x': row 1 holds"),
        (JSON, b'[{"": 1}]', "the column name '' cannot be taken"),
        (NDJSON[0], b'{"x": 1}\n{', "no application/x-ndjson"),
    ],
)
def test_refusals_name_the_column_and_what_would_be_right(media_type, body, reason):
    with pytest.raises(InputRefused, match=reason):
        decode_rows(body, media_type)


def test_other_formats_are_named():
    with pytest.raises(WrongMediaType, match="'text/plain' is not read here; send application/vnd"):
        decode_rows(b"", "text/plain")


def test_sizes_are_bounded_before_anything_unfolds(monkeypatch):
    with pytest.raises(BodyTooLarge, match="1,001 columns"):
        decode_rows(arrow(pa.table({f"c{i}": [1] for i in range(1_001)})), ARROW)
    with pytest.raises(BodyTooLarge, match="5,000,001 rows"):
        decode_rows(parquet(pa.table({"x": pa.nulls(5_000_001, pa.int8())})), PARQUET)
    repeated = pa.table({"x": pa.DictionaryArray.from_arrays(pa.array([0] * 1_000), pa.array(["x" * 2_000_000]))})
    with pytest.raises(BodyTooLarge, match="bytes of text"):
        decode_rows(parquet(repeated), PARQUET)
    monkeypatch.setattr(reference, "CELLS_MAX", 10)
    with pytest.raises(BodyTooLarge, match="3 rows of 5 columns are more than 10 values"):
        decode_rows(parquet(TABLE), PARQUET)


@given(st.data(), st.sampled_from(BODIES))
def test_damaged_files_are_decoded_or_refused(data, case):
    media_type, body = case[0], bytearray(case[1])
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode_rows(bytes(body), media_type)
    except InputRefused:
        pass
