"""The drift study: the same rows for every tool, rules as the tools document them, tables of what was counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from bench import drift, drift_data, drift_study, drift_tools
from bench.drift_worker import STUDIES
from bench.plots import Panel, svg


@pytest.mark.parametrize("column", [*drift_data.COLUMNS, *drift_data.MORE])
def test_rows_are_those_of_their_seed_and_of_no_other(column):
    first = drift_data.window(column, 1_000, 300, 7)
    assert np.array_equal(first, drift_data.window(column, 1_000, 300, 7), equal_nan=first.dtype.kind == "f")
    assert len(first) == 300
    assert (first.dtype.kind == "i") == (drift_data.kind(column) == "categorical")
    for other in (drift_data.window(column, 1_000, 300, 8), drift_data.reference(column, 300, 7)):
        assert not np.array_equal(first, other)


@pytest.mark.parametrize("case", drift_data.CASES, ids=lambda case: case.name)
def test_a_case_moves_its_column(case):
    """Far larger than in the study, so that the rule it is held to finds it; nulls are no business of that rule."""
    judge = drift_tools.ks_chi2() if case.column != "normal with nulls" else None
    rows = drift_data.moved(case, 3_000, case.sizes[300], 1)
    assert len(rows) == 3_000
    if judge is None:
        assert np.isnan(rows).mean() > 2 * drift_data.MISSING
        return
    large = {"some rows in another unit": 0.3, "cut off at the top": 0.5}.get(case.name, case.sizes[300] * 1.5)
    before = {case.column: drift_data.reference(case.column, 10_000, 1)}
    still, moved = judge(
        before,
        [
            {case.column: drift_data.window(case.column, 10_000, 3_000, 1)},
            {case.column: drift_data.moved(case, 3_000, large, 1)},
        ],
    )
    assert moved.alarm and moved.drifted[case.column]
    assert not still.alarm and still.statistic[case.column] < moved.statistic[case.column]


def test_seamark_counts_a_certain_but_small_shift_as_beyond_chance():
    judge = drift_tools.seamark()
    rng = np.random.default_rng(1)
    decision = judge({"normal": rng.normal(size=100_000)}, [{"normal": rng.normal(0.05, 1, 50_000)}])[0]
    assert not decision.alarm and decision.beyond_chance
    assert decision.statistic["normal"] > 6


def test_a_worker_counts_windows_and_stops_at_its_budget():
    drawn = []

    def judge(reference, windows):
        drawn.extend(windows)
        return [
            drift_tools.Decision(True, dict.fromkeys(reference, 5.0), dict.fromkeys(reference, False), False)
            for _ in windows
        ]

    job = {"rows": 30, "reference_rows": 1_000, "windows": 25, "budget_s": 60.0}
    counted = STUDIES["quiet"](judge, job)
    assert (counted["windows"], counted["alarms"], counted["beyond_chance"]) == (25, 25, 0)
    assert len(drawn) == 25 and len({window["normal"][0] for window in drawn}) == 25
    assert counted["p_under_asked"]["binary"] == 25 and counted["drifted"]["binary"] == 0
    assert STUDIES["quiet"](judge, {**job, "budget_s": 0.0})["windows"] == 10  # those of one reference


def test_an_interval_is_clopper_and_pearsons():
    low, high = drift_study.interval(1, 1_000)
    assert low == pytest.approx(2.53e-5, rel=0.01) and high == pytest.approx(5.56e-3, rel=0.01)
    assert drift_study.interval(0, 100)[0] == 0.0 and drift_study.interval(100, 100)[1] == 1.0


def test_thresholds_are_set_at_equal_false_alarms_and_the_best_neighbour_is_who_counts():
    rng = np.random.default_rng(2)
    case = drift_data.CASES[0]
    common = {"study": "single", "rows": 300, "column": case.column}
    jobs, found = [], []
    for tool in drift_study.TOOLS:
        if tool != "Seamark":
            jobs.append((tool, common))
            found.append({"statistics": list(rng.exponential(size=5_000)), "windows": 5_000, "alarms": 9})
        statistics = {"Seamark": [2.9] * 4 + [3.1] * 6, "NannyML": [50.0] * 7 + [0.1] * 3}.get(tool, [0.1] * 10)
        jobs.append((tool, {**common, "case": case.name, "size": case.sizes[300]}))
        found.append({"statistics": statistics, "windows": 10, "alarms": 3})
    cases, curves = drift_study.power_tables(jobs, found)
    assert {row["tool"]: row["found"] for row in cases} == {
        "Seamark": 0.6,
        "Evidently": 0.0,
        "NannyML": 0.7,
        "KS + chi-square, FDR": 0.0,
    }
    assert {row["found with defaults"] for row in cases} == {0.3} and len(curves) == 4
    (row,) = drift_study.against_best(cases, 300)
    assert row["as good"] == "within noise"
    unknown = [None if tool == "NannyML" else answer for (tool, _), answer in zip(jobs, found, strict=True)]
    (row,) = drift_study.against_best(drift_study.power_tables(jobs, unknown)[0], 300)
    assert row["as good"] == "yes" and row["NannyML"] is None


def test_goals_count_the_sizes_whose_interval_contradicts_what_is_asked():
    def row(rows, share, windows):
        low, high = drift_study.interval(round(share * windows), windows)
        return {"tool": "Seamark", "rows": rows, "windows": windows, "alarmed": share, "from": low, "to": high}

    found = drift.goals([row(30, 0.001, 2_000), row(100, 0.01, 2_000)], [row(30, 0.0, 500)], {})
    assert [goal.measured for goal in found] == [pytest.approx(5.5), 1, 0]
    assert [goal.reached for goal in found] == [False, False, True]


def test_a_figure_is_well_formed_and_holds_every_line():
    lines = {"a <b>": [(30, 1e-5), (300, 0.5)], "c": [(30, 0.2)]}
    panel = Panel("t & t", "x", "y", lines, x_log=True, y_log=True, y_range=(1e-4, 1.0), dashed=(1e-3, "asked"))
    drawn = ET.fromstring(svg([panel, Panel("u", "x", "y", {"c": [(0.0, 0.0), (1.0, 1.0)]})]))
    assert len(drawn.findall(".//{*}circle")) == 5
    texts = [text.text for text in drawn.findall(".//{*}text")]
    assert "a <b>" in texts and "asked" in texts and "0.01 %" in texts and "300" in texts


@pytest.mark.slow
def test_evidently_is_asked_for_what_its_preset_decides():
    """In a process of its own: nothing else here may import it."""
    helper = Path(__file__).parent / "evidently_preset.py"
    root = helper.parents[3]
    paths = os.pathsep.join([str(root), str(root / "service"), os.environ.get("PYTHONPATH", "")])
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", str(helper)],
        env={**os.environ, "DO_NOT_TRACK": "1", "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    answers = json.loads(ran.stdout.splitlines()[-1])
    assert len(answers) == 2  # below and above the size where it changes its tests
    for answer in answers:
        assert answer["registry"] == answer["preset"]
    assert answers[0]["preset"] and answers[1]["preset"]
