"""Nulls out, levels counted, bins as NumPy's, splits that keep every row."""

from __future__ import annotations

import numpy as np
import pytest

from seamark.compute.binning import bin_counts, fill_empty, is_binned, sturges_edges
from seamark.compute.columns import as_floats
from seamark.compute.permutation import split_bins, split_levels
from seamark.compute.profiles import count_levels, levels, numbers, scaled


def test_what_is_no_number_is_nan() -> None:
    found = as_floats(np.array([1, None, "x", "3", True], dtype=object))
    np.testing.assert_array_equal(found, [1.0, np.nan, np.nan, 3.0, 1.0])
    assert as_floats(np.array([True, False])).tolist() == [1.0, 0.0]
    column = np.arange(5.0)
    assert as_floats(column) is column


def objects(*values: object) -> np.ndarray:
    return np.array(values, dtype=object)


def test_levels_of_either_side_are_counted() -> None:
    before, after = count_levels(levels(objects("a", "b", "a")), levels(objects("c", "a")))
    assert sorted(zip(before.tolist(), after.tolist(), strict=True)) == [(0, 1), (1, 0), (2, 1)]
    before, after = count_levels(numbers(np.array([2.0, 1.0, np.inf])), numbers(np.array([3.0, 1.0])))
    assert before.tolist() == [1, 1, 0] and after.tolist() == [1, 0, 1]


def test_huge_columns_are_scaled_alike() -> None:
    (a, b), exponent = scaled(numbers(np.array([1e308, -1e308])), numbers(np.array([1.0])))
    assert np.abs(a).max() <= 1 and np.ldexp(a, exponent).tolist() == [-1e308, 1e308]
    assert b[0] == np.ldexp(1.0, -exponent)
    assert scaled(numbers(np.array([1e100])))[1] == 0


@pytest.mark.parametrize("rows", [(30, 30), (1000, 77), (5000, 5000), (1024, 1024)])
def test_bins_are_numpys_sturges_bins(rows: tuple[int, int]) -> None:
    rng = np.random.default_rng(rows[0])
    before, after = rng.normal(3, 10, rows[0]), rng.lognormal(0, 1, rows[1])
    edges = np.histogram_bin_edges(np.concatenate([before, after]), bins="sturges")
    ours = bin_counts(numbers(before), numbers(after))
    assert ours[0].tolist() == np.histogram(before, edges)[0].tolist()
    assert ours[1].tolist() == np.histogram(after, edges)[0].tolist()
    assert sturges_edges(2.0, 2.0, 10).tolist() == [1.5, 2.5]


def test_up_to_twenty_values_are_counted_one_by_one() -> None:
    assert not is_binned(numbers(np.arange(20.0))) and is_binned(numbers(np.arange(21.0)))
    assert not is_binned(levels(objects(*["a"] * 30)))


def test_empty_bins_are_filled_as_evidently_does() -> None:
    everywhere = np.ones((2, 3), dtype=bool)
    filled = fill_empty(np.array([[0.5, 0.5, 0.0], [0.9999, 0.0, 0.0001]]), everywhere)
    assert filled[0].tolist() == [0.5, 0.5, 1e-4]
    assert filled[1].tolist() == [0.9999, 0.0001 / 10**6, 0.0001]


def test_splits_keep_every_row_and_the_window_its_size() -> None:
    rng = np.random.default_rng(1)
    before, after = np.array([50, 3, 1, 0, 0, 2]), np.array([10, 0, 0, 1, 0, 1])
    for splits in (split_levels(before, after, rng, 5000), split_bins(before, after, rng, 5000)):
        assert ((splits.current * splits.weight).sum(axis=1) == after.sum()).all()
        assert ((splits.reference * splits.weight).sum(axis=1) == before.sum()).all()
    ordered = split_bins(before, after, rng, 5000)
    assert (ordered.reference + ordered.current == before + after).all()


def test_splits_are_as_many_as_the_cells_pay_for() -> None:
    rng = np.random.default_rng(4)
    for size, cells, splits in ((10, 5_000, 500), (100, 10_000, 100), (1000, 10_000, 64), (10, 100_000, 2000)):
        counts = np.full(size, 5)
        assert len(split_bins(counts, counts, rng, cells).current) == splits


def test_levels_of_one_row_are_one_cell_whatever_their_number() -> None:
    before = np.ones(10_000, dtype=np.int64)
    splits = split_levels(before, np.zeros_like(before), np.random.default_rng(2), 5000)
    assert splits.reference.shape[1] == 2


def test_an_average_split_has_the_windows_share() -> None:
    before, after = np.array([900, 80, 9]), np.array([5, 5, 1])
    splits = split_bins(before, after, np.random.default_rng(3), 100_000)
    expected = (before + after) * after.sum() / (before + after).sum()
    assert splits.current.mean(axis=0) == pytest.approx(expected, rel=0.1, abs=0.02)
