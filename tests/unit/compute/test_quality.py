"""Nulls, ranges, categories, constants and repeats of a window against its reference, each beyond chance or not."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from seamark.compute import shares
from seamark.compute.profiles import Profile, profile_all
from seamark.compute.quality import NEW_CATEGORIES_SHOWN, Repeats, assess
from seamark.core.quality import FeatureQuality, QualityCheck, QualityState

KINDS = {"n": "numeric", "w": "categorical"}


def words(*values: str | None) -> np.ndarray:
    return np.array(values, dtype=object)


def profiles(**columns: Any) -> dict[str, Profile]:
    return profile_all(columns, KINDS)


def features(current: dict[str, Profile], reference: dict[str, Profile] | None, **more: Any) -> list[FeatureQuality]:
    return assess(current, reference, KINDS, None, **more)[0]


def check(feature: FeatureQuality, name: str) -> QualityCheck:
    return next(one for one in feature.checks if one.check == name)


def test_what_differs_from_the_reference_is_told_per_feature() -> None:
    current = profiles(n=np.array([1.0, np.nan, 11.0, -1.0]), w=words("a", None, "new", "new", "newer"))
    reference = profiles(n=np.array([0.0, np.nan, 10.0]), w=words("a", "b", None))
    n, w = features(current, reference)
    assert (n.feature, n.kind, n.rows, n.null_ratio, n.out_of_range_ratio) == ("n", "numeric", 4, 0.25, 2 / 3)
    assert n.new_category_ratio is None and n.new_categories == ()
    assert (w.rows, w.null_ratio, w.new_category_ratio, w.new_categories) == (5, 0.2, 0.75, ("new", "newer"))
    assert w.out_of_range_ratio is None
    assert {one.state for feature in (n, w) for one in feature.checks} == {QualityState.TOO_FEW_ROWS}


def test_what_is_not_known_is_none() -> None:
    current = profiles(n=np.array([1.0]), w=words("a"))
    n, w = features(current, None)
    assert n.out_of_range_ratio is None and w.new_category_ratio is None
    assert {one.state for one in (*n.checks, *w.checks)} == {QualityState.NO_REFERENCE}
    n, w = features(profiles(n=np.full(3, np.nan), w=words()), None)
    assert (n.null_ratio, w.null_ratio, w.rows) == (1.0, None, 0)
    n, w = features(current, profiles(n=np.full(2, np.nan), w=words(None)))
    assert n.out_of_range_ratio is None and w.new_category_ratio is None
    (n,) = features(profiles(n=np.ones(300)), profiles(w=words("a")), rows_min=1)
    assert {one.state for one in n.checks} == {QualityState.NOT_IN_REFERENCE}


def test_of_many_new_categories_the_most_frequent_are_named() -> None:
    values = [f"c{number}" for number in range(30) for _ in range(30 - number)]
    [found] = features(profiles(w=words(*values)), profiles(w=words("known")))
    assert found.new_category_ratio == 1.0
    assert found.new_categories == tuple(f"c{number}" for number in range(NEW_CATEGORIES_SHOWN))


def numbers(rng: np.random.Generator, rows: int) -> np.ndarray:
    column = rng.normal(size=rows)
    column[rng.uniform(size=rows) < 0.02] = np.nan
    return column


def levels(rng: np.random.Generator, rows: int) -> np.ndarray:
    drawn = rng.zipf(1.5, rows)
    return np.array([f"l{level}" for level in drawn], dtype=object)


def repeats(rng: np.random.Generator, reference: int, current: int, again: int = 0) -> Repeats:
    before, after = (np.minimum(rng.zipf(1.2, rows), 5000) for rows in (reference, current))
    after[:again] = after[again : 2 * again]
    size = max(before.max(), after.max()) + 1
    counts = [np.bincount(side, minlength=size) for side in (before, after)]
    there = counts[0] + counts[1] > 0
    return Repeats(*(side[there].astype(np.int64) for side in counts))


@pytest.mark.slow
def test_a_window_in_which_nothing_changed_cries_wolf_as_seldom_as_asked() -> None:
    rng = np.random.default_rng(7)
    alarms = 0
    windows = 300
    for _ in range(windows):
        reference, current = (profiles(n=numbers(rng, rows), w=levels(rng, rows)) for rows in (2000, 400))
        found, duplicates = assess(current, reference, KINDS, repeats(rng, 2000, 400), rows_min=100, false_alarms=0.05)
        checks = [duplicates, *(one for feature in found for one in feature.checks)]
        assert all(one.p_value is not None for one in checks)
        alarms += any(one.state in (QualityState.WORSE, QualityState.CERTAIN_SMALL) for one in checks)
    # 0.05 was asked: 300 windows with that rate have more than 27 alarms once in two thousand times.
    assert alarms <= 27


CHANGES: dict[str, Callable[[np.ndarray, np.ndarray], None]] = {
    "nulls": lambda n, w: n.__setitem__(slice(0, 40), np.nan),
    "out_of_range": lambda n, w: n.__setitem__(slice(0, 20), 50.0),
    "new_categories": lambda n, w: w.__setitem__(slice(0, 40), "never seen"),
    "constant": lambda n, w: n.__setitem__(slice(None), 0.5),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changed_is_told_and_nothing_else(name: str) -> None:
    rng = np.random.default_rng(3)
    reference = profiles(n=numbers(rng, 5000), w=levels(rng, 5000))
    n, w = numbers(rng, 400), levels(rng, 400)
    CHANGES[name](n, w)
    found, duplicates = assess(profiles(n=n, w=w), reference, KINDS, repeats(rng, 5000, 400))
    worse = {one.check for feature in found for one in feature.checks if one.worse}
    assert worse == {name}
    assert duplicates.worse is False
    (told,) = [one for feature in found for one in feature.checks if one.worse]
    assert told.difference is not None and told.difference > 0.01
    if name != "constant":
        assert told.low is not None and told.high is not None and told.ratio is not None
        assert told.low <= told.ratio <= told.high
        assert told.difference_low is not None and told.difference_low > 0


def test_rows_that_repeat_others_are_told_and_what_is_certain_but_small_is_no_alarm() -> None:
    rng = np.random.default_rng(5)
    _, duplicates = assess({}, {}, KINDS, repeats(rng, 5000, 1000, again=300))
    assert duplicates.state == QualityState.WORSE
    assert duplicates.difference_low is not None and duplicates.difference_low > 0
    column = np.zeros(200_000)
    column[:600] = np.nan
    (n,) = features(profiles(n=column), profiles(n=np.zeros(200_000)))
    assert check(n, "nulls").state == QualityState.CERTAIN_SMALL


def test_the_chance_of_values_outside_a_range_is_that_of_all_ways_to_split_a_pool() -> None:
    pool = list(range(9))
    for rows in (2, 4):
        ways = list(combinations(pool, rows))
        outside = []
        for window in ways:
            reference = [value for value in pool if value not in window]
            outside.append(sum(value < min(reference) or value > max(reference) for value in window))
        for count in range(rows + 1):
            exact = float(Fraction(sum(one >= count for one in outside), len(ways)))
            assert shares.chance_outside(count, rows, len(pool) - rows) == pytest.approx(exact)


def test_chances_of_new_levels_and_repeats_are_never_told_too_small() -> None:
    pool = np.array([0, 0, 0, 1, 1, 2, 2, 3, 4])
    for rows in (3, 5):
        ways = [list(way) for way in combinations(range(len(pool)), rows)]
        new, again, expected = [], [], []
        for way in ways:
            after = np.bincount(pool[way], minlength=5)
            before = np.bincount(pool, minlength=5) - after
            new.append(int(after[before == 0].sum()))
            again.append(rows - int((after > 0).sum()))
            expected.append((before, after))
        for before, after in expected:
            count = int(after[before == 0].sum())
            chance, mean = shares.chance_of_new(count, rows, before, after)
            assert chance >= np.mean([one >= count for one in new]) - 1e-9
            assert mean == pytest.approx(np.mean(new) / rows)
            count = rows - int((after > 0).sum())
            chance, mean, _ = shares.chance_of_repeats(count, rows, before, after)
            assert chance >= np.mean([one >= count for one in again]) - 1e-9
            assert mean == pytest.approx(np.mean(again) / rows)


def test_a_constant_window_of_a_column_of_few_values_is_what_chance_does() -> None:
    (n,) = features(profiles(n=np.ones(5)), profiles(n=np.array([1.0] * 50 + [2.0])), rows_min=1)
    constant = check(n, "constant")
    assert (constant.state, constant.ratio, constant.reference_ratio) == (QualityState.NO_CHANGE, 1.0, 0.0)
    # All five drawn from the 55 of 56 that are 1: 51 / 56.
    assert constant.p_value == pytest.approx(51 / 56)
    (n,) = features(profiles(n=np.ones(300)), profiles(n=np.ones(300)))
    assert (check(n, "constant").state, check(n, "constant").difference) == (QualityState.NO_CHANGE, 0.0)
