"""Every drift method keeps the contract of compute/drift/method.py."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from seamark.compute import drift
from seamark.compute.drift import METHODS
from seamark.compute.drift.method import DriftMethod, NullDistribution
from seamark.compute.drift_window import _RARE
from seamark.compute.profiles import PROFILERS, Profile

FOLDER = Path(drift.__file__).parent
_NOTHING = 1e-100  # scores under it are 0: of methods that take off what chance brings, most are where nothing moved
_ORDINARY = 0.3  # of the p-value by few draws: four standard errors of a hundred above the 0.1 that is counted
LEVELS = np.array([f"level {number}" for number in range(40)], dtype=object)
MANY_LEVELS = np.array([f"level {number}" for number in range(2000)], dtype=object)

pairs = pytest.mark.parametrize(
    "method, kind",
    [pytest.param(m, kind, id=f"{m.name}-{kind}") for m in METHODS.values() for kind in sorted(m.kinds)],
)


def draw(kind: str, rows: int, rng: np.random.Generator, shift: float = 0.0) -> Profile:
    """Rows that nothing moved in (shift 0), or that moved the further the larger the shift."""
    return PROFILERS[kind](drawn(kind, rows, rng, shift))


def drawn(kind: str, rows: int, rng: np.random.Generator, shift: float = 0.0) -> Any:
    if kind == "numeric":
        return rng.normal(shift, 1.0, rows)
    if kind == "vector":
        return rng.normal(shift, 1.0, (rows, 5))
    if kind == "text":
        return sentences(rows, rng, shift)
    if kind == "multivariate":
        pair = rng.normal(size=(2, rows))
        pull = min(0.6 * shift, 0.9)
        both = pull * pair[0] + np.sqrt(1 - pull**2) * pair[1]
        return {"a": pair[0], "b": both, "c": LEVELS[rng.integers(0, 5, rows)]}
    shares = np.exp(-np.arange(8) * (0.3 + shift))
    return LEVELS[rng.choice(8, size=rows, p=shares / shares.sum())]


def sharp(null: NullDistribution) -> NullDistribution:
    """The null by which an alarm is raised."""
    return null.sharpen() if null.sharpen is not None else null


def sentences(rows: int, rng: np.random.Generator, shift: float) -> np.ndarray:
    """Texts of words as rare as words are; the larger the shift the longer, and the more words are new ones."""
    return pool(shift)[rng.integers(0, 10_000, rows)]


@cache
def pool(shift: float) -> np.ndarray:
    rng, rows = np.random.default_rng(0), 10_000
    shares = 1 / (np.arange(2_000) + 5)
    lengths = rng.poisson(8 + 4 * shift, rows) + 1
    words = rng.choice(2_000, lengths.sum(), p=shares / shares.sum())
    words = np.where(rng.random(len(words)) < 0.1 * shift, 2_000 + words % 30, words)
    texts = np.array([f"w{word}" for word in words], dtype=object)
    found = np.empty(rows, dtype=object)
    found[:] = [" ".join(part) for part in np.split(texts, np.cumsum(lengths)[:-1])]
    return found


def taken(column: Any, places: Any) -> Any:
    return {name: part[places] for name, part in column.items()} if isinstance(column, dict) else column[places]


def size(column: Any) -> int:
    return len(column["a"]) if isinstance(column, dict) else len(column)


def hostile(kind: str) -> list[Any]:
    if kind == "text":
        return [
            np.array(["a b"], dtype=object),
            np.array(["", " ", "\x00", "...", None] * 20, dtype=object),
            np.array(["x" * 1_000_000, "y z " * 250_000, "\ud800 \x00 a"] * 3, dtype=object),
            np.array(["猫が好き", "แมว", "naïve café"] * 30, dtype=object),
            np.array([f"only {n} once{n}" for n in range(300)], dtype=object),
        ]
    if kind in ("vector", "multivariate"):
        plain = [column[np.isfinite(column)] for column in hostile("numeric")]
        matrices = [np.column_stack([column, column[::-1], np.roll(column, 1)]) for column in plain if len(column)]
        gaps = np.full((40, 3), np.nan)
        gaps[:20] = np.random.default_rng(1).normal(size=(20, 3))
        gaps[3, 1] = np.inf
        matrices.append(gaps)
        if kind == "vector":
            return matrices
        texts = hostile("categorical")
        return [
            {"a": m[:, 0], "b": m[:, 1], "c": np.resize(texts[place % len(texts)], len(m))}
            for place, m in enumerate(matrices)
        ]
    if kind == "categorical":
        return [
            np.array(["a"], dtype=object),
            np.array(["a"] * 50, dtype=object),
            np.array([f"user {n}" for n in range(300)], dtype=object),
            np.array(["", "\x00", "\ud800", "é" * 5000, "nan", "None"], dtype=object),
        ]
    rng = np.random.default_rng(0)
    return [
        np.array([1.0]),
        np.zeros(50),
        np.full(50, -7.5),
        np.array([np.inf, -np.inf, 1.0, 2.0] * 10),
        np.array([np.inf, -np.inf]),
        np.array([1.7e308, -1.7e308] * 30),
        rng.normal(0, 1e307, 100),
        rng.normal(0, 5e-324, 100),
        np.nextafter(1.0, 2.0) + np.arange(60) * 2.3e-16,
        1e16 + np.arange(100.0),
        rng.standard_cauchy(200),
        np.arange(25.0),
    ]


def test_each_file_of_the_folder_is_registered_under_its_name() -> None:
    files = {path.stem for path in FOLDER.glob("*.py")} - {"__init__", "method"}
    assert files == set(METHODS), "write the method's line in compute/drift/__init__.py"
    assert all(name == method.name for name, method in METHODS.items())


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_method_says_what_it_is(method: DriftMethod) -> None:
    assert method.kinds and method.kinds <= PROFILERS.keys()
    assert method.small > 0
    assert method.source


@pytest.mark.slow
@pairs
def test_equal_samples_score_zero_and_more_shift_scores_more(method: DriftMethod, kind: str) -> None:
    rng = np.random.default_rng(1)
    column = drawn(kind, 2000, rng)
    reference = PROFILERS[kind](column)
    assert method.score(reference, PROFILERS[kind](copy.deepcopy(column))) == pytest.approx(0.0, abs=1e-9)
    scores = [method.score(reference, draw(kind, 2000, rng, shift)) for shift in (0.0, 0.3, 0.7, 1.5)]
    assert scores == sorted(scores)
    assert scores[0] < method.small < scores[-1]


@pytest.mark.slow
@pairs
def test_a_score_does_not_grow_with_the_rows(method: DriftMethod, kind: str) -> None:
    rng = np.random.default_rng(2)
    few = method.score(draw(kind, 2_000, rng), draw(kind, 2_000, rng, 0.7))
    many = method.score(draw(kind, 40_000, rng), draw(kind, 40_000, rng, 0.7))
    assert 0.5 < many / few < 2.0  # moving bins and filled ones sway PSI; a test statistic would be twenty times larger


def arrays_of(profile: Any) -> list[np.ndarray]:
    """Return the arrays in a profile."""
    found: list[np.ndarray] = []
    for value in vars(profile).values():
        parts = [value.data, value.indices, value.indptr] if hasattr(value, "indptr") else [value]
        parts = list(value.values()) if isinstance(value, dict) else parts
        found += [part for part in parts if isinstance(part, np.ndarray)]
    assert found
    return found


@pairs
def test_arguments_stay_as_they_were(method: DriftMethod, kind: str) -> None:
    rng = np.random.default_rng(3)
    profiles = draw(kind, 300, rng), draw(kind, 200, rng, 0.4)
    for profile in profiles:
        for array in arrays_of(profile):
            array.flags.writeable = False
    method.score(*profiles)
    method.null(*profiles, rng)


@pairs
def test_the_order_of_rows_means_nothing(method: DriftMethod, kind: str) -> None:
    rng = np.random.default_rng(4)
    columns = drawn(kind, 300, rng), drawn(kind, 200, rng, 0.4)
    found = []
    for sides in (columns, [taken(column, rng.permutation(size(column))) for column in columns]):
        reference, current = map(PROFILERS[kind], sides)
        null = method.null(reference, current, np.random.default_rng(5))
        found.append((method.score(reference, current), null.score_at(1e-3)))
    assert found[0] == found[1]


@pairs
@pytest.mark.parametrize("against", ["itself and the next", pytest.param("all", marks=pytest.mark.slow)])
def test_whatever_comes_scores_and_nulls_are_finite(method: DriftMethod, kind: str, against: str) -> None:
    profiles = [PROFILERS[kind](column) for column in hostile(kind)]
    for place, reference in enumerate(profiles):
        for current in profiles if against == "all" else [reference, profiles[place - 1]]:
            score = method.score(reference, current)
            assert np.isfinite(score) and score >= 0
            if not reference.rows or not current.rows:
                continue
            first = method.null(reference, current, np.random.default_rng(5))
            for null in (first, sharp(first)):
                assert 0 <= null.p_value(score) <= 1
                assert np.isfinite(null.score_at(1e-3)) and null.score_at(1e-3) >= 0


@pairs
def test_an_empty_side_scores_zero(method: DriftMethod, kind: str) -> None:
    column = drawn(kind, 50, np.random.default_rng(6))
    some, none = PROFILERS[kind](column), PROFILERS[kind](taken(column, slice(0)))
    assert method.score(none, some) == method.score(some, none) == 0.0


@pairs
def test_the_null_is_the_same_for_the_same_generator(method: DriftMethod, kind: str) -> None:
    rng = np.random.default_rng(7)
    reference, current = draw(kind, 400, rng), draw(kind, 150, rng)
    nulls = [method.null(reference, current, np.random.default_rng(8)) for _ in range(2)]
    for p in (0.2, 0.01, 1e-5):
        assert nulls[0].score_at(p) == nulls[1].score_at(p)


@pairs
def test_p_values_fall_as_scores_rise_and_score_at_is_their_inverse(method: DriftMethod, kind: str) -> None:
    rng = np.random.default_rng(9)
    reference, current = draw(kind, 1000, rng), draw(kind, 300, rng)
    null = sharp(method.null(reference, current, rng))
    ps = [null.p_value(score) for score in np.linspace(0, 3 * null.score_at(1e-4), 60)]
    assert ps == sorted(ps, reverse=True) and ps[0] == pytest.approx(1.0)
    for p in (0.3, 0.05, 0.003, 1e-4, 1e-7):
        score = null.score_at(p)
        assert null.p_value(score) <= p * 1.01  # scipy inverts the KS law to three digits
        if score > _NOTHING:
            assert null.p_value(score * 0.93) > p


def ordinary(kind: str, column: str, rows: int, rng: np.random.Generator) -> Profile:
    """Rows that nothing moved in. Awkward: heavy tails for numbers, two thousand levels most of which are rare."""
    if column == "plain":
        return draw(kind, rows, rng)
    if kind == "numeric":
        return PROFILERS[kind](rng.lognormal(0, 1.5, rows))
    if kind == "vector":
        return PROFILERS[kind](rng.standard_t(2, (rows, 1)) * rng.normal(size=(rows, 5)))
    if kind == "text":
        return PROFILERS[kind](sentences(rows, rng, 0.0))
    if kind == "multivariate":
        return PROFILERS[kind]({f"x{n}": rng.lognormal(0, 1.5, rows).round(n) for n in range(3)})
    shares = 1 / np.arange(1, 2001)
    return PROFILERS[kind](MANY_LEVELS[rng.choice(2000, size=rows, p=shares / shares.sum())])


@cache
def unmoved(kind: str, column: str, window: int) -> tuple[Profile, Profile]:
    """A reference and a window, the same for every method of the kind: making them takes longer than judging them."""
    rng = np.random.default_rng([12, window])
    return ordinary(kind, column, 1000, rng), ordinary(kind, column, 150, rng)


def false_alarms(method: DriftMethod, kind: str, column: str, windows: int) -> list[float]:
    rng = np.random.default_rng(13)
    ps = []
    for window in range(windows):
        reference, current = unmoved(kind, column, window)
        null, score = method.null(reference, current, rng), method.score(reference, current)
        if null.p_value(score) < _ORDINARY:  # else it is as far from the bounds by any number of draws
            null = sharp(null)
        ps.append(null.p_value(score))
    return ps


@pytest.mark.slow
@pairs
def test_few_draws_tell_what_is_ordinary_from_what_is_rare(method: DriftMethod, kind: str) -> None:
    """Whatever could count by the sharp null must come to be held against it: see drift_window._RARE."""
    rng = np.random.default_rng(12)
    for _ in range(20):
        first = method.null(draw(kind, 1000, rng), draw(kind, 150, rng), rng)
        whole = sharp(first)
        assert first.p_value(whole.score_at(1e-3)) < _RARE
        ordinary = whole.score_at(0.5)
        assert ordinary < _NOTHING or first.p_value(ordinary) > 0.3


@pairs
@pytest.mark.parametrize("windows", [40, pytest.param(120, marks=pytest.mark.slow)])
def test_with_nothing_moved_p_values_are_even(method: DriftMethod, kind: str, windows: int) -> None:
    ps = np.array(false_alarms(method, kind, "plain", windows))
    assert (ps <= 0.1).sum() <= binom.isf(5e-4, windows, 0.1)
    # A method that never speaks is no method. One that takes off what chance brings scores 0 in most windows.
    assert (ps < 1.0).sum() >= windows / (3 if (ps == 1.0).sum() < windows / 3 else 20)


@pytest.mark.slow
@pairs
@pytest.mark.parametrize("column", ["plain", "awkward"])
def test_with_nothing_moved_alarms_are_as_rare_as_asked(method: DriftMethod, kind: str, column: str) -> None:
    ps = np.array(false_alarms(method, kind, column, 300))
    assert (ps <= 0.01).sum() <= 9  # 3 expected: over 9 once in a thousand
    assert (ps <= 0.1).sum() <= 47  # 30 expected: over 47 once in a thousand
