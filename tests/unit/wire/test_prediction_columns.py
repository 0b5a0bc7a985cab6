"""Predictions read in columns say exactly what they say read row by row: tables, refusals, ids and schemas."""

import json
from datetime import UTC, datetime
from itertools import count

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamark.core.errors import SeamarkError
from seamark.core.records import PREDICTIONS
from seamark.wire import prediction_columns
from seamark.wire.documents import ARROW, JSON, NDJSON
from seamark.wire.feature_columns import Unusual
from seamark.wire.prediction_arrow import decode_arrow_columns
from seamark.wire.prediction_json import decode_json_columns, decode_line_columns
from seamark.wire.predictions import decode_predictions, decode_row_by_row

RECEIVED_US = int(datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()) * 1_000_000
FAST = {JSON: decode_json_columns, NDJSON[0]: decode_line_columns, ARROW: decode_arrow_columns}


@pytest.fixture(autouse=True, scope="module")
def _small_requests_go_in_columns_too():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prediction_columns, "ROWS_PER_MODEL", 0)
        yield


def told(decode):
    """Return all that a decoder says, the ids it made numbered by row: which of them are used up is no promise."""
    made = count()
    try:
        decoded = decode(lambda: f"made-{next(made)}")
    except SeamarkError as error:
        return type(error), error.message
    number = count()
    ids = [f"made-{next(number)}" if id_.startswith("made-") else id_ for id_ in decoded.ids]
    rows = []
    for table in decoded.tables.values():
        table.validate(full=True)
        assert table.schema.equals(PREDICTIONS)
        assert tuple(table.column("prediction_id").to_pylist()) == decoded.ids
        rows += table.drop_columns("prediction_id").to_pylist()
    return rows, ids, decoded.refusals, decoded.schemas, list(decoded.places)


def both(body, media_type):
    """Return what the fast and the row by row way say; the fast one may leave it to the other."""
    slow = told(lambda new_id: decode_row_by_row(body, media_type, RECEIVED_US, new_id))
    try:
        return told(lambda new_id: FAST[media_type](body, RECEIVED_US, new_id)), slow
    except Unusual:
        return None, slow


def lines(records):
    return b"\n".join(item if isinstance(item, bytes) else json.dumps(item).encode() for item in records)


def stream(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


FULL = {
    "model": " churn model\u0001",
    "version": "2",
    "prediction_id": "p-1",
    "at": "2026-01-31T11:00:00.123456+01:00",
    "trace_id": "000102030405060708090A0b0c0d0e0f",
    "segment": {"country": "DE", "tier": 1, "share": 0.5, "new": True, "none": None},
    "features": {"plan": "pro", "age": 41, "active": False, "income": None, "größe": 1e-300},
    "prediction": 0.5,
    "scores": {"yes": 0.5, "no": 1, "other": None},
    "latency_ms": 3,
    "synthetic": True,
}
USUAL = [
    [FULL],
    [FULL, FULL | {"prediction_id": 7, "at": 1_769_860_000.25, "trace_id": "0" * 32, "prediction": "yes"}],
    [FULL | {"prediction_id": None, "at": None, "features": None, "prediction": None}, {"model": "m"}] * 9,
    [{"model": "m", "features": {"a": 1.5, "b": "x"}}, {"model": "m", "features": {"b": None, "c": True}}],
    [{"model": "m", "features": {"never": None}, "version": ""}, {"model": "m", "prediction": True}],
    [{"model": f"m{i % 3}", "features": {f"f{i % 3}": i, "s": str(i)}} for i in range(30)],
    [{"model": "m", "prediction_id": "ü b"}, {"model": "m", "prediction_id": " p"}, {"model": "m"}],
    [{"model": "m", "features": {"x": 2**63 + 1, "y": -(2**53) - 1, "z": 10**25}}],
    [{"model": "m", "features": {"x": float(i) if i % 7 else None}} for i in range(1_300)],
    [{"model": "m", "features": {"v": [1, 2.5, -(2**70)], "x": 1, "s": "a", "w": [0.5]}}, {"model": "m"}] * 9,
    [{"model": "m", "features": {"v": [float(i)] * 40 if i % 7 else None, "z": None}} for i in range(1_300)],
    [{"model": "m", "features": {"v": [0.25] * 4_096}}],
    [{"model": "m", "features": {"v": None}}, {"model": "n", "features": {"v": [1]}}, {"model": "m"}] * 8,
]


@pytest.mark.slow
@pytest.mark.parametrize("records", USUAL)
@pytest.mark.parametrize("media_type", [JSON, NDJSON[0]])
def test_usual_records_are_read_in_columns_and_say_the_same(records, media_type):
    fast, slow = both(lines(records) if media_type != JSON else json.dumps(records).encode(), media_type)
    assert fast == slow


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 3_000])
def test_short_and_long_bodies_say_the_same(size):
    body = lines([FULL, {"model": "m", "at": "yesterday"}] * size)
    slow = told(lambda new_id: decode_row_by_row(body, NDJSON[0], RECEIVED_US, new_id))
    at = datetime.fromtimestamp(RECEIVED_US / 1e6, UTC)
    assert told(lambda new_id: decode_predictions(body, NDJSON[0], received_at=at, new_id=new_id)) == slow
    assert (len(slow[0]), len(slow[2])) == (size, size)


