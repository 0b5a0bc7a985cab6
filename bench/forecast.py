"""Held-out traffic -> coverage and pinball loss of our forecasts per CPU second, beside statsforecast's and naive ones.

Two questions. Fine: the arrivals 60 to 210 s ahead in steps of 15 s, by which advice decides. Coarse: those of the next
hours in hourly steps, which people look at. For that one statsforecast is installed into an environment of its own.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.autoscale import MADE, made
from bench.peers import install
from bench.report import Goal, Result
from seamark.compute.backtest.ticks import tick_rates
from seamark.compute.forecast import forecast
from seamark.compute.outlook import outlook
from seamark.core.advice import ArrivalHistory, Forecast
from seamark.core.backtest import Instants
from seamark.wire.trace_file import read_trace_file

FloatArray = npt.NDArray[np.float64]

RANKS = (0.1, 0.5, 0.9, 0.99)
TICK_S = 15.0
FINE_TICKS = 480  # two hours
HORIZONS_S = (60.0, 90.0, 210.0)
HOURS = (1, 6, 24)
TRAINED_HOURS = 35 * 24
STATSFORECAST = "statsforecast==2.1.1"
END = datetime(2026, 3, 2, tzinfo=UTC)
WITHIN = 0.02  # of the stated quantiles


def run(*, quick: bool, traces: Sequence[Path] | None, data: Path | None) -> Result:
    """Forecast made traffic and the traces in fine steps, made traffic and the bicycles in hours."""
    days = 3 if quick else 14
    fine = {name: tick_rates(made(*make, days=days), TICK_S, 1) for name, make in MADE.items()}
    for path in traces or ():
        trace = read_trace_file(path.read_bytes())
        if not isinstance(trace, Instants):
            fine[path.stem] = tick_rates(trace, TICK_S, 1)
    rows, goals = [], []
    for name, rates in fine.items():
        for horizon_s in HORIZONS_S[1:2] if quick else HORIZONS_S:
            ours = _fine(rates, horizon_s, stride=97 if quick else 23)
            rows += [_row(name, f"{horizon_s:.0f} s", *one) for one in ours]
            goals.append(_goal(name, f"{horizon_s:.0f} s", ours[0][2], ours[0][1]))
    coarse = {"made, hourly": _hourly(made(*MADE["rough"], days=120).rates)}
    if data is not None:
        coarse["bicycles"] = _bicycles(data)
    hourly: list[dict[str, Any]] = []
    for name, rates in coarse.items():
        origins = np.linspace(len(rates) // 2, len(rates) - 25, 8 if quick else 60).astype(np.int64)
        hourly += _coarse(name, rates, origins, quick=quick)
    more = {"The next hours, from 35 days of hourly arrivals": hourly}
    title = "Forecast: what quantiles cover, and what they cost"
    return Result(title, rows, _NOTES, {"days": days, "origins": 8 if quick else 60}, more, goals)


_NOTES = (
    "covered: the share of held-out steps at or below the stated 10, 50, 90 and 99 % quantile.",
    "pinball loss: mean over the four quantiles by the mean rate, in per cent; less is better.",
    "CPU ms: of one forecast, fit included; the peer's after a first fit, so that nothing is compiled in it.",
    "naive: the last step and the empirical quantiles of what it missed by in the same window.",
)


def _fine(rates: FloatArray, horizon_s: float, *, stride: int) -> list[tuple[str, FloatArray, FloatArray, float]]:
    """Return (method, truth, quantiles of each origin, CPU seconds of one) of ours and of the last value."""
    steps = int(np.ceil(horizon_s / TICK_S))
    coarse = rates[: len(rates) // 40 * 40].reshape(-1, 40).mean(axis=1)
    origins = range(2 * FINE_TICKS, len(rates) - steps, stride)
    truth = np.array([rates[now + steps - 1] for now in origins])

    def ours(now: int) -> Forecast:
        kept = now // 40
        history = ArrivalHistory(END + timedelta(seconds=600 * kept), 600.0, coarse[:kept])
        return forecast(
            rates[now - FINE_TICKS : now], TICK_S, horizon_s, END + timedelta(seconds=TICK_S * now), history
        )

    def naive(now: int) -> Forecast:
        seen = rates[now - FINE_TICKS : now]
        found = seen[-1] + np.quantile(seen[steps:] - seen[:-steps], RANKS)
        return Forecast(END, horizon_s, "ok", "naive", *(max(float(one), 0.0) for one in found))

    out = []
    for name, method in (("Seamark", ours), ("naive", naive)):
        began_s = process_time()
        made_of = [_four(method(now)) for now in origins]
        out.append((name, truth, np.array(made_of), (process_time() - began_s) / len(made_of)))
    return out


def _coarse(name: str, rates: FloatArray, origins: Sequence[int], *, quick: bool) -> list[dict[str, Any]]:
    truth = np.array([[rates[now + ahead - 1] for ahead in HOURS] for now in origins])
    seen = [rates[max(now - TRAINED_HOURS, 0) : now] for now in origins]
    found: dict[str, tuple[FloatArray, float]] = {}
    began_s = process_time()
    ours = [outlook(ArrivalHistory(END, 3600.0, one), max(HOURS)) for one in seen]
    cpu_s = (process_time() - began_s) / len(ours)
    found["Seamark"] = np.array([[_four(one[ahead - 1]) for ahead in HOURS] for one in ours]), cpu_s
    began_s = process_time()
    found["seasonal naive"] = np.array([_seasonal_naive(one) for one in seen]), (process_time() - began_s) / len(seen)
    found |= _statsforecast(seen, quick=quick)
    return [
        _row(name, f"{ahead} h", method, truth[:, place], quantiles[:, place], cpu_s)
        for place, ahead in enumerate(HOURS)
        for method, (quantiles, cpu_s) in found.items()
    ]


def _seasonal_naive(seen: FloatArray) -> list[list[float]]:
    week = 7 * 24
    misses = np.quantile(seen[week:] - seen[:-week], RANKS)
    return [[max(float(seen[len(seen) + ahead - 1 - week] + one), 0.0) for one in misses] for ahead in HOURS]


def _statsforecast(seen: Sequence[FloatArray], *, quick: bool) -> Mapping[str, tuple[FloatArray, float]]:
    """Return the peer's quantiles by model; nothing, and a line that says so, where it cannot be had."""
    models = ["SeasonalNaive, conformal", "AutoETS", "MSTL"]
    try:
        python = install("statsforecast", [STATSFORECAST]) / "python"
        with tempfile.TemporaryDirectory() as folder:
            job = {"day_steps": 24, "horizons": HOURS, "windows": 10, "models": models[:2] if quick else models}
            (Path(folder) / "job.json").write_text(json.dumps({**job, "origins": [one.tolist() for one in seen]}))
            own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
            script = Path(__file__).with_name("forecast_statsforecast.py")
            command = [str(python), str(script), folder]
            told = subprocess.run(command, check=True, capture_output=True, env=own, timeout=3600).stdout
    except (OSError, subprocess.SubprocessError) as error:
        print(f"statsforecast is left out: {str(error)[-600:]}", flush=True)
        return {}
    return {
        f"statsforecast {name}": (np.array(one["quantiles"]), one["cpu_s"] / len(seen))
        for name, one in json.loads(told).items()
    }


