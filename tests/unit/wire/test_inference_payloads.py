"""Payloads of both inference protocols become the same rows; what lies is refused, what is too much is cut."""

import contextlib
import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamark.core.errors import BodyTooLarge, InputRefused
from seamark.core.inference import Half
from seamark.wire.inference import check_half, join, read_request, read_response
from seamark.wire.inference_rows import Outcome

AT_US = 1_769_860_800_000_000


def body(document, tail=b""):
    return json.dumps(document).encode() + tail


def tensor(name, shape, datatype, data=None, size=None):
    found = {"name": name, "shape": shape, "datatype": datatype}
    if data is not None:
        found["data"] = data
    return found | ({"parameters": {"binary_data_size": size}} if size is not None else {})


def inputs(*tensors, tail=b""):
    return body({"inputs": list(tensors)}, tail)


def half(kind, payload, **more):
    given_ = {"model": "churn", "version": "1", "inference_id": "i-1", "at_us": AT_US, "received_us": AT_US}
    return Half(half=kind, body=payload, **{**given_, **more})


def joined(request, response, **more):
    return join(half("request", request, **more), half("response", response, at_us=AT_US + 5_000))


def rows(found):
    table = found.decoded.tables["predictions"]
    return table.to_pylist()


# --- the first protocol ----------------------------------------------------------------------------------------------


def test_objects_have_names_and_lists_get_them():
    named = read_request(body({"instances": [{"age": 41, "plan": "pro", "active": True, "income": None}]}))
    assert named.rows == [{"age": 41, "plan": "pro", "active": True, "income": None}]
    assert read_request(body({"instances": [[41, "pro"]]}), ["age"]).rows == [{"age": 41, "f1": "pro"}]
    assert read_request(body({"instances": [7, "x", None]})).rows == [{"f0": 7}, {"f0": "x"}, {"f0": None}]


def test_ragged_instances_have_what_they_have():
    assert read_request(body({"instances": [[1, 2, 3], [4], []]})).rows == [{"f0": 1, "f1": 2, "f2": 3}, {"f0": 4}, {}]


def test_what_a_record_does_not_take_is_cut_and_counted():
    found = read_request(body({"instances": [{"a": 1, "v": [1, 2], "o": {"x": 1}, "": 3, "big": 10**400}]}))
    assert (found.rows, found.cut) == ([{"a": 1}], 4)
    picture = read_request(body({"instances": [[0] * 1_001, [1, [2]]]}))
    assert (picture.rows, picture.cut) == ([{}, {"f0": 1}], 2)


def test_a_record_has_a_thousand_features():
    found = read_request(body({"instances": [{f"n{i}": i for i in range(1_005)}]}))
    assert (len(found.rows[0]), found.cut) == (1_000, 5)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (1, Outcome(1)),
        (0.25, Outcome(0.25)),
        ("yes", Outcome("yes")),
        (True, Outcome(True)),
        (None, Outcome(None)),
        ([3], Outcome(3)),
        ([0.2, 0.8], Outcome(1, {"0": 0.2, "1": 0.8})),
        ([0.5, 0.5], Outcome(0, {"0": 0.5, "1": 0.5})),
        ([-3.5, 2.0], Outcome(None, {"0": -3.5, "1": 2.0})),  # logits or two targets: which is not known
        ({"prediction": "no", "scores": {"no": 0.9, "yes": 0.1}}, Outcome("no", {"no": 0.9, "yes": 0.1})),
        ({"prediction": 1, "scores": [0.1, 0.9]}, Outcome(1, {"0": 0.1, "1": 0.9})),
        ({"prediction": 2}, Outcome(2)),
    ],
)
def test_an_answer_is_a_value_or_scores(answer, outcome):
    found = read_response(body({"predictions": [answer]}))
    assert (found.rows, found.cut) == ([outcome], 0)


