"""Capacity searches on simulated servers of known capacity -> how near they come, and what a linear sweep takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.report import Goal, Result
from bench.toy_queue import Server, exponential, fixed, lognormal, mmk_capacity, simulated_capacity
from bench.toy_queue import run as run_shape
from seamark.compute.arrivals import poisson
from seamark.compute.capacity import conclude, judge_step
from seamark.compute.load_shape import Segment
from seamark.compute.shapes import SHAPES
from seamark.core.thresholds import Threshold, parse_threshold

SEEDS = 20
UNSEEN = 100  # the first seed of laws that nothing was adjusted by
WITHIN = 0.05
START_RPS, STOP_RPS, STEP_S = 10.0, 400.0, 60.0
SWEEP_STEP = 0.05  # of the true capacity
SWEEP_LADDER = tuple(250 * 2**k for k in range(10))  # requests per step of a sweep


@dataclass(frozen=True)
class Law:
    """One server, the limit it is held to, and the rate at which it truly reaches it."""

    name: str
    server: Server
    limit: str
    true_rps: float
    first_seed: int = 0

    @property
    def thresholds(self) -> list[Threshold]:
        """As a plan would have them."""
        return [parse_threshold(self.limit), parse_threshold("error_ratio < 0.01")]


def run(*, quick: bool) -> Result:
    """Search each law's server with every seed, then find the smallest sweep that is as often right."""
    count = 3 if quick else SEEDS
    rows, goals, more = [], [], []
    for law in _laws(quick=quick):
        seeds = range(law.first_seed, law.first_seed + count)
        errors, figures = _searches(law, seeds)
        sweep = _sweep_as_good(law, seeds, count - 1, quick=quick)
        row = {"server": law.name, "limit": law.limit, "true capacity/s": law.true_rps, **figures, **sweep}
        rows.append(row)
        more.append({"server": law.name, "error of each seed, %": " ".join(f"{100 * e:+.1f}" for e in errors)})
        goals += _goals(law.name, row, count)
    highest = max(row["highest rate"] for row in rows)
    told = "the highest step of all searches"
    goals.append(Goal("highest rate asked for, times the true capacity", 2.2, highest, told))
    return Result(
        "Capacity: searches on simulated servers whose true capacity is known",
        rows,
        _NOTES,
        {"seeds": count, "start_rps": START_RPS, "stop_rps": STOP_RPS, "step_s": STEP_S, "sweep": SWEEP_STEP},
        {"Errors": more},
        goals,
    )


_NOTES = (
    (
        f"search: the shape `capacity` from {START_RPS:g} to {STOP_RPS:g} requests/s in steps of {STEP_S:g} s; its own "
        "requests and its own Poisson arrivals for each seed; pauses send nothing; a clearly broken step ends early."
    ),
    (
        "true capacity: by the formula of M/M/k where service times are exponential, else by simulation of 2 million "
        "requests at each of seven rates."
    ),
    (
        "sweep: rates 5 % of the true capacity apart, from 10 requests/s up to the first at which the limit is "
        "broken; its answer is the middle between that rate and the one before; the same number of requests at every "
        "rate, the smallest of 250, 500, 1,000, ... with which it comes within 5 % as often as asked of the search. "
        "A dash: not even the most was enough; then `sweep requests` is what that took."
    ),
    "the first four laws are those the search was adjusted by; the others, and their seeds, were tried afterwards.",
    "interval holds: runs whose 95 % interval holds the true capacity.",
    "highest rate: the most any run asked for, as a share of the true capacity.",
)


def _laws(*, quick: bool) -> Sequence[Law]:
    """The first four are those the search was made with; the others, with seeds of their own, it had never seen."""
    laws = [
        _exponential("M/M/1, 10 ms", 1, 0.01, "p95(latency_ms) < 150"),
        _exponential("M/M/4, 40 ms", 4, 0.04, "p99(latency_ms) < 300"),
    ]
    if quick:
        return laws
    return [
        *laws,
        _simulated("M/D/2, 20 ms", Server(2, fixed(0.02)), "p95(latency_ms) < 60", 70.5),
        _simulated("M/G/4, lognormal, 40 ms, CV 1.5", Server(4, lognormal(0.04, 1.5)), "p95(latency_ms) < 200", 71.0),
        _exponential("M/M/1, 10 ms, a far percentile", 1, 0.01, "p99(latency_ms) < 100", UNSEEN),
        _exponential("M/M/8, 80 ms", 8, 0.08, "p95(latency_ms) < 400", UNSEEN),
        _exponential("M/M/2, 20 ms, a tight limit", 2, 0.02, "p90(latency_ms) < 60", UNSEEN),
        _simulated(
            "M/G/1, lognormal, 10 ms, CV 0.5", Server(1, lognormal(0.01, 0.5)), "p95(latency_ms) < 80", 76.0, UNSEEN
        ),
    ]


