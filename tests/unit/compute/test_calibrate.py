"""Draws to p-values, p-values to decisions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, lognorm

from seamark.compute.calibrate import benjamini_hochberg, fit_null

p_values = st.lists(st.floats(0, 1), max_size=30)


@pytest.mark.parametrize("freedom, caution_far_out", [(1, 2), (7, 10), (99, 150)])
def test_a_tail_fitted_to_two_thousand_draws_is_right_far_below_one_in_two_thousand(
    freedom: int, caution_far_out: float
) -> None:
    """Over many fits: the true chance at the score that is claimed for p is p, or less where the tail is a bell's."""
    rng = np.random.default_rng(1)
    for p, caution in ((0.05, 1.15), (1e-3, 3.0), (1e-5, caution_far_out)):
        true = [chi2.sf(fit_null(rng.chisquare(freedom, 2000)).score_at(p), freedom) for _ in range(60)]
        assert p / caution < np.exp(np.mean(np.log(true))) < p * 1.6


def test_squares_of_distances_have_the_tail_of_their_squares() -> None:
    rng = np.random.default_rng(2)
    fitted = fit_null(np.sqrt(rng.chisquare(5, 2000)), power=2.0)
    assert fitted.score_at(1e-4) ** 2 == pytest.approx(chi2.isf(1e-4, 5), rel=0.2)


def test_a_heavier_tail_than_exponential_is_seen() -> None:
    rng = np.random.default_rng(3)
    fits = [fit_null(rng.lognormal(0, 1.5, 2000)) for _ in range(20)]
    claimed = np.median([fitted.score_at(1e-4) for fitted in fits])
    assert claimed > 0.5 * lognorm.isf(1e-4, 1.5)


def test_draws_that_are_all_alike_make_any_other_score_impossible() -> None:
    fitted = fit_null(np.zeros(500))
    assert fitted.p_value(0.0) == 1.0
    assert fitted.p_value(0.1) == 0.0
    assert fitted.score_at(0.01) >= 0


def test_a_few_large_draws_among_ties_are_not_overlooked() -> None:
    draws = np.concatenate([np.zeros(1900), np.ones(100)])
    fitted = fit_null(draws)
    assert fitted.p_value(1.0) == pytest.approx(0.05, rel=0.1)
    assert fitted.p_value(0.5) == pytest.approx(0.05, rel=0.1)


def test_a_score_that_differs_from_the_draws_by_rounding_is_one_of_them() -> None:
    assert fit_null(np.full(200, 0.8325546)).p_value(0.8325546 * (1 + 1e-12)) == 1.0


@given(p_values, st.floats(1e-6, 0.5))
def test_rejected_are_exactly_those_at_or_below_the_cut(ps: list[float], q: float) -> None:
    rejected, cut = benjamini_hochberg(ps, q)
    assert rejected == [p <= cut for p in ps]
    if ps:
        assert q / len(ps) * (1 - 1e-12) <= cut <= q * (1 + 1e-12)
    if ps and min(ps) > q:
        assert not any(rejected)


@given(p_values, st.floats(1e-6, 0.5))
def test_bonferroni_is_never_beaten_to_an_alarm(ps: list[float], q: float) -> None:
    rejected, _ = benjamini_hochberg(ps, q)
    assert all(taken for p, taken in zip(ps, rejected, strict=True) if p <= q / len(ps))


def test_with_nothing_true_the_chance_of_any_rejection_is_q() -> None:
    rng = np.random.default_rng(4)
    alarms = sum(any(benjamini_hochberg(rng.random(20).tolist(), 0.05)[0]) for _ in range(4000))
    assert 160 <= alarms <= 242  # 200 expected; within three deviations
