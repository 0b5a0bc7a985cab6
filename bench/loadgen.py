"""The load generator against one server: how fast, how punctual, how random, and what it makes of a freeze.

Beside Locust's own FastHttpUser, the same server, in the same rounds, in turns.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import stats

from bench.report import Goal, Result
from seamark.core.specs import LoadTestPlan, PayloadSpec, ShapeSpec
from seamark.runner import locust
from seamark.runner.order import LoadOrder

HERE = Path(__file__).parent
RATES = (1000.0, 2000.0, 3000.0, 4000.0, 6000.0)
SAME_RATE = 2000.0
USERS = 20
FREEZE_RATE, FREEZE_S, FREEZE_AFTER_S, FREEZE_RUN_S = 200.0, 2.0, 6.0, 20.0
POISSON_RATES = (100.0, 300.0)  # one thread sends no two requests within a tenth of a millisecond
LATE_MS = 5.0


def run(*, quick: bool) -> Result:
    """Take turns, so that what else the machine does disturbs all alike."""
    rounds, duration_s = (1, 3.0) if quick else (3, 10.0)
    ours: dict[float, list[dict[str, float]]] = {rate: [] for rate in RATES}
    stock: dict[str, list[dict[str, float]]] = {"flat out": [], "same rate": []}
    for _ in range(rounds):
        stock["flat out"].append(_stock(USERS, 0.0, duration_s))
        for rate in RATES:
            ours[rate].append(_speed(_seamark({"rate_rps": rate, "duration_s": duration_s}), duration_s))
        stock["same rate"].append(_stock(200, SAME_RATE / 200, duration_s))
    rows = [{"tool": f"Seamark, Poisson {rate:g}/s", **_median(ours[rate])} for rate in RATES]
    rows += [
        {"tool": f"FastHttpUser, {USERS} users flat out", **_median(stock["flat out"])},
        {"tool": f"FastHttpUser, 200 users x {SAME_RATE / 200:g}/s", **_median(stock["same rate"])},
    ]
    freeze, ratio = _freeze()
    arrivals = [_arrivals(rate, 5.0 if quick else 30.0) for rate in POISSON_RATES]
    return Result(
        "Load generation: speed, punctuality and an honest freeze",
        rows,
        [
            f"Medians of {rounds} rounds of {duration_s:g} s; generator and server have a core each.",
            "Lateness is from the instant a request was due to the instant it was sent.",
            "The freeze's first row is arithmetic: one server, first come first served, the run's own service time.",
        ],
        {"rates": RATES, "rounds": rounds, "duration_s": duration_s, "freeze_s": FREEZE_S},
        more={
            f"A server that freezes for {FREEZE_S:g} s in {FREEZE_RUN_S:g} s at {FREEZE_RATE:g} requests/s": freeze,
            "Are Poisson arrivals Poisson where they are sent?": arrivals,
        },
        goals=_goals(rows, ratio, arrivals[0]["p_value"]),
    )


def _goals(rows: list[dict[str, Any]], freeze_ratio: float, p_value: float) -> list[Goal]:
    punctual = [r for r in rows if r.get("lateness_p50_ms") is not None and r["lateness_p50_ms"] < LATE_MS]
    fastest = max((r["rate_rps"] for r in punctual if r["sent_share"] > 0.999), default=0.0)
    by_tool = {row["tool"]: row["cpu_us"] for row in rows}
    ours = by_tool[f"Seamark, Poisson {SAME_RATE:g}/s"]
    flat_out, same_rate = by_tool[rows[-2]["tool"]], by_tool[rows[-1]["tool"]]
    return [
        Goal(
            "open-loop requests/s on one core, median lateness under 5 ms", 3000.0, fastest, "highest rate tried", True
        ),
        Goal(
            f"CPU per request at {SAME_RATE:g}/s over FastHttpUser's flat out", 1.3, ours / flat_out, "median of rounds"
        ),
        Goal(f"the same over FastHttpUser's at {SAME_RATE:g}/s", 1.3, ours / same_rate, "median of rounds"),
        Goal("p99 through a freeze, away from the computed one (share)", 0.05, abs(freeze_ratio - 1), "one run"),
        Goal("KS test of the gaps between sends, p-value", 0.01, p_value, f"{POISSON_RATES[0]:g}/s, exponential", True),
    ]


def _median(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


@contextmanager
def _server(*freeze: float) -> Iterator[str]:
    command = [sys.executable, "-m", "bench.quick_server", *map(str, freeze)]
    process = subprocess.Popen(command, cwd=HERE.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.communicate()


def _seamark(params: Mapping[str, Any], *freeze: float) -> tuple[pa.Table, float]:
    """Return a run's samples and the generator's share of a core."""
    with _server(*freeze) as url, tempfile.TemporaryDirectory() as folder:
        plan = LoadTestPlan(
            name="bench",
            model="bench",
            target=f"{url}/predict",
            payload=PayloadSpec("rows", rows=({"x": 1.0},)),
            shape=ShapeSpec("constant", params),
        )
        order = LoadOrder("0" * 16, plan, [{"x": 1.0}], (url,), seed=int.from_bytes(os.urandom(3)))
        outcome = locust.run(order, work_dir=Path(folder), on_progress=lambda _: None, should_stop=lambda: False)
    if outcome.error or outcome.unreachable or outcome.generator_cpu_ratio is None:
        raise RuntimeError(outcome.error or outcome.unreachable)
    if outcome.samples["http_status"].null_count > 0.05 * outcome.samples.num_rows:
        raise RuntimeError("more than a twentieth of the requests got no answer")
    return outcome.samples, outcome.generator_cpu_ratio


def _speed(run: tuple[pa.Table, float], duration_s: float) -> dict[str, float]:
    samples, cpu_ratio = run
    lateness_ms = (samples["sent_s"].to_numpy() - samples["due_s"].to_numpy()) * 1e3
    sent = lateness_ms[~np.isnan(lateness_ms)]
    p50, p99 = np.quantile(sent, [0.5, 0.99])
    return {
        "rate_rps": samples.num_rows / duration_s,
        "sent_share": len(sent) / samples.num_rows,
        "cpu_us": cpu_ratio * duration_s / samples.num_rows * 1e6,
        "lateness_p50_ms": float(p50),
        "lateness_p99_ms": float(p99),
    }


def _stock(users: int, rate: float, duration_s: float) -> dict[str, float]:
    with _server() as url:
        told = _stock_told(url, users, rate, duration_s)
    return {"rate_rps": told["requests"] / duration_s, "cpu_us": told["cpu_s"] / told["requests"] * 1e6}


def _stock_told(url: str, users: int, rate: float, duration_s: float) -> dict[str, float]:
    options = ["--headless", "-u", str(users), "-r", str(users), "-t", f"{duration_s:g}s", "--host", url]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "locust", "-f", str(HERE / "stock_locustfile.py"), *options, "--only-summary"],
            cwd=folder,
            env={**environment, "USERS_RATE": str(rate)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=duration_s + 60,
        )
        return dict(json.loads(Path(folder, "told.json").read_text()))


def _freeze() -> tuple[list[dict[str, Any]], float]:
    """Return the rows of the freeze, and our p99 over the computed one."""
    freeze = (FREEZE_AFTER_S, FREEZE_S)
    samples, _ = _seamark({"rate_rps": FREEZE_RATE, "duration_s": FREEZE_RUN_S, "arrivals": "uniform"}, *freeze)
    with _server(*freeze) as url:
        told = _stock_told(url, 10, FREEZE_RATE / 10, FREEZE_RUN_S)
    due, from_send = samples["latency_ms"].to_numpy(), samples["service_latency_ms"].to_numpy()
    computed = _computed(float(np.nanmedian(from_send)))
    rows = [
        {"what": "computed", "requests": len(computed), **_quantiles(computed)},
        {"what": "Seamark, from the instant due", "requests": len(due), **_quantiles(due)},
        {"what": "the same run, from the instant sent", "requests": len(due), **_quantiles(from_send)},
        {
            "what": "Locust, 10 users x constant_throughput(20)",
            "requests": int(told["requests"]),
            **{name: told[name] for name in ("p50_ms", "p95_ms", "p99_ms", "max_ms")},
        },
    ]
    return rows, rows[1]["p99_ms"] / rows[0]["p99_ms"]


def _computed(service_ms: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """One server, first come first served, that does nothing from the freeze's begin to its end."""
    due_ms = np.arange(0.0, FREEZE_RUN_S, 1 / FREEZE_RATE) * 1e3
    begin_ms, end_ms = FREEZE_AFTER_S * 1e3, (FREEZE_AFTER_S + FREEZE_S) * 1e3
    free_ms, latency = 0.0, []
    for at_ms in due_ms:
        start_ms = max(at_ms, free_ms)
        if begin_ms <= start_ms < end_ms:
            start_ms = end_ms
        free_ms = start_ms + service_ms
        latency.append(free_ms - at_ms)
    return np.array(latency)


def _quantiles(values_ms: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
    p50, p95, p99 = np.nanquantile(values_ms, [0.5, 0.95, 0.99])
    return {"p50_ms": float(p50), "p95_ms": float(p95), "p99_ms": float(p99), "max_ms": float(np.nanmax(values_ms))}


def _arrivals(rate_rps: float, duration_s: float) -> dict[str, float]:
    samples, _ = _seamark({"rate_rps": rate_rps, "duration_s": duration_s})
    gaps_s = np.diff(np.sort(samples["sent_s"].to_numpy()))
    found = stats.kstest(gaps_s, "expon", args=(0, 1 / rate_rps))
    return {
        "rate_rps": rate_rps,
        "gaps": len(gaps_s),
        "cv_of_gaps": float(gaps_s.std() / gaps_s.mean()),
        "ks_distance": float(found.statistic),
        "p_value": float(found.pvalue),
    }
