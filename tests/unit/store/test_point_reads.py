"""Reads of metric points on a real lake: names, newest values, levels, rates with resets, quantiles."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.lake_rows import AT, rows_of

from seamark.core.errors import Invalid
from seamark.core.windows import Window
from seamark.store import points as reads
from seamark.store.local_lake import LocalLake

HOUR = Window.trailing(AT, 3600)
STEP_S = 60.0


def at(seconds: float):
    """An instant so many seconds into the window."""
    return HOUR.start + timedelta(seconds=seconds)


def put(lake: LocalLake, model: str, *rows: dict[str, Any], **same: Any) -> None:
    lake.append({"metric_points": rows_of("metric_points", [{"model": model, **same, **row} for row in rows])})


def counter(*values: tuple[float, float | None], **fields: Any) -> list[dict[str, Any]]:
    plain = {"kind": "sum", "temporality": 2, "monotonic": True, "start_at": HOUR.start - timedelta(days=1)}
    return [{**plain, "at": at(seconds), "value": value, **fields} for seconds, value in values]


def histogram(*values: tuple[float, list[int]], **fields: Any) -> list[dict[str, Any]]:
    plain = {"kind": "histogram", "temporality": 2, "bounds": [1.0, 2.0], "start_at": HOUR.start - timedelta(days=1)}
    return [
        {**plain, "at": at(seconds), "value": None, "count": sum(counts), "sum": float(sum(counts)), "counts": counts}
        | fields
        for seconds, counts in values
    ]


def steps(lake: LocalLake, model: str, by: tuple[str, ...] = (), name: str = "queue", step_s: float = STEP_S):
    return reads.steps(lake, model, name, HOUR, step_s, by)[1]


def test_names_are_told_with_unit_kind_series_and_when_they_were_last_heard_of(lake):
    put(lake, "named", {"at": at(0)}, {"at": at(60)}, {"at": at(30), "instance": "pod-2"})
    put(lake, "named", *counter((5, 1.0)), name="answers", unit="{answer}")
    put(lake, "named", {"at": at(-1), "name": "before"}, {"at": HOUR.end, "name": "after"})
    answers, queue = reads.names(lake, "named", HOUR)
    assert (answers.name, answers.unit, answers.kind) == ("answers", "{answer}", "sum")
    assert (answers.temporality, answers.monotonic, answers.series) == ("cumulative", True, 1)
    assert (queue.name, queue.kind, queue.series, queue.last_seen_at) == ("queue", "gauge", 2, at(60))
    assert reads.names(lake, "nobody", HOUR) == []


# --- newest values ------------------------------------------------------------------------------------------------


def test_the_newest_value_of_each_series_is_told_and_an_ended_one_is_unknown(lake):
    put(lake, "newest", {"at": at(0), "value": 9.0}, {"at": at(60), "value": 4.0})
    put(lake, "newest", {"at": at(0), "value": 7.0}, {"at": at(61), "value": None}, instance="pod-2")
    put(lake, "newest", *counter((60, 5.0)), name="total")
    found = {one.instance: (one.at, one.value) for one in reads.latest(lake, "newest", "queue", HOUR)}
    assert found == {"pod-1": (at(60), 4.0), "pod-2": (at(61), None)}
    assert reads.latest(lake, "newest", "total", HOUR) == []  # a running total is no level
    assert reads.latest(lake, "newest", "queue", Window(at(100), HOUR.end)) == []


def test_a_selector_finds_series_by_point_or_resource_whoever_sent_them(lake):
    put(lake, "collector", {"value": 3.0, "at": at(1)}, name="available", resource='{"k8s.deployment.name":"a\'b"}')
    put(lake, "collector", {"value": 5.0, "at": at(1)}, name="available", attributes='{"k8s.deployment.name":"other"}')
    put(lake, "collector", {"value": 7.0, "at": at(1)}, name="available", attributes='{"shard":5}', resource=None)

    def find(*where: tuple[str, str]) -> list[float | None]:
        return [one.value for one in reads.latest(lake, "churn", "available", HOUR, where)]

    assert find(("k8s.deployment.name", "a'b")) == [3.0]
    assert find(("k8s.deployment.name", "other")) == [5.0]
    assert find(("shard", "5")) == [7.0]
    assert find(("k8s.deployment.name", "a'b"), ("shard", "5")) == []
    assert find() == []  # without a selector only the model's own


# --- levels -------------------------------------------------------------------------------------------------------


def test_a_gauge_has_last_sum_mean_and_extremes_per_step(lake):
    put(lake, "level", {"at": at(0), "value": 2.0}, {"at": at(30), "value": 6.0}, {"at": at(30), "value": 6.0})
    put(lake, "level", {"at": at(20), "value": 1.0}, {"at": at(121), "value": None}, instance="pod-2")
    (one,) = steps(lake, "level")
    assert (one.at, one.last, one.sum, one.avg, one.min, one.max) == (at(0), 6.0, 7.0, 3.0, 1.0, 6.0)
    assert (one.rate, one.count, one.p50) == (None, None, None)
    assert [(step.by, step.avg) for step in steps(lake, "level", ("instance",))] == [
        ({"instance": "pod-1"}, 4.0),
        ({"instance": "pod-2"}, 1.0),
    ]


def test_a_sum_that_also_falls_is_a_level(lake):
    put(lake, "updown", *counter((10, 5.0), (70, 3.0), monotonic=False))
    assert [(step.at, step.last, step.rate) for step in steps(lake, "updown")] == [
        (at(0), 5.0, None),
        (at(60), 3.0, None),
    ]


def test_groups_beyond_those_with_the_most_points_are_folded(lake, monkeypatch):
    monkeypatch.setattr(reads, "GROUPS_MAX", 1)
    put(lake, "folded", {"at": at(0), "value": 1.0}, {"at": at(1), "value": 1.0})
    put(lake, "folded", {"at": at(0), "value": 2.0}, instance="pod-2")
    put(lake, "folded", {"at": at(0), "value": 3.0}, instance=None)
    assert {step.by["instance"]: step.sum for step in steps(lake, "folded", ("instance",))} == {
        "pod-1": 1.0,
        "other": 5.0,
    }


def test_a_metric_nobody_sent_has_no_steps_and_a_wrong_group_is_refused(lake):
    assert reads.steps(lake, "nobody", "queue", HOUR, STEP_S) == (None, [])
    with pytest.raises(Invalid, match="'route' is not one of instance, version"):
        steps(lake, "nobody", ("route",))


# --- rates --------------------------------------------------------------------------------------------------------


def test_a_cumulative_sum_has_the_rate_at_which_it_grew(lake):
    # The point before the window is known, one came twice, and points are further apart than a step.
    put(lake, "rate", *counter((-60, 100.0), (60, 160.0), (60, 160.0), (180, 400.0)))
    assert [(step.at, step.rate, step.count) for step in steps(lake, "rate")] == [
        (at(60), 0.5, 60.0),
        (at(180), 2.0, 240.0),
    ]


def test_rates_of_series_are_added(lake):
    for instance in ("pod-1", "pod-2"):
        put(lake, "added", *counter((0, 0.0), (60, 60.0)), instance=instance)
    assert [step.rate for step in steps(lake, "added")] == [2.0]
    assert [step.rate for step in steps(lake, "added", ("instance",))] == [1.0, 1.0]


@pytest.mark.parametrize("start_at", [HOUR.start - timedelta(days=1), at(60), None])
def test_a_reset_counts_from_zero_whether_or_not_it_is_told(lake, start_at):
    model = f"reset {start_at}"
    put(lake, model, *counter((0, 500.0)), *counter((120, 60.0), start_at=start_at))
    (step,) = steps(lake, model)
    seconds = 60 if start_at == at(60) else 120
    assert (step.count, step.rate) == (60.0, 60 / seconds)


def test_a_reset_that_has_already_overtaken_the_old_count_is_told_by_its_start(lake):
    put(lake, "overtaken", *counter((0, 5.0)), *counter((60, 60.0), start_at=at(30)))
    assert [(step.count, step.rate) for step in steps(lake, "overtaken")] == [(60.0, 2.0)]


def test_the_first_point_counts_only_where_its_start_is_known(lake):
    put(lake, "first", *counter((60, 30.0), start_at=at(0)))
    assert [(step.count, step.rate) for step in steps(lake, "first")] == [(30.0, 0.5)]
    for model, start_at in (("old", HOUR.start - timedelta(days=1)), ("none", None), ("same", at(60))):
        put(lake, model, *counter((60, 30.0), start_at=start_at))
        assert steps(lake, model) == []


def test_a_series_that_ended_and_begins_again_is_not_counted_twice(lake):
    put(lake, "gap", *counter((0, 10.0), (60, 20.0), (120, None), (180, 50.0), (240, 80.0), start_at=at(-60)))
    assert [(step.at, step.count) for step in steps(lake, "gap")] == [(at(0), 10.0), (at(60), 10.0), (at(240), 30.0)]


def test_deltas_are_added(lake):
    rows = counter((10, 5.0), temporality=1, start_at=at(0)) + counter((20, 15.0), temporality=1, start_at=at(10))
    put(lake, "delta", *rows, rows[0])
    assert [(step.count, step.rate) for step in steps(lake, "delta")] == [(20.0, 1.0)]


# --- histograms ---------------------------------------------------------------------------------------------------


def test_a_histogram_has_quantiles_of_what_came_in_the_step(lake):
    put(lake, "h", *histogram((0, [100, 0, 0]), (60, [110, 10, 0]), (120, [110, 10, 4])))
    first, second = steps(lake, "h")
    assert (first.count, first.rate, first.avg) == (20.0, 20 / 60, 1.0)
    assert (first.p50, first.p95, first.p99) == (1.0, 1.9, pytest.approx(1.98))
    assert (second.count, second.p50) == (4.0, 2.0)  # beyond the last bound: no more is known


def test_histograms_that_tell_what_is_new_are_added_over_series(lake):
    for instance, counts in (("pod-1", [4, 0, 0]), ("pod-2", [0, 4, 0])):
        put(lake, "hd", *histogram((60, counts), temporality=1, start_at=at(0)), instance=instance)
    (step,) = steps(lake, "hd")
    assert (step.count, step.p50, step.avg) == (8.0, 1.0, 1.0)
    assert [step.p50 for step in steps(lake, "hd", ("instance",))] == [0.5, 1.5]


def test_a_histogram_that_was_reset_counts_from_zero(lake):
    put(lake, "hr", *histogram((0, [50, 50, 50]), (60, [0, 2, 0])))
    assert [(step.count, step.p50) for step in steps(lake, "hr")] == [(2.0, 1.5)]


def test_buckets_that_appear_later_were_empty_before(lake):
    exponential = {"kind": "exponential_histogram"}
    put(lake, "e", *histogram((0, [0, 5, 0]), bounds=[1.0, 2.0], **exponential))
    put(lake, "e", *histogram((60, [0, 5, 6, 0]), bounds=[1.0, 2.0, 4.0], **exponential))
    (step,) = steps(lake, "e")
    assert (step.count, step.p50) == (6.0, 3.0)


def test_a_histogram_without_buckets_and_a_summary_have_a_rate_and_a_mean(lake):
    put(lake, "bare", *histogram((0, [1]), (60, [4]), bounds=None, counts=None, count=1), name="b")
    put(lake, "bare", *histogram((0, [1]), (60, [4]), kind="summary", temporality=None, counts=None), name="s")
    (bare,), (summary,) = steps(lake, "bare", name="b"), steps(lake, "bare", name="s")
    assert (bare.count, bare.p50) == (0.0, None)
    assert (summary.count, summary.rate, summary.avg, summary.p50) == (3.0, 3 / 60, 1.0, None)
