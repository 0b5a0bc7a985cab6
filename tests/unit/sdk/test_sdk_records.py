"""What is handed over becomes what OTLP can carry; one odd value never loses the others."""

import decimal
import json
import math
import uuid

import numpy as np
import pytest

from seamark_sdk.records import (
    ENTRIES_MAX,
    TEXT_LENGTH_MAX,
    Cuts,
    NotAScalar,
    clean_map,
    clean_outcome,
    clean_scalar,
    label_attributes,
    prediction_attributes,
)
from seamark_sdk.vectors import clean_features


@pytest.mark.parametrize(
    "value, cleaned",
    [
        (None, None),
        (True, True),
        (3, 3),
        (0.5, 0.5),
        ("poor", "poor"),
        (math.nan, None),
        (math.inf, None),
        (2**63 - 1, 2**63 - 1),
        (2**63, float(2**63)),
        (10**400, None),
        (decimal.Decimal("1.5"), 1.5),
        (decimal.Decimal("sNaN"), None),
        (np.float32(0.25), 0.25),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.array([1]), 1),
        (np.float64("nan"), None),
        ("\ud800", "?"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_single_values(value, cleaned):
    found = clean_scalar(value, Cuts())
    assert found == cleaned
    assert type(found) is type(cleaned)


@pytest.mark.parametrize("value", [[1, 2], {}, object(), np.array([1, 2]), b"raw"])
def test_other_values_are_left_out_and_noted(value):
    cuts = Cuts()
    assert clean_map({"good": 1, "odd": value}, cuts) == {"good": 1}
    assert cuts.left_out == ["odd"]


def test_maps_and_texts_are_bounded():
    cuts = Cuts()
    found = clean_map({f"f{i}": i for i in range(ENTRIES_MAX + 5)} | {"": 1}, cuts)
    assert len(found) == ENTRIES_MAX
    assert len(cuts.left_out) == 6
    assert clean_scalar("x" * 5000, cuts) == "x" * TEXT_LENGTH_MAX
    assert cuts.count == 7


def test_truth_values_are_numbers_as_outcomes():
    assert clean_outcome(np.bool_(False), "label", Cuts()) == 0
    assert type(clean_outcome(True, "label", Cuts())) is int


@pytest.mark.parametrize("value", [None, math.nan, [1], np.array([1, 2])])
def test_an_outcome_must_be_one_value(value):
    with pytest.raises(NotAScalar, match="hand over one finite number"):
        clean_outcome(value, "prediction", Cuts())


@pytest.mark.parametrize("prediction_id", ["", "   ", "x" * 257])
def test_an_id_that_would_join_nothing_is_refused(prediction_id):
    with pytest.raises(NotAScalar, match="prediction_id has"):
        label_attributes(prediction_id, 1, Cuts())


@pytest.mark.parametrize(
    "value", [[1, 2.5], (1, 2.5), np.array([1, 2.5]), np.array([1, 2.5], dtype=np.float32), [1, decimal.Decimal("2.5")]]
)
def test_lists_of_numbers_travel_as_json_text(value):
    cuts = Cuts()
    found = clean_features({"emb": value, "a": math.nan, "plan": "é"}, cuts)
    assert isinstance(found, str) and json.loads(found) == {"emb": [1, 2.5], "a": None, "plan": "é"}
    assert cuts.count == 0


def test_a_vector_with_an_unknown_number_is_null():
    for value in ([1.0, None], [1.0, math.nan], np.array([1.0, np.inf])):
        assert json.loads(clean_features({"emb": value}, Cuts())) == {"emb": None}


@pytest.mark.parametrize(
    "value", [[], ["1"], [[1.0]], [True], [1.0] * 4_097, np.ones((2, 2)), [b"1"], [10**400], {"a": 1}, object()]
)
def test_what_is_no_vector_is_left_out_and_noted(value):
    cuts = Cuts()
    assert clean_features({"emb": value, "a": 1}, cuts) == {"a": 1}
    assert cuts.left_out == ["emb"]


def test_names_of_vectors_are_bounded_like_others():
    cuts = Cuts()
    assert json.loads(clean_features({"": [1.0], "x" * 300: [1.0], "emb": [1.0]}, cuts)) == {"emb": [1.0]}
    assert len(cuts.left_out) == 2


def test_the_documented_attributes():
    found = prediction_attributes("p1", {"a": 1}, "yes", {0: 0.25}, {"region": "north"}, 1, "test", Cuts())
    assert found == {
        "seamark.prediction.id": "p1",
        "seamark.prediction.value": "yes",
        "seamark.prediction.latency_ms": 1.0,
        "seamark.features": {"a": 1},
        "seamark.scores": {"0": 0.25},
        "seamark.segment": {"region": "north"},
        "user_agent.synthetic.type": "test",
    }
    assert set(prediction_attributes("p1", {}, 1, None, None, None, None, Cuts())) == {
        "seamark.prediction.id",
        "seamark.prediction.value",
        "seamark.features",
    }