@pytest.mark.parametrize(
    "answer", [{"label": "no"}, {}, [[1, 2], [3]], ["a", "b"], [1, None], [0.0] * 1_001, 10**400, {"prediction": [1]}]
)
def test_an_answer_of_another_form_is_unknown_and_counted(answer):
    found = read_response(body({"predictions": [answer]}))
    assert (found.rows, found.cut) == ([Outcome()], 1)


# --- the second ------------------------------------------------------------------------------------------------------


def test_tensors_of_one_value_per_row_are_columns_by_name():
    found = read_request(
        inputs(
            tensor("age", [2], "INT64", [41, 42]),
            tensor("plan", [2, 1], "BYTES", [["pro"], ["basic"]]),
            tensor("active", [2], "BOOL", [True, 0]),
            tensor("where", [2, 2], "FP32", [1.5, 2.5, 3.5, None]),
        )
    )
    assert found.rows == [
        {"age": 41, "plan": "pro", "active": True, "where.0": 1.5, "where.1": 2.5},
        {"age": 42, "plan": "basic", "active": False, "where.0": 3.5, "where.1": None},
    ]


def test_the_only_tensor_is_a_matrix_of_features():
    matrix = inputs(tensor("input-0", [2, 2], "FP32", [[1, 2], [3, 4]]))
    assert read_request(matrix).rows == [{"f0": 1, "f1": 2}, {"f0": 3, "f1": 4}]
    assert read_request(matrix, ["a", "b"]).rows == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
    assert read_request(inputs(tensor("age", [2], "INT8", [1, 2]))).rows == [{"age": 1}, {"age": 2}]
    assert read_request(inputs(tensor("x", [1, 1], "INT8", [1])), ["age"]).rows == [{"age": 1}]


def test_pictures_are_cut_and_counted_for_each_row():
    found = read_request(
        inputs(tensor("age", [2], "INT8", [1, 2]), tensor("image", [2, 2, 2], "UINT8", list(range(8))))
    )
    assert (found.rows, found.cut) == ([{"age": 1}, {"age": 2}], 2)
    wide = read_request(inputs(tensor("x", [1, 1_001], "INT8", [0] * 1_001)))
    assert (wide.rows, wide.cut) == ([{}], 1)


