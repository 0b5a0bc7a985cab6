"""The CI examples run as a runner's shell would run them, against a real service, a key, a plan and a target.

Not run: steps that `uses:` an action, the installation of the command (it is here already), and `gh`, which is not.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from service_process import CLEAN, ROOT, ServiceProcess, free_port, run_cli

TEXT = (ROOT / "docs" / "ci.md").read_text()
PAGES = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)]
GITHUB = next(page for page in PAGES if "jobs" in page)
GITLAB = next(page["load test"] for page in PAGES if "load test" in page)
SHELL = next(b for b in re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL) if "curl" in b)
CONFIG = """
models: [{{name: churn}}]
targets: {{allow: ["{origin}"]}}
loadtests:
  - name: churn-smoke
    model: churn
    target: {origin}/predict
    payload: {{rows: [{{age: 41}}]}}
    shape: {{constant: {{rate_rps: 20, duration_s: {duration_s}}}}}
    thresholds: ["{threshold}", "error_ratio < 0.01"]
"""


@dataclass
class Runner:
    """A CI runner's workspace, and the service that its variables name."""

    service: ServiceProcess
    admin: dict[str, str]
    origin: str
    folder: Path
    environment: dict[str, str]

    def plan(self, *, threshold: str = "p99(latency_ms) < 5000", duration_s: float = 1) -> None:
        text = CONFIG.format(origin=self.origin, threshold=threshold, duration_s=duration_s)
        answer = self.service.http.put("/api/v1/config", content=text, headers=self.admin)
        assert answer.is_success, answer.text

    def shell(self, script: str, **more: str) -> Any:
        """Run a script as GitHub's runners do: bash -e on a file."""
        file = self.folder / "step.sh"
        file.write_text(script)
        return subprocess.run(
            ["bash", "-e", str(file)],
            cwd=self.folder,
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServiceProcess, str, dict[str, str], str]]:
    data = str(tmp_path_factory.mktemp("ci") / "data")
    keys = {
        scope: run_cli("keys", "create", "--scope", scope, "--local", "--data-dir", data).stdout.strip()
        for scope in ("run", "admin")
    }
    dial = [sys.executable, str(ROOT / "tests" / "integration" / "dial_server.py")]
    with subprocess.Popen(dial, stdout=subprocess.PIPE) as target, ServiceProcess(Path(data)) as service:
        assert target.stdout is not None
        port = json.loads(target.stdout.readline())["port"]
        yield service, keys["run"], {"Authorization": f"Bearer {keys['admin']}"}, f"http://127.0.0.1:{port}"
        target.terminate()


@pytest.fixture
def runner(served: tuple[ServiceProcess, str, dict[str, str], str], tmp_path: Path) -> Runner:
    service, key, admin, origin = served
    programs = tmp_path / "bin"
    programs.mkdir()
    command = programs / "seamark"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m seamark.cli "$@"\n')
    command.chmod(0o755)
    summary = tmp_path / "step_summary.md"
    summary.write_text("what an earlier step wrote\n")
    environment = {
        **CLEAN,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "SEAMARK_URL": service.url,
        "SEAMARK_API_KEY": key,
        "GITHUB_STEP_SUMMARY": str(summary),
        "GITHUB_ACTIONS": "true",
    }
    (tmp_path / "work").mkdir()
    made = Runner(service, admin, origin, tmp_path / "work", environment)
    made.plan()
    return made


def github_steps() -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = GITHUB["jobs"]["gate"]["steps"]
    return [step for step in steps if "run" in step and "pip install" not in step["run"] and "gh pr" not in step["run"]]


def run_github(runner: Runner) -> tuple[int, str]:
    """The job as GitHub runs it: after a failed step only those go on that always do. Returns (exit code, output)."""
    code, output = 0, ""
    for step in github_steps():
        if code and step.get("if") != "always()":
            continue
        done = runner.shell(step["run"])
        output += done.stdout + done.stderr
        code = code or done.returncode
    return code, output


def junit_counts(folder: Path) -> tuple[int, int, int]:
    root = ET.fromstring((folder / "junit.xml").read_text())
    # The comparison with earlier runs, of which there are too few, is skipped: told and never in the way.
    skipped = [case for case in root.iter("testcase") if case.find("skipped") is not None]
    assert all(case.attrib["name"].startswith("baseline: ") for case in skipped)
    tests = int(root.attrib["tests"]) - len(skipped)
    return tests, int(root.attrib["failures"]), int(root.attrib["errors"])


