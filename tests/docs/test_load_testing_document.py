"""The walk of docs/load-testing.md, typed as it stands there: from a model's URL to a capacity test that is due."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from service_process import CLEAN, ROOT, ServiceProcess

from seamark.app import known_names
from seamark.runner.order import Progress
from seamark.wire.config import parse_config

TEXT = (ROOT / "docs" / "load-testing.md").read_text()
FIRST, SECOND, *_ = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
TRY, LOOK, *_ = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_both_files_of_the_walk_are_good() -> None:
    (smoke,) = parse_config(FIRST, known_names()).loadtests
    plans = parse_config(FIRST + SECOND, known_names()).loadtests
    assert [plan.name for plan in plans] == [smoke.name, "churn-nightly"] == ["churn-smoke", "churn-nightly"]
    assert (plans[1].schedule, plans[1].timezone, plans[1].retries) == ("30 2 * * *", "Europe/Berlin", 1)


def test_every_field_of_a_line_of_progress_is_told() -> None:
    (table,) = re.findall(r"^\| `progress` \|.*?(?:\n\n|\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"`(\w+)`", table)) == {"progress", *Progress.__dataclass_fields__}


@pytest.mark.slow
def test_the_walk_works_as_it_is_typed(tmp_path: Path) -> None:
    command = tmp_path / "seamark"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m seamark.cli "$@"\n')
    command.chmod(0o755)
    dial = [sys.executable, str(ROOT / "tests" / "integration" / "dial_server.py")]
    with subprocess.Popen(dial, stdout=subprocess.PIPE) as target, ServiceProcess(tmp_path / "data") as service:
        assert target.stdout is not None
        origin = f"http://127.0.0.1:{json.loads(target.stdout.readline())['port']}"
        environment = {**CLEAN, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SEAMARK_URL": service.url}

        def write(text: str) -> None:
            # Only what differs here: where the model is, how fast this machine answers, and how long a test takes.
            text = text.replace("http://127.0.0.1:8080", origin).replace(
                "p99(latency_ms) < 300", "p99(latency_ms) < 5000"
            )
            (tmp_path / "seamark.yaml").write_text(text.replace("duration_s: 30", "duration_s: 1"))

        def typed(script: str) -> str:
            done = subprocess.run(
                ["bash", "-e", "-c", script],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        write(FIRST)
        told = typed(TRY)
        assert (
            "is good: 1 model, 1 load test, 0 channels" in told
            and "+ load test churn-smoke" in told
            and "\npassed: " in told
        )
        assert "<svg" in (tmp_path / "report.html").read_text()
        write(FIRST + SECOND)
        assert "+ load test churn-nightly" in typed("seamark apply -f seamark.yaml")
        service.until(lambda: service.get("/api/v1/loadtests/churn-nightly")["missed"], "the schedule to be looked at")
        plan, runs = json.JSONDecoder().raw_decode(out := typed(LOOK))
        assert plan["missed"] == {"count": 0, "last_at": None, "why": None}
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT0[01]:30:00.*", plan["next_run_at"])
        assert json.loads(out[runs:]) == []
        target.terminate()