NUMPY = {
    "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "<i1", "INT16": "<i2", "INT32": "<i4",
    "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip


@pytest.mark.parametrize("datatype", NUMPY)
def test_numbers_behind_the_json(datatype):
    raw = np.array([1, 2, 3, 4], NUMPY[datatype]).tobytes()
    found = read_request(inputs(tensor("x", [2, 2], datatype, size=len(raw)), tail=raw))
    assert found.rows == [{"f0": 1, "f1": 2}, {"f0": 3, "f1": 4}]


def test_texts_booleans_and_short_floats_behind_the_json():
    texts = b"".join(struct.pack("<I", len(text)) + text for text in ("Grüße".encode(), b"\xff\xfe", b""))
    flags = bytes([1, 0, 1])
    halves = (np.array([1.5, math.nan, -2.0], "<f4").view("<u4") >> 16).astype("<u2").tobytes()
    found = read_request(
        inputs(
            tensor("t", [3], "BYTES", size=len(texts)),
            tensor("b", [3], "BOOL", size=3),
            tensor("h", [3], "BF16", size=6),
            tail=texts + flags + halves,
        )
    )
    assert found.rows == [
        {"t": "Grüße", "b": True, "h": 1.5},
        {"t": None, "b": False, "h": None},
        {"t": "", "b": True, "h": -2.0},
    ]


def test_bytes_that_look_like_json_or_space_are_still_bytes():
    for raw in (b'{"a":1}}', b" \n\t     ", b"\x00" * 8):
        assert read_request(inputs(tensor("x", [8], "UINT8", size=8), tail=raw)).rows == [{"x": v} for v in raw]
    padded = json.dumps({"inputs": [tensor("x", [1], "UINT8", size=1)]}).encode() + b"   " + b"\x05"
    assert read_request(padded).rows == [{"x": 5}]


def outputs(*tensors):
    return read_response(body({"model_name": "churn", "outputs": list(tensors)}))


@pytest.mark.parametrize(
    ("tensors", "outcome"),
    [
        ([tensor("predict", [1], "INT64", [2])], Outcome(2)),
        ([tensor("y", [1, 1], "BYTES", ["no"])], Outcome("no")),
        ([tensor("output-0", [1, 2], "FP32", [0.1, 0.9])], Outcome(1, {"0": 0.1, "1": 0.9})),
        (
            [tensor("label", [1], "INT64", [0]), tensor("probabilities", [1, 2], "FP32", [0.4, 0.6])],
            Outcome(0, {"0": 0.4, "1": 0.6}),
        ),
        (
            [tensor("predict_proba", [1, 2], "FP32", [0.4, 0.6]), tensor("predict", [1], "INT64", [0])],
            Outcome(0, {"0": 0.4, "1": 0.6}),
        ),
    ],
)
def test_output_tensors_are_a_value_and_scores(tensors, outcome):
    found = outputs(*tensors)
    assert (found.rows, found.cut) == ([outcome], 0)


def test_outputs_of_no_known_part_are_cut():
    found = outputs(
        tensor("y", [2], "FP32", [1, 2]), tensor("z", [2], "FP32", [3, 4]), tensor("emb", [2, 3], "FP32", [0] * 6)
    )
    assert (found.rows, found.cut) == ([Outcome(1), Outcome(2)], 4)
    picture = outputs(tensor("mask", [1, 2, 2], "FP32", [0, 0, 0, 0]))
    assert (picture.rows, picture.cut) == ([Outcome()], 1)


# --- both are the same rows ------------------------------------------------------------------------------------------

NUMBER = st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False))
COLUMN = {
    "FP64": NUMBER,
    "BYTES": st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
    "BOOL": st.booleans(),
}


@st.composite
def tables(draw):
    count = draw(st.integers(1, 5))
    names = draw(st.lists(st.text("abcxyz_", min_size=1, max_size=6), min_size=1, max_size=5, unique=True))
    kinds = [draw(st.sampled_from(sorted(COLUMN))) for _ in names]
    columns = [draw(st.lists(st.none() | COLUMN[kind], min_size=count, max_size=count)) for kind in kinds]
    return names, kinds, columns


@given(tables(), st.booleans())
def test_objects_and_named_tensors_are_the_same_rows(table, nested):
    names, kinds, columns = table
    first = body({"instances": [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]})
    second = inputs(
        *(
            tensor(name, [len(values), 1], kind, [[value] for value in values] if nested else values)
            for name, kind, values in zip(names, kinds, columns, strict=True)
        )
    )
    assert read_request(first).rows == read_request(second).rows


@given(st.integers(2, 5).flatmap(lambda width: st.lists(st.lists(NUMBER, min_size=width, max_size=width), min_size=1)))
def test_lists_a_matrix_and_its_bytes_are_the_same_rows(matrix):
    shape = [len(matrix), len(matrix[0])]
    raw = np.array(matrix, "<f8").tobytes()
    expected = [
        {name: float(value) for name, value in row.items()} for row in read_request(body({"instances": matrix})).rows
    ]
    for payload in (
        inputs(tensor("x", shape, "FP64", matrix)),
        inputs(tensor("x", shape, "FP64", [value for row in matrix for value in row])),
        inputs(tensor("x", shape, "FP64", size=len(raw)), tail=raw),
    ):
        assert read_request(payload).rows == expected