@pytest.mark.slow
def test_github_passes_and_fails_by_the_verdict_and_shows_it(runner: Runner) -> None:
    assert len(github_steps()) == 2
    code, output = run_github(runner)
    assert code == 0, output
    assert "passed: " in output and "::error" not in output and " done, 0 failed" in output
    assert junit_counts(runner.folder) == (3, 0, 0)
    summary = Path(runner.environment["GITHUB_STEP_SUMMARY"])
    assert summary.read_text().startswith("what an earlier step wrote\n## ✅ Load test churn-smoke: passed\n")
    assert "<svg" in (runner.folder / "report.html").read_text()

    runner.plan(threshold="p99(latency_ms) < 0.01")
    code, output = run_github(runner)
    assert code == 1, output
    (told,) = [line for line in output.splitlines() if line.startswith("::error ")]
    assert (
        told.startswith("::error title=Load test churn-smoke%3A failed::")
        and "p99(latency_ms) < 0.01: measured" in told
    )
    assert junit_counts(runner.folder) == (3, 2, 0)
    assert "❌ Load test churn-smoke: failed" in summary.read_text()


@pytest.mark.slow
def test_a_summary_that_is_named_by_the_command_itself_is_appended_too(runner: Runner) -> None:
    done = runner.shell('seamark loadtest run churn-smoke --wait --markdown "$GITHUB_STEP_SUMMARY"')
    assert done.returncode == 0, done.stderr
    assert Path(runner.environment["GITHUB_STEP_SUMMARY"]).read_text().startswith("what an earlier step wrote\n## ✅")


@pytest.mark.slow
def test_gitlab_runs_the_same_and_keeps_its_artifacts(runner: Runner) -> None:
    runner.plan(threshold="p99(latency_ms) < 0.01")
    done = runner.shell("\n".join(GITLAB["script"]))
    assert done.returncode == 1, done.stderr
    assert done.returncode not in GITLAB["allow_failure"]["exit_codes"]
    kept = [*GITLAB["artifacts"]["paths"], GITLAB["artifacts"]["reports"]["junit"]]
    assert all((runner.folder / name).stat().st_size for name in kept)
    assert junit_counts(runner.folder) == (3, 2, 0)


@pytest.mark.slow
def test_two_calls_of_curl_do_the_same(runner: Runner) -> None:
    done = runner.shell(SHELL)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"run [0-9a-f]{16}: passed\n", done.stdout)
    assert junit_counts(runner.folder) == (3, 0, 0)
    runner.plan(threshold="p99(latency_ms) < 0.01")
    assert runner.shell(SHELL).returncode == 1
    assert "failed" in (runner.folder / "summary.md").read_text()
    assert runner.shell(SHELL.replace("wait=900", "wait=0.1")).returncode == 5
    for refused in (
        runner.shell(SHELL, SEAMARK_API_KEY="wrong"),
        runner.shell(SHELL.replace("churn-smoke", "nowhere")),
    ):
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr.startswith('no run was made: {"type": "urn:seamark:') and "curl" not in refused.stderr
    silent = runner.shell(SHELL, SEAMARK_URL=f"http://127.0.0.1:{free_port()}")
    assert (silent.returncode, silent.stdout) == (5, "")


@pytest.mark.slow
def test_what_is_no_verdict_has_exit_codes_of_its_own(runner: Runner) -> None:
    run = "seamark loadtest run churn-smoke --wait"
    unknown = runner.shell("seamark loadtest run nowhere --wait")
    assert (unknown.returncode, "nowhere" in unknown.stderr) == (2, True)
    assert runner.shell(run, SEAMARK_API_KEY="wrong").returncode == 2
    unwritable = runner.shell(f"{run} --junit /nowhere/junit.xml")
    assert (unwritable.returncode, "/nowhere/junit.xml" in unwritable.stderr) == (2, True)
    silent = runner.shell(run, SEAMARK_URL=f"http://127.0.0.1:{free_port()}")
    assert (silent.returncode, "no answer" in silent.stderr) == (5, True)
    runner.plan(duration_s=3)
    late = runner.shell(f"{run} --timeout 0.5")
    assert (late.returncode, "it goes on" in late.stderr) == (5, True)


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [[signal.SIGTERM], [signal.SIGINT], [signal.SIGINT, signal.SIGTERM]])
def test_a_cancelled_job_stops_its_run_and_keeps_its_files(runner: Runner, numbers: list[signal.Signals]) -> None:
    runner.plan(duration_s=60)
    file = runner.folder / "junit.xml"
    command = [sys.executable, "-m", "seamark.cli", "loadtest", "run", "churn-smoke", "--wait", "--junit", str(file)]
    job = subprocess.Popen(command, env=runner.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert job.stderr is not None
    for line in job.stderr:
        if " done," in line:
            break
    job.send_signal(numbers[0])
    for number in numbers[1:]:  # as runners do that are in a hurry: the first was heard, the run has not ended yet
        for line in job.stderr:
            if "stopping the run" in line:
                break
        job.send_signal(number)
    out, _ = job.communicate(timeout=30)
    assert (job.returncode, out.splitlines()[0]) == (4, "aborted: stopped before its end")
    assert junit_counts(runner.folder)[0] == 3


def test_the_exit_codes_are_told() -> None:
    told = re.findall(r"^\| (\d) \| (\w+)", TEXT, re.MULTILINE)
    assert [(int(code), word) for code, word in told] == [
        (0, "passed"),
        (1, "failed"),
        (2, "the"),
        (3, "inconclusive"),
        (4, "aborted"),
        (5, "no"),
    ]
