"""Comparable blocks, the error between them, and what a difference beside its error says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student

from seamark.compute.release.blocks import BLOCKS_MIN, Error, long_run_error, pair, weigh


def test_both_versions_weigh_alike_in_every_block() -> None:
    counts = np.array([[30.0] * 30, list(range(1, 31))])
    pairing = pair(counts)
    assert pairing is not None
    assert (pairing.factor, pairing.rows()) == (1, (900, 465))
    assert pairing.weights.sum() == pytest.approx(1.0)
    assert pairing.weights == pytest.approx(
        (30 * counts[1] / (30 + counts[1])) / (30 * counts[1] / (30 + counts[1])).sum()
    )
    assert (pairing.effective_rows() <= counts.sum(axis=1)).all()


def test_what_one_version_did_alone_does_not_count() -> None:
    counts = np.zeros((2, 120))
    counts[0, :100] = 50
    counts[1, 60:] = 10
    pairing = pair(counts)
    assert pairing is not None
    assert pairing.kept.tolist() == list(range(60, 100))
    assert pairing.rows() == (2000, 400)


@pytest.mark.parametrize(
    "counts",
    [
        np.zeros((2, 120)),
        np.array([[5.0] * 120, [0.0] * 120]),
        np.array([[5.0] * 60 + [0.0] * 60, [0.0] * 60 + [5.0] * 60]),  # one after the other
        np.array([[5.0] * 120, [0.0] * 60 + [5.0] * (BLOCKS_MIN - 1) + [0.0] * (61 - BLOCKS_MIN)]),
    ],
)
def test_versions_that_hardly_met_cannot_be_compared(counts: np.ndarray) -> None:
    assert pair(counts) is None


def test_few_rows_are_compared_in_longer_blocks() -> None:
    counts = np.full((2, 120), 100.0)
    counts[1] = [1.0, 0.0, 0.0, 0.0] * 30
    pairing = pair(counts)
    assert pairing is not None
    assert pairing.factor == 4 and len(pairing.kept) == 30
    assert pairing.merged(counts)[1].tolist() == [1.0] * 30


def test_independent_blocks_have_the_error_of_their_mean() -> None:
    rng = np.random.default_rng(1)
    found = [long_run_error(rng.standard_normal(120) / 120, 0.0).standard for _ in range(200)]
    assert 1.0 <= np.mean(found) * np.sqrt(120) <= 1.15


@pytest.mark.parametrize("keep, least", [(0.6, 0.85), (0.9, 0.65)])
def test_blocks_that_resemble_their_neighbours_have_a_larger_one(keep: float, least: float) -> None:
    rng = np.random.default_rng(2)
    found = []
    for _ in range(200):
        level = np.empty(120)
        level[0] = rng.standard_normal()
        for block in range(1, 120):
            level[block] = keep * level[block - 1] + np.sqrt(1 - keep**2) * rng.standard_normal()
        found.append(long_run_error(level / 120, 0.0).standard)
    truth = np.sqrt((1 + keep) / (1 - keep) / 120)
    assert np.mean(found) > least * truth
    assert np.mean(found) > 1.5 / np.sqrt(120)


def test_the_error_is_never_less_than_that_of_independent_rows() -> None:
    assert long_run_error(np.zeros(30), 0.25).standard == 0.25


@pytest.mark.parametrize(
    "harm, within, better, worse",
    [(0.0, True, False, False), (0.045, False, False, False), (0.12, False, False, True), (-0.08, True, True, False)],
)
def test_only_what_lies_clear_of_the_tolerance_is_decided(harm: float, within: bool, better: bool, worse: bool) -> None:
    found = weigh(harm, Error(0.015, 60.0), 0.05)
    assert (found.within, found.better, found.p_worse < 0.01) == (within, better, worse)
    assert found.high - harm == pytest.approx(0.015 * student.isf(0.05, 60))
    assert found.p_worse == pytest.approx(student.sf((harm - 0.05) / 0.015, 60))


def test_rows_needed_settle_it() -> None:
    found = weigh(0.0, Error(0.05, 60.0), 0.05)
    assert not found.within and found.enlarge is not None
    assert weigh(0.0, Error(0.05 / np.sqrt(found.enlarge), 60.0), 0.05).within


def test_certainty_without_error() -> None:
    assert (weigh(0.0, Error(0.0, 9.0), 0.05).within, weigh(0.1, Error(0.0, 9.0), 0.05).p_worse) == (True, 0.0)
