"""Seeded runs of one plan, equal or newly slower -> how often a regression is told, at which sizes, and by whom else.

The peers' rules are applied to the same runs, as far as their documents tell them: a percentage of the previous run
(github-action-benchmark, here with `alert-threshold: 110%`; its default is 200 %), a rank test over the requests of two
runs, Kayenta's classifier over both runs' p95 per stretch, and the t test of the best split of the history (as Apache
Otava, with its default of p below 0.001; its own search for candidates is left out).
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import mannwhitneyu, ttest_ind

from bench.baseline_data import DrawnRun, FloatArray, Noise, draw
from bench.release import shift_clears
from bench.report import Goal, Result
from seamark.compute.baseline.judge import judge
from seamark.core.baseline import BaselineSpec

SEEDS = 1_000
MORE_SEEDS = 400  # of fewer earlier runs, and of several newest ones
GOAL_SEEDS = 200
POWER_SEEDS = 200
PEER_SEEDS = 200
ALL_SEEDS = (SEEDS, MORE_SEEDS, GOAL_SEEDS, POWER_SEEDS, PEER_SEEDS)
REQUESTS = 1_000
P95 = "p95(latency_ms)"
_STRETCHES = 20

REQUESTS_VARY = Noise("requests vary by 5 %, runs do not differ", sigma=0.05)
UNIFORM = Noise("runs differ by up to 5 % either way", between=0.05 / 3**0.5, shape="uniform")
NORMAL = Noise("runs differ by 5 % (standard deviation)", between=0.05, shape="normal")
READINGS = (REQUESTS_VARY, UNIFORM, NORMAL)
HARDER = (
    Noise("5 %, far slower at times (exponential)", between=0.05, shape="skewed"),
    Noise("5 %, heavy tails (t with 3 degrees)", between=0.05, shape="heavy"),
    Noise("5 %, half of it kept from run to run", between=0.05, shape="wanders"),
    Noise("one run in ten is 30 % slower", between=0.05, shape="one in ten is 30 % slower"),
    Noise("pauses within runs double one stretch in twenty", pauses=1.0),
)
QUIET = Noise("runs differ by 1 %", sigma=0.1, between=0.01, shape="normal")
SOME = Noise("runs differ by 2 %", sigma=0.1, between=0.02, shape="normal")
WIDE = Noise("requests vary by 30 %, runs do not differ", sigma=0.3)

# Noise, how much slower from which quantile on, earlier runs, newest runs, requests of each.
Size = tuple[Noise, float, float, int, int, int]
SIZES: tuple[Size, ...] = (
    (REQUESTS_VARY, 1.05, 0.0, 10, 1, 1_000),
    (REQUESTS_VARY, 1.05, 0.9, 20, 1, 1_000),
    (WIDE, 1.05, 0.0, 20, 1, 5_000),
    (WIDE, 1.05, 0.0, 20, 1, 10_000),
    (WIDE, 1.05, 0.9, 20, 1, 10_000),
    (QUIET, 1.05, 0.0, 20, 1, 1_000),
    (QUIET, 1.05, 0.0, 20, 2, 1_000),
    (SOME, 1.05, 0.0, 20, 5, 1_000),
    (SOME, 1.05, 0.0, 20, 10, 1_000),
    (UNIFORM, 1.05, 0.0, 30, 20, 1_000),
    (NORMAL, 1.05, 0.0, 20, 1, 1_000),
    (NORMAL, 1.05, 0.0, 50, 50, 1_000),
    (NORMAL, 1.05, 0.0, 100, 40, 1_000),
    (NORMAL, 1.10, 0.0, 20, 5, 1_000),
    (NORMAL, 1.10, 0.0, 20, 15, 1_000),
    (NORMAL, 1.30, 0.0, 20, 1, 1_000),
)
# Those at which 5 % is said to be found.
NAMED = (
    (REQUESTS_VARY, 10, 1, 1_000),
    (WIDE, 20, 1, 10_000),
    (QUIET, 20, 2, 1_000),
    (SOME, 20, 10, 1_000),
    (UNIFORM, 30, 20, 1_000),
    (NORMAL, 100, 40, 1_000),
)


def run(*, quick: bool = False) -> Result:
    """Judge equal runs, then slower ones, by this project's rule and the peers'."""
    seeds, more, goal_seeds, power_seeds, peer_seeds = (5, 3, 5, 3, 3) if quick else ALL_SEEDS
    equal = [
        _equal(noise, earlier, newest, count, peer_seeds)
        for earlier, newest, count in ((20, 1, seeds), (10, 1, more), (20, 5, more))
        for noise in (*READINGS, *HARDER)
    ]
    worst = max(_false(noise, goal_seeds) for noise in READINGS)
    slower = [_slower(size, power_seeds, min(peer_seeds, 50)) for size in SIZES]
    named = [
        row["told of the p95"]
        for row, size in zip(slower, SIZES, strict=True)
        if (size[0], *size[3:]) in NAMED and size[1:3] == (1.05, 0.0)
    ]
    return Result(
        "Baseline: regressions told of equal runs, and of slower ones",
        equal,
        [
            "Each seed draws other runs: lognormal latencies (sigma 0.3; 0.1 at a noise of 1 or 2 %), 0.1 % errors.",
            "earlier, newest: `runs` and `repeat` of the plan. Told of a change in any of p50, p95, p99, error ratio.",
            "The peers see the p95, and only the previous run, but for the split, which sees all.",
        ],
        {"seeds": seeds, "goal_seeds": goal_seeds, "power_seeds": power_seeds, "requests": REQUESTS},
        {"Slower runs": slower},
        [
            Goal(
                f"equal runs at 5 % noise: regressions told in {goal_seeds}",
                2,
                worst,
                f"20 earlier runs, the worst of {len(READINGS)} readings of 5 % noise",
            ),
            Goal(
                "a 5 % slower p95: share found at the sizes named",
                0.9,
                min(named),
                f"{power_seeds} seeds at each of {len(named)} sizes, the worst",
                at_least=True,
            ),
        ],
    )


def _states(noise: Noise, earlier: int, newest: int, seeds: int, requests: int, **worse: float) -> Counter[str]:
    states: Counter[str] = Counter()
    for seed in range(seeds):
        runs = [one.figures for one in draw(noise, earlier + newest, requests, seed, newest=newest, **worse)]
        finding = judge(runs[0], runs[1:], BaselineSpec(runs=earlier, repeat=newest), search=False)
        states[finding.state.value] += 1
        if any(metric.metric == P95 and metric.state.value == "regression" for metric in finding.metrics):
            states[P95] += 1
    return states


def _false(noise: Noise, seeds: int) -> int:
    return _states(noise, 20, 1, seeds, REQUESTS)["regression"]


def _equal(noise: Noise, earlier: int, newest: int, seeds: int, peer_seeds: int) -> dict[str, Any]:
    started_s = time.process_time()
    states = _states(noise, earlier, newest, seeds, REQUESTS)
    spent_ms = (time.process_time() - started_s) / seeds * 1e3
    return _told(
        {
            "equal runs": noise.name,
            "earlier": earlier,
            "newest": newest,
            "seeds": seeds,
            "regression": states["regression"] / seeds,
            "improvement": states["improvement"] / seeds,
            **_by_peers(noise, earlier, newest, peer_seeds, REQUESTS),
            "ms a seed": spent_ms,
        }
    )


def _slower(size: Size, seeds: int, peer_seeds: int) -> dict[str, Any]:
    noise, slower, beyond, earlier, newest, requests = size
    states = _states(noise, earlier, newest, seeds, requests, slower=slower, beyond=beyond)
    part = "all latencies" if beyond == 0 else f"those beyond p{beyond * 100:.0f}"
    return _told(
        {
            "slower": f"{part} {slower - 1:.0%}",
            "noise": noise.name,
            "earlier": earlier,
            "newest": newest,
            "requests": requests,
            "told": states["regression"] / seeds,
            "told of the p95": states[P95] / seeds,
            **_by_peers(noise, earlier, newest, peer_seeds, requests, slower=slower, beyond=beyond),
        }
    )


def _told(row: dict[str, Any]) -> dict[str, Any]:
    """The row, said at once: the whole takes minutes."""
    print("; ".join(f"{name} {value}" for name, value in row.items()), file=sys.stderr, flush=True)
    return row


# --- the peers' rules --------------------------------------------------------------------------------------------


def _by_peers(
    noise: Noise, earlier: int, newest: int, seeds: int, requests: int, **worse: float
) -> dict[str, float | None]:
    rules: dict[str, Callable[[Sequence[DrawnRun], int], bool]] = {
        "10 % over the previous": percentage,
        "rank test": rank_test,
        "Kayenta's rule": kayenta,
        "best split": best_split,
    }
    held: Counter[str] = Counter()
    for seed in range(seeds):
        runs = draw(noise, earlier + newest, requests, seed, newest=newest, **worse)
        held.update(name for name, rule in rules.items() if rule(runs, newest))
    return {name: held[name] / seeds for name in rules}


def percentage(runs: Sequence[DrawnRun], newest: int) -> bool:
    """Whether the newest run's p95 is more than 10 % above that of the last run before the newest ones."""
    return _p95(runs[0]) > 1.1 * _p95(runs[newest])


