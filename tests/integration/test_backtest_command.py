"""`seamark autoscale backtest`: tables, JSON and refusals; of traces without a service, of a model by a real one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from service_process import ServiceProcess, run_cli

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


# --- a model's own history --------------------------------------------------------------------------------------------

HOURS = 7
CONFIG = "models:\n  - name: org/churn\n    autoscale: {max: 40, cost_per_replica_hour: 0.4}\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service whose model had a request each 20 s, and each 5 s in every second hour."""
    with ServiceProcess(tmp_path_factory.mktemp("own") / "data") as service:
        now_ns = time.time_ns()
        ago_s = [at for hour in range(HOURS) for at in range(hour * 3600, hour * 3600 + 3600, 20 if hour % 2 else 5)]
        spans = [
            {
                "traceId": f"{number + 1:032x}",
                "spanId": f"{number + 1:016x}",
                "name": "POST /predict",
                "kind": 2,
                "startTimeUnixNano": str(now_ns - (at_s + 70) * 1_000_000_000),
                "endTimeUnixNano": str(now_ns - (at_s + 70) * 1_000_000_000 + 40_000_000),
            }
            for number, at_s in enumerate(ago_s)
        ]
        attributes = [{"key": "service.name", "value": {"stringValue": "org/churn"}}]
        body = {"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [{"spans": spans}]}]}
        assert service.http.post("/v1/traces", json=body).status_code == 200
        service.apply(CONFIG)
        yield service


@pytest.mark.slow
def test_a_models_own_history_is_played_by_its_service(service: ServiceProcess) -> None:
    given = ("--url", service.url, "--capacity", "0.02")
    done = run_cli("autoscale", "backtest", "org/churn", *given, "--format", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert (found["state"], found["what_if"]) == ("played", True) and len(found["policies"]) == 7
    assert found["days"] == pytest.approx(HOURS / 24, rel=0.02)
    hpa = next(one for one in found["policies"] if one["name"] == "hpa")
    assert hpa["replicas_max"] >= 10 and hpa["cost"] == pytest.approx(0.4 * hpa["replica_hours"])
    done = run_cli("autoscale", "backtest", "org/churn", *given, "--cold-start", "180", "--days", "1")
    lines = done.stdout.splitlines()
    assert lines[0].split()[0] == "policy" and lines[0].endswith("cost")
    assert "cold start 180 s (asked), 1 to 40 replicas." in done.stdout and "HPA" in lines[-1]


@pytest.mark.slow
def test_too_little_is_said_and_is_its_own_exit_code(service: ServiceProcess) -> None:
    done = run_cli("autoscale", "backtest", "org/churn", "--url", service.url)
    assert done.returncode == 3 and "run a load test of shape `capacity`" in done.stdout
    done = run_cli("autoscale", "backtest", "nobody", "--url", service.url)
    assert done.returncode == 2 and "no `autoscale:`" in done.stderr


@pytest.mark.parametrize(
    "arguments, words",
    [
        ((), "one of both"),
        (("m", "--trace", "x.csv"), "one of both"),
        (("m", "--slo-wait", "1", "--seed", "4"), "--slo-wait, --seed: of traces alone"),
        (("--trace", "x.csv", "--days", "3"), "a trace is played whole"),
        (("m", "--cold-start", "nan", "--url", "http://127.0.0.1:1"), "--cold-start nan is no number"),
        (("m", "--capacity", "inf", "--url", "http://127.0.0.1:1"), "--capacity inf is no number"),
    ],
)
def test_what_cannot_go_together_is_refused_before_anything_is_asked(arguments: tuple[str, ...], words: str) -> None:
    assert words in run(*arguments, code=2)


@pytest.mark.parametrize("option", ["--cold-start", "--slo-wait", "--cost"])
@pytest.mark.parametrize("number", ["nan", "inf", "-1", "1e300"])
def test_numbers_that_are_none_are_refused(trace: Path, option: str, number: str) -> None:
    assert option in run("--trace", str(trace), option, number, code=2)
