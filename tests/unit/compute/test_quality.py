"""Nulls, ranges and categories of a window against its reference."""

from __future__ import annotations

import numpy as np

from seamark.compute.quality import NEW_CATEGORIES_SHOWN, assess


def words(*values: str | None) -> np.ndarray:
    return np.array(values, dtype=object)


def test_what_differs_from_the_reference_is_told_per_feature() -> None:
    current = {"n": np.array([1.0, np.nan, 11.0, -1.0]), "w": words("a", None, "new", "new", "newer")}
    reference = {"n": np.array([0.0, np.nan, 10.0]), "w": words("a", "b", None)}
    n, w = assess(current, reference, {"n": "numeric", "w": "categorical"})
    assert (n.feature, n.kind, n.rows, n.null_ratio, n.out_of_range_ratio) == ("n", "numeric", 4, 0.25, 2 / 3)
    assert n.new_category_ratio is None and n.new_categories == ()
    assert (w.rows, w.null_ratio, w.new_category_ratio, w.new_categories) == (5, 0.2, 0.75, ("new", "newer"))
    assert w.out_of_range_ratio is None


def test_what_is_not_known_is_none() -> None:
    kinds = {"n": "numeric", "w": "categorical", "x": "numeric", "e": "numeric"}
    current = {"n": np.array([1.0]), "w": words("a"), "x": np.full(3, np.nan), "e": np.empty(0)}
    found = {f.feature: f for f in assess(current, {}, kinds)}
    assert found["n"].out_of_range_ratio is None and found["w"].new_category_ratio is None
    assert found["x"].null_ratio == 1.0
    assert found["e"].null_ratio is None and found["e"].rows == 0
    empty_reference = {"n": np.full(2, np.nan), "w": words(None), "x": np.ones(2)}
    found = {f.feature: f for f in assess(current, empty_reference, kinds)}
    assert found["n"].out_of_range_ratio is None and found["w"].new_category_ratio is None
    assert found["x"].out_of_range_ratio is None


def test_of_many_new_categories_the_most_frequent_are_named() -> None:
    values = [f"c{number}" for number in range(30) for _ in range(30 - number)]
    [found] = assess({"w": words(*values)}, {"w": words("known")}, {"w": "categorical"})
    assert found.new_category_ratio == 1.0
    assert found.new_categories == tuple(f"c{number}" for number in range(NEW_CATEGORIES_SHOWN))


def test_infinite_values_are_out_of_range() -> None:
    [found] = assess({"n": np.array([np.inf, 0.5])}, {"n": np.array([0.0, 1.0, np.inf])}, {"n": "numeric"})
    assert found.out_of_range_ratio == 0.5