BAD = [
    b"{",
    b'{"model": "m", "features": {"x": 1e999}}',
    b'{"model": "m", "features": {"x": NaN}}',
    b'{"model": "\xff"}',
    b"[1]",
    {},
    {"model": " "},
    {"model": "m", "feature": {}},
    {"model": "m", "version": "v" * 257},
    {"model": "m", "prediction_id": ""},
    {"model": "m", "prediction_id": 2**64},
    {"model": "m", "prediction_id": 1.0},
    {"model": "m", "at": "yesterday"},
    {"model": "m", "at": "2026-01-31T12:00:00"},
    {"model": "m", "at": "1969-12-31T23:59:59Z"},
    {"model": "m", "at": 1_767_225_600_000},
    {"model": "m", "trace_id": "12"},
    {"model": "m", "trace_id": " 0" * 16},
    {"model": "m", "segment": {"x": []}},
    {"model": "m", "scores": {"x": "y"}},
    {"model": "m", "latency_ms": -1},
    {"model": "m", "latency_ms": "3"},
    {"model": "m", "synthetic": 1},
    {"model": "m", "features": {"v": ["1"]}},
    {"model": "m", "features": {"v": [1, None]}},
    {"model": "m", "features": {"v": [[1]]}},
    {"model": "m", "features": {"v": [True]}},
    {"model": "m", "features": {"v": [10**400]}},
    b'{"model": "m", "features": {"v": [1e999]}}',
    {"model": "m", "features": {"x": 10**400}},
]


def test_bad_lines_are_refused_among_columns_with_the_same_reasons():
    good = {"model": "m", "features": {"x": 1.5}, "at": "2026-01-31T12:00:00Z"}
    fast, slow = both(lines([item for bad in BAD for item in (good, bad, b" ")]), NDJSON[0])
    assert fast == slow
    assert (len(fast[0]), len(fast[2])) == (len(BAD), len(BAD))
    for bad in BAD:
        fast, slow = both(lines([bad]), NDJSON[0])
        assert fast == slow


@pytest.mark.parametrize(
    "records",
    [
        [{"model": "m", "features": {"x": 1}}, {"model": "m", "features": {"x": "a"}}],
        [{"model": "m", "features": {"x": 1.5}}, {"model": "m", "features": {"x": True}}],
        [{"model": "m", "features": {"": 1}}],
        [{"model": "m", "features": {" x": 1}}],
        [{"model": "m", "features": {f"f{i}": 1}} for i in range(1_001)],
        [{"model": f"m{i}"} for i in range(1_001)],
        [b'{"model": "m", "features": {"x": ["y"], "x": 1}}'],
        [{"model": "m", "features": {"v": []}}],
        [{"model": "m", "features": {"v": [1, 2]}}, {"model": "m", "features": {"v": [1]}}],
        [{"model": "m", "features": {"v": [1] * 4_097}}],
        [{"model": "m", "features": {f"v{i}": [1] * 4_096 for i in range(5)}}],
        [{"model": "m", "features": {"v": [1]}}, {"model": "m", "features": {"v": 1}}],
        [b'{"model": "m", "scores": {"x": "y", "x": 1}}'],
    ],
)
def test_what_columns_do_not_tell_is_left_to_the_row_by_row_way(records):
    fast, slow = both(lines(records), NDJSON[0])
    assert fast is None
    assert slow[0] or slow[2]


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda v: st.one_of(st.lists(v, max_size=2), st.dictionaries(st.text(max_size=3), v, max_size=2)),
    max_leaves=4,
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(width=32), st.text(max_size=3))
times = st.one_of(
    st.datetimes(timezones=st.timezones()).map(datetime.isoformat),
    st.datetimes().map(datetime.isoformat),
    st.integers(-10, 2**40),
    st.floats(),
)
names = st.one_of(st.sampled_from("ab"), st.text(max_size=4))