# --- what lies about itself ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (b"", "no JSON"),
        (b"null", "no protocol"),
        (b"[]", "no protocol"),
        (b"{}", "no protocol"),
        (body({"messages": [], "model": "m"}), "no protocol"),
        (b"\x1f\x8b\x08\x00", "compressed"),
        (b'{"instances": [NaN]}', "no JSON"),
        (b'{"instances": ["\xff"]}', "no JSON"),
        (b'{"instances": [{"a": "\\ud800"}]}', "no JSON"),
        (b'{"instances":' + b"[" * 100_000, "no JSON|too deep"),
        (b'{"instances":' * 100_000, "no JSON|too deep"),
        (body({"instances": {"a": 1}}), "no list"),
        (body({"instances": "abc"}), "no list"),
        (body({"inputs": {"a": [1]}}), "no list of tensors"),
        (body({"inputs": []}), "no tensor"),
        (inputs(7), "no tensor"),
        (inputs({"name": 1, "shape": [1], "datatype": "FP32", "data": [1]}), "no name"),
        (inputs(tensor("x", [1], "FLOAT", [1])), "datatype"),
        (inputs(tensor("x", [1], ["FP32"], [1])), "datatype"),
        (inputs(tensor("x", [], "FP32", [1])), "sizes"),
        (inputs(tensor("x", 1, "FP32", [1])), "sizes"),
        (inputs(tensor("x", [1] * 17, "FP32", [1])), "sizes"),
        (inputs(tensor("x", [-1, -1], "FP32", [1])), "no size"),
        (inputs(tensor("x", [True], "FP32", [1])), "no size"),
        (inputs(tensor("x", [1.0], "FP32", [1])), "no size"),
        (inputs(tensor("x", [3], "FP32", [1])), "asks for 3 values"),
        (inputs(tensor("x", [2, 2], "FP32", [1, 2, 3])), "asks for 4 values"),
        (inputs(tensor("x", [9, 10**9, 10**9, 10**9], "FP32", [1])), "64 bits"),
        (inputs(tensor("x", [90_000, 0], "FP32", [])), "hold nothing"),
        (inputs(tensor("x", [2, 2], "FP32", [[1, 2], [3]])), "nested otherwise"),
        (inputs(tensor("x", [2, 2], "FP32", [[1, 2]])), "1 rows"),
        (inputs(tensor("x", [2, 2], "FP32", [[1, 2], 3])), "nested otherwise"),
        (inputs(tensor("x", [1], "FP32", [[[[1]]]])), "is not a number"),
        (inputs(tensor("x", [1], "FP32", ["1"])), "is not a number"),
        (inputs(tensor("x", [1], "INT8", [True])), "is not a number"),
        (inputs(tensor("x", [1], "BOOL", [2])), "true or false"),
        (inputs(tensor("x", [1], "BYTES", [1])), "a string"),
        (inputs(tensor("x", [1], "FP32")), "no list"),
        (inputs(tensor("x", [1], "FP32", "AAAA")), "no list"),
        (inputs(tensor("x", [1], "FP32", [1]), tensor("y", [2], "FP32", [1, 2])), "2 rows"),
        (inputs(tensor("x", [1], "FP32", [1]), tensor("x", [1], "FP32", [2])), "same name"),
        # bytes
        (inputs(tensor("x", [2], "FP32", size=8), tail=b"1234"), "say they have 8 bytes"),
        (inputs(tensor("x", [1], "FP32", size=4), tail=b"12345678"), "say they have 4 bytes"),
        (inputs(tensor("x", [1], "FP32", [1]), tail=b"1234"), "say they have 0 bytes"),
        (inputs(tensor("x", [2], "FP32", size=4), tail=b"1234"), "asks for 8 bytes"),
        (inputs(tensor("x", [9, 10**12], "FP32", size=4), tail=b"1234"), "bytes of FP32"),
        (inputs(tensor("x", [1], "FP32", size=-4), tail=b"1234"), "no count of bytes"),
        (inputs(tensor("x", [1], "FP32", size=True), tail=b"1"), "no count of bytes"),
        (inputs(tensor("x", [1], "FP32", size=10**30)), "say they have"),
        (inputs(tensor("x", [1], "BYTES", size=4), tail=struct.pack("<I", 2**32 - 1)), "longer than what is left"),
        (inputs(tensor("x", [1], "BYTES", size=7), tail=struct.pack("<I", 0) + b"abc"), "longer than what is left"),
        (inputs(tensor("x", [9], "BYTES", size=4), tail=struct.pack("<I", 0)), "9 texts"),
        (inputs(tensor("x", [1], "BYTES", size=8), tail=struct.pack("<II", 0, 0)), "asks for 1 values"),
        (b"\x00\x01\x02\x03", "no JSON"),
    ],
)  # fmt: skip
def test_a_body_that_lies_is_refused_with_what_is_wrong(payload, told):
    with pytest.raises(InputRefused, match=told):
        check_half(half("request", payload))