def _exponential(name: str, slots: int, mean_s: float, limit: str, first_seed: int = 0) -> Law:
    limit_s, quantile = _limit(limit)
    true_rps = mmk_capacity(slots, mean_s, limit_s, quantile)
    return Law(name, Server(slots, exponential(mean_s)), limit, true_rps, first_seed)


def _simulated(name: str, server: Server, limit: str, near_rps: float, first_seed: int = 0) -> Law:
    return Law(name, server, limit, simulated_capacity(server, *_limit(limit), near_rps), first_seed)


def _limit(text: str) -> tuple[float, float]:
    threshold = parse_threshold(text)
    assert threshold.quantile is not None
    return threshold.limit / 1e3, threshold.quantile


def _searches(law: Law, seeds: Sequence[int]) -> tuple[list[float], dict[str, Any]]:
    errors, widths, requests, highest, covered = [], [], [], [], 0
    params = {"start_rps": START_RPS, "stop_rps": STOP_RPS, "step_s": STEP_S}
    for seed in seeds:
        results = run_shape(SHAPES["capacity"], params, law.thresholds, law.server, seed)
        steps = [judge_step(result, law.thresholds) for result in results]
        found = conclude(steps, results, law.thresholds, replicas=1, stop_rps=STOP_RPS)
        if found is None or found.high is None or found.requests is None:
            raise RuntimeError(f"{law.name}, seed {seed}: no capacity was found")
        errors.append(found.rps / law.true_rps - 1)
        widths.append((found.high - found.low) / 2 / found.rps)
        requests.append(found.requests)
        highest.append(max(step.asked_rps for step in steps) / law.true_rps)
        covered += found.low <= law.true_rps <= found.high
    return errors, {
        "within 5 %": f"{_near(errors)} of {len(seeds)}",
        "median error, %": 100 * float(np.median(np.abs(errors))),
        "interval, +/- %": 100 * float(np.mean(widths)),
        "interval holds": covered,
        "highest rate": max(highest),
        "requests": round(float(np.mean(requests))),
    }


def _sweep_as_good(law: Law, seeds: Sequence[int], right: int, *, quick: bool) -> dict[str, Any]:
    """Return the requests of the smallest sweep that comes within 5 % in `right` runs."""
    ladder = SWEEP_LADDER[:3] if quick else SWEEP_LADDER
    for each in ladder:
        found = [_sweep(law, each, seed) for seed in seeds]
        near = _near([rate / law.true_rps - 1 for rate, _ in found])
        sent = round(float(np.mean([requests for _, requests in found])))
        if near >= right:
            break
    enough = near >= right
    return {"sweep requests": sent, "sweep within 5 %": near, "per step": each if enough else None}


def _sweep(law: Law, each: int, seed: int) -> tuple[float, int]:
    """Return (answer, requests sent) of one sweep with so many requests at each rate."""
    rng = np.random.default_rng((seed, 2))
    gap = SWEEP_STEP * law.true_rps
    rate, sent, held = START_RPS + gap * rng.random(), 0, 0.0
    while rate < STOP_RPS:
        duration = each / rate
        result = law.server.answer(Segment(0, rate, duration, poisson(rate, duration, rng)), rng)
        sent += len(result.ok)
        if not judge_step(result, law.thresholds).held:
            break
        held, rate = rate, rate + gap
    return (held + rate) / 2, sent


def _near(errors: Sequence[float]) -> int:
    return int(np.sum(np.abs(errors) <= WITHIN))


def _goals(name: str, row: Mapping[str, Any], seeds: int) -> list[Goal]:
    near = int(str(row["within 5 %"]).split()[0])
    how = f"{seeds} seeded searches against a simulation"
    share = row["requests"] / row["sweep requests"]
    known = "" if row["per step"] is not None else "; a sweep with as many was not even so often right"
    return [
        Goal(f"{name}: runs within 5 % of the true capacity", seeds - 1, near, how, at_least=True),
        Goal(f"{name}: requests, as a share of a linear sweep's", 0.5, share, f"a sweep as often right{known}"),
    ]