def numbers_or_words(name):
    if name == "v":
        return st.one_of(st.none(), st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=2))
    return st.one_of(
        st.none(), st.floats(allow_nan=False, allow_infinity=False) if name in "xy" else st.text(max_size=2)
    )


def records_of(odd):
    """Return a strategy of records; `odd` is a strategy of what may stand in place of any field."""
    usual = {
        "model": st.sampled_from(["a", "b"]),
        "version": st.one_of(st.none(), st.sampled_from(["", "1"])),
        "features": st.fixed_dictionaries({}, optional={name: numbers_or_words(name) for name in "xystv"}),
        "prediction": scalars,
        "at": times,
        "trace_id": st.text("0123456789abcdef", min_size=32, max_size=32),
        "scores": st.dictionaries(names, st.floats(0, 1), max_size=2),
        "segment": st.dictionaries(names, scalars, max_size=2),
        "prediction_id": st.one_of(names, st.integers()),
        "latency_ms": st.floats(-1, 1e9),
        "synthetic": st.booleans(),
    }
    fields = {name: st.one_of(good, odd) if odd is not None else good for name, good in usual.items()}
    return st.fixed_dictionaries({"model": fields.pop("model")}, optional=fields)


@pytest.mark.slow
@given(st.lists(records_of(None), min_size=1, max_size=40), st.sampled_from([JSON, NDJSON[0]]))
def test_any_usual_records_say_the_same_both_ways(records, media_type):
    encode = msgspec.json.encode
    body = encode(records) if media_type == JSON else b"\n".join(map(encode, records))
    fast, slow = both(body, media_type)
    assert fast in (None, slow)


@given(st.lists(st.one_of(records_of(json_values), json_values), max_size=6), st.sampled_from([JSON, NDJSON[0]]))
def test_any_odd_records_say_the_same_both_ways(records, media_type):
    body = json.dumps(records).encode() if media_type == JSON else lines(records)
    fast, slow = both(body, media_type)
    assert fast in (None, slow)


@given(st.lists(st.sampled_from([b'{"model":"m"}', b"{", b"}", b"\r", b"\x0b", b"\n", b" ", b'"x"', b"\xef\xbb\xbf"])))
def test_any_lines_say_the_same_both_ways(parts):
    fast, slow = both(b"".join(parts), NDJSON[0])
    assert fast in (None, slow)


