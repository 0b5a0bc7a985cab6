"""Reads for comparing versions against a recount in plain Python, over random rows of which some arrived twice."""

from __future__ import annotations

import math
import random
from collections import Counter
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from tests.lake_rows import AT, SCHEMA, rows_of

from seamark.core.records import FeatureSchema
from seamark.core.windows import Window
from seamark.store import comparisons
from seamark.store.local_lake import LocalLake

HOUR = Window.trailing(AT, 3600)
BLOCK_US = 30_000_000
VERSIONS = ("v1", "v'2")
AS_TEXT = FeatureSchema(("income", "height"), ("plan", "age"))
SHORT = FeatureSchema(("height", "income"), ("plan",))
SCHEMAS = {schema.schema_id: schema for schema in (SCHEMA, AS_TEXT, SHORT)}


def side_of(row: dict[str, Any]) -> int:
    return VERSIONS.index(row["version"])


def block_of(at: Any) -> int:
    return int((at - HOUR.start).total_seconds() * 1e6) // BLOCK_US


@pytest.fixture(scope="module")
def spans(lake: LocalLake) -> list[dict[str, Any]]:
    rng = random.Random(3)
    distinct = [
        {
            "model": "fares",
            "version": rng.choice([*VERSIONS, "v3"]),
            "trace_id": rng.randbytes(16),
            "span_id": rng.randbytes(8),
            "is_request": rng.random() < 0.8,
            "synthetic": rng.random() < 0.1,
            "failed": rng.random() < 0.1,
            "start_at": HOUR.start + timedelta(microseconds=rng.randrange(-600_000_000, 4_200_000_000)),
            "duration_ns": rng.choice([0, 1, int(rng.lognormvariate(17, 1)), 2**62]),
        }
        for _ in range(1500)
    ]
    lake.append({"spans": rows_of("spans", distinct[:900] + distinct[:100])})
    lake.append({"spans": rows_of("spans", distinct[500:])})
    return distinct


@pytest.mark.parametrize("warmup_s", [0.0, 120.0])
def test_requests_are_counted_by_side_block_and_bin(
    lake: LocalLake, spans: list[dict[str, Any]], warmup_s: float
) -> None:
    found = comparisons.request_bins(lake, "fares", VERSIONS, HOUR, BLOCK_US, warmup_s)
    expected: Counter[tuple[int, int, int]] = Counter()
    failed: Counter[tuple[int, int, int]] = Counter()
    for row in spans:
        if row["version"] not in VERSIONS or row["synthetic"] or not row["is_request"]:
            continue
        if not HOUR.start - timedelta(seconds=warmup_s) <= row["start_at"] < HOUR.end:
            continue
        block = 0 if row["start_at"] < HOUR.start else 1 + block_of(row["start_at"])
        place = (side_of(row), block, math.floor(math.log2(max(row["duration_ns"], 1)) * 64))
        expected[place] += 1
        failed[place] += row["failed"]
    places = list(zip(found.side.tolist(), found.block.tolist(), found.bin.tolist(), strict=True))
    assert dict(zip(places, found.count.tolist(), strict=True)) == expected
    assert dict(zip(places, found.failed.tolist(), strict=True)) == dict(failed)
    assert any(block == 0 for _, block, _ in places) == (warmup_s > 0)


@pytest.fixture(scope="module")
def predicted(lake: LocalLake) -> list[dict[str, Any]]:
    rng = random.Random(4)
    distinct = []
    for index in range(1200):
        version = rng.choice([*VERSIONS, "v3"])
        # The age is a number to one version and a text to the other.
        schema = rng.choice([SHORT, SCHEMA if version == VERSIONS[0] else AS_TEXT])
        distinct.append(
            {
                "model": "fares",
                "version": version,
                "prediction_id": f"fare-{index}",
                "at": HOUR.start + timedelta(microseconds=rng.randrange(-600_000_000, 4_200_000_000)),
                "schema_id": schema.schema_id,
                "numeric": [rng.choice([None, rng.random()]) for _ in schema.numeric],
                "categorical": [rng.choice([None, "a", "b"]) for _ in schema.categorical],
                "prediction_number": float(index),
                "prediction_text": rng.choice([None, "x"]),
                "synthetic": rng.random() < 0.1,
            }
        )
    lake.append({"predictions": rows_of("predictions", distinct[:800] + distinct[:100])})
    lake.append({"predictions": rows_of("predictions", distinct[700:])})
    labels = []
    for index in range(0, 1200, 2):
        first = {"model": "fares", "prediction_id": f"fare-{index}", "label_number": -1.0, "at": AT}
        later = {"label_number": index + 0.5, "at": AT + timedelta(minutes=1)}
        # The later label arrives first: it is the one that counts.
        labels += [{**first, **later}, {**first, "received_at": AT + timedelta(hours=1)}]
    lake.append({"labels": rows_of("labels", labels)})
    inside = [row for row in distinct if HOUR.start <= row["at"] < HOUR.end and not row["synthetic"]]
    return [row for row in inside if row["version"] in VERSIONS]


