"""Feature columns, replay inputs, labels, references and load samples against recounts in plain Python."""

from __future__ import annotations

import math
import random
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.lake_rows import AT, SCHEMA, rows_of

from seamark.core.errors import Invalid
from seamark.core.records import LOAD_SAMPLES, FeatureSchema
from seamark.core.windows import Window
from seamark.store import load_samples, predictions, references
from seamark.store.features import FeatureColumns
from seamark.store.labels import labelled
from seamark.store.local_lake import LocalLake

HOUR = Window.trailing(AT, 3600)
WIDER = FeatureSchema(numeric=("income", "age", "tenure"), categorical=("plan",))
BARE = FeatureSchema(numeric=(), categorical=())
SCHEMAS = {schema.schema_id: schema for schema in (SCHEMA, WIDER, BARE)}


def random_rows(seed: int, model: str, count: int = 600) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        schema = rng.choice([SCHEMA, SCHEMA, WIDER, BARE])
        rows.append(
            {
                "model": model,
                "prediction_id": f"{model}-{number}",
                "version": rng.choice(["v1", "v2"]),
                "at": HOUR.start + timedelta(microseconds=rng.randrange(-600_000_000, 4_200_000_000)),
                "schema_id": schema.schema_id,
                "numeric": [rng.choice([None, rng.gauss(0, 1), 3.0]) for _ in schema.numeric],
                "categorical": [rng.choice([None, "a", "b", "true", ""]) for _ in schema.categorical],
                "synthetic": rng.random() < 0.2,
            }
        )
    return rows


@pytest.fixture(scope="module")
def rows(lake: LocalLake) -> list[dict[str, Any]]:
    distinct = random_rows(1, "churn")
    lake.append({"predictions": rows_of("predictions", distinct[:300] + distinct[:50])})
    lake.append({"predictions": rows_of("predictions", distinct[250:] + random_rows(2, "other", 100))})
    return distinct


def real(rows: list[dict[str, Any]], version: str | None = None) -> list[dict[str, Any]]:
    return [
        row
        for row in rows
        if HOUR.start <= row["at"] < HOUR.end and not row["synthetic"] and version in (None, row["version"])
    ]


def named(row: dict[str, Any]) -> dict[str, Any]:
    schema = SCHEMAS[row["schema_id"]]
    return dict(zip((*schema.numeric, *schema.categorical), (*row["numeric"], *row["categorical"]), strict=True))


def logged(row: dict[str, Any]) -> predictions.Logged:
    return predictions.Logged(named(row), 0.7, row["at"])


def multiset(columns: FeatureColumns) -> list[tuple[Any, ...]]:
    numbers = [
        [None if math.isnan(value) else value for value in columns.numeric[name].tolist()]
        for name in ("age", "income", "tenure")
    ]
    texts = [columns.categorical[name].tolist() for name in ("plan", "active")]
    return sorted(zip(*numbers, *texts, strict=True), key=repr)


@pytest.mark.parametrize("version", [None, "v1", "v9"])
def test_feature_columns_are_named_over_all_schemas(
    lake: LocalLake, rows: list[dict[str, Any]], version: str | None
) -> None:
    columns = predictions.feature_columns(lake, SCHEMAS, "churn", version, HOUR)
    expected = [named(row) for row in real(rows, version)]
    assert columns.rows == len(expected)
    assert not columns.sampled
    assert all(len(column) == columns.rows for column in (*columns.numeric.values(), *columns.categorical.values()))
    if not expected:
        assert columns.numeric == columns.categorical == {}
        return
    assert all(column.dtype == np.float64 for column in columns.numeric.values())
    tuples = [tuple(row.get(name) for name in ("age", "income", "tenure", "plan", "active")) for row in expected]
    assert multiset(columns) == sorted(tuples, key=repr)


def test_a_sample_is_bounded_and_always_the_same(lake: LocalLake, rows: list[dict[str, Any]]) -> None:
    first, second = (predictions.feature_columns(lake, SCHEMAS, "churn", None, HOUR, rows_max=100) for _ in range(2))
    assert first.sampled
    assert first.rows == 100
    assert multiset(first) == multiset(second)
    everything = multiset(predictions.feature_columns(lake, SCHEMAS, "churn", None, HOUR))
    assert set(multiset(first)) <= set(everything)


def test_rows_of_an_unknown_schema_have_no_names_and_are_left_out(lake: LocalLake, rows: list[dict[str, Any]]) -> None:
    columns = predictions.feature_columns(lake, {SCHEMA.schema_id: SCHEMA}, "churn", None, HOUR)
    assert columns.rows == sum(row["schema_id"] == SCHEMA.schema_id for row in real(rows))


