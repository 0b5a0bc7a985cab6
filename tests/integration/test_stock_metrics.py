"""Metrics of the stock Python SDK, through a real service: stored, listed, read per step, and read by the advice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from service_process import CLEAN, ServiceProcess

pytestmark = pytest.mark.slow

STOCK_SDK = """
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View

reader = PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=3_600_000)
fine = View(instrument_name="fine", aggregation=ExponentialBucketHistogramAggregation())
provider = MeterProvider([reader], views=[fine])
meter = provider.get_meter("stock")
meter.create_observable_gauge("available", [lambda _: [Observation(3, {"k8s.deployment.name": "churn"})]])
answers, queue = meter.create_counter("answers"), meter.create_up_down_counter("queue", unit="{request}")
for instrument in (meter.create_histogram("took", unit="s"), meter.create_histogram("fine", unit="s")):
    for index in range(100):
        instrument.record(index / 10)
answers.add(5, {"route": "/a"})
queue.add(7)
provider.force_flush()
answers.add(5, {"route": "/a"})
provider.shutdown()
"""

CONFIG = """
models:
  - name: churn
    autoscale:
      max: 20
      replicas: {metric: available, where: {k8s.deployment.name: churn}}
      queue_length: {metric: queue, where: {service.name: collector}}
      utilisation: {metric: none, limit: 0.8}
"""


def test_what_the_stock_sdk_measures_is_stored_and_read(tmp_path: Path) -> None:
    with ServiceProcess(tmp_path / "data") as service:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": service.url, "OTEL_SERVICE_NAME": "collector"}
        subprocess.run([sys.executable, "-c", STOCK_SDK], env={**CLEAN, **settings}, check=True, timeout=60)
        names = service.get("/api/v1/models/collector/metrics")
        assert {(one["name"], one["unit"], one["kind"], one["temporality"]) for one in names} >= {
            ("answers", "", "sum", "cumulative"),
            ("available", "", "gauge", None),
            ("fine", "s", "exponential_histogram", "cumulative"),
            ("queue", "{request}", "sum", "cumulative"),
            ("took", "s", "histogram", "cumulative"),
        }

        def steps(name: str) -> list[dict]:
            return service.get(f"/api/v1/models/collector/metrics/{name}")["steps"]

        assert sum(step["count"] for step in steps("answers")) == 10
        assert steps("queue")[-1]["last"] == 7
        for name in ("took", "fine"):
            assert sum(step["count"] for step in steps(name)) == 100
            assert steps(name)[0]["p50"] == pytest.approx(5.0, rel=0.05)

        service.apply(CONFIG)
        advice = service.until(lambda: _advice(service), "a recommendation", 60.0)
        assert (advice["state"], advice["current"], advice["replicas"]) == ("hold", 3, 3)
        found = {one["name"]: (one["state"], one["value"]) for one in advice["inputs"]}
        named = {name: found[name] for name in ("replicas", "queue_length", "utilisation")}
        assert named == {"replicas": ("fresh", 3), "queue_length": ("fresh", 7), "utilisation": ("unknown", None)}


def _advice(service: ServiceProcess) -> dict | None:
    answer = service.http.get("/api/v1/models/churn/recommendation")
    return answer.json() if answer.status_code == 200 else None
