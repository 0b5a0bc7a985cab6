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
KINDS = {"number": "numeric", "eight": "categorical", "hundred": "categorical"}
LEVELS = np.array([f"level {number}" for number in range(100)], dtype=object)
SPEC = DriftSpec(false_alarms=0.01, rows_min=100)
REFERENCES, WINDOWS_EACH = 50, 10


def columns(rows: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "number": rng.normal(size=rows),
        "eight": LEVELS[rng.integers(0, 8, rows)],
        "hundred": LEVELS[rng.integers(0, 100, rows)],
    }


@pytest.mark.slow
@pytest.mark.parametrize("reference_rows, rows", [(1_000, 100), (1_000, 1_000), (10_000, 100), (10_000, 1_000)])
def test_false_alarms_are_as_rare_as_asked(reference_rows: int, rows: int) -> None:
    """500 windows each, 2,000 in all, against 50 references each: a reference's own luck must not show either.

    A certain but small shift counts as an alarm here: the p-values are what is tested, not the effect sizes.
    """
    rng = np.random.default_rng(reference_rows + rows)
    alarms = 0
    for _ in range(REFERENCES):
        reference = profile_all(columns(reference_rows, rng), KINDS)
        for window in range(WINDOWS_EACH):
            finding = judge(
                "m", None, WINDOW, profile_all(columns(rows, rng), KINDS), reference, KINDS, SPEC, seed=window
            )
            alarms += any(f.state in (DriftState.DRIFT, DriftState.CERTAIN_SMALL) for f in finding.features)
    # Windows that share a reference are not quite independent; the bound leaves one in ten thousand.
    assert alarms <= binom.isf(1e-4, REFERENCES * WINDOWS_EACH, SPEC.false_alarms)


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
