"""A profile tells what its column tells, and every score from profiles is the plain one from the rows themselves."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from seamark.compute.drift import METHODS
from seamark.compute.profiles import Numbers, levels, numbers, profile_all


def test_numbers_are_sorted_once_and_nulls_counted() -> None:
    column = np.array([3.0, np.nan, 1.0, np.inf, 3.0, -0.0])
    found = numbers(column)
    assert found.ordered.tolist() == [-0.0, 1.0, 3.0, 3.0]
    assert (found.rows, found.nulls, found.largest) == (4, 2, 3.0)
    assert found.has_levels_over(2) and not found.has_levels_over(3)
    values, counts = found.levels
    assert (values.tolist(), counts.tolist()) == ([0.0, 1.0, 3.0], [1, 1, 2])
    assert found.spread == pytest.approx(np.std([-0.0, 1.0, 3.0, 3.0]))
    assert column[0] == 3.0  # the column stays as it was
    none = numbers(np.array([np.nan]))
    assert (none.rows, none.nulls, none.largest) == (0, 1, 0.0)
    assert not none.has_levels_over(0)


def test_texts_are_counted_from_arrow_as_from_objects() -> None:
    column = ["a", None, "", "b", "a", "é", None]
    arrow = pa.array(column)
    for given in (arrow, arrow.dictionary_encode(), pa.chunked_array([arrow]), np.array(column, dtype=object)):
        found = levels(given)
        assert dict(zip(found.names.to_pylist(), found.counts.tolist(), strict=True)) == {"a": 2, "": 1, "b": 1, "é": 1}
        assert (found.rows, found.nulls) == (5, 2)
    odd = levels(np.array(["\ud800", 3, float("nan")], dtype=object))
    assert (odd.names.to_pylist(), odd.nulls) == (["\\ud800", "3"], 1)
    assert levels(np.array([None], dtype=object)).rows == 0


def test_only_columns_of_a_known_kind_are_profiled() -> None:
    columns = {"a": np.arange(3.0), "b": np.array(["x"], dtype=object), "c": np.arange(3.0)}
    found = profile_all(columns, {"a": "numeric", "b": "categorical", "d": "numeric"})
    assert set(found) == {"a", "b"} and all(profile.nbytes > 0 for profile in found.values())


@pytest.mark.parametrize("rows", [1, 7, 20_000, 40_001])
def test_marks_lie_among_all_ranks_and_count_the_rows_below(rows: int) -> None:
    found = numbers(np.round(np.random.default_rng(rows).normal(size=rows), 3))
    values = found.marks
    assert len(values) <= 16_385 and (np.diff(values) > 0).all() and values[-1] == found.ordered[-1]
    below, upto = found.counts_at(np.append(values[:50], 0.00005))
    assert below.tolist() == [(found.ordered < value).sum() for value in [*values[:50], 0.00005]]
    assert upto.tolist() == [(found.ordered <= value).sum() for value in [*values[:50], 0.00005]]
    assert found.has_levels_over(len(np.unique(found.ordered)) - 1)
    assert not found.has_levels_over(len(np.unique(found.ordered)))


# --- the plain way, as an oracle -------------------------------------------------------------------------------------


def plain_ks(before: np.ndarray, after: np.ndarray) -> float:
    return max(abs((before <= value).mean() - (after <= value).mean()) for value in np.concatenate([before, after]))


def plain_wasserstein(before: np.ndarray, after: np.ndarray) -> float:
    both = np.unique(np.concatenate([before, after]))
    gaps = [abs((before <= value).mean() - (after <= value).mean()) for value in both[:-1]]
    return float(np.dot(gaps, np.diff(both))) / max(before.std(), 0.001)


def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(7)
    return [
        (rng.normal(size=300), rng.normal(size=200)),
        (rng.normal(size=300), rng.normal(9, 1, size=200)),
        (rng.integers(0, 6, 300).astype(float), rng.integers(1, 9, 90).astype(float)),
        (np.where(rng.random(500) < 0.6, 0.0, rng.lognormal(0, 2, 500)), rng.lognormal(0, 2, 100)),
        (np.zeros(40), np.ones(3)),
        (np.array([1.0]), np.array([1.0])),
    ]


@pytest.mark.parametrize("place", range(6))
def test_scores_from_profiles_are_those_from_rows(place: int) -> None:
    before, after = pairs()[place]
    profiles = numbers(before), numbers(after)
    assert METHODS["ks"].score(*profiles) == pytest.approx(plain_ks(before, after), abs=1e-12)
    assert METHODS["wasserstein"].score(*profiles) == pytest.approx(plain_wasserstein(before, after), rel=1e-9)


@pytest.mark.parametrize("digits", [1, 3, 15])
@pytest.mark.parametrize("shift", [0.0, 0.02, 3.0])
def test_ks_of_many_rows_looks_at_a_few_and_is_exact(digits: int, shift: float) -> None:
    """Over 16,384 rows only some stretches are looked at; what is plain looks at all."""
    rng = np.random.default_rng(digits)
    for sizes in ((60_000, 50_000), (200, 70_000), (70_000, 200)):
        before, after = (np.round(rng.normal(by, 1, size), digits) for by, size in zip((0, shift), sizes, strict=True))
        after[: len(after) // 10] = 0.0  # a heavy value that the reference may hardly have
        found: tuple[Numbers, Numbers] = numbers(before), numbers(after)
        both = np.concatenate([found[0].ordered, found[1].ordered])
        gaps = [np.searchsorted(side.ordered, both, side="right") / side.rows for side in found]
        assert METHODS["ks"].score(*found) == np.abs(gaps[0] - gaps[1]).max()
