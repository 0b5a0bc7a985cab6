"""Traffic of two equal versions, and of a worse one -> how often a release is held, at how many rows, and by whom else.

Both peers' rules are applied to the same windows: Kayenta's (its Mann-Whitney classifier: the 98 % interval of the
shift between both versions' p99 per block must clear a quarter of the shift), and the rank test over all requests that
many write themselves (p below 0.01). Neither knows of a tolerance.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import mannwhitneyu, norm

from bench.release_data import BLOCKS, CASES, Answers, Sides, Traffic, draw, draw_answers
from bench.report import Goal, Result
from seamark.compute.release.blocks import Evidence
from seamark.compute.release.judge import judge
from seamark.compute.release.latency import compare_requests
from seamark.compute.release.outcomes import compare_outcomes
from seamark.compute.release.predictions import compare_predictions
from seamark.compute.release.quality import compare_features
from seamark.core.release import MEASURES, ReleaseFinding, ReleaseSpec
from seamark.core.windows import Window

RUNS = 1_000
ROWS = 20_000
ANSWERS = 5_000
POWER_RUNS = 150
PEER_RUNS = 50
PEER_POWER_RUNS = 20
P99_ROWS = 100_000
LABELS = 40_000
TOLERANCES = {name: ReleaseSpec().tolerance(name) for name in MEASURES}
_WINDOW = Window.trailing(datetime(2026, 3, 1, tzinfo=UTC), 3600)


def run(*, quick: bool = False) -> Result:
    """Judge seeded windows without a difference, then ones with a slower tail and with a lower accuracy."""
    runs, power_runs, peer_runs = (4, 2, 2) if quick else (RUNS, POWER_RUNS, PEER_RUNS)
    same = [_case(case.name, _requests(case, ROWS, runs), ROWS) for case in CASES]
    same.append(_case("predictions, labels and 5 features, in blocks harder and easier", _answers(runs), ANSWERS))
    enough = [
        _case(case.name, _requests(case, rows, power_runs), rows) for case in CASES[:2] for rows in (50_000, P99_ROWS)
    ]
    peers = [_peers(case, ROWS, peer_runs) for case in CASES]
    tolerated = [
        _power(CASES[0], P99_ROWS, power_runs, slower=1.03),
        _power(CASES[1], P99_ROWS, power_runs, slower=1.03),
    ]
    slower = [
        _power(case, rows, power_runs, beyond=0.98)
        for case, sizes in (
            (CASES[0], (P99_ROWS // 2, P99_ROWS)),
            (CASES[1], (2 * P99_ROWS, 4 * P99_ROWS)),
            (CASES[4], (2 * P99_ROWS,)),
        )
        for rows in sizes
    ]
    wrong = [
        _accuracy_power(rows, power_runs, swing)
        for rows, swing in ((LABELS // 2, 0.0), (LABELS, 0.0), (LABELS, 0.5), (2 * LABELS, 0.5))
    ]
    found = next(row["held"] for row in slower if row["rows"] == P99_ROWS)
    return Result(
        "Releases: what is held, what is promoted",
        same,
        [
            f"A window is {BLOCKS} blocks. rows: of the version with fewer. Every run has another seed.",
            "Slower: all requests beyond the 98th percentile take 10 % longer, so the p99 does; p50 and p95 do not.",
            "Less accurate: 2 points below 90 %. Both with the tolerances that hold where none are set.",
            "Kayenta's rule and the rank test judge the p99 per block, and all requests, of the same kinds of windows.",
        ],
        {"runs": runs, "power_runs": power_runs, "peer_runs": peer_runs, "blocks": BLOCKS},
        {
            "Two equal versions, with more rows": enough,
            "Two equal versions, held by others": peers,
            "All latencies 3 % longer, which is tolerated": tolerated,
            "A p99 that is 10 % slower": slower,
            "An accuracy 2 points lower": wrong,
        },
        [
            Goal(
                "equal versions: share of runs held, worst case",
                0.01,
                max(row["held"] for row in same),
                f"{runs:,} runs of each of {len(same)} cases",
            ),
            Goal(
                "a 10 % slower p99: share held",
                0.95,
                found,
                f"{power_runs} runs, {P99_ROWS:,} requests of each version, tails of sigma 0.5",
                at_least=True,
            ),
            Goal(
                "2 points less accuracy: share held",
                0.95,
                wrong[1]["held"],
                f"{power_runs} runs, {LABELS:,} labelled predictions of each version, blocks alike",
                at_least=True,
            ),
        ],
    )


def verdict_of(found: Mapping[str, Mapping[str | None, Evidence]]) -> ReleaseFinding:
    """Return the finding by the defaults."""
    return judge("bench", ("1", "2"), _WINDOW, found, ReleaseSpec())


def judge_requests(sides: Sides) -> ReleaseFinding:
    """Return the finding on requests alone."""
    found = compare_requests(sides.counts(), TOLERANCES)
    return verdict_of({name: {None: evidence} for name, evidence in found.items()})


def judge_answers(answers: Answers) -> ReleaseFinding:
    """Return the finding on predictions, their features and labels."""
    side, block = answers.side, answers.block
    none = np.full(len(side), None, dtype=object)
    sides = ((answers.prediction, none), (answers.label, none))
    found: dict[str, Mapping[str | None, Evidence]] = {
        name: {None: evidence} for name, evidence in compare_outcomes(side, block, BLOCKS, *sides, TOLERANCES).items()
    }
    tolerance = TOLERANCES["prediction_distribution"] or 0.0
    predictions = compare_predictions(side, block, BLOCKS, answers.prediction, none, tolerance)
    found["prediction_distribution"] = {None: predictions}
    return verdict_of({**found, **compare_features(side, block, BLOCKS, answers.features, TOLERANCES)})


def _requests(case: Traffic, rows: int, runs: int, **worse: float) -> Iterator[ReleaseFinding]:
    return (judge_requests(draw(case, rows, seed, **worse)) for seed in range(runs))


def _answers(runs: int) -> Iterator[ReleaseFinding]:
    return (judge_answers(draw_answers(ANSWERS, seed)) for seed in range(runs))


def _case(name: str, findings: Iterator[ReleaseFinding], rows: int) -> dict[str, Any]:
    started_s = time.process_time()
    verdicts = Counter(finding.verdict.value for finding in findings)
    runs = verdicts.total()
    return _told(
        {
            "two equal versions": name,
            "rows": rows,
            "runs": runs,
            "promoted": verdicts["promote"] / runs,
            "inconclusive": verdicts["inconclusive"] / runs,
            "held": verdicts["hold"] / runs,
            "ms a run": (time.process_time() - started_s) / runs * 1e3,
        }
    )


def _power(case: Traffic, rows: int, runs: int, slower: float = 1.1, beyond: float = 0.0) -> dict[str, Any]:
    worse = {"slower": slower, "beyond": beyond}
    verdicts = Counter(finding.verdict.value for finding in _requests(case, rows, runs, **worse))
    peers = _held_by_peers(draw(case, rows, seed, **worse) for seed in range(min(runs, PEER_POWER_RUNS)))
    return _told(
        {
            "traffic": case.name,
            "rows": rows,
            "runs": runs,
            "held": verdicts["hold"] / runs,
            "inconclusive": verdicts["inconclusive"] / runs,
            "promoted": verdicts["promote"] / runs,
            **peers,
        }
    )


def _accuracy_power(rows: int, runs: int, swing: float) -> dict[str, Any]:
    def findings() -> Iterator[ReleaseFinding]:
        worse = (0.9, 0.88)
        drawn = (draw_answers(rows, seed, accuracy=worse, swing=swing, features=False) for seed in range(runs))
        return (judge_answers(answers) for answers in drawn)

    verdicts = Counter(finding.verdict.value for finding in findings())
    return _told(
        {
            "labelled rows": rows,
            "blocks": "harder and easier" if swing else "alike",
            "runs": runs,
            "held": verdicts["hold"] / runs,
            "inconclusive": verdicts["inconclusive"] / runs,
            "promoted": verdicts["promote"] / runs,
        }
    )


def _told(row: dict[str, Any]) -> dict[str, Any]:
    """The row, said at once: the whole takes minutes."""
    print("; ".join(f"{name} {value}" for name, value in row.items()), file=sys.stderr, flush=True)
    return row


# --- the peers' rules --------------------------------------------------------------------------------------------


def _peers(case: Traffic, rows: int, runs: int) -> dict[str, Any]:
    return _told({"two equal versions": case.name, **_held_by_peers(draw(case, rows, seed) for seed in range(runs))})


def _held_by_peers(windows: Iterator[Sides]) -> dict[str, float]:
    rules: dict[str, Callable[[Sides], bool]] = {"held by Kayenta's rule": kayenta, "held by a rank test": rank_test}
    held: Counter[str] = Counter()
    runs = 0
    for sides in windows:
        runs += 1
        held.update(name for name, rule in rules.items() if rule(sides))
    return {name: held[name] / runs for name in rules}


def kayenta(sides: Sides) -> bool:
    """Whether the p99s per block differ as Kayenta's classifier asks (netflix/kayenta, MannWhitneyClassifier)."""
    baseline, candidate = (_p99s(sides, side) for side in (0, 1))
    return shift_clears(baseline, candidate)