def test_lists_of_a_wrong_length_are_missing_values(lake: LocalLake) -> None:
    odd: list[dict[str, Any]] = [
        {"numeric": None, "categorical": ["x", None]},
        {"numeric": [1.0], "categorical": None},
        {"numeric": [1.0, 2.0], "categorical": ["y", "false"]},
    ]
    lake.append({"predictions": rows_of("predictions", [{"model": "odd", "at": HOUR.start, **row} for row in odd])})
    columns = predictions.feature_columns(lake, SCHEMAS, "odd", None, HOUR)
    assert sorted(columns.numeric["age"].tolist(), key=repr) == pytest.approx([1.0, math.nan, math.nan], nan_ok=True)
    assert sorted(columns.categorical["plan"].tolist(), key=str) == [None, "x", "y"]


def test_recent_requests_are_the_newest_in_order(lake: LocalLake, rows: list[dict[str, Any]]) -> None:
    expected = sorted(real(rows), key=lambda row: (row["at"], row["prediction_id"]))
    assert predictions.logged_requests(lake, SCHEMAS, "churn", HOUR, 10_000, newest=True) == [
        logged(row) for row in expected
    ]
    assert predictions.logged_requests(lake, SCHEMAS, "churn", HOUR, 7, newest=True) == [
        logged(row) for row in expected[-7:]
    ]
    first = predictions.logged_requests(lake, SCHEMAS, "churn", HOUR, 7, newest=False)
    assert first == [logged(row) for row in expected[:7]]
    assert predictions.logged_requests(lake, {}, "churn", HOUR, 7, newest=True) == []


def test_inputs_that_are_no_json_numbers_are_none(lake: LocalLake) -> None:
    values = {"model": "wild", "at": HOUR.start, "numeric": [math.inf, math.nan], "categorical": ["true", None]}
    answered = {"prediction_number": None, "prediction_text": "leaves"}
    lake.append({"predictions": rows_of("predictions", [{**values, **answered}])})
    [request] = predictions.logged_requests(lake, SCHEMAS, "wild", HOUR, 5, newest=True)
    assert request.prediction == "leaves"
    assert request.inputs == {"age": None, "income": None, "plan": "true", "active": None}


def test_count_is_of_distinct_real_predictions(lake: LocalLake, rows: list[dict[str, Any]]) -> None:
    assert predictions.count(lake, "churn", HOUR) == len(real(rows))
    assert predictions.count(lake, "nobody", HOUR) == 0


def test_labels_join_their_predictions_and_the_last_one_counts(lake: LocalLake) -> None:
    model, rng = "labelled", random.Random(3)
    rows = random_rows(4, model, 200)
    for row in rows:
        row |= {
            "prediction_number": rng.choice([None, rng.random()]),
            "prediction_text": rng.choice([None, "yes", "no"]),
        }
    labels = []
    for row in rng.choices(rows, k=220):
        late_s = rng.uniform(-5, 500)
        labels.append(
            {
                "model": model,
                "prediction_id": row["prediction_id"],
                "label_number": rng.choice([None, 1.0]),
                "label_text": rng.choice([None, "yes"]),
                "at": row["at"] + timedelta(seconds=late_s),
                "received_at": AT + timedelta(seconds=len(labels)),
            }
        )
    labels += [{"model": model, "prediction_id": "nothing of ours"}, {"model": "other", "prediction_id": f"{model}-1"}]
    lake.append({"labels": rows_of("labels", labels[::-1])})
    lake.append({"predictions": rows_of("predictions", rows + rows[:30])})

    for version in (None, "v2"):
        found = labelled(lake, model, HOUR, version=version)
        mine = sorted((label for label in labels if "at" in label), key=lambda row: row["at"])
        last = {label["prediction_id"]: label for label in mine}
        first = {label["prediction_id"]: label for label in mine[::-1]}
        wanted = real(rows, version)
        with_label = [row for row in wanted if row["prediction_id"] in last]
        assert (found.predictions, found.labelled, found.sampled) == (len(wanted), len(with_label), False)
        without = [row["at"] for row in wanted if row["prediction_id"] not in last]
        assert found.unlabelled_since == min(without)
        expected = []
        for row in with_label:
            label = last[row["prediction_id"]]
            lag_s = max((first[row["prediction_id"]]["at"] - row["at"]).total_seconds(), 0.0)
            expected.append(
                (row["prediction_number"], row["prediction_text"], label["label_number"], label["label_text"], lag_s)
            )
        assert joined(found) == sorted(expected, key=repr)
    sample = labelled(lake, model, HOUR, rows_max=10)
    assert (len(sample.lag_s), sample.sampled, sample.predictions) == (10, True, len(real(rows)))


def joined(found: Any) -> list[tuple[Any, ...]]:
    numbers = [
        [None if math.isnan(value) else value for value in column.tolist()]
        for column in (found.prediction_number, found.label_number, found.lag_s)
    ]
    texts = [found.prediction_text.tolist(), found.label_text.tolist()]
    return sorted(zip(numbers[0], texts[0], numbers[1], texts[1], numbers[2], strict=True), key=repr)


