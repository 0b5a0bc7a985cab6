"""A real service, a real target, a real Locust run, a real browser: overview, model, run, with every plot drawn."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SCREENSHOTS, Visit
from service_process import ServiceProcess

from seamark.wire.otlp import Encoding

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CONFIG = """
models:
  - name: churn
    slo: {{latency: "p95(latency_ms) < 250", availability: 0.99, over: 12h}}
    drift: {{window: 1m, rows_min: 50}}
    autoscale: {{min: 1, max: 5}}
loadtests:
  - name: churn-smoke
    model: churn
    target: {target}/predict
    payload: {{replay: 1h}}
    shape: {{constant: {{rate_rps: 40, duration_s: 6}}}}
    thresholds: ["p95(latency_ms) < 2000", "error_ratio < 0.01"]
  - name: churn-capacity
    model: churn
    target: {target}/predict
    payload: {{rows: [{{age: 40}}]}}
    shape: {{capacity: {{start_rps: 40, stop_rps: 80, step_s: 3}}}}
    thresholds: ["p95(latency_ms) < 2000", "error_ratio < 0.01"]
targets: {{allow: ["{target}"]}}
"""


class Target(http.server.BaseHTTPRequestHandler):
    """A model that answers at once."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"prediction": 1}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def target() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Target)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def send(service: ServiceProcess, rng: np.random.Generator) -> None:
    """Five minutes of requests and predictions that ended just now; `age` has moved away from the reference."""
    now_ns = time.time_ns()
    spans = []
    for index in range(9_000):
        ago_s = 300.0 * index / 9_000 if index % 3 else rng.uniform(0, 300)
        start = now_ns - int(ago_s * 1e9)
        spans.append(
            {
                "traceId": rng.bytes(16).hex(),
                "spanId": f"{index + 1:016x}",
                "name": "POST /predict",
                "kind": 2,
                "startTimeUnixNano": str(start),
                "endTimeUnixNano": str(start + int(rng.gamma(4, 5e6))),
                "status": {"code": 2} if index % 400 == 0 else {},
                "attributes": [{"key": "http.route", "value": {"stringValue": "/predict"}}],
            }
        )
    named = {"service.name": "churn", "service.version": "3", "service.instance.id": "a"}
    resource = [{"key": key, "value": {"stringValue": value}} for key, value in named.items()]
    export = {"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [{"spans": spans}]}]}
    answer = service.http.post("/v1/traces", json=export, headers={"Content-Type": Encoding.JSON.value})
    assert answer.status_code == 200, answer.text
    rows = [
        {"model": "churn", "version": "3", "features": row, "prediction": 1, "prediction_id": f"p{index}"}
        for index, row in enumerate(people(rng, 400, age=60.0))
    ]
    assert service.http.post("/api/v1/predictions", json=rows).json()["accepted"] == 400
    labels = [{"model": "churn", "prediction_id": f"p{index}", "label": index % 5 > 0} for index in range(300)]
    assert service.http.post("/api/v1/labels", json=labels).json()["accepted"] == 300


def people(rng: np.random.Generator, count: int, age: float) -> list[dict[str, Any]]:
    plans = rng.choice(["basic", "plus", "pro"], count).tolist()
    ages, spends = rng.normal(age, 10, count).tolist(), rng.gamma(2, 30, count).tolist()
    return [
        {"age": years, "spend": spend, "plan": plan} for years, spend, plan in zip(ages, spends, plans, strict=True)
    ]


def test_overview_to_model_to_run(chromium: Any, target: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    with ServiceProcess(tmp_path / "data") as service:
        service.apply(CONFIG.format(target=target))
        reference = service.http.put("/api/v1/models/churn/reference", json=people(rng, 2000, age=40.0))
        assert reference.status_code == 201, reference.text
        send(service, rng)
        service.until(lambda: (service.get("/api/v1/models/churn")["drift"] or {}).get("drifted"), "drift to be found")
        context = chromium.new_context(viewport={"width": 1440, "height": 900}, color_scheme="light")
        try:
            walk(Visit(context.new_page(), service), service)  # type: ignore[arg-type]
        finally:
            context.close()


def walk(seen: Visit, service: ServiceProcess) -> None:
    page = seen.page
    page.set_default_timeout(20_000)
    page.on("console", lambda m: seen.errors.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: seen.errors.append(str(e)))
    seen.go("/")
    page.get_by_text("not yet tested").first.wait_for()
    seen.keep("walk-overview")
    page.get_by_role("link", name="churn").first.click()
    page.wait_for_url("**/models/churn")
    seen.plots(2)
    found = {
        row.locator("th").inner_text().split()[0]: " ".join(row.locator("td").first.inner_text().split())
        for row in page.locator("table.drift tbody tr").all()
    }
    assert found == {"age": "drifted", "plan": "no drift", "spend": "no drift"}
    seen.keep("walk-model")
    page.get_by_role("link", name="Load tests").first.click()
    page.get_by_role("button", name="Run churn-smoke now").click()
    page.wait_for_url("**/runs/*")
    run_id = page.url.rsplit("/", 1)[1]
    page.get_by_text("running", exact=False).first.wait_for()
    seen.plots(1)
    seen.keep("walk-run-live")
    service.until(lambda: service.get(f"/api/v1/runs/{run_id}")["ended_at"], "the run to end", 60.0)
    run = service.get(f"/api/v1/runs/{run_id}")
    assert run["requests"] > 150, json.dumps(run)
    assert run["errors"] == 0
    seen.go(f"/runs/{run_id}")
    page.get_by_text(run["status"], exact=False).first.wait_for()
    seen.plots(3)
    seen.keep("walk-run")
    junit = service.http.get(f"/api/v1/runs/{run_id}/junit.xml").text
    assert "p95(latency_ms) &lt; 2000" in junit
    assert "churn-smoke" in service.http.get(f"/api/v1/runs/{run_id}/report.md").text
    seen.go(f"/api/v1/runs/{run_id}/report.html")
    assert page.locator("figure svg[role=img] path.line").count() >= 3
    seen.keep("walk-report")
    capacity = service.http.post("/api/v1/loadtests/churn-capacity/runs", params={"wait": 90}, timeout=100.0).json()
    if capacity["status"] == "passed":  # a busy machine may not be able to say
        assert capacity["capacity"]["rps"] == 80.0
        known = lambda: service.get("/api/v1/models/churn")["recommendation"]["capacity_rps"]
        service.until(known, "advice from the measured capacity")
    else:
        assert capacity["status"] == "inconclusive", capacity
    send(service, np.random.default_rng(8))
    fresh = lambda: service.get("/api/v1/models/churn")["recommendation"]["arrivals_rps"] > 15
    service.until(fresh, "advice from the new traffic")
    seen.go("/")
    page.get_by_text("req/s").first.wait_for()
    page.set_viewport_size({"width": 1280, "height": 420})
    seen.keep("walk-overview-tested")  # the README's picture is a copy of this one
    assert seen.errors == []
    assert SCREENSHOTS.joinpath("walk-report.png").stat().st_size > 10_000
