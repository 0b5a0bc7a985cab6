"""`seamark autoscale backtest`: tables, JSON and refusals, without a service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from seamark.cli import main


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text("t_s,rate_per_s\n" + "".join(f"{60 * i},{100 + 40 * (i % 60 > 30)}\n" for i in range(240)))
    return path


def run(*arguments: str, code: int = 0) -> str:
    found = CliRunner().invoke(main, ["autoscale", "backtest", *arguments])
    assert found.exit_code == code, found.output
    return found.output


def test_json_is_as_the_contract_has_it(trace: Path) -> None:
    found = json.loads(run("--trace", str(trace), "--cold-start", "180", "--capacity", "8", "--format", "json"))
    names = [one["name"] for one in found["policies"]]
    assert {"seamark", "hpa", "keda_1m", "keda_2m", "oracle", "aws_predictive", "static_peak"} == set(names)
    for one in found["policies"]:
        for figure in (
            "replica_hours",
            "replica_hours_over_oracle",
            "violation_minutes_per_day",
            "actions_per_day",
        ):
            assert isinstance(one[figure], float)
    assert (found["capacity_rps"], found["cold_start_s"]) == (8.0, 180.0)
    assert isinstance(found["beats_hpa"], bool)


def test_the_table_ends_with_the_verdict(trace: Path) -> None:
    lines = run("--trace", str(trace), "--cost", "0.45").splitlines()
    assert lines[0].split()[0] == "policy" and lines[0].endswith("cost")
    assert lines[1].startswith("seamark ") and "HPA" in lines[-1]


@pytest.mark.parametrize("capacity", ["0", "-1", "nan", "0.0001", "inf"])
def test_impossible_capacities_are_refused(trace: Path, capacity: str) -> None:
    assert "impossible here" in run("--trace", str(trace), "--capacity", capacity, code=2)


def test_a_bad_file_is_refused_with_its_line(trace: Path, tmp_path: Path) -> None:
    trace.write_text(trace.read_text().replace("600,100\n", "600,-7\n", 1))
    assert "line 12: rate_per_s is '-7'" in run("--trace", str(trace), code=2)
    assert "cannot read" in run("--trace", str(tmp_path / "none.csv"), code=2)
    assert "cannot read" in run("--trace", str(tmp_path), code=2)
