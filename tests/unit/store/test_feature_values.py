"""One feature of a window and of a reference against a recount in plain Python."""

from __future__ import annotations

import math
import random
from collections import Counter
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from tests.lake_rows import AT, rows_of

from seamark.core.records import FeatureSchema
from seamark.core.windows import Window
from seamark.store import feature_values, references
from seamark.store.feature_values import Stored, Traffic
from seamark.store.local_lake import LocalLake

HOUR = Window.trailing(AT, 3600)
# The same feature at other places, as another kind, or not there at all: four schemas of one model.
NAMED = FeatureSchema(("a/b", "age"), ("plan", 'it\'s "x"'))
MOVED = FeatureSchema(("zero", "x", "age"), ("more", "plan"))
OTHER_KIND = FeatureSchema(("plan",), ("age",))
WITHOUT = FeatureSchema((), ())
SCHEMAS = {schema.schema_id: schema for schema in (NAMED, MOVED, OTHER_KIND, WITHOUT)}
TEXTS = [None, "a", "b", "", "NULL", "a" * 300, "it's", "\u202edcba", "ü"]


@pytest.fixture(scope="module")
def rows(lake: LocalLake) -> list[dict[str, Any]]:
    rng = random.Random(4)
    made = []
    for number in range(800):
        schema = rng.choice(list(SCHEMAS.values()))
        made.append(
            {
                "model": "one-feature",
                "prediction_id": f"one-{number}",
                "version": rng.choice(["v1", "v2"]),
                "at": HOUR.start + timedelta(seconds=rng.randrange(-600, 4200)),
                "schema_id": schema.schema_id,
                "numeric": [rng.choice([None, math.nan, math.inf, rng.gauss(0, 1), 3.0]) for _ in schema.numeric],
                "categorical": [rng.choice(TEXTS) for _ in schema.categorical],
                "synthetic": rng.random() < 0.1,
            }
        )
    lake.append({"predictions": rows_of("predictions", made)})
    lake.append({"predictions": rows_of("predictions", made[:100])})
    return made


def values(rows: list[dict[str, Any]], kind: str, feature: str, version: str | None) -> list[Any]:
    found = []
    for row in rows:
        if HOUR.start <= row["at"] < HOUR.end and not row["synthetic"] and version in (None, row["version"]):
            names = getattr(SCHEMAS[row["schema_id"]], kind)
            found.append(row[kind][names.index(feature)] if feature in names else None)
    return found


@pytest.mark.parametrize("version", [None, "v1", "v9"])
@pytest.mark.parametrize("feature", ["age", "a/b", "plan", "nobody's"])
def test_numbers_of_a_window_are_those_that_were_sent(lake, rows, feature, version):
    wanted = values(rows, "numeric", feature, version)
    found = feature_values.numbers(lake, Traffic("one-feature", version, [HOUR], SCHEMAS), feature)
    assert (found.rows, found.sampled) == (len(wanted), False)
    assert sorted(found.values.tolist()) == sorted(v for v in wanted if v is not None and math.isfinite(v))


def test_of_too_many_rows_always_the_same_part_is_read(lake, rows, monkeypatch):
    monkeypatch.setattr(feature_values, "ROWS_MAX", 150)
    first, second = (
        feature_values.numbers(lake, Traffic("one-feature", None, [HOUR], SCHEMAS), "age") for _ in range(2)
    )
    assert first.sampled
    assert 75 < first.rows < 300
    assert sorted(first.values.tolist()) == sorted(second.values.tolist())


@pytest.mark.parametrize("feature", ["plan", 'it\'s "x"', "age", "nobody's"])
def test_levels_of_both_sides_add_up(lake, rows, feature):
    held = FeatureSchema(("n",), (feature,))
    texts = ["a", "a", "only here", None, "b", "it's"] * 20
    references.put(lake, f"r-{feature}", held, pa.table({"n": [1.0] * 120, feature: texts}))
    found = feature_values.levels(
        lake, Traffic("one-feature", None, [HOUR], SCHEMAS), Stored(f"r-{feature}", held), feature
    )
    sent = values(rows, "categorical", feature, None)
    now, before = Counter(v for v in sent if v is not None), Counter(v for v in texts if v is not None)
    assert {(one.level, one.rows, one.reference_rows, one.new) for one in found.shown} == {
        (level[:200], now[level], before[level], level not in before) for level in now | before
    }
    assert found.other is None
    assert (found.rows, found.present) == (len(sent), sum(now.values()))
    assert (found.reference_rows, found.reference_present) == (120, 100)
    shares = [max(one.rows / max(sum(now.values()), 1), one.reference_rows / 100) for one in found.shown]
    assert shares == sorted(shares, reverse=True)