def test_predictions_stay_beside_their_features(lake: LocalLake, predicted: list[dict[str, Any]]) -> None:
    found = comparisons.prediction_rows(lake, SCHEMAS, "fares", VERSIONS, HOUR, BLOCK_US)
    assert len(found.side) == len(predicted)
    assert set(found.columns) == {"age", "income", "height", "plan", "active", "age (text)"}
    rows = {int(number): place for place, number in enumerate(found.number.tolist())}
    for row in predicted:
        place = rows[int(row["prediction_number"])]
        assert (found.side[place], found.block[place]) == (side_of(row), block_of(row["at"]))
        assert found.text[place] == row["prediction_text"]
        schema = SCHEMAS[row["schema_id"]]
        for name, value in zip(schema.numeric, row["numeric"], strict=True):
            told = found.columns[name][place]
            assert np.isnan(told) if value is None else told == value
        for name, value in zip(schema.categorical, row["categorical"], strict=True):
            assert found.columns["age (text)" if name == "age" else name][place] == value
        if schema is SCHEMA:
            assert np.isnan(found.columns["height"][place]) and found.columns["age (text)"][place] is None
        else:
            assert np.isnan(found.columns["age"][place]) and found.columns["active"][place] is None


def test_a_sample_is_a_part_and_always_the_same(lake: LocalLake, predicted: list[dict[str, Any]]) -> None:
    whole = comparisons.prediction_rows(lake, SCHEMAS, "fares", VERSIONS, HOUR, BLOCK_US)
    asked = (lake, SCHEMAS, "fares", VERSIONS, HOUR, BLOCK_US, 100)
    first, second = comparisons.prediction_rows(*asked), comparisons.prediction_rows(*asked)
    assert set(first.number.tolist()) == set(second.number.tolist()) < set(whole.number.tolist())
    assert 40 < (first.side == 0).sum() < 160 and 40 < (first.side == 1).sum() < 160
    assert min(first.total) >= sum(row["version"] == "v1" for row in predicted) * 0.9


def test_the_latest_label_by_its_own_time_counts(lake: LocalLake, predicted: list[dict[str, Any]]) -> None:
    found = comparisons.labelled_rows(lake, "fares", VERSIONS, HOUR, BLOCK_US, (400, 400))
    expected = {row["prediction_number"]: row for row in predicted if row["prediction_number"] % 2 == 0}
    assert sorted(found.prediction_number.tolist()) == sorted(expected)
    assert (found.label_number == found.prediction_number + 0.5).all()
    for number, side, block in zip(found.prediction_number, found.side, found.block, strict=True):
        assert (side, block) == (side_of(expected[number]), block_of(expected[number]["at"]))


def test_of_nobody_there_is_nothing(lake: LocalLake) -> None:
    assert not len(comparisons.request_bins(lake, "nobody", VERSIONS, HOUR, BLOCK_US, 60.0).side)
    rows = comparisons.prediction_rows(lake, SCHEMAS, "nobody", VERSIONS, HOUR, BLOCK_US)
    assert (len(rows.side), dict(rows.columns), rows.total) == (0, {}, (0, 0))
    assert not len(comparisons.labelled_rows(lake, "nobody", VERSIONS, HOUR, BLOCK_US, (0, 0)).side)


def test_of_very_many_requests_a_part_of_the_traces_is_counted(lake: LocalLake, spans: list[dict[str, Any]]) -> None:
    def total(requests_max: int) -> int:
        return int(comparisons.request_bins(lake, "fares", VERSIONS, HOUR, BLOCK_US, 0.0, requests_max).count.sum())

    assert total(10_000) > 500
    assert 0.1 < total(100) / total(10_000) < 0.5
    assert total(100) == total(100)
