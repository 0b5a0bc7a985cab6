"""Segments against the rows they name, whatever their labels and values hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta

import pytest
from tests.lake_rows import AT, rows_of

from seamark.store.local_lake import LocalLake
from seamark.store.segments import segment_condition

SEGMENTS = [
    None,
    {},
    {"country": "de", "tier": 1, "beta": True},
    {"country": "de", "tier": 1.0, "beta": False},
    {"country": "fr", "tier": "1", "beta": None},
    {
        "country": 'd"e',
        "a/b": "x",
        "a~b": "x",
        "": "x",
        "$": "x",
        "*": "x",
        "a.b": "x",
        "[0]": "x",
        "x' OR '1'='1": "x",
    },
    {"country": "'; DROP TABLE lake.predictions; --", "tier": 1e30, "naïve": "ü", "a\nb": "x", "a\\b": "x"},
]


@pytest.fixture(scope="module")
def filled(lake: LocalLake) -> LocalLake:
    rows = [
        {
            "model": "segmented",
            "prediction_id": f"segmented-{number}",
            "at": AT - timedelta(seconds=number + 1),
            "segment": None if segment is None else json.dumps(segment, ensure_ascii=False),
        }
        for number, segment in enumerate(SEGMENTS)
    ]
    lake.append({"predictions": rows_of("predictions", rows)})
    return lake


def matched(lake: LocalLake, *segments: tuple[str, str]) -> list[int]:
    condition, parameters = segment_condition(segments)
    found = lake.query(
        f"SELECT prediction_id FROM lake.predictions WHERE model = $model AND {condition}",
        {"model": "segmented", **parameters},
    )
    return sorted(int(name.removeprefix("segmented-")) for name in found["prediction_id"].to_pylist())


@pytest.mark.parametrize(
    ("segments", "rows"),
    [
        ([], [0, 1, 2, 3, 4, 5, 6]),
        ([("country", "de")], [2, 3]),
        ([("country", "de"), ("beta", "true")], [2]),
        ([("beta", "false")], [3]),
        ([("tier", "1")], [2, 3, 4]),
        ([("tier", "1.0")], [2, 3]),
        ([("tier", "1e30")], [6]),
        ([("tier", "1000000000000000019884624838656")], [6]),
        ([("tier", "inf")], []),
        ([("tier", "1_0")], []),
        ([("beta", "null")], []),
        ([("country", "de"), ("country", "fr")], []),
        ([("country", 'd"e')], [5]),
        ([("country", "'; DROP TABLE lake.predictions; --")], [6]),
        *([([(label, "x")], [5]) for label in ("a/b", "a~b", "", "$", "*", "a.b", "[0]", "x' OR '1'='1")]),
        ([("naïve", "ü"), ("a\nb", "x"), ("a\\b", "x")], [6]),
        ([("nowhere", "de")], []),
        ([("country", "%")], []),
        ([("country\0", "de\0")], []),
    ],
)
def test_rows_are_found_by_labels_and_values_of_any_kind(
    filled: LocalLake, segments: Sequence[tuple[str, str]], rows: list[int]
) -> None:
    assert matched(filled, *segments) == rows
