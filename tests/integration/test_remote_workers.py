"""Workers that join over the network, each with its own folder and no order, make one run of a real service."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import kubernetes_validate
import pytest
import yaml
from tests.integration.test_locust_run import Dial, dial
from tests.service_process import ServiceProcess, free_port

from seamark.runner import remote_worker

__all__ = ["dial"]  # the fixture
pytestmark = [pytest.mark.slow, pytest.mark.serial]


def test_two_workers_join_a_run_and_strangers_get_nothing(dial: Callable[[], Dial], tmp_path: Path) -> None:
    server, port = dial(), free_port()
    plan = {
        "model": "m",
        "target": f"{server.origin}/predict",
        "payload": {"rows": [{"x": 1}, {"x": 2}]},
        "shape": {"constant": {"rate_rps": 40, "duration_s": 3, "arrivals": "uniform"}},
        "remote_workers": 2,
    }
    config = f"models: [{{name: m}}]\ntargets: {{allow: ['{server.origin}']}}\n"
    with ServiceProcess(tmp_path / "data", environment={"SEAMARK_LOADTEST_BIND": f"127.0.0.1:{port}"}) as service:
        with httpx.Client(base_url=service.url, timeout=90, trust_env=False) as http:
            http.put("/api/v1/config", content=config).raise_for_status()
            http.put("/api/v1/loadtests/shared", json=plan).raise_for_status()
            assert http.get("/api/v1/loadtests/shared/join").status_code == 404
            job = yaml.safe_load(http.get("/api/v1/loadtests/shared/workers.yaml").text)
            kubernetes_validate.validate(job, "1.33", strict=True)
            assert (job["spec"]["parallelism"], job["spec"]["template"]["spec"]["containers"][0]["args"][:3]) == (
                2,
                ["loadtest", "join", "shared"],
            )
            workers = [joining(service.url, tmp_path / f"worker{n}") for n in range(2)]
            run = http.post("/api/v1/loadtests/shared/runs", params={"wait": 80}).json()
            codes = [worker.wait(timeout=20) for worker in workers]
        assert run["status"] == "passed", run["reason"]
        assert run["requests"] == 120 == server.set()["requests"]
        assert set(server.set()["bodies"]) == {'{"x":1}', '{"x":2}'}
        assert codes == [0, 0]
        assert httpx.get(f"{service.url}/api/v1/loadtests/shared/join", trust_env=False).status_code == 404


def test_a_worker_whose_master_is_gone_before_it_let_it_go_ends(tmp_path: Path) -> None:
    script = Path(__file__).with_name("vanishing_master.py")
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as master:
        assert master.stdout is not None
        port = int(master.stdout.readline())
        began_s = time.monotonic()
        assert remote_worker.join("127.0.0.1", port, "token") == 0
        assert master.wait(timeout=5) == 0
    # Locust by itself would wait a minute for the next heartbeat.
    assert time.monotonic() - began_s < 40


def joining(url: str, folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir()
    paths = os.pathsep.join(str(Path(path).resolve()) for path in sys.path if path)
    command = [sys.executable, "-m", "seamark.cli", "loadtest", "join", "shared", "--wait", "60", "--url", url]
    return subprocess.Popen(command, cwd=folder, env={**os.environ, "PYTHONPATH": paths})