def test_too_many_rows_are_too_large():
    for payload in (
        body({"instances": [[]] * 100_001}),
        inputs(tensor("x", [100_001], "INT8", [0] * 100_001)),
        inputs(*[tensor(f"t{i}", [1], "INT8", [0]) for i in range(1_001)]),
    ):
        with pytest.raises(BodyTooLarge):
            read_request(payload)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.slow
@given(st.sampled_from(["instances", "inputs", "predictions", "outputs"]), JSON, st.binary(max_size=8))
def test_whatever_it_is_it_is_rows_or_a_refusal(name, value, tail):
    payload = body({name: value}, tail)
    for kind in ("request", "response"):
        with contextlib.suppress(InputRefused):
            check_half(half(kind, payload))


# --- joined ----------------------------------------------------------------------------------------------------------


def test_an_only_row_has_the_inference_s_id():
    found = joined(body({"instances": [{"age": 41, "plan": "pro"}]}), body({"predictions": [[0.2, 0.8]]}))
    (row,) = rows(found)
    assert (row["model"], row["version"], row["prediction_id"]) == ("churn", "1", "i-1")
    assert (row["numeric"], row["categorical"], row["prediction_number"]) == ([41.0], ["pro"], 1.0)
    assert json.loads(row["scores"]) == {"0": 0.2, "1": 0.8}
    assert row["at"].timestamp() * 1e6 == AT_US  # when it was asked, not when it was answered
    assert found.cut == {}


def test_rows_have_the_id_and_their_place():
    found = joined(
        inputs(tensor("x", [3, 2], "FP32", [1, 2, 3, 4, 5, 6])),
        body({"outputs": [tensor("y", [3], "BYTES", ["a", "b", "c"])]}),
        segment='{"namespace":"shop"}',
        trace_id=b"\x01" * 16,
        synthetic=True,
    )
    assert found.decoded.ids == ("i-1-0", "i-1-1", "i-1-2")
    assert [row["prediction_text"] for row in rows(found)] == ["a", "b", "c"]
    assert {(row["segment"], row["trace_id"], row["synthetic"]) for row in rows(found)} == {
        ('{"namespace":"shop"}', b"\x01" * 16, True)
    }


def test_halves_of_different_length_leave_outcomes_unknown():
    found = joined(body({"instances": [[1], [2]]}), body({"predictions": [1]}))
    assert [(row["numeric"], row["prediction_number"]) for row in rows(found)] == [([1.0], None), ([2.0], None)]
    assert found.cut == {"outcomes": 2}


def test_an_inference_without_rows_has_none():
    assert joined(body({"instances": []}), body({"predictions": []})).decoded.tables == {}


def test_a_feature_of_two_kinds_is_refused_where_it_is_the_rarer():
    found = joined(body({"instances": [{"a": 1}, {"a": 2}, {"a": "x"}]}), body({"predictions": [1, 2, 3]}))
    assert found.decoded.ids == ("i-1-0", "i-1-1")
    assert [refusal.index for refusal in found.decoded.refusals] == [2]