def test_traffic_before_the_window_may_be_the_other_side(lake, rows):
    halves = [
        Window(HOUR.start, HOUR.start + timedelta(minutes=30)),
        Window(HOUR.start + timedelta(minutes=30), HOUR.end),
    ]
    whole, parts = (Traffic("one-feature", None, windows, SCHEMAS) for windows in ([HOUR], halves))
    one, both = (feature_values.numbers(lake, source, "age") for source in (whole, parts))
    assert sorted(one.values.tolist()) == sorted(both.values.tolist())
    first = Traffic("one-feature", None, halves[:1], SCHEMAS)
    found = feature_values.levels(lake, first, parts, "plan")
    assert found.rows < found.reference_rows == len(values(rows, "categorical", "plan", None))
    assert all(level.rows <= level.reference_rows and not level.new for level in found.shown)


def test_without_a_reference_no_level_is_new(lake, rows):
    found = feature_values.levels(lake, Traffic("one-feature", None, [HOUR], SCHEMAS), None, "plan")
    assert found.shown
    assert not any(one.new for one in found.shown)
    assert (found.reference_rows, found.reference_present) == (0, 0)


def test_what_the_model_answered_is_read_like_a_feature(lake):
    answers = [(1.0, None), (0.5, None), (math.inf, None), (None, "yes"), (None, None)]
    rows = [
        {
            "model": "answers",
            "prediction_id": f"a{n}",
            "at": HOUR.start,
            "schema_id": NAMED.schema_id,
            "prediction_number": number,
            "prediction_text": text,
            "scores": '{"a/b~c": 0.25, "other": 1}' if n % 2 else None,
        }
        for n, (number, text) in enumerate(answers)
    ]
    lake.append({"predictions": rows_of("predictions", rows)})

    def numbers(feature):
        found = feature_values.numbers(lake, Traffic("answers", None, [HOUR], SCHEMAS), feature)
        return found.rows, sorted(found.values.tolist())

    assert numbers("prediction") == numbers("(prediction)") == (5, [0.5, 1.0])
    assert numbers("scores.a/b~c") == numbers("(scores.a/b~c)") == (5, [0.25, 0.25])
    assert numbers("scores.nobody") == (5, [])
    words = feature_values.levels(lake, Traffic("answers", None, [HOUR], SCHEMAS), None, "prediction")
    assert {one.level for one in words.shown} >= {"1", "0.5", "yes"}
    taken = FeatureSchema(("prediction",), ())
    named = feature_values.numbers(lake, Traffic("answers", None, [HOUR], {taken.schema_id: taken}), "prediction")
    assert named.values.tolist() == [], "a feature of that name is not the answer"


def test_many_levels_are_added_up(lake):
    schema = FeatureSchema((), ("city",))
    lake.append(
        {
            "predictions": rows_of(
                "predictions",
                [
                    {
                        "model": "cities",
                        "prediction_id": f"c{n}",
                        "at": HOUR.start,
                        "schema_id": schema.schema_id,
                        "numeric": [],
                        "categorical": [f"city {n % 300:03d}" if n % 2 else "home"],
                    }
                    for n in range(1200)
                ],
            )
        }
    )
    references.put(lake, "r-cities", schema, pa.table({"city": ["home", "city 001", "far away"] * 40}))
    schemas = {schema.schema_id: schema}
    found = feature_values.levels(lake, Traffic("cities", None, [HOUR], schemas), Stored("r-cities", schema), "city")
    assert len(found.shown) == feature_values.LEVELS_SHOWN
    assert [one.level for one in found.shown[:3]] == ["home", "city 001", "far away"]
    assert found.other is not None
    assert found.other.levels == 152 - feature_values.LEVELS_SHOWN
    assert found.other.new_levels == found.other.levels
    assert found.other.new_rows == found.other.rows == 1200 - sum(one.rows for one in found.shown)
    assert found.present == 1200


def test_numbers_of_a_reference(lake):
    schema = FeatureSchema(("age", "x"), ("plan",))
    references.put(lake, "r-numbers", schema, pa.table({"age": [1.0, None, 3.0], "x": [0.0] * 3, "plan": ["a"] * 3}))
    found = feature_values.numbers(lake, Stored("r-numbers", schema), "age")
    assert (found.values.tolist(), found.rows) == ([1.0, 3.0], 3)
    assert feature_values.numbers(lake, Stored("r-numbers", schema), "plan").values.tolist() == []