def test_a_model_without_predictions_has_no_labels_and_nothing_unlabelled(lake: LocalLake) -> None:
    found = labelled(lake, "nobody", HOUR)
    assert (found.predictions, found.labelled, len(found.lag_s), found.unlabelled_since) == (0, 0, 0, None)
    assert found.label_number.dtype == found.lag_s.dtype == np.float64


def test_references_come_back_as_their_columns(lake: LocalLake) -> None:
    rows = pa.table(
        {
            "plan": ["a", None, "b", ""],
            "active": [True, False, None, True],
            "age": pa.array([1, None, 3, 4], pa.int16()),
            "income": [math.nan, 2.5, math.inf, None],
            "not a feature": [0, 0, 0, 0],
        }
    )
    references.put(lake, "ref-a", SCHEMA, rows)
    references.put(lake, "ref-b", SCHEMA, rows.slice(0, 1))
    found = references.columns(lake, SCHEMA, "ref-a")
    assert (found.rows, found.sampled) == (4, False)
    np.testing.assert_array_equal(np.sort(found.numeric["age"]), [1, 3, 4, math.nan])
    np.testing.assert_array_equal(np.sort(found.numeric["income"]), [2.5, math.inf, math.nan, math.nan])
    pairs = sorted(zip(found.categorical["plan"], found.categorical["active"], strict=True), key=repr)
    assert pairs == sorted([("a", "true"), (None, "false"), ("b", None), ("", "true")], key=repr)
    assert references.columns(lake, SCHEMA, "nothing").rows == 0
    first, second = (references.columns(lake, SCHEMA, "ref-a", rows_max=3) for _ in range(2))
    assert first.sampled
    assert first.rows == 3
    np.testing.assert_array_equal(first.numeric["age"], second.numeric["age"])


def test_references_keep_what_was_answered_and_what_was_true(lake: LocalLake) -> None:
    schema = FeatureSchema(numeric=("x",), categorical=())
    outcomes = pa.table(
        {"prediction_text": ["a", None, "b"], "label_number": [1.0, None, 0.0], "scores": ['{"a": 1.0}', None, "{}"]}
    )
    references.put(lake, "outcomes", schema, pa.table({"x": [1.0, 2.0, 3.0]}), outcomes)
    references.put(lake, "alone", BARE, pa.table({"": pa.nulls(3)}).select([]), outcomes)
    for name, of in (("outcomes", schema), ("alone", BARE)):
        found = references.rows(lake, of, name)
        assert found.features.rows == 3
        assert sorted(zip(found.prediction_text, found.scores, strict=True), key=repr) == sorted(
            [("a", '{"a": 1.0}'), (None, None), ("b", "{}")], key=repr
        )
        np.testing.assert_array_equal(np.sort(found.label_number), [0.0, 1.0, math.nan])
        assert np.isnan(found.prediction_number).all()
        assert list(found.label_text) == [None, None, None]
    found = references.rows(lake, schema, "outcomes")
    told = dict(zip(found.features.numeric["x"].tolist(), found.prediction_text.tolist(), strict=True))
    assert told == {1.0: "a", 2.0: None, 3.0: "b"}
    references.put(lake, "neither", schema, pa.table({"x": [1.0]}))
    assert np.isnan(references.rows(lake, schema, "neither").label_number).all()
    sample = references.rows(lake, schema, "outcomes", rows_max=2)
    assert (sample.features.sampled, len(sample.label_number)) == (True, 2)


def test_references_of_one_kind_only(lake: LocalLake) -> None:
    numbers = FeatureSchema(numeric=("x",), categorical=())
    words = FeatureSchema(numeric=(), categorical=("w",))
    references.put(lake, "numbers", numbers, pa.table({"x": [1.0, 2.0]}))
    references.put(lake, "words", words, pa.table({"w": ["a", "b"]}))
    assert references.columns(lake, numbers, "numbers").numeric["x"].tolist() == [1.0, 2.0]
    assert references.columns(lake, words, "words").categorical["w"].tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        (pa.table({"age": [1]}), "income"),
        (pa.table({"age": ["x"], "income": [1], "plan": ["a"], "active": ["b"]}), "x"),
    ],
)
def test_references_that_do_not_fit_are_refused(lake: LocalLake, rows: pa.Table, word: str) -> None:
    with pytest.raises(Invalid, match=word):
        references.put(lake, "bad", SCHEMA, rows)
    assert references.columns(lake, SCHEMA, "bad").rows == 0


def test_load_samples_come_by_the_instant_they_were_due(lake: LocalLake) -> None:
    due = [3.0, 1.0, 2.0]
    lake.append({"load_samples": rows_of("load_samples", [{"due_s": value, "run_id": "a"} for value in due])})
    lake.append({"load_samples": rows_of("load_samples", [{"due_s": 0.5, "run_id": "b"}])})
    found = load_samples.samples(lake, "a")
    assert found["due_s"].to_pylist() == sorted(due)
    assert {field.name: field.type for field in found.schema} == {field.name: field.type for field in LOAD_SAMPLES}
    assert load_samples.samples(lake, "c").num_rows == 0
