"""A server that freezes once for two seconds -> what stock Locust reports of it, and what Seamark's open loop does."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench.report import Result
from seamark.core.specs import LoadTestPlan, PayloadSpec, ShapeSpec
from seamark.runner import locust
from seamark.runner.order import LoadOrder

RATE_RPS = 100.0
USERS = 10
FREEZE_S = 2.0
HERE = Path(__file__).parent


def run(*, quick: bool) -> Result:
    """Run both tools for the same time at the same rate, each against a server of its own."""
    duration_s = 6.0 if quick else 30.0
    freeze_after_s = duration_s / 3
    with _server(freeze_after_s) as url:
        stock = _stock(url, duration_s)
    with _server(freeze_after_s) as url:
        ours = _seamark(url, duration_s)
    rows = [
        {"tool": "an arrival each 10 ms, computed", **_computed(duration_s, freeze_after_s)},
        {"tool": f"Locust, {USERS} users x constant_throughput({RATE_RPS / USERS:g})", **stock},
        {"tool": "Seamark, constant 100/s (from the instant due)", **ours["latency_ms"]},
        {"tool": "the same run, from the instant sent", **ours["service_latency_ms"]},
    ]
    return Result(
        f"Load test: a server that freezes once for {FREEZE_S:g} s in {duration_s:g} s at {RATE_RPS:g} requests/s",
        rows,
        [
            "The first row is arithmetic: a request due while the server is frozen waits for the freeze's end.",
            (
                "Closed-loop users stop sending while they wait, so that most of the requests that would have met the "
                "freeze are never sent, and never counted."
            ),
        ],
        {"rate_rps": RATE_RPS, "duration_s": duration_s, "freeze_s": FREEZE_S, "users": USERS},
    )


@contextmanager
def _server(freeze_after_s: float) -> Iterator[str]:
    command = [sys.executable, "-m", "bench.freezing_server", str(freeze_after_s), str(FREEZE_S)]
    process = subprocess.Popen(command, cwd=HERE.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.communicate()


def _stock(url: str, duration_s: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        options = [
            "--headless",
            "--users",
            str(USERS),
            "--spawn-rate",
            str(USERS),
            "--only-summary",
            "--loglevel",
            "ERROR",
        ]
        run_time = ["--run-time", f"{duration_s:g}s", "--stop-timeout", "5", "--csv", f"{folder}/stock", "--host", url]
        subprocess.run(
            [sys.executable, "-m", "locust", "-f", str(HERE / "stock_locustfile.py"), *options, *run_time],
            cwd=folder,
            env={name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=duration_s + 60,
        )
        with Path(folder, "stock_stats.csv").open(newline="") as file:
            total = next(row for row in csv.DictReader(file) if row["Name"] == "Aggregated")
    return {
        "requests": int(total["Request Count"]),
        "failed": int(total["Failure Count"]),
        "p50_ms": float(total["50%"]),
        "p95_ms": float(total["95%"]),
        "p99_ms": float(total["99%"]),
        "max_ms": float(total["Max Response Time"]),
    }


def _seamark(url: str, duration_s: float) -> dict[str, dict[str, Any]]:
    params = {"rate_rps": RATE_RPS, "duration_s": duration_s, "arrivals": "uniform"}
    plan = LoadTestPlan(
        name="bench",
        model="bench",
        target=f"{url}/predict",
        payload=PayloadSpec("rows", rows=({"x": 1.0},)),
        shape=ShapeSpec("constant", params),
    )
    order = LoadOrder("bench", plan, [{"x": 1.0}], (url,), seed=1)
    with tempfile.TemporaryDirectory() as folder:
        outcome = locust.run(order, work_dir=Path(folder), on_progress=lambda _: None, should_stop=lambda: False)
    if outcome.error or outcome.unreachable:
        raise RuntimeError(outcome.error or outcome.unreachable)
    samples = outcome.samples
    failed = int(np.sum(~np.array(samples["ok"].to_pylist(), dtype=bool)))
    return {
        name: {"requests": samples.num_rows, "failed": failed, **_quantiles(samples[name].drop_null().to_numpy())}
        for name in ("latency_ms", "service_latency_ms")
    }


def _computed(duration_s: float, freeze_after_s: float) -> dict[str, Any]:
    due_s = np.arange(0.0, duration_s, 1.0 / RATE_RPS)
    frozen = (due_s >= freeze_after_s) & (due_s < freeze_after_s + FREEZE_S)
    waited_ms = np.where(frozen, (freeze_after_s + FREEZE_S - due_s) * 1e3, 0.0)
    return {"requests": len(due_s), "failed": 0, **_quantiles(waited_ms)}


def _quantiles(values_ms: Any) -> Mapping[str, float | None]:
    if not len(values_ms):
        return dict.fromkeys(("p50_ms", "p95_ms", "p99_ms", "max_ms"))
    p50, p95, p99 = np.quantile(values_ms, [0.5, 0.95, 0.99])
    return {"p50_ms": float(p50), "p95_ms": float(p95), "p99_ms": float(p99), "max_ms": float(np.max(values_ms))}
