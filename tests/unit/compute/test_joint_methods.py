"""Texts, vectors and whole rows, measured: how often nothing raises an alarm, and what is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binom

from seamark.compute.drift import METHODS, correlation, domain_classifier
from seamark.compute.drift_window import judge, methods_for
from seamark.compute.joint_methods import JOINT_METHODS
from seamark.compute.joint_values import VALUES_MAX, row_values
from seamark.compute.profiles import levels, profile_all
from seamark.compute.row_order import evenly, own_order
from seamark.compute.row_profile import FEATURES_MAX, rows
from seamark.compute.text_profile import CHARACTERS_MAX, LENGTH_MAX, ROWS_MAX, is_text, texts
from seamark.compute.vector_profile import NUMBERS_MAX, vectors
from seamark.core.drift_parts import ALL_FEATURES
from seamark.core.findings import DriftFinding, DriftState, FeatureDrift
from seamark.core.specs import DriftSpec
from seamark.core.windows import Window

WINDOW = Window.trailing(datetime(2026, 3, 1, tzinfo=UTC), 3600)
SPEC = DriftSpec(false_alarms=0.001, rows_min=50)
ALARMS = (DriftState.DRIFT, DriftState.CERTAIN_SMALL)
WORDS = np.array([f"w{n}" for n in range(1_500)], dtype=object)
COMMONNESS = 1 / (np.arange(1_500) + 5)
COMMONNESS /= COMMONNESS.sum()


def run(
    reference: Mapping[str, Any], current: Mapping[str, Any], kinds: Mapping[str, str], **more: Any
) -> DriftFinding:
    sides = profile_all(current, kinds), profile_all(reference, kinds)
    return judge("m", None, WINDOW, *sides, kinds, more.pop("spec", SPEC), **more)


def one(reference: Any, current: Any, kind: str, **more: Any) -> FeatureDrift:
    return run({"x": reference}, {"x": current}, {"x": kind}, **more).features[0]


def sentences(count: int, rng: np.random.Generator, length: float = 8.0, topic: float = 0.0) -> np.ndarray:
    """Texts of words as rare as words are; `topic` of them tell of something the others seldom do."""
    lengths = rng.poisson(length, count) + 1
    words = np.split(WORDS[rng.choice(1_500, lengths.sum(), p=COMMONNESS)], np.cumsum(lengths)[:-1])
    told = rng.random(count) < topic
    found = np.empty(count, dtype=object)
    found[:] = [" ".join([*(WORDS[700:704] if t else ()), *w]) for t, w in zip(told, words, strict=True)]
    return found


def embeddings(count: int, rng: np.random.Generator, dimension: int = 40) -> np.ndarray:
    """Vectors of twelve topics, spread as embeddings are: a few directions matter most."""
    spread = (1.0 + np.arange(dimension)) ** -0.5
    centres = np.random.default_rng(99).normal(size=(12, dimension)) * spread
    return centres[rng.integers(0, 12, count)] + rng.normal(size=(count, dimension)) * spread


def records(count: int, rng: np.random.Generator, rho: float = 0.0) -> dict[str, np.ndarray]:
    first, second, third = rng.normal(size=(3, count))
    second = rho * first + np.sqrt(1 - rho**2) * second
    return {"a": first, "b": second, "c": np.exp(third), "plan": WORDS[rng.integers(0, 6, count)]}


# --- false alarms ----------------------------------------------------------------------------------------------------

DRAWN: dict[str, Callable[[int, np.random.Generator], Any]] = {
    "text": lambda count, rng: POOL[rng.integers(0, len(POOL), count)],
    "vector": embeddings,
    "multivariate": records,
}
POOL = sentences(20_000, np.random.default_rng(5))


def alarms(kind: str, windows: int, reference_rows: int, count: int, asked: float) -> int:
    rng = np.random.default_rng(windows + reference_rows)
    spec = DriftSpec(false_alarms=asked, rows_min=50)
    found = 0
    for seed in range(windows):
        reference, current = DRAWN[kind](reference_rows, rng), DRAWN[kind](count, rng)
        found += one(reference, current, kind, spec=spec, seed=seed).state in ALARMS
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(DRAWN))
@pytest.mark.parametrize("reference_rows, count", [(300, 60), (150, 400)])
def test_false_alarms_are_as_rare_as_asked(kind: str, reference_rows: int, count: int) -> None:
    """Short form; a certain but small shift counts as an alarm here."""
    assert alarms(kind, 40, reference_rows, count, 0.05) <= binom.isf(1e-4, 40, 0.05)


@pytest.mark.soak
@pytest.mark.parametrize("kind", sorted(DRAWN))
@pytest.mark.parametrize("reference_rows, count", [(1_000, 100), (1_000, 1_000), (5_000, 500)])
def test_false_alarms_are_as_rare_as_asked_over_many_windows(kind: str, reference_rows: int, count: int) -> None:
    assert alarms(kind, 1_000, reference_rows, count, 0.01) <= binom.isf(1e-4, 1_000, 0.01)


# --- whole rows ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_correlation_that_no_column_shows_is_found() -> None:
    """Both columns stay standard normal; their correlation goes from 0 to 0.7 (1,000 rows against 10,000)."""
    silent = found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        reference, current = records(10_000, rng), records(1_000, rng, rho=0.7)
        kinds = {"a": "numeric", "b": "numeric", "c": "numeric", "plan": "categorical", ALL_FEATURES: "multivariate"}
        finding = run({**reference, ALL_FEATURES: reference}, {**current, ALL_FEATURES: current}, kinds, seed=seed)
        *columns, whole = finding.features
        silent += not any(feature.drifted for feature in columns)
        found += whole.state == DriftState.DRIFT and whole.method == "correlation"
    assert found >= 19 and silent >= 19


@pytest.mark.slow
def test_many_small_shifts_are_found_together() -> None:
    rng = np.random.default_rng(1)
    reference = {f"x{n:02}": rng.normal(size=3_000) for n in range(20)}
    current = {name: rng.normal(0.15, 1, 600) for name in reference}
    kinds = {**dict.fromkeys(reference, "numeric"), ALL_FEATURES: "multivariate"}
    finding = run({**reference, ALL_FEATURES: reference}, {**current, ALL_FEATURES: current}, kinds)
    whole = finding.features[-1]
    assert (whole.feature, whole.method, whole.state) == (ALL_FEATURES, "domain_classifier", DriftState.DRIFT)


def test_a_level_that_goes_with_a_number_is_found() -> None:
    rng = np.random.default_rng(2)
    reference, current = records(3_000, rng), records(800, rng)
    current["plan"] = np.where(np.argsort(np.argsort(current["a"])) < 400, WORDS[:3][rng.integers(0, 3, 800)], WORDS[4])
    reference["plan"] = current["plan"][rng.integers(0, 800, 3_000)]
    whole = one(reference, current, "multivariate")
    assert whole.state == DriftState.DRIFT and whole.parts[1].method == "correlation"
    assert whole.parts[1].p_value < 1e-6


def test_features_of_one_side_only_and_hostile_columns_are_no_reason_to_fail() -> None:
    rng = np.random.default_rng(3)
    strange = {
        "huge": rng.uniform(-1.7, 1.7, 200) * 1e308,
        "gone": np.full(200, np.nan),
        "flat": np.ones(200),
        "half": np.where(np.arange(200) % 2, np.nan, np.arange(200.0)),
        "texts": np.array(["", "\x00", "\ud800", None, "y" * 100_000] * 40, dtype=object),
        "nulls": np.full(200, None, dtype=object),
    }
    found = one(strange, {**strange, "only": np.ones(200)}, "multivariate")
    assert found.state == DriftState.NO_DRIFT and found.p_value == 1.0
    assert one({"a": np.ones(200)}, {"b": np.ones(200)}, "multivariate").state == DriftState.NO_DRIFT


def test_wide_rows_are_bounded() -> None:
    rng = np.random.default_rng(4)
    wide = {f"f{n:04}": rng.normal(size=60) for n in range(700)}
    wide |= {f"t{n:04}": WORDS[rng.integers(0, 9, 60)] for n in range(100)}
    profile = rows(wide)
    assert len(profile.numeric) + len(profile.categorical) == FEATURES_MAX
    assert row_values(profile, profile).matrix.shape[1] <= VALUES_MAX
    assert rows({"a": np.zeros(30_000)}).sampled == ROWS_MAX and rows({"a": np.zeros(30_000)}).rows == 30_000
    assert rows({}).rows == rows({}).sampled == 0


def test_levels_are_the_same_ones_on_both_sides() -> None:
    """A level that one side names first must be the same mark: codes are by name, not by order."""
    reference = rows({"plan": np.array(["a", "b"] * 100, dtype=object), "x": np.tile([0.0, 1.0], 100)})
    current = rows({"plan": np.array(["b", "a"] * 100, dtype=object), "x": np.tile([1.0, 0.0], 100)})
    assert correlation.score(reference, current) == domain_classifier.score(reference, current) == 0.0


# --- vectors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moved", ["shift", "along", "scale", "topic", "mixed_up", "wider"])
def test_vectors_that_moved_are_found(moved: str) -> None:
    rng = np.random.default_rng(6)
    reference, current = embeddings(3_000, rng), embeddings(600, rng)
    if moved == "shift":
        current[:, 25] += 0.1
    elif moved == "along":
        current += 0.5 * np.random.default_rng(13).normal(size=40) * (1.0 + np.arange(40)) ** -0.5 / 40**0.5
    elif moved == "scale":
        current *= 1.1
    elif moved == "topic":
        current[:60] += 1.5 * np.random.default_rng(7).normal(size=40) * (1.0 + np.arange(40)) ** -0.5
    elif moved == "mixed_up":
        current[:, [1, 9]] = current[:, [9, 1]]
    else:
        current += rng.normal(size=current.shape) * 0.2
    found = one(reference, current, "vector")
    assert found.state in ALARMS and found.p_value < 1e-4


@pytest.mark.slow
def test_a_long_vector_is_judged_by_a_sample() -> None:
    rng = np.random.default_rng(8)
    profile = vectors(rng.normal(size=(2_500, 4_096)).astype(np.float32))
    assert profile.sample.size <= NUMBERS_MAX and profile.rows == 2_500 and profile.dimension == 4_096
    assert domain_classifier.score(profile, profile) == pytest.approx(0.0, abs=1e-9)


def test_vectors_of_another_dimension_are_a_state() -> None:
    rng = np.random.default_rng(9)
    found = one(rng.normal(size=(100, 4)), rng.normal(size=(100, 5)), "vector")
    assert (found.state, found.drifted, found.score) == (DriftState.OTHER_DIMENSION, None, None)


def test_vectors_with_a_gap_count_as_null() -> None:
    column = np.ones((100, 3))
    column[:40, 1] = [np.nan, np.inf] * 20
    assert (vectors(column).rows, vectors(column).nulls) == (60, 40)
    assert one(np.ones((100, 3)), np.full((100, 3), np.nan), "vector").state == DriftState.ALL_NULL


# --- texts -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "method, change",
    [
        ("text_length", lambda rng: sentences(500, rng, length=11.0)),
        ("word_classifier", lambda rng: sentences(500, rng, topic=0.1)),
        ("unseen_words", lambda rng: np.array([t.replace("w1", "neu1") for t in sentences(500, rng)], dtype=object)),
    ],
)
def test_each_method_finds_its_kind_of_change(method: str, change: Callable[[np.random.Generator], np.ndarray]) -> None:
    rng = np.random.default_rng(10)
    reference, current = sentences(3_000, rng), change(rng)
    found = one(reference, current, "text")
    assert found.state == DriftState.DRIFT
    assert [part.method for part in found.parts] == list(JOINT_METHODS["text"])
    own = next(part for part in found.parts if part.method == method)
    assert own.p_value < 1e-3 / 3 and own.score >= own.threshold
    assert found.p_value == pytest.approx(min(1.0, 3 * min(part.p_value for part in found.parts)))
    assert one(reference, current, "text", spec=DriftSpec(methods={"x": method})).method == method


def test_words_are_runs_of_letters_in_any_script() -> None:
    found = texts(
        np.array(["Hello, WORLD! hello", "naïve café—ÉCOLE", "猫が好き", "x" * 5_000 + " tail", None], dtype=object)
    )
    assert set(found.words.to_pylist()) == {
        *("hello", "world", "naïve", "café", "école", "猫", "が", "好", "き"),
        "x" * CHARACTERS_MAX,
    }
    assert sorted(found.lengths.tolist()) == [4, 16, 19, LENGTH_MAX] and found.nulls == 1
    assert found.counts.sum() == 3 + 3 + 4 + 1 and found.counts.max() == 2


@pytest.mark.slow
def test_texts_may_be_empty_huge_or_broken() -> None:
    strange = np.array(["", " ", "\x00", "\ud800", "z" * 1_000_000, "a b " * 250_000] * 20, dtype=object)
    found = one(strange, strange, "text")
    assert found.state == DriftState.NO_DRIFT and found.rows == 120
    assert one(np.full(100, "", dtype=object), np.full(100, "", dtype=object), "text").state == DriftState.NO_DRIFT
    assert one(strange, np.full(100, None, dtype=object), "text").state == DriftState.ALL_NULL


@pytest.mark.parametrize(
    "column, expected",
    [
        (sentences(300, np.random.default_rng(11)), True),
        (sentences(150, np.random.default_rng(11)), False),  # too few to tell
        (np.array([f"user-{n}" for n in range(300)], dtype=object), False),  # ids: no spaces
        (np.array(["New York", "Los Angeles"] * 200, dtype=object), False),  # levels, with spaces
        (np.full(300, None, dtype=object), False),
        (np.array([], dtype=object), False),
    ],
)
def test_text_is_known_by_its_values(column: np.ndarray, expected: bool) -> None:
    profile = levels(column)
    assert is_text(profile.names, profile.counts) is expected


# --- samples ---------------------------------------------------------------------------------------------------------


def test_a_sample_is_even_and_bounded() -> None:
    assert evenly(np.arange(5), 10).tolist() == [0, 1, 2, 3, 4]
    assert evenly(np.arange(101), 3).tolist() == [0, 50, 100]


def test_rows_come_in_an_order_of_their_own() -> None:
    rng = np.random.default_rng(12)
    columns = [rng.normal(size=500), rng.integers(0, 3, 500)]
    shuffled = rng.permutation(500)
    ordered = own_order(columns, 500)
    again = own_order([column[shuffled] for column in columns], 500)
    for column in columns:
        assert (column[ordered] == column[shuffled][again]).all()


def test_kinds_have_their_methods() -> None:
    for kind, names in JOINT_METHODS.items():
        assert all(kind in METHODS[name].kinds for name in names)
        assert tuple(method.name for method in methods_for("x", kind, DriftSpec())) == names
    assert methods_for("x", "text", DriftSpec(methods={"x": "ks"}))[0].name == "text_length"


def test_profiles_take_arrow_columns() -> None:
    column = pa.chunked_array([["a b c", None], ["d"]])
    assert texts(column).rows == 2 and texts(column).nulls == 1
    assert rows({"plan": column}).rows == 3
