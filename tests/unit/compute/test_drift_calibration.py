"""The defaults, measured: how often a window with no drift raises any alarm, and how often a shift is found."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from scipy.stats import binom

from seamark.compute.drift_window import judge
from seamark.compute.profiles import profile_all
from seamark.core.findings import DriftState
from seamark.core.specs import DriftSpec
from seamark.core.windows import Window

WINDOW = Window.trailing(datetime(2026, 3, 1, tzinfo=UTC), 3600)
KINDS = {
    "number": "numeric",
    "heavy tail": "numeric",
    "mostly zero": "numeric",
    "counts": "numeric",
    "eight": "categorical",
    "hundred": "categorical",
    "thousand": "categorical",
    "binary": "categorical",
}
LEVELS = np.array([f"level {number}" for number in range(1_000)], dtype=object)
UNEVEN = (1 / np.arange(1, 1_001)).cumsum() / (1 / np.arange(1, 1_001)).sum()
SPEC = DriftSpec(false_alarms=0.01, rows_min=30)
REFERENCES, WINDOWS_EACH = 25, 10


def columns(rows: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "number": rng.normal(size=rows),
        "heavy tail": rng.lognormal(0, 1.5, rows),
        "mostly zero": np.where(rng.random(rows) < 0.6, 0.0, rng.lognormal(size=rows)),
        "counts": rng.poisson(3, rows).astype(float),
        "eight": LEVELS[rng.integers(0, 8, rows)],
        "hundred": LEVELS[rng.integers(0, 100, rows)],
        "thousand": LEVELS[UNEVEN.searchsorted(rng.random(rows))],
        "binary": LEVELS[(rng.random(rows) < 0.1).astype(int)],
    }


@pytest.mark.slow
@pytest.mark.parametrize("reference_rows, rows", [(1_000, 30), (1_000, 1_000), (10_000, 300)])
def test_false_alarms_are_as_rare_as_asked(reference_rows: int, rows: int) -> None:
    """250 windows each, against 25 references each: a reference's own luck must not show either.

    A certain but small shift counts as an alarm here: the p-values are what is tested, not the effect sizes. The long
    form, at 0.001 and with the neighbours beside it, is `python -m bench drift`.
    """
    rng = np.random.default_rng(reference_rows + rows)
    alarms = 0
    p_values: dict[str, list[float]] = {name: [] for name in KINDS}
    for _ in range(REFERENCES):
        reference = profile_all(columns(reference_rows, rng), KINDS)
        for window in range(WINDOWS_EACH):
            finding = judge(
                "m", None, WINDOW, profile_all(columns(rows, rng), KINDS), reference, KINDS, SPEC, seed=window
            )
            alarms += any(f.state in (DriftState.DRIFT, DriftState.CERTAIN_SMALL) for f in finding.features)
            for feature in finding.features:
                p_values[feature.feature].append(feature.p_value or 0.0)
    windows = REFERENCES * WINDOWS_EACH
    # Windows that share a reference are not quite independent; the bounds leave one in ten thousand.
    assert alarms <= binom.isf(1e-4, windows, SPEC.false_alarms)
    for name, ps in p_values.items():
        assert (np.array(ps) <= 0.02).sum() <= binom.isf(1e-4, windows, 0.02), name
        assert (np.array(ps) <= 0.05).sum() >= 0.004 * windows, name  # a null that is too wide is no answer either


@pytest.mark.slow
def test_half_a_standard_deviation_is_found_in_three_hundred_rows() -> None:
    rng = np.random.default_rng(1)
    reference = profile_all(columns(10_000, rng), KINDS)
    found = others = 0
    for window in range(200):
        current = columns(300, rng)
        current["number"] = current["number"] + 0.5
        finding = judge("m", None, WINDOW, profile_all(current, KINDS), reference, KINDS, SPEC, seed=window)
        found += bool(finding.features[0].drifted)
        others += sum(bool(f.drifted) for f in finding.features[1:])
    assert found > 0.95 * 200
    assert others <= 10


@pytest.mark.slow
@pytest.mark.parametrize("feature, levels, share", [("eight", 8, 0.2), ("hundred", 100, 0.35)])
def test_rows_that_moved_to_half_the_levels_are_found(feature: str, levels: int, share: float) -> None:
    rng = np.random.default_rng(2)
    reference = profile_all(columns(10_000, rng), KINDS)
    found = 0
    for window in range(60):
        current = columns(1_000, rng)
        moved = rng.random(1_000) < share
        current[feature] = np.where(moved, LEVELS[rng.integers(0, levels // 2, 1_000)], current[feature])
        finding = judge("m", None, WINDOW, profile_all(current, KINDS), reference, KINDS, SPEC, seed=window)
        found += any(f.feature == feature and f.drifted for f in finding.features)
    assert found > 0.9 * 60
