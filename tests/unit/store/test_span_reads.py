"""Every read of spans against a recount in plain Python, over random rows of which some arrived twice."""

from __future__ import annotations

import itertools
import math
import random
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from tests.lake_rows import AT, predictions, rows_of

from seamark.core.errors import Invalid
from seamark.core.windows import Window
from seamark.store import spans as reads
from seamark.store.heard import Heard
from seamark.store.local_lake import LocalLake

HOUR = Window.trailing(AT, 3600)


def random_spans(seed: int, model: str, count: int = 1500) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return [
        {
            "model": model,
            "trace_id": rng.randbytes(16),
            "span_id": rng.randbytes(8),
            "version": rng.choice(["v1", "v1", "v2", ""]),
            "route": rng.choice(["/predict", "/explain", "it's"]),
            "instance": rng.choice(["a", "b", None]),
            "is_request": rng.random() < 0.8,
            "failed": rng.random() < 0.1,
            "synthetic": rng.random() < 0.2,
            "http_status": rng.choice([200, 500, None]),
            "start_at": (start := HOUR.start + timedelta(microseconds=rng.randrange(-600_000_000, 4_200_000_000))),
            "duration_ns": int(rng.lognormvariate(17, 1)),
            "received_at": start + timedelta(seconds=rng.uniform(-30, 30)),
        }
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def rows(lake: LocalLake) -> list[dict[str, Any]]:
    """The distinct spans; a third of them was sent twice, some of those in one request."""
    distinct = random_spans(1, "churn")
    lake.append({"spans": rows_of("spans", distinct[:700] + distinct[:100])})
    lake.append({"spans": rows_of("spans", distinct[500:])})
    lake.append({"spans": rows_of("spans", random_spans(2, "other", 200))})
    return distinct


def requests(rows: list[dict[str, Any]], window: Window, synthetic: bool | None = False) -> list[dict[str, Any]]:
    return [
        row
        for row in rows
        if row["is_request"]
        and window.start <= row["start_at"] < window.end
        and (synthetic is None or row["synthetic"] == synthetic)
    ]


@pytest.mark.parametrize("step_s", [60.0, 7.5, 3600.0, 1000.0])
@pytest.mark.parametrize("synthetic", [False, True, None])
def test_latency_points_are_exact(
    lake: LocalLake, rows: list[dict[str, Any]], step_s: float, synthetic: bool | None
) -> None:
    points = reads.latency_points(lake, "churn", HOUR, step_s, synthetic=synthetic)
    steps: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in requests(rows, HOUR, synthetic):
        steps[int((row["start_at"] - HOUR.start).total_seconds() // step_s)].append(row)
    assert [point.at for point in points] == [
        HOUR.start + timedelta(seconds=step_s * index) for index in range(math.ceil(3600 / step_s))
    ]
    for index, point in enumerate(points):
        found = steps[index]
        assert point.count == len(found)
        if not found:
            assert (point.error_ratio, point.p50_ms, point.p95_ms, point.p99_ms) == (None, None, None, None)
            continue
        assert point.error_ratio == pytest.approx(sum(row["failed"] for row in found) / len(found))
        expected = np.quantile([row["duration_ns"] / 1e6 for row in found], [0.5, 0.95, 0.99])
        assert [point.p50_ms, point.p95_ms, point.p99_ms] == pytest.approx(expected.tolist())


@pytest.mark.parametrize("by", [["version"], ["route", "version"], ["instance"], ["version", "version"]])
def test_latency_points_by_group(lake: LocalLake, rows: list[dict[str, Any]], by: list[str]) -> None:
    points = reads.latency_points(lake, "churn", HOUR, 600, by)
    expected: dict[tuple[datetime, tuple[str, ...]], int] = defaultdict(int)
    for row in requests(rows, HOUR):
        at = HOUR.start + timedelta(seconds=(row["start_at"] - HOUR.start).total_seconds() // 600 * 600)
        expected[at, tuple(row[name] or "" for name in dict.fromkeys(by))] += 1
    assert {(point.at, tuple(point.by.values())): point.count for point in points} == expected
    assert [point.at for point in points] == sorted(point.at for point in points)
    assert all(list(point.by) == list(dict.fromkeys(by)) for point in points)


def test_the_less_busy_of_very_many_groups_fold_into_other(lake: LocalLake) -> None:
    many = [{"route": f"/user/{number % 80}", "model": "many", "start_at": HOUR.start} for number in range(200)]
    lake.append({"spans": rows_of("spans", many)})
    points = reads.latency_points(lake, "many", HOUR, 3600, ["route"])
    assert sum(point.count for point in points) == 200
    assert len(points) == reads.GROUPS_MAX + 1
    assert {point.by["route"]: point.count for point in points}[reads.OTHER] == 200 - 40 * 3 - 10 * 2


@pytest.mark.parametrize(
    ("window", "step_s", "by", "word"),
    [
        (HOUR, 0.0, [], "step"),
        (HOUR, -1.0, [], "step"),
        (HOUR, math.nan, [], "step"),
        (HOUR, 0.01, [], "step"),
        (Window(HOUR.end, HOUR.start), 60.0, [], "end"),
        (HOUR, 60.0, ["version; DROP TABLE lake.spans"], "by"),
    ],
)
def test_senseless_questions_are_refused(
    lake: LocalLake, window: Window, step_s: float, by: list[str], word: str
) -> None:
    with pytest.raises(Invalid) as refused:
        reads.latency_points(lake, "churn", window, step_s, by)
    assert refused.value.problems[0].field == word


@pytest.mark.parametrize("step_s", [60.0, 1000.0])
def test_arrivals_are_requests_per_second(lake: LocalLake, rows: list[dict[str, Any]], step_s: float) -> None:
    rates = reads.arrivals(lake, "churn", HOUR, step_s)
    edges = [min(step_s * index, 3600) for index in range(len(rates) + 1)]
    offsets = [(row["start_at"] - HOUR.start).total_seconds() for row in requests(rows, HOUR)]
    counts = np.array([sum(low <= at < high for at in offsets) for low, high in itertools.pairwise(edges)])
    assert edges[-1] == 3600
    np.testing.assert_allclose(rates, counts / np.diff(edges))


def test_arrivals_of_nobody_are_zero(lake: LocalLake) -> None:
    assert reads.arrivals(lake, "nobody", HOUR, 600).tolist() == [0.0] * 6


def test_slo_counts_in_one_scan(lake: LocalLake, rows: list[dict[str, Any]]) -> None:
    windows_s = [300.0, 3600.0, 1800.0, 0.5]
    for slow_ms in (40.0, None):
        for counts, window_s in zip(reads.slo_counts(lake, "churn", AT, windows_s, slow_ms), windows_s, strict=True):
            found = requests(rows, Window.trailing(AT, window_s))
            assert counts.window_s == window_s
            assert counts.total == len(found)
            assert counts.failed == sum(row["failed"] for row in found)
            slow = [row for row in found if slow_ms is not None and row["duration_ns"] / 1e6 >= slow_ms]
            assert counts.slow == len(slow)
    assert reads.slo_counts(lake, "churn", AT, [], 40) == []


def test_a_request_of_exactly_the_limit_is_slow(lake: LocalLake) -> None:
    edge = [{"model": "edge", "duration_ns": ns, "start_at": HOUR.start} for ns in (299_999_999, 300_000_000)]
    lake.append({"spans": rows_of("spans", edge)})
    assert [one.slow for one in reads.slo_counts(lake, "edge", AT, [3600], 300)] == [1]


def test_models_seen_joins_spans_and_predictions(lake: LocalLake, rows: list[dict[str, Any]]) -> None:
    lake.append({"predictions": predictions(5, version="v2", at=AT + timedelta(days=300))})
    lake.append({"predictions": predictions(7, version="v3", received_at=AT - timedelta(days=1))})
    lake.append({"predictions": predictions(2, first=5, version="v3", synthetic=True)})
    lake.append({"predictions": predictions(5, version="v2", at=AT + timedelta(days=300))})
    since = AT - timedelta(minutes=10)
    seen = {one.version: one for one in Heard(lake).versions(AT, since, "churn")}
    assert sorted(seen) == ["", "v1", "v2", "v3"]
    for version in ("", "v1", "v2"):
        of_version = [row for row in rows if row["version"] == version]
        recent = requests(of_version, Window(since, AT + timedelta(days=9)))
        assert seen[version].requests == len(recent)
        heard = [min(row["start_at"], row["received_at"]) for row in of_version if not row["synthetic"]]
        assert seen[version].last_seen_at == max([*heard, *([AT] if version == "v2" else [])])
    assert (seen["v2"].predictions, seen["v3"].predictions, seen["v3"].requests) == (5, 7, 0)
    assert seen["v3"].last_seen_at == AT - timedelta(days=1)  # a load test keeps no model alive


def test_instances_are_none_where_no_row_names_one(lake: LocalLake, rows: list[dict[str, Any]]) -> None:
    assert reads.instances(lake, "churn", HOUR) == 2
    assert reads.instances(lake, "nobody", HOUR) is None
    lake.append({"spans": rows_of("spans", [{"model": "mute", "instance": None, "start_at": HOUR.start}])})
    assert reads.instances(lake, "mute", HOUR) is None
