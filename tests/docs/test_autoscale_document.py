"""The walk of docs/autoscale.md, typed as it stands there: from a model that serves HTTP to a ScaledObject."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from service_process import CLEAN, ROOT, ServiceProcess, free_port

from seamark.app import known_names
from seamark.wire.config import parse_config

TEXT = (ROOT / "docs" / "autoscale.md").read_text()
WALK = TEXT[TEXT.index("## From zero to a ScaledObject") : TEXT.index("## How the count is made")]
CONFIG, ENVIRONMENT = re.findall(r"^```yaml\n(.*?)^```", WALK, re.MULTILINE | re.DOTALL)
APPLY, SEEN, TEST, ADVICE, BACKTEST, MANIFEST = re.findall(r"^```sh\n(.*?)^```", WALK, re.MULTILINE | re.DOTALL)
SEDS = re.findall(r"sed '([^']+)'", TEXT)

# A model server as people have them: its telemetry goes where the environment says.
MODEL = """
import asyncio, sys, uvicorn
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=200))
trace.set_tracer_provider(provider)
app = FastAPI()


@app.post("/predict")
async def predict(row: dict):
    await asyncio.sleep(0.002)
    return {"prediction": row["age"] > 30}


FastAPIInstrumentor.instrument_app(app)
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
"""


def test_the_file_of_the_walk_is_good() -> None:
    config = parse_config(CONFIG, known_names())
    [model], [plan] = config.models, config.loadtests
    assert model.autoscale is not None and (model.autoscale.min, model.autoscale.max) == (2, 20)
    assert plan.model == model.name == "churn"


def test_the_walk_names_what_the_manifest_has() -> None:
    for words in ("autoscaling.keda.sh/paused=true", "keda-hpa-churn", "--dry-run=server", "four failed polls"):
        assert words in WALK
    scaler = (ROOT / "service/seamark/delivery/scalers/scaler.py").read_text()
    assert set(SEDS) == set(re.findall(r"sed '([^']+)'", scaler))


@contextmanager
def serving(origin: str, environment: dict[str, str], folder: Path) -> Iterator[None]:
    """The model server, and live traffic to it."""
    stopping = threading.Event()
    command = [sys.executable, "-c", MODEL, origin.rpartition(":")[2]]
    with subprocess.Popen(command, env={**CLEAN, **environment}, cwd=folder) as process:

        def send() -> None:
            with httpx.Client(trust_env=False, timeout=10.0) as http:
                while not stopping.wait(0.1):
                    try:
                        http.post(f"{origin}/predict", json={"age": 41, "plan": "pro"})
                    except httpx.TransportError:
                        time.sleep(0.1)  # it starts, or ends

        sending = threading.Thread(target=send)
        sending.start()
        try:
            yield
        finally:
            stopping.set()
            sending.join(20)
            process.terminate()


def set_for(url: str) -> dict[str, str]:
    """The environment that the Deployment of the walk gives a pod."""
    given = {one["name"]: one for one in yaml.safe_load(ENVIRONMENT)["env"]}
    assert given.pop("POD_NAME")["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    return {
        name: one["value"].replace("$(POD_NAME)", "churn-7d4f-x2x9").replace("http://127.0.0.1:8000", url)
        for name, one in given.items()
    }


@pytest.mark.slow
def test_the_walk_works_as_it_is_typed(tmp_path: Path) -> None:
    command = tmp_path / "seamark"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m seamark.cli "$@"\n')
    command.chmod(0o755)
    with ServiceProcess(tmp_path / "data") as service:
        environment = {**CLEAN, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SEAMARK_URL": service.url}
        origin = f"http://127.0.0.1:{free_port()}"

        def typed(script: str, code: int = 0) -> str:
            run: dict[str, Any] = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
            done = subprocess.run(["bash", "-e", "-c", script], timeout=60, check=False, **run)
            assert done.returncode == code, done.stdout + done.stderr
            return done.stdout

        # Only what differs here: where the model is, how fast this machine answers, and how long a search takes.
        config = CONFIG.replace("http://127.0.0.1:8080", origin).replace("< 300", "< 5000")
        config = config.replace("stop_rps: 2000, step_s: 20", "stop_rps: 20, step_s: 1.5")
        (tmp_path / "seamark.yaml").write_text(config)
        assert "+ model churn" in typed(APPLY)
        advice = "/api/v1/models/churn/recommendation"
        service.until(lambda: service.http.get(advice).is_success, "the first advice")
        assert "Hold: " in typed(ADVICE, code=3)
        with serving(origin, set_for(service.url), tmp_path):
            service.until(lambda: service.http.get("/api/v1/models/churn").json().get("live_rps"), "live traffic")
            assert '"live"' in typed(SEEN)
            assert typed(TEST).startswith("passed: one replica carries")
            assert "<svg" in (tmp_path / "capacity.html").read_text()

            def advised() -> bool:
                return bool(service.get(advice)["state"] == "ok")

            service.until(advised, "advice of the capacity")
            told = typed(ADVICE).splitlines()
            assert told[:2] == ["state           ok", "replicas        2"]
            assert [line for line in told if line.startswith("2 replicas")]
            assert service.get(advice)["current"] == 1  # counted by instance ids
            page = service.http.get("/models/churn")
            assert page.is_success and "replica" in page.text
            typed(MANIFEST)
        document = yaml.safe_load((tmp_path / "churn-scaledobject.yaml").read_text())
        assert (document["kind"], document["metadata"]["name"]) == ("ScaledObject", "churn")
        (tmp_path / "traffic.csv").write_text(trace())
        assert "seamark" in (played := typed(BACKTEST)) and "hpa" in played and "oracle" in played


def trace() -> str:
    """A day of a quiet wave, in steps of ten minutes."""
    rates = [60 + 40 * (abs(step - 72) / 72) for step in range(144)]
    return "t_s,rate_per_s\n" + "".join(f"{step * 600},{rate:.2f}\n" for step, rate in enumerate(rates))
