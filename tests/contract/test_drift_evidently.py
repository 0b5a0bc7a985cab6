"""Seamark's drift scores against Evidently's and SciPy's own functions to 1e-9, over made columns and real ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, ks_2samp, wasserstein_distance

from seamark.compute.drift import METHODS
from seamark.compute.profiles import PROFILERS, count_levels, levels, numbers

SCRIPT = Path(__file__).with_name("evidently_scores.py")
# What Evidently has as a score of its own. Its chi-square is a p-value of one sample against known shares.
EVIDENTLYS = {
    "numeric": ["psi", "jensen_shannon", "ks", "wasserstein", "hellinger"],
    "categorical": ["psi", "jensen_shannon", "hellinger", "total_variation"],
}
SETS = ["made", "breast_cancer", "wine", "diabetes", "iris", "digits"]  # all but the first are scikit-learn's


@dataclass(frozen=True)
class Case:
    """Two samples of one column."""

    name: str
    kind: str
    reference: np.ndarray
    current: np.ndarray


def made() -> Iterator[Case]:
    rng = np.random.default_rng(11)
    texts = np.array(["a", "b", "c", "d", "e"], dtype=object)

    def drawn(size: int, shares: list[float]) -> np.ndarray:
        return texts[rng.choice(5, size=size, p=shares)]

    for name, before, after in (
        ("normal", rng.normal(size=1000), rng.normal(size=300)),
        ("shifted", rng.normal(size=2000), rng.normal(0.7, 1.5, size=500)),
        ("heavy tail", rng.lognormal(0, 2, 12_000), rng.lognormal(0.1, 2, 900)),
        ("more rows than marks", rng.normal(size=30_000), rng.normal(0.01, 1, size=25_000)),
        ("apart", rng.normal(size=400), rng.normal(50, 1, size=400)),
        ("ties", rng.integers(0, 200, 3000).astype(float), rng.integers(0, 220, 300).astype(float)),
        ("few values", rng.poisson(2, 800).astype(float), rng.poisson(3, 200).astype(float)),
        ("two values", rng.integers(0, 2, 500).astype(float), rng.integers(0, 2, 120).astype(float)),
        ("zeros", np.maximum(rng.normal(size=900), 0), np.maximum(rng.normal(0.2, 1, size=400), 0)),
        ("constant", np.full(100, 3.0), np.full(50, 3.0)),
        ("constant moved", np.full(100, 3.0), np.full(50, 3.5)),
        ("large", rng.normal(1e12, 1e9, 700), rng.normal(1.001e12, 1e9, 300)),
    ):
        yield Case(name, "numeric", before, after)
    yield Case("texts", "categorical", drawn(1000, [0.4, 0.3, 0.2, 0.1, 0]), drawn(250, [0.3, 0.3, 0.2, 0.2, 0]))
    yield Case("new", "categorical", drawn(20_000, [0.5, 0.4, 0.0999, 1e-4, 0]), drawn(250, [0.2, 0.2, 0.2, 0.2, 0.2]))


def real(name: str) -> Iterator[Case]:
    """Each column halved as the rows come, and halved by the next column's order, so that it drifts.

    As numbers, rounded so that few values bear most rows, and cut into texts.
    """
    from sklearn import datasets

    rows = getattr(datasets, f"load_{name}")().data.astype(float)
    rows = rows[:, rows.std(axis=0) > 0]
    for place in range(0, rows.shape[1], 5 if name == "digits" else 1):
        column, other = rows[:, place], rows[:, (place + 1) % rows.shape[1]]
        cuts = np.unique(np.quantile(column, [0.02, 0.2, 0.5, 0.9]))
        for halved, order in (("in order", np.arange(len(column))), ("by another", np.argsort(other, kind="stable"))):
            parts = column[order[: len(order) // 2]], column[order[len(order) // 2 :]]
            where = f"column {place} {halved}"
            yield Case(where, "numeric", *parts)
            yield Case(f"{where}, rounded", "numeric", *(np.round(part / column.std()) for part in parts))
            yield Case(
                f"{where}, cut", "categorical", *(np.digitize(p, cuts).astype(str).astype(object) for p in parts)
            )


@cache
def cases(name: str) -> list[Case]:
    return list(made() if name == "made" else real(name))


@pytest.fixture(scope="module")
def theirs() -> dict[str, list[dict[str, float]]]:
    """Evidently's scores: for each set, by case and method."""
    asked = [
        {
            "kind": c.kind,
            "reference": c.reference.tolist(),
            "current": c.current.tolist(),
            "methods": EVIDENTLYS[c.kind],
        }
        for name in SETS
        for c in cases(name)
    ]
    process = subprocess.run(
        [sys.executable, str(SCRIPT)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=110,
        env={**os.environ, "DO_NOT_TRACK": "1"},
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    scores = iter(json.loads(process.stdout.splitlines()[-1]))
    return {name: [next(scores) for _ in cases(name)] for name in SETS}


def score(method: str, case: Case) -> float:
    return METHODS[method].score(PROFILERS[case.kind](case.reference), PROFILERS[case.kind](case.current))


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("method", ["psi", "jensen_shannon", "wasserstein", "hellinger", "total_variation"])
def test_scores_are_evidentlys(method: str, name: str, theirs: dict[str, list[dict[str, float]]]) -> None:
    compared = 0
    for case, expected in zip(cases(name), theirs[name], strict=True):
        if method in expected:
            compared += 1
            ours, told = score(method, case), expected[method]
            if method == "hellinger" and told < 1e-6:  # sqrt(1 - 0.9999999999999998): all that is left is rounding
                ours, told = ours**2, told**2
            assert ours == pytest.approx(told, rel=1e-9, abs=1e-9), case.name
    assert compared


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_ks_is_the_distance_behind_evidentlys_p_value(name: str, theirs: dict[str, list[dict[str, float]]]) -> None:
    for case, expected in zip(cases(name), theirs[name], strict=True):
        if case.kind == "numeric":
            found = ks_2samp(case.reference, case.current)
            assert found.pvalue == pytest.approx(expected["ks"], abs=1e-9), case.name
            assert score("ks", case) == pytest.approx(found.statistic, abs=1e-12), case.name


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_scores_are_scipys(name: str) -> None:
    for case in cases(name):
        if case.kind == "numeric":
            assert score("ks", case) == pytest.approx(ks_2samp(case.reference, case.current).statistic, abs=1e-12)
            distance = wasserstein_distance(case.reference, case.current) / max(case.reference.std(), 0.001)
            assert score("wasserstein", case) == pytest.approx(distance, rel=1e-9, abs=1e-9), case.name
            continue
        before, after = count_levels(levels(case.reference), levels(case.current))
        n, m = before.sum(), after.sum()
        assert score("jensen_shannon", case) == pytest.approx(jensenshannon(before / n, after / m), abs=1e-9)
        if (before + after).min() >= 5:  # rarer levels are counted together
            statistic = chi2_contingency([before, after], correction=False).statistic
            assert score("chi_square", case) ** 2 * n * m / (n + m) == pytest.approx(statistic, rel=1e-9), case.name


def test_the_ks_p_value_is_scipys_where_evidently_uses_the_law() -> None:
    rng = np.random.default_rng(3)
    before, after = rng.normal(size=12_000), rng.normal(0.05, 1, size=700)
    expected = ks_2samp(before, after)
    null = METHODS["ks"].null(numbers(before), numbers(after), rng)
    assert null.p_value(float(expected.statistic)) == pytest.approx(expected.pvalue, abs=1e-9)


def test_total_variation_of_numbers_is_over_psis_bins() -> None:
    rng = np.random.default_rng(4)
    before, after = rng.normal(size=900), rng.normal(0.4, 1, size=300)
    edges = np.histogram_bin_edges(np.concatenate([before, after]), bins="sturges")
    shares = [np.histogram(side, edges)[0] / len(side) for side in (before, after)]
    found = METHODS["total_variation"].score(numbers(before), numbers(after))
    assert found == pytest.approx(np.abs(shares[0] - shares[1]).sum() / 2, abs=1e-12)