def _row(
    traffic: str, ahead: str, method: str, truth: FloatArray, quantiles: FloatArray, cpu_s: float
) -> dict[str, Any]:
    covered = _covered(truth, quantiles)
    off = truth[:, None] - quantiles
    loss = np.maximum(np.array(RANKS) * off, (np.array(RANKS) - 1) * off).mean() / truth.mean()
    return {
        "traffic": traffic,
        "ahead": ahead,
        "method": method,
        **{f"covered by p{rank * 100:.0f}": f"{one:.1%}" for rank, one in zip(RANKS, covered, strict=True)},
        "pinball, %": float(loss) * 100,
        "CPU ms": cpu_s * 1e3,
    }


def _goal(traffic: str, ahead: str, quantiles: FloatArray, truth: FloatArray) -> Goal:
    worst = float(np.abs(_covered(truth, quantiles) - RANKS).max())
    how = f"the worst of p10, p50, p90 and p99 over {len(truth)} held-out steps"
    return Goal(f"{traffic}, {ahead}: points of coverage off", WITHIN * 100, worst * 100, how)


def _covered(truth: FloatArray, quantiles: FloatArray) -> FloatArray:
    return np.asarray((truth[:, None] <= quantiles).mean(axis=0))


def _four(one: Forecast) -> tuple[float, ...]:
    return tuple(np.nan if value is None else value for value in (one.p10, one.p50, one.p90, one.p99))


def _hourly(steps: FloatArray) -> FloatArray:
    return np.asarray(steps[: len(steps) // 6 * 6].reshape(-1, 6).mean(axis=1))


def _bicycles(path: Path) -> FloatArray:
    with path.open(newline="") as file:
        return np.array([float(row["cnt"]) for row in csv.DictReader(file)])
