"""Vectors lie in the lake behind the numbers of their row, and come back as matrices, as lists, and as null."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.lake_rows import AT, rows_of

from seamark.core.errors import Invalid
from seamark.core.records import FeatureSchema
from seamark.core.windows import Window
from seamark.store import predictions, references
from seamark.store.catalog.feature_lists import lists_of, schema_of
from seamark.store.local_lake import LocalLake
from seamark.store.vectors import READ_NUMBERS_MAX, as_lists, as_python, dimensions_of, rows_that_fit

HOUR = Window.trailing(AT, 3600)
V1 = FeatureSchema(("age",), ("plan",), (("emb", 3), ("side", 2)))
V2 = FeatureSchema(("age",), (), (("emb", 4),))
PLAIN = FeatureSchema(("age",), ("plan",))
BARE_VECTOR = FeatureSchema((), (), (("emb", 2),))
SCHEMAS = {schema.schema_id: schema for schema in (V1, V2, PLAIN)}


def row(
    number: int, schema: FeatureSchema, numeric: list[float | None], categorical: list[str | None]
) -> dict[str, Any]:
    return {
        "model": "vectors",
        "prediction_id": f"p-{number}",
        "version": str([*SCHEMAS, BARE_VECTOR.schema_id].index(schema.schema_id) + 1),
        "at": HOUR.start + timedelta(seconds=number),
        "schema_id": schema.schema_id,
        "numeric": numeric,
        "categorical": categorical,
        "synthetic": False,
    }


@pytest.fixture(scope="module")
def lake_with_vectors(lake: LocalLake) -> LocalLake:
    rows = [
        row(1, V1, [1.0, 0.1, 0.2, 0.3, 7.0, 8.0], ["a"]),
        row(2, V1, [None, None, None, None, 7.5, 8.5], [None]),
        row(3, V2, [3.0, 1.0, 2.0, 3.0, 4.0], []),
        row(4, PLAIN, [4.0], ["b"]),
    ]
    lake.append({"predictions": rows_of("predictions", rows)})
    return lake


def test_vectors_are_read_over_all_schemas_in_the_dimension_of_most_rows(lake_with_vectors: LocalLake) -> None:
    columns = predictions.feature_columns(lake_with_vectors, SCHEMAS, "vectors", None, HOUR)
    order = np.argsort(columns.numeric["age"])  # NaN last
    assert columns.numeric["age"][order].tolist()[:3] == [1.0, 3.0, 4.0]
    assert as_python(columns.vectors["emb"][order]) == [[0.1, 0.2, 0.3], None, None, None]
    assert as_python(columns.vectors["side"][order]) == [[7.0, 8.0], None, None, [7.5, 8.5]]
    assert columns.categorical["plan"][order].tolist() == ["a", None, "b", None]


def test_a_name_is_what_most_values_say_it_is(lake: LocalLake) -> None:
    null = FeatureSchema(("emb", "x"), ())  # null throughout a request, a vector lies under numbers
    other = FeatureSchema(("emb",), ())
    vector = FeatureSchema((), (), (("emb", 2),))
    schemas = {schema.schema_id: schema for schema in (null, other, vector)}
    rows = [row(1, V1, [None, 1.0], []), row(2, V1, [1.0, 2.0], []), row(3, V1, [9.0], [])]
    for one, schema in zip(rows, (null, vector, other), strict=True):
        one |= {"model": "what", "version": "1", "schema_id": schema.schema_id}
    lake.append({"predictions": rows_of("predictions", rows)})
    columns = predictions.feature_columns(lake, schemas, "what", None, HOUR)
    assert set(columns.vectors) == {"emb"} and set(columns.numeric) == {"x"}
    assert sorted(map(str, as_python(columns.vectors["emb"]))) == ["None", "None", "[1.0, 2.0]"]


def test_texts_are_cut_where_that_is_asked(lake: LocalLake) -> None:
    long = [{**row(n, PLAIN, [1.0], ["x" * 9_000 if n else None]), "model": "long"} for n in range(3)]
    lake.append({"predictions": rows_of("predictions", long)})
    for rows_max in (10, 2):
        columns = predictions.feature_columns(lake, SCHEMAS, "long", None, HOUR, rows_max, characters_max=50)
        assert set(columns.categorical["plan"].tolist()) <= {"x" * 50, None} and columns.rows == min(3, rows_max)
    assert (
        max(map(len, filter(None, predictions.feature_columns(lake, SCHEMAS, "long", None, HOUR).categorical["plan"])))
        == 9_000
    )
    references.put(lake, "long", PLAIN, pa.table({"age": [1.0], "plan": ["y" * 9_000]}))
    assert references.columns(lake, PLAIN, "long", 10, characters_max=50).categorical["plan"].tolist() == ["y" * 50]


def test_a_version_has_the_dimension_it_sent(lake_with_vectors: LocalLake) -> None:
    columns = predictions.feature_columns(lake_with_vectors, SCHEMAS, "vectors", "2", HOUR)
    assert as_python(columns.vectors["emb"]) == [[1.0, 2.0, 3.0, 4.0]] and set(columns.vectors) == {"emb"}


def test_replay_gives_the_lists_back(lake_with_vectors: LocalLake) -> None:
    asked = predictions.logged_requests(lake_with_vectors, SCHEMAS, "vectors", HOUR, 10, newest=True)
    assert [request.inputs for request in asked] == [
        {"age": 1.0, "plan": "a", "emb": [0.1, 0.2, 0.3], "side": [7.0, 8.0]},
        {"age": None, "plan": None, "emb": None, "side": [7.5, 8.5]},
        {"age": 3.0, "emb": [1.0, 2.0, 3.0, 4.0]},
        {"age": 4.0, "plan": "b"},
    ]


def test_reference_rows_keep_their_vectors(lake: LocalLake) -> None:
    rows = pa.table(
        {"age": [1.0, None], "plan": ["a", None], "emb": [[1.0, 2.0, 3.0], None], "side": [None, [4.0, 5.0]]}
    )
    references.put(lake, "with-vectors", V1, rows)
    columns = references.columns(lake, V1, "with-vectors")
    assert as_python(columns.vectors["emb"]) == [[1.0, 2.0, 3.0], None]
    assert as_python(columns.vectors["side"]) == [None, [4.0, 5.0]]
    assert columns.numeric["age"].tolist()[0] == 1.0 and columns.categorical["plan"].tolist() == ["a", None]


@pytest.mark.parametrize("emb", [[[1.0, 2.0], None], [1.0, 2.0], ["a", "b"]])
def test_reference_rows_that_hold_no_such_vectors_are_refused(lake: LocalLake, emb: list[Any]) -> None:
    rows = pa.table({"age": [1.0, 2.0], "emb": emb})
    with pytest.raises(Invalid, match="do not fit"):
        references.put(lake, "bad", FeatureSchema(("age",), (), (("emb", 3),)), rows)
    with pytest.raises(Invalid, match="emb: has no column"):
        references.put(lake, "bad", FeatureSchema(("age",), (), (("emb", 3),)), rows.drop_columns("emb"))


def test_long_vectors_make_it_fewer_rows() -> None:
    long = FeatureSchema((), (), (("a", 4_000), ("b", 1_000)))
    assert rows_that_fit([PLAIN], 200_000) == 200_000
    assert rows_that_fit([PLAIN, V1], 200_000) == 200_000
    assert rows_that_fit([PLAIN, long, FeatureSchema((), (), (("a", 3_000),))], 200_000) == READ_NUMBERS_MAX // 5_000


def test_the_smaller_dimension_counts_on_a_tie() -> None:
    ids = [V1.schema_id, V2.schema_id]
    assert dimensions_of({ids[0]: 5, ids[1]: 5}, SCHEMAS)["emb"] == 3
    assert dimensions_of({ids[0]: 5, ids[1]: 6}, SCHEMAS)["emb"] == 4


def test_matrices_become_lists_and_rows_with_a_gap_null() -> None:
    matrix = np.array([[1.0, 2.0], [np.nan, 2.0]])
    assert as_lists(matrix).to_pylist() == [[1.0, 2.0], None]


def test_the_catalog_tells_vectors_from_names() -> None:
    class Row:
        def __init__(self, lists: dict[str, list[Any]]) -> None:
            self.numeric, self.categorical = lists["numeric"], lists["categorical"]

    for schema in SCHEMAS.values():
        assert schema_of(Row(lists_of(schema))) == schema


def test_profiles_of_single_features_leave_vectors_alone(lake_with_vectors: LocalLake) -> None:
    """Read alone, and with another model: the numbers of a vector are nobody's single feature."""
    again = [row(1, V1, [5.0, 0.1, 0.2, 0.3, 7.0, 8.0], ["a"]), row(2, BARE_VECTOR, [1.0, 2.0], [])]
    lake_with_vectors.append({"predictions": rows_of("predictions", [{**one, "model": "second"} for one in again])})
    schemas = {**SCHEMAS, BARE_VECTOR.schema_id: BARE_VECTOR}
    alone = predictions.feature_profiles(lake_with_vectors, schemas, "vectors", None, HOUR)
    assert (
        alone.rows == 4 and alone.numeric["age"].ordered.tolist() == [1.0, 3.0, 4.0] and set(alone.numeric) == {"age"}
    )
    both = dict.fromkeys(("vectors", "second"), schemas)
    together = predictions.feature_profiles_together(lake_with_vectors, both, HOUR)
    assert together["vectors"].numeric["age"].ordered.tolist() == [1.0, 3.0, 4.0]
    assert together["second"].numeric["age"].ordered.tolist() == [5.0] and together["second"].rows == 2