def arrow_columns(rows):
    """Return a strategy of columns for Arrow records: good ones, nulls among them, and odd types."""

    def column(values, kind):
        return st.lists(st.one_of(st.none(), values), min_size=rows, max_size=rows).map(
            lambda found: pa.array(found, kind)
        )

    floats = st.one_of(st.floats(), st.floats(0, 1))
    plain = [("x", pa.float64()), ("n", pa.int32()), ("s", pa.string()), ("t", pa.bool_()), ("0", pa.null())]
    structs = [
        pa.struct([*plain, ("v", kind)])
        for kind in (pa.list_(pa.float64()), pa.large_list(pa.int64()), pa.list_(pa.float32(), 2), pa.null())
    ]

    def one(struct):
        whole = pa.types.is_large_list(struct.field("v").type)
        numbers = st.one_of(st.integers(-9, 9) if whole else st.floats(width=32), st.just(None if whole else 0.5))
        vectors = st.one_of(st.none(), st.lists(numbers, min_size=2, max_size=2))
        if pa.types.is_list(struct.field("v").type):
            vectors = st.one_of(vectors, st.lists(numbers, max_size=3))
        return st.fixed_dictionaries(
            {
                "x": st.one_of(st.none(), floats),
                "n": st.integers(-9, 9),
                "s": st.text(max_size=2),
                "t": st.booleans(),
                "v": st.none() if pa.types.is_null(struct.field("v").type) else vectors,
            }
        )

    lists = st.lists(st.tuples(st.sampled_from("uv"), st.lists(st.floats(0, 1), min_size=1, max_size=2)), max_size=2)
    pairs = st.lists(st.tuples(st.sampled_from("xyz"), st.one_of(st.none(), floats)), max_size=4)
    words = st.lists(st.tuples(names, st.one_of(st.none(), st.text(max_size=2))), max_size=2)
    text = column(names, pa.string())
    number = column(floats, pa.float64())
    whole = column(st.integers(-(2**63), 2**63 - 1), pa.int64())
    models = st.lists(st.sampled_from("ab"), min_size=rows, max_size=rows).map(pa.array)
    fields = {
        "version": [text],
        "prediction_id": [text, whole, number],
        "at": [column(st.integers(-10, 2**62), pa.timestamp(unit, "UTC")) for unit in ("us", "ns")] + [number, whole],
        "trace_id": [
            column(st.sampled_from([b"", bytes(16), bytes(range(16)), b"1"]), pa.binary()),
            column(st.sampled_from(["0f" * 16, "0" * 32, "x"]), pa.string()),
        ],
        "segment": [column(words, pa.map_(pa.string(), pa.string()))],
        "features": [
            *(column(one(struct), struct) for struct in structs),
            column(lists, pa.map_(pa.string(), pa.list_(pa.float64()))),
            column(pairs, pa.map_(pa.string(), pa.float64())),
            column(words, pa.map_(pa.string(), pa.large_string())),
            column(st.lists(st.tuples(names, st.booleans()), max_size=2), pa.map_(pa.string(), pa.bool_())),
            number,
        ],
        "prediction": [number, text, whole, column(st.booleans(), pa.bool_()), column(st.none(), pa.null())],
        "scores": [column(pairs, pa.map_(pa.string(), pa.float64()))],
        "latency_ms": [number, whole, text],
        "synthetic": [column(st.booleans(), pa.bool_()), whole],
        "other": [text],
    }
    return st.fixed_dictionaries(
        {"model": st.one_of(models, models, text)}, optional={name: st.one_of(kinds) for name, kinds in fields.items()}
    )


@pytest.mark.slow
@given(st.one_of(st.integers(1, 4), st.integers(16, 20)).flatmap(arrow_columns), st.booleans())
def test_any_arrow_records_say_the_same_both_ways(columns, cut):
    table = pa.table(columns)
    if cut:  # two batches, the second of which begins inside its buffers
        table = pa.concat_tables([table.slice(1), table.slice(0, 1)])
    fast, slow = both(stream(table), ARROW)
    assert fast in (None, slow)


def test_usual_arrow_records_are_read_in_columns():
    rows = 40
    table = pa.table(
        {
            "model": ["a", "b"] * (rows // 2),
            "prediction_id": pa.array(range(rows), pa.uint64()),
            "at": pa.array([RECEIVED_US * 1_000] * rows, pa.timestamp("ns", "UTC")),
            "features": [None if i == 5 else {"x": i / 7, "n": i, "c": "é" * i, "b": i % 2 == 0} for i in range(rows)],
            "prediction": [i % 3 for i in range(rows)],
        }
    )
    fast, slow = both(stream(table), ARROW)
    assert fast == slow
    pairs = [[("x", float(i)), ("y", None), ("x", i + 0.5)] if i % 3 else None for i in range(rows)]
    table = table.set_column(3, "features", pa.array(pairs, pa.map_(pa.string(), pa.float64())))
    fast, slow = both(stream(table), ARROW)
    assert fast == slow
    assert fast[0][1]["numeric"] == [1.5, None]


def test_bad_arrow_records_are_refused_among_columns():
    table = pa.table(
        {
            "model": ["m", None, "m", "m", "m"],
            "latency_ms": [1.0, 1.0, -1.0, 1.0, None],
            "features": [{"x": 1.0}, {"x": 1.0}, {"x": 1.0}, {"x": float("nan")}, {"x": None}],
        }
    )
    fast, slow = both(stream(table), ARROW)
    assert fast == slow
    assert [refusal.index for refusal in fast[2]] == [1, 2, 3]