def rank_test(runs: Sequence[DrawnRun], newest: int) -> bool:
    """Whether the newest run's requests rank higher than the previous one's, each counted as independent."""
    return bool(mannwhitneyu(runs[0].latency_ms, runs[newest].latency_ms, alternative="greater").pvalue < 0.01)


def kayenta(runs: Sequence[DrawnRun], newest: int) -> bool:
    """Whether the p95s of both runs' stretches differ as Kayenta's classifier asks."""
    return shift_clears(_stretches(runs[newest]), _stretches(runs[0]))


def best_split(runs: Sequence[DrawnRun], newest: int) -> bool:
    """Whether the history splits into a lower and a higher part, two runs or more each, at p below 0.001."""
    del newest
    series = np.array([_p95(run) for run in reversed(runs)])
    found = [ttest_ind(series[:place], series[place:]) for place in range(2, len(series) - 1)]
    best = min(found, key=lambda one: float(one.pvalue))
    return bool(best.pvalue < 0.001 and best.statistic < 0)


def _p95(run: DrawnRun) -> float:
    return run.figures.quantiles[P95] or 0.0


def _stretches(run: DrawnRun) -> FloatArray:
    return np.array([np.quantile(part, 0.95) for part in np.array_split(run.latency_ms, _STRETCHES)])
