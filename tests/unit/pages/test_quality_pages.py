"""The heat map, the page of a feature's distributions and the time line of performance, as the templates get them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from sample_facts import AT, drift
from sample_quality import BLANK, OUTAGE, drift_history, explained, performance_history

from seamark.core.distributions import Side
from seamark.core.drift_history import DriftColumn
from seamark.core.findings import DriftState
from seamark.core.performance import Estimate, EstimateState, PerformanceMetric
from seamark.core.windows import Window
from seamark.web.feature_paths import feature_url
from seamark.web.page_distribution import distribution_page, sentence
from seamark.web.page_heat import FEATURES_SHOWN, heat_map, visible
from seamark.web.page_performance import HEIGHT, performance_view, time_line

COLUMNS = drift_history("churn", drift("churn"), "full")
HOUR = Window.trailing(AT, 3600)


# --- the heat map ----------------------------------------------------------------------------------------------------


def test_the_features_that_drift_most_come_first_and_the_newest_window_last():
    found = heat_map("churn", COLUMNS)
    assert [row.feature for row in found.rows[:2]] == ["monthly_income", "age"]  # both drift; one in more windows
    assert {len(row.cells) for row in found.rows} == {len(COLUMNS)} == {25}
    assert found.columns[-1].label == "latest"
    assert [column.newest for column in found.columns] == [False] * 24 + [True]
    assert [row.cells[-1].look for row in found.rows[:2]] == ["drift-2", "drift-2"]
    assert all(row.cells[-1].newest for row in found.rows)


def test_what_is_unknown_never_looks_calm():
    for row in heat_map("churn", COLUMNS).rows:
        for cell, column in zip(row.cells, COLUMNS, strict=True):
            state = {one.feature: one.state for one in column.finding.features}.get(row.key) if column.finding else None
            judged = state in (DriftState.DRIFT, DriftState.CERTAIN_SMALL, DriftState.NO_DRIFT)
            assert cell.look.startswith(("drift", "calm", "small")) == judged, cell
            assert ("nobody judged" in cell.words) == (column.finding is None)
    assert heat_map("churn", COLUMNS).unjudged == len(OUTAGE)


@pytest.mark.parametrize("state", list(DriftState))
def test_each_state_has_its_look_and_its_words(state):
    found = replace(drift("m").features[0], state=state)
    column = DriftColumn(HOUR, replace(drift("m"), features=(found,)))
    (row,) = heat_map("m", [column]).rows
    assert row.cells[0].look == {"drift": "drift-2", "certain_small": "small", "no_drift": "calm-3"}.get(
        state, "unknown"
    )
    assert row.cells[0].words.startswith("age, until 2026-03-04 14:30: ")


@pytest.mark.slow
def test_a_thousand_features_have_bounded_rows_and_the_rest_is_counted():
    found = heat_map("m", drift_history("m", drift("m"), "hostile"))
    assert len(found.rows) == FEATURES_SHOWN
    assert found.left_out == 1_008 - FEATURES_SHOWN


def test_without_a_judged_window_there_is_no_map():
    assert heat_map("m", []) is None
    assert heat_map("m", [DriftColumn(HOUR, None)]) is None


def test_short_windows_are_told_apart_by_their_seconds():
    short = [DriftColumn(Window.trailing(AT + timedelta(seconds=20 * n), 20), drift("m")) for n in range(3)]
    found = heat_map("m", short)
    assert [column.said for column in found.columns] == [f"until 2026-03-04 14:30:{n}" for n in ("00", "20", "40")]
    assert found.columns[-1].label == "14:30:40"


def test_cells_lead_to_exactly_the_window_that_was_judged():
    late = replace(drift("m"), window=Window.trailing(AT + timedelta(microseconds=700_001), 3600))
    (row, *_) = heat_map("m", [DriftColumn(HOUR, late)]).rows
    assert row.cells[0].url == "/models/m/drift/age?at=2026-03-04T14%3A30%3A00.700001Z&window=1h"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a/b?c#d%", "/models/m%2Fn/drift/a%2Fb%3Fc%23d%25?at="),
        ("..", "/models/m%2Fn/drift?feature=..&at="),
        (BLANK, "/models/m%2Fn/drift/%E2%80%8B?at="),
    ],
)
def test_any_name_has_an_address(name, path):
    assert feature_url("m/n", name, HOUR, "1").startswith(path)
    assert feature_url("m/n", name, HOUR, "1").endswith("&window=1h&version=1")


def test_names_that_cannot_be_seen_are_shown_by_their_code_points():
    assert visible(BLANK) == "U+200B"
    assert visible("\u3164\u2800") == "U+3164 U+2800"
    assert visible("ü\u200b") == "ü\u200b"


# --- the two distributions -------------------------------------------------------------------------------------------


def test_bars_stay_inside_and_the_table_has_every_bin():
    page = distribution_page(explained("churn", "age", None, HOUR), AT)
    assert len(page.bars) == len(page.bins) == 32
    assert [bar.outer for bar in page.bars] == [True, *[False] * 30, True]
    assert all(0 <= bar.y <= 200 and 0 <= bar.line_y <= 200 for bar in page.bars)
    assert min(min(bar.y, bar.line_y) for bar in page.bars) == 12.0
    assert all(float(bar.right.rstrip("%")) <= 100 for bar in page.bars)
    assert page.bins[-1].values.endswith("40,000")
    assert [name for name, _, _ in page.quantiles] == [
        "lowest",
        "5 %",
        "25 %",
        "median",
        "75 %",
        "95 %",
        "highest",
        "mean",
    ]


@pytest.mark.parametrize("side", ["current", "reference"])
def test_one_side_alone_is_drawn_and_the_other_is_unknown(side):
    found = explained("churn", "age", None, HOUR)
    shown = found.distribution
    bins = tuple(replace(one, **{"rows" if side == "reference" else "reference_rows": 0}) for one in shown.bins)
    other = {"current": {"reference": None}, "reference": {"current": Side(0, 0)}}[side]
    page = distribution_page(replace(found, distribution=replace(shown, bins=bins, **other)), AT)
    assert {row.share is None for row in page.bins} == {side == "reference"}
    assert {row.reference_share is None for row in page.bins} == {side == "current"}
    assert (page.rising == ()) == (side == "current")


def test_levels_are_marked_new_and_the_rest_is_told():
    page = distribution_page(explained("churn", "region", None, HOUR), AT)
    assert [row.level for row in page.levels if row.new] == ["<img src=x onerror=alert(2)>", "U+200B"]
    assert page.levels[3].level == "empty text"
    assert page.other == "214 more levels with 258 rows here and 0 in the reference; 31 of them new, with 90 rows."
    assert max(float(row.bar.rstrip("%")) for row in page.levels) <= 100


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (DriftState.DRIFT, "Drifted: wasserstein normed scores 0.41 over 3,412 rows against 10,000 rows"),
        (DriftState.CERTAIN_SMALL, "Certain, but small: wasserstein normed scores 0.41"),
        (DriftState.NO_DRIFT, "No drift: wasserstein normed scores 0.41 over 3,412 rows"),
        (DriftState.TOO_FEW_ROWS, "3,412 rows here and 10,000 rows in the reference are too few to judge: nothing"),
        (DriftState.NO_REFERENCE, "There is no reference to hold 3,412 rows against: nothing is claimed."),
        (DriftState.ALL_NULL, "without a single value in this window: nothing is claimed."),
        (DriftState.NOT_IN_REFERENCE, "The reference lacks this feature"),
        (
            DriftState.NOT_IN_WINDOW,
            "missing from this window; the reference has 10,000 rows of it: nothing is claimed.",
        ),
    ],
)
def test_the_decision_is_one_sentence(state, words):
    decision = replace(explained("m", "age", None, HOUR).decision, state=state)
    assert words in sentence(decision)


def test_a_small_chance_is_not_no_chance():
    decision = explained("m", "age", None, HOUR).decision
    assert "(p < 0.001)" in sentence(decision)
    assert "(p = 0.31)" in sentence(replace(decision, p_value=0.31, state=DriftState.NO_DRIFT))


def test_the_way_goes_on_to_neighbours_traces_and_json(client):
    page = client().get("/models/churn/drift/age?at=2026-03-04T13:00:00Z&window=1h&version=2").text
    for link in (
        "/models/churn/drift/age?at=2026-03-04T12%3A00%3A00Z&amp;window=1h&amp;version=2",
        "/models/churn/drift/age?at=2026-03-04T14%3A00%3A00Z&amp;window=1h&amp;version=2",
        "/api/v1/models/churn/drift/age/distribution?at=2026-03-04T13%3A00%3A00Z&amp;window=1h&amp;version=2",
        "/traces?model=churn&amp;start=2026-03-04T12%3A00%3A00Z&amp;end=2026-03-04T13%3A00%3A00Z",
    ):
        assert f'href="{link}"' in page, link
    newest = client().get("/models/churn/drift/age?at=2026-03-04T14:30:00Z&window=1h").text
    assert "the window after is not over yet" in newest


def test_a_lake_that_cannot_be_read_is_a_page_that_says_so(client):
    answer = client("failing").get("/models/churn/drift/age")
    assert answer.status_code == 503
    assert "the disk is full" in answer.text


# --- performance over time -------------------------------------------------------------------------------------------


def test_measured_and_estimated_lie_on_one_line_and_the_unknown_is_hatched():
    line = time_line(performance_history("churn"), AT)
    accuracy, f1 = line.plots
    assert (accuracy.name, f1.name) == ("accuracy", "macro f1")
    assert (len(accuracy.measured), len(accuracy.estimated), len(accuracy.gaps)) == (18, 22, 6)
    assert (len(f1.measured), len(f1.estimated)) == (18, 0)
    for mark in (*accuracy.measured, *accuracy.estimated):
        assert 0 <= mark.band_y <= mark.y <= mark.band_y + mark.band_height <= HEIGHT
    assert len(accuracy.measured_joints) == 16  # none over the gap
    assert line.known_x is not None
    assert [part.covered_height for part in line.strip[-4:]] == [0.0] * 4
    assert [part.lag_height for part in line.strip[-4:]] == [None] * 4
    assert line.strip[6].covered_height is None, "no predictions is no coverage of 0"


@pytest.mark.parametrize(
    ("model", "measured", "estimated"),
    [("churn", True, True), ("fraud-score", False, True), ("pricing", True, False)],
)
def test_the_line_stands_with_one_side_alone(client, model, measured, estimated):
    line = time_line(performance_history(model), AT)
    assert (line.measured, line.estimated) == (measured, estimated)
    page = client().get(f"/models/{model}").text
    assert ("No label has come for any of these windows" in page) == (not measured)
    assert ("No estimate was kept of any of them" in page) == (not estimated)
    assert "The figures, a row per window" in page


def test_estimated_figures_stand_beside_measured_ones_or_say_why_not():
    found = performance_history("churn")[0].measured
    estimate = Estimate(HOUR, EstimateState.ESTIMATED, 9, metrics={"accuracy": PerformanceMetric(0.9, 0.88, 0.92)})
    assert performance_view(found, estimate, AT).estimated == (("accuracy", "0.9", "0.88 to 0.92"),)
    without = performance_view(found, Estimate(HOUR, EstimateState.NO_REFERENCE_LABELS, 9), AT)
    assert (without.estimated, without.not_estimated) == ((), "no reference labels")
    assert performance_view(found, None, AT).not_estimated is None


def test_nothing_known_makes_no_plot_but_shows_that_no_label_came():
    line = time_line(performance_history("night-batch"), AT)
    assert (line.plots, line.measured, line.estimated) == ((), False, False)
    silent = [
        replace(step, measured=replace(step.measured, predictions=0)) for step in performance_history("night-batch")
    ]
    assert time_line(silent, AT) is None
    assert time_line(performance_history("churn")[:1], AT) is None


@pytest.mark.parametrize("value", [0.0, 1.0, 1e-9, 1e300, -5.0])
def test_a_flat_line_and_huge_figures_are_drawn(value):
    step = performance_history("churn")[0]
    metrics = {"rmse": PerformanceMetric(value, value, value), "bad": PerformanceMetric(float("nan"), 0, 1)}
    steps = [replace(step, measured=replace(step.measured, metrics=metrics), estimated={})] * 3
    line = time_line(steps, AT)
    assert [plot.name for plot in line.plots] == ["rmse", "bad"]
    assert [len(plot.measured) for plot in line.plots] == [3, 0]
    assert {mark.y for mark in line.plots[0].measured} == {60.0}
    assert line.plots[0].grid


def test_every_drawn_height_is_a_number(client):
    page = client().get("/models/churn").text
    assert not re.search(r'"(?:nan|inf|-?\d+e\d+)', page)
