"""The default methods: each kind of shift is found by the part that looks for it, and the parts are what they say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import chi2, chi2_contingency, fisher_exact, kstwobign, norm

from seamark.compute import effects
from seamark.compute.drift import METHODS
from seamark.compute.drift_window import DEFAULT_METHODS
from seamark.compute.profiles import levels, numbers
from seamark.compute.rank_cells import rank_cells

RANKS, LEVELS = METHODS["ranks"], METHODS["levels"]
TEXTS = np.array([f"level {number}" for number in range(1_500)], dtype=object)
UNEVEN = (1 / np.arange(1, 1_001)).cumsum() / (1 / np.arange(1, 1_001)).sum()
Draw = Callable[[np.random.Generator], np.ndarray]


def p_value(method, reference, current, seed: int) -> float:
    null = method.null(reference, current, np.random.default_rng(seed))
    score = method.score(reference, current)
    return (null.sharpen() if null.sharpen else null).p_value(score)


def uneven(rng: np.random.Generator, rows: int) -> np.ndarray:
    return TEXTS[UNEVEN.searchsorted(rng.random(rows))]


def some(rng: np.random.Generator, share: float, changed: np.ndarray, column: np.ndarray) -> np.ndarray:
    return np.where(rng.random(len(column)) < share, changed, column)


NUMBERS: dict[str, Draw] = {
    "place": lambda rng: rng.normal(0.45, 1, 300),
    "spread": lambda rng: rng.normal(0, 1.4, 300),
    "shape": lambda rng: np.where(rng.random(300) < 0.5, -1, 1) * rng.normal(0.9, 0.3, 300),
    "far values": lambda rng: some(rng, 0.03, np.full(300, 40.0), rng.normal(size=300)),
    "a repeated value": lambda rng: some(rng, 0.05, np.zeros(300), rng.normal(size=300)),
    "cut off": lambda rng: np.minimum(rng.normal(size=300), 1.6),
}
SOME_TEXTS: dict[str, Draw] = {
    "one new": lambda rng: some(rng, 0.06, TEXTS[np.full(300, 1_200)], uneven(rng, 300)),
    "one grows": lambda rng: some(rng, 0.06, TEXTS[np.full(300, 700)], uneven(rng, 300)),
    "all a little": lambda rng: TEXTS[(UNEVEN**0.6).searchsorted(rng.random(300))],
    "many new ones": lambda rng: some(rng, 0.1, TEXTS[rng.integers(1_000, 1_500, 300)], uneven(rng, 300)),
}


@pytest.mark.parametrize("shift", NUMBERS)
def test_numbers_that_move_in_any_way_are_found_in_three_hundred_rows(shift: str) -> None:
    rng = np.random.default_rng(1)
    reference = numbers(rng.normal(size=10_000))
    ps = [p_value(RANKS, reference, numbers(NUMBERS[shift](rng)), seed) for seed in range(3)]
    assert max(ps) <= 0.001


@pytest.mark.slow
@pytest.mark.parametrize("shift", SOME_TEXTS)
def test_texts_that_move_in_any_way_are_found_in_three_hundred_rows(shift: str) -> None:
    rng = np.random.default_rng(2)
    reference = levels(uneven(rng, 10_000))
    ps = [p_value(LEVELS, reference, levels(SOME_TEXTS[shift](rng)), seed) for seed in range(3)]
    assert max(ps) <= 0.001


def test_the_score_of_a_shift_is_told_in_standard_deviations() -> None:
    rng = np.random.default_rng(3)
    reference = numbers(rng.normal(5, 10, 50_000))
    for shift in (0.1, 0.3, 0.6):
        score = RANKS.score(reference, numbers(rng.normal(5 + 10 * shift, 10, 50_000)))
        assert score == pytest.approx(shift, abs=0.03 + 0.05 * shift)


def test_neither_unit_nor_tail_sways_a_score() -> None:
    rng = np.random.default_rng(4)
    before, after = rng.normal(size=5_000), rng.normal(0.3, 1, 800)
    score = RANKS.score(numbers(before), numbers(after))
    assert RANKS.score(numbers(np.exp(5 * before)), numbers(np.exp(5 * after))) == score


def test_a_share_of_two_levels_is_judged_as_one_proportion() -> None:
    """On two levels all parts are the same test, for which Bonferroni would take three times its p-value."""
    before = levels(np.repeat(TEXTS[:2], (9_000, 1_000)))
    after = levels(np.repeat(TEXTS[:2], (255, 45)))
    exact = fisher_exact([[9_000, 1_000], [255, 45]]).pvalue
    assert exact / 2 < p_value(LEVELS, before, after, 0) < exact * 2


@pytest.mark.parametrize("decimals", [0, 1, 2, 8])
def test_cells_depend_on_the_pooled_rows_alone_and_hold_all_of_them(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    for n, m in ((1, 1), (1, 40), (7, 3), (30, 1_000), (999, 1_000), (20_000, 250)):
        pooled = np.round(rng.normal(size=n + m), decimals)
        first, second = (np.sort(part) for part in (pooled[:n], pooled[n:]))
        cells = rank_cells(first, second)
        assert cells.reference.sum() == n and cells.current.sum() == m
        assert (cells.reference + cells.current > 0).all()
        again = rng.permutation(pooled)
        other = rank_cells(np.sort(again[:n]), np.sort(again[n:]))
        assert (other.reference + other.current == cells.reference + cells.current).all()
        assert (other.repeated == cells.repeated).all()


def test_a_value_that_comes_five_times_is_a_cell_of_its_own() -> None:
    rng = np.random.default_rng(5)
    before, after = rng.normal(size=2_000), rng.normal(size=300)
    before[:3] = after[:2] = 0.123  # five in both together
    after[2:6] = 0.456  # four
    cells = rank_cells(np.sort(before), np.sort(after))
    assert cells.repeated.sum() == 1
    at = int(np.flatnonzero(cells.repeated)[0])
    assert (cells.reference[at], cells.current[at]) == (3, 2)


def test_parts_are_as_unlikely_as_the_single_tests_they_are_told_as() -> None:
    n, m = 4_000, 500
    rows = effects.effective_rows(n, m)
    before, after = np.array([3_000, 940, 60]), np.array([340, 135, 25])
    pooled = before + after
    for cell in range(3):
        table = [[before[cell], n - before[cell]], [after[cell], m - after[cell]]]
        ratio = chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic
        alone = effects.level_squares(after[None, [cell]], pooled[[cell]], n, m)
        assert alone[0] * rows == pytest.approx(ratio, rel=1e-9)
    statistic = chi2_contingency([before, after], correction=False).statistic
    told = effects.sum_squares(after[None], pooled, n, m)[0] * rows
    assert chi2.sf(statistic, 2) == pytest.approx(norm.sf(np.sqrt(told)), rel=1.0)
    gap = abs((after / m - before / n).cumsum()).max()
    told = effects.split_squares(after[None], pooled, n, m)[0] * rows
    assert kstwobign.sf(gap * np.sqrt(rows)) == pytest.approx(2 * norm.sf(np.sqrt(told)), rel=0.3)


def test_these_are_the_defaults() -> None:
    assert DEFAULT_METHODS["numeric"] == "ranks" and DEFAULT_METHODS["categorical"] == "levels"
