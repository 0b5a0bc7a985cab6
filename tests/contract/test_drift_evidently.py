"""Seamark's drift scores against Evidently's own functions, on the same data, to 1e-9."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import ks_2samp

from seamark.compute.drift import METHODS
from seamark.compute.profiles import PROFILERS, numbers

SCRIPT = Path(__file__).with_name("evidently_scores.py")


def columns() -> list[tuple[str, str, np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(11)
    levels = np.array(["a", "b", "c", "d", "e"], dtype=object)

    def texts(size: int, shares: list[float]) -> np.ndarray:
        return levels[rng.choice(5, size=size, p=shares)]

    return [
        ("normal", "numeric", rng.normal(size=1000), rng.normal(size=300)),
        ("shifted", "numeric", rng.normal(size=2000), rng.normal(0.7, 1.5, size=500)),
        ("heavy tail", "numeric", rng.lognormal(0, 2, 12_000), rng.lognormal(0.1, 2, 900)),
        ("apart", "numeric", rng.normal(size=400), rng.normal(50, 1, size=400)),
        ("ties", "numeric", rng.integers(0, 200, 3000).astype(float), rng.integers(0, 220, 300).astype(float)),
        ("few values", "numeric", rng.poisson(2, 800).astype(float), rng.poisson(3, 200).astype(float)),
        ("two values", "numeric", rng.integers(0, 2, 500).astype(float), rng.integers(0, 2, 120).astype(float)),
        ("constant", "numeric", np.full(100, 3.0), np.full(50, 3.0)),
        ("constant moved", "numeric", np.full(100, 3.0), np.full(50, 3.5)),
        ("large", "numeric", rng.normal(1e12, 1e9, 700), rng.normal(1.001e12, 1e9, 300)),
        ("texts", "categorical", texts(1000, [0.4, 0.3, 0.2, 0.1, 0.0]), texts(250, [0.3, 0.3, 0.2, 0.2, 0.0])),
        (
            "new level",
            "categorical",
            texts(20_000, [0.5, 0.4, 0.0999, 1e-4, 0.0]),
            texts(250, [0.2, 0.2, 0.2, 0.2, 0.2]),
        ),
    ]


def cases() -> list[dict[str, Any]]:
    return [
        {"name": name, "method": method, "kind": kind, "reference": before.tolist(), "current": after.tolist()}
        for name, kind, before, after in columns()
        for method in ("psi", "jensenshannon", "ks", "wasserstein")
        if kind in METHODS[method].kinds
    ]


@pytest.mark.slow
def test_scores_are_evidentlys() -> None:
    asked = cases()
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
    theirs = json.loads(process.stdout.splitlines()[-1])
    for case, expected in zip(asked, theirs, strict=True):
        dtype = float if case["kind"] == "numeric" else object
        before, after = np.array(case["reference"], dtype=dtype), np.array(case["current"], dtype=dtype)
        profiles = [PROFILERS[case["kind"]](side) for side in (before, after)]
        where = f"{case['method']} of {case['name']}"
        if case["method"] == "ks":  # Evidently's score is scipy's p-value; the distance behind it is ours
            found = ks_2samp(before, after)
            assert found.pvalue == pytest.approx(expected, abs=1e-9), where
            assert METHODS["ks"].score(*profiles) == pytest.approx(found.statistic, abs=1e-9), where
        else:
            # Evidently's shares are all positive; a bin empty on both sides makes its JSD 0 * log 0 = 0, as ours.
            assert METHODS[case["method"]].score(*profiles) == pytest.approx(expected, rel=1e-9, abs=1e-9), where


def test_the_ks_p_value_is_scipys_where_evidently_uses_the_law() -> None:
    rng = np.random.default_rng(3)
    before, after = rng.normal(size=12_000), rng.normal(0.05, 1, size=700)
    expected = ks_2samp(before, after)
    null = METHODS["ks"].null(numbers(before), numbers(after), rng)
    assert null.p_value(float(expected.statistic)) == pytest.approx(expected.pvalue, abs=1e-9)