def shift_clears(baseline: npt.NDArray[np.float64], candidate: npt.NDArray[np.float64]) -> bool:
    """Whether the 98 % interval of the shift between two samples clears a quarter of the shift."""
    differences = np.sort((candidate[:, None] - baseline[None, :]).ravel())
    shift = float(np.median(differences))  # Hodges and Lehmann
    m, n = len(candidate), len(baseline)
    place = int(m * n / 2 - norm.isf(0.01) * sqrt(m * n * (m + n + 1) / 12))
    return bool(place >= 0 and differences[place] > 0.25 * abs(shift))


def rank_test(sides: Sides) -> bool:
    """Whether the candidate's requests rank higher, each counted as independent."""
    parts: Sequence[npt.NDArray[np.float64]] = [sides.latency_ms[sides.side == side] for side in (1, 0)]
    return bool(mannwhitneyu(*parts, alternative="greater").pvalue < 0.01)


def _p99s(sides: Sides, side: int) -> npt.NDArray[np.float64]:
    mine = sides.side == side
    order = np.argsort(sides.block[mine], kind="stable")
    parts = np.split(sides.latency_ms[mine][order], np.searchsorted(sides.block[mine][order], np.arange(1, BLOCKS)))
    return np.array([np.quantile(part, 0.99) for part in parts if len(part)])
