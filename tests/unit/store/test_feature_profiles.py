"""Feature profiles of predictions and references against recounts in plain Python: every prediction once."""

from __future__ import annotations

import math
import random
from collections import Counter
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.lake_rows import AT, SCHEMA, rows_of

from seamark.core.records import FeatureSchema
from seamark.core.windows import Window
from seamark.store import feature_profiles, predictions, references
from seamark.store.feature_profiles import FeatureProfiles
from seamark.store.local_lake import LocalLake

HOUR = Window.trailing(AT, 3600)
WIDER = FeatureSchema(numeric=("income", "age", "tenure"), categorical=("plan",))
BARE = FeatureSchema(numeric=(), categorical=())
SCHEMAS = {schema.schema_id: schema for schema in (SCHEMA, WIDER, BARE)}


def made(model: str, count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Rows of three schemas, some without a value, some with lists that do not fit, some outside the window."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        schema = rng.choice([SCHEMA, SCHEMA, WIDER, BARE])
        numbers = [rng.choice([None, math.nan, math.inf, rng.gauss(0, 1), 3.0]) for _ in schema.numeric]
        texts = [rng.choice([None, "a", "b", "true", "", "é"]) for _ in schema.categorical]
        odd = rng.random() < 0.1
        rows.append(
            {
                "model": model,
                "prediction_id": f"{model}-{number}",
                "version": rng.choice(["v1", "v2"]),
                "at": HOUR.start + timedelta(microseconds=rng.randrange(-600_000_000, 4_200_000_000)),
                "schema_id": schema.schema_id,
                "numeric": rng.choice([None, [1.0], []]) if odd else numbers,
                "categorical": rng.choice([None, ["x"] * 3]) if odd else texts,
                "synthetic": rng.random() < 0.2,
            }
        )
    return rows


def expected(rows: list[dict[str, Any]], version: str | None = None) -> dict[str, Counter[Any]]:
    """Count each feature's values in the window, None for a row without one."""
    real = [
        row
        for row in rows
        if HOUR.start <= row["at"] < HOUR.end and not row["synthetic"] and version in (None, row["version"])
    ]
    counts: dict[str, Counter[Any]] = {}
    for place, row in enumerate(real):
        schema = SCHEMAS[row["schema_id"]]
        for names, values in ((schema.numeric, row["numeric"]), (schema.categorical, row["categorical"])):
            fitting = values if values is not None and len(values) == len(names) else [None] * len(names)
            for name, value in zip(names, fitting, strict=True):
                no_value = value is None or (isinstance(value, float) and not math.isfinite(value))
                counts.setdefault(name, Counter({None: place}))[None if no_value else value] += 1
        for name in counts.keys() - {*schema.numeric, *schema.categorical}:
            counts[name][None] += 1
    return counts


def counted(found: FeatureProfiles) -> dict[str, Counter[Any]]:
    counts = {}
    for name, numbers in found.numeric.items():
        counts[name] = Counter(numbers.ordered.tolist()) + Counter({None: numbers.nulls})
    for name, levels in found.categorical.items():
        texts = dict(zip(levels.names.to_pylist(), levels.counts.tolist(), strict=True))
        assert len(texts) == len(levels.names), "each level once"
        counts[name] = Counter(texts) + Counter({None: levels.nulls})
    return counts


@pytest.fixture(scope="module")
def rows(lake: LocalLake) -> list[dict[str, Any]]:
    """Rows in two files; none twice."""
    distinct = made("plain", 700)
    for part in (distinct[:400], distinct[400:], made("other", 50)):
        lake.append({"predictions": rows_of("predictions", part)})
    return distinct


@pytest.mark.parametrize("version", [None, "v1", "v9"])
def test_profiles_are_named_over_all_schemas(lake: LocalLake, rows: list[dict[str, Any]], version: str | None) -> None:
    found = predictions.feature_profiles(lake, SCHEMAS, "plain", version, HOUR)
    assert counted(found) == expected(rows, version)
    assert not found.sampled
    assert found.rows == (sum(expected(rows, version)["plan"].values()) if version != "v9" else 0)
    assert all((np.diff(numbers.ordered) >= 0).all() for numbers in found.numeric.values())


def test_what_was_sent_twice_counts_once(lake: LocalLake) -> None:
    distinct = made("twice", 500, seed=2)
    for part in (distinct[:300] + distinct[:40], distinct[250:], distinct[100:101] * 3):
        lake.append({"predictions": rows_of("predictions", part)})
    found = predictions.feature_profiles(lake, SCHEMAS, "twice", None, HOUR)
    assert counted(found) == expected(distinct)


def test_two_ids_of_one_hash_are_two(lake: LocalLake, rows: list[dict[str, Any]], monkeypatch: Any) -> None:
    """That two hashes are alike is a reason to look at the ids, no more."""
    monkeypatch.setattr(predictions, "_repeats", lambda *_: True)
    assert counted(predictions.feature_profiles(lake, SCHEMAS, "plain", None, HOUR)) == expected(rows)


def test_over_the_bound_a_part_is_profiled_and_always_the_same(lake: LocalLake, rows: list[dict[str, Any]]) -> None:
    first, again = (predictions.feature_profiles(lake, SCHEMAS, "plain", None, HOUR, rows_max=200) for _ in range(2))
    assert first.sampled
    assert 130 <= first.rows <= 270  # 200 are asked for; five standard deviations
    assert counted(first) == counted(again)
    everything = expected(rows)
    assert all(counts <= everything[name] for name, counts in counted(first).items())
    assert predictions.feature_profiles(lake, SCHEMAS, "plain", None, HOUR, rows_max=len(rows)).sampled is False


def test_rows_of_an_unknown_schema_are_left_out(lake: LocalLake, rows: list[dict[str, Any]]) -> None:
    found = predictions.feature_profiles(lake, {SCHEMA.schema_id: SCHEMA}, "plain", None, HOUR)
    assert counted(found) == expected([row for row in rows if row["schema_id"] == SCHEMA.schema_id])
    assert predictions.feature_profiles(lake, {}, "plain", None, HOUR).rows == 0


def test_a_window_larger_than_a_block_and_a_chunk_is_whole(lake: LocalLake, monkeypatch: Any) -> None:
    monkeypatch.setattr(feature_profiles, "_BLOCK_ROWS", 7)
    values = np.random.default_rng(3).normal(size=(250, 2))
    many = [
        {"model": "many", "prediction_id": f"m{n}", "at": HOUR.start, "numeric": row, "categorical": [f"l{n}", None]}
        for n, row in enumerate(values.tolist())
    ]
    for first in range(0, 250, 50):
        lake.append({"predictions": rows_of("predictions", many[first : first + 50])})
    found = predictions.feature_profiles(lake, SCHEMAS, "many", None, HOUR)
    for column, name in enumerate(SCHEMA.numeric):
        assert found.numeric[name].ordered.tolist() == sorted(values[:, column].tolist())
    assert sorted(found.categorical["plan"].names.to_pylist()) == sorted(f"l{n}" for n in range(250))
    assert (found.categorical["active"].rows, found.categorical["active"].nulls) == (0, 250)


def test_references_are_profiled_whole_or_in_part(lake: LocalLake) -> None:
    rng = np.random.default_rng(4)
    table = pa.table(
        {
            "age": rng.normal(size=400),
            "income": np.where(rng.random(400) < 0.2, np.nan, 1.5),
            "plan": rng.choice(["a", "b"], 400),
            "active": rng.choice([True, False], 400),
        }
    )
    references.put(lake, "profiled", SCHEMA, table)
    found = references.profiles(lake, SCHEMA, "profiled")
    assert found.numeric["age"].ordered.tolist() == sorted(table["age"].to_pylist())
    assert found.numeric["income"].nulls == int(np.isnan(table["income"].to_numpy()).sum())
    assert counted(found)["plan"] == Counter(table["plan"].to_pylist())
    assert counted(found)["active"] == Counter(str(value).lower() for value in table["active"].to_pylist())
    part, again = (references.profiles(lake, SCHEMA, "profiled", rows_max=100) for _ in range(2))
    assert part.sampled and 55 <= part.rows <= 145
    assert counted(part) == counted(again)
    assert references.profiles(lake, SCHEMA, "nothing") == FeatureProfiles()


# --- many models together --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fleet(lake: LocalLake) -> dict[str, list[dict[str, Any]]]:
    """Rows of models that lie in the same files, in turn; those of `fleet-2` were sent twice in part."""
    fleet = {f"fleet-{number}": made(f"fleet-{number}", 120, seed=10 + number) for number in range(4)}
    mixed = [row for rows in zip(*fleet.values(), strict=True) for row in rows]
    for part in (mixed[:200], mixed[200:], fleet["fleet-2"][:60]):
        lake.append({"predictions": rows_of("predictions", part)})
    return fleet


def test_models_read_together_are_as_each_read_alone(lake: LocalLake, fleet: dict[str, list[dict[str, Any]]]) -> None:
    asked = {"fleet-0": SCHEMAS, "fleet-1": {SCHEMA.schema_id: SCHEMA}, "fleet-3": SCHEMAS, "nobody": SCHEMAS}
    found = predictions.feature_profiles_together(lake, asked, HOUR)
    assert set(found) == set(asked)
    for model, schemas in asked.items():
        alone = predictions.feature_profiles(lake, schemas, model, None, HOUR)
        assert (counted(found[model]), found[model].rows) == (counted(alone), alone.rows)
    assert counted(found["fleet-0"]) == expected(fleet["fleet-0"])
    assert counted(found["fleet-3"]) == expected(fleet["fleet-3"])
    assert found["nobody"] == FeatureProfiles()


def test_a_model_with_repeats_is_left_to_be_read_alone(lake: LocalLake, fleet: dict[str, list[dict[str, Any]]]) -> None:
    found = predictions.feature_profiles_together(lake, dict.fromkeys(fleet, SCHEMAS), HOUR)
    assert set(found) == {"fleet-0", "fleet-1", "fleet-3"}
    alone = predictions.feature_profiles(lake, SCHEMAS, "fleet-2", None, HOUR)
    assert counted(alone) == expected(fleet["fleet-2"])


def test_groups_fit_into_memory(lake: LocalLake, fleet: dict[str, list[dict[str, Any]]], monkeypatch: Any) -> None:
    asked = dict.fromkeys([*fleet, "nobody"], SCHEMAS)
    assert predictions.groups_to_read_together(lake, asked, HOUR) == [[*fleet]]
    monkeypatch.setattr(predictions, "_CELLS_TOGETHER", 600)  # a model has some 200
    groups = predictions.groups_to_read_together(lake, asked, HOUR)
    assert groups and all(len(group) > 1 for group in groups), "one that is left over is read alone"
    placed = [model for group in groups for model in group]
    assert len(placed) == len(set(placed)) and set(placed) <= set(fleet)
    for group in groups:
        real = [row for model in group for row in fleet[model] if HOUR.start <= row["at"] < HOUR.end]
        assert sum(len(row["numeric"] or []) for row in real if not row["synthetic"]) <= 600
    monkeypatch.setattr(predictions, "_CELLS_SMALL", 10)
    assert predictions.groups_to_read_together(lake, asked, HOUR) == []
    later = Window(HOUR.end + timedelta(days=3), HOUR.end + timedelta(days=4))
    assert predictions.groups_to_read_together(lake, asked, later) == []
