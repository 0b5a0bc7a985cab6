"""A window of features to a drift finding: states, decisions, thresholds."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from seamark.compute.drift import METHODS
from seamark.compute.drift_window import DEFAULT_METHODS, judge, method_for
from seamark.compute.profiles import profile_all
from seamark.core.findings import DriftFinding, DriftState
from seamark.core.specs import DriftSpec
from seamark.core.windows import Window

WINDOW = Window.trailing(datetime(2026, 3, 1, tzinfo=UTC), 3600)
SPEC = DriftSpec(false_alarms=0.001, rows_min=100)


def of(finding: DriftFinding, feature: str):
    return next(found for found in finding.features if found.feature == feature)


def texts(shares: list[float], rows: int, rng: np.random.Generator) -> np.ndarray:
    return np.array(list("abcdefgh"), dtype=object)[rng.choice(len(shares), size=rows, p=shares)]


def run(current, reference, kinds, spec=SPEC, **more) -> DriftFinding:
    profiles = [columns and profile_all(columns, kinds) for columns in (current, reference)]
    return judge("m", "1", WINDOW, *profiles, kinds, spec, **more)


def test_only_what_moved_drifts() -> None:
    rng = np.random.default_rng(1)
    even = [0.25, 0.25, 0.25, 0.25]
    reference = {f"n{i}": rng.normal(size=5000) for i in range(8)} | {f"c{i}": texts(even, 5000, rng) for i in range(4)}
    current = {f"n{i}": rng.normal(size=400) for i in range(8)} | {f"c{i}": texts(even, 400, rng) for i in range(4)}
    current["n3"] = current["n3"] + 0.6
    current["c1"] = texts([0.45, 0.25, 0.2, 0.1], 400, rng)
    kinds = {name: "numeric" if name.startswith("n") else "categorical" for name in reference}
    finding = run(current, reference, kinds, reference_id="r1")
    assert [f.feature for f in finding.features] == list(kinds)
    assert {f.feature for f in finding.features if f.drifted} == {"n3", "c1"}
    assert finding.drifted is True and finding.reference_id == "r1" and finding.window == WINDOW
    for feature in finding.features:
        assert feature.rows == 400 and feature.reference_rows == 5000
        assert feature.score is not None and feature.threshold is not None and feature.p_value is not None
        assert feature.drifted == (feature.score >= feature.threshold)


def test_what_cannot_be_judged_is_a_state_and_unknown() -> None:
    rng = np.random.default_rng(2)
    column = rng.normal(size=500)
    half = column.copy()
    half[:450] = np.nan
    current = {
        "ok": column,
        "all_null": np.full(500, np.nan),
        "texts_null": np.full(500, None, dtype=object),
        "few": half,
        "new": column,
        "few_reference": column,
        "infinite": np.full(500, np.inf),
        "empty": column[:0],
    }
    reference = {name: column for name in current if name != "new"} | {
        "gone": column,
        "few_reference": column[:99],
        "texts_null": np.full(500, "a", dtype=object),
    }
    kinds = dict.fromkeys([*current, "gone"], "numeric") | {"texts_null": "categorical"}
    finding = run(current, reference, kinds)
    assert {f.feature: f.state for f in finding.features} == {
        "ok": DriftState.NO_DRIFT,
        "all_null": DriftState.ALL_NULL,
        "texts_null": DriftState.ALL_NULL,
        "few": DriftState.TOO_FEW_ROWS,
        "new": DriftState.NOT_IN_REFERENCE,
        "few_reference": DriftState.TOO_FEW_ROWS,
        "infinite": DriftState.ALL_NULL,
        "empty": DriftState.TOO_FEW_ROWS,
        "gone": DriftState.NOT_IN_WINDOW,
    }
    assert of(finding, "few").rows == 50
    unknown = [f for f in finding.features if f.feature != "ok"]
    assert all(f.drifted is None and f.score is None and f.p_value is None and f.threshold is None for f in unknown)


@pytest.mark.parametrize("reference", [None, {}])
def test_without_a_reference_nothing_is_claimed(reference) -> None:
    finding = run({"a": np.arange(200.0)}, reference, {"a": "numeric"})
    assert of(finding, "a").state == DriftState.NO_REFERENCE and of(finding, "a").rows == 200
    assert finding.drifted is None


def test_no_features_is_unknown() -> None:
    assert run({}, {}, {}).drifted is None


def test_a_certain_but_tiny_shift_is_no_alarm() -> None:
    rng = np.random.default_rng(3)
    finding = run({"a": rng.normal(0.04, 1, 100_000)}, {"a": rng.normal(size=200_000)}, {"a": "numeric"})
    found = of(finding, "a")
    assert found.state == DriftState.CERTAIN_SMALL and found.drifted is False
    assert found.p_value < 1e-6 and found.score < found.threshold == METHODS[DEFAULT_METHODS["numeric"]].small


def test_methods_are_chosen_by_kind_and_by_name() -> None:
    spec = DriftSpec(methods={"age": "wasserstein", "city": "psi", "plan": "ks", "odd": "nothing"})
    assert method_for("age", "numeric", spec).name == "wasserstein"
    assert method_for("city", "categorical", spec).name == "psi"
    assert method_for("plan", "categorical", spec).name == DEFAULT_METHODS["categorical"]  # ks takes no texts
    assert method_for("odd", "numeric", spec).name == DEFAULT_METHODS["numeric"]
    assert method_for("other", "numeric", spec).name == "ranks"


@pytest.mark.parametrize("method", [m for m in METHODS if METHODS[m].kinds & {"numeric", "categorical"}])
def test_each_method_finds_a_shift_in_a_window(method: str) -> None:
    rng = np.random.default_rng(4)
    kind = "numeric" if "numeric" in METHODS[method].kinds else "categorical"
    even, moved = [0.25] * 4, [0.5, 0.3, 0.1, 0.1]
    reference = rng.normal(size=4000) if kind == "numeric" else texts(even, 4000, rng)
    current = rng.normal(0.7, 1, 400) if kind == "numeric" else texts(moved, 400, rng)
    finding = run({"f": current}, {"f": reference}, {"f": kind}, DriftSpec(methods={"f": method}))
    assert of(finding, "f").method == method and of(finding, "f").state == DriftState.DRIFT


def test_a_finding_is_the_same_for_the_same_seed_and_each_feature_draws_for_itself() -> None:
    rng = np.random.default_rng(5)
    even = [0.125] * 8
    reference = {name: texts(even, 1000, rng) for name in "abc"}
    current = {name: texts(even, 300, rng) for name in "abc"}
    kinds = dict.fromkeys("abc", "categorical")
    first, again = run(current, reference, kinds, seed=7), run(current, reference, kinds, seed=7)
    assert first == again
    alone = run({"b": current["b"]}, {"b": reference["b"]}, {"b": "categorical"}, seed=7)
    assert of(alone, "b").p_value == of(first, "b").p_value


def test_columns_as_the_store_gives_them_are_judged() -> None:
    """Objects with None beside texts; floats with NaN; read-only arrays."""
    rng = np.random.default_rng(6)
    numbers = rng.normal(size=600)
    numbers[::5] = np.nan
    words = texts([0.25] * 4, 600, rng)
    words[::4] = None
    for column in (numbers, words):
        column.flags.writeable = False
    columns, kinds = {"n": numbers, "w": words}, {"n": "numeric", "w": "categorical"}
    finding = run(columns, columns, kinds)
    assert [f.state for f in finding.features] == [DriftState.NO_DRIFT] * 2
    assert [f.rows for f in finding.features] == [480, 450]
    assert [f.score for f in finding.features] == [0.0, 0.0]


@pytest.mark.parametrize("reference_rows", [1_000, 10_000])
def test_single_rows_of_rare_levels_raise_nothing_and_a_level_that_is_really_new_does(reference_rows: int) -> None:
    """Hundreds of uneven levels: what is rare comes and goes by chance, what is new comes again and again."""
    rng = np.random.default_rng(7)
    shares = 1 / np.arange(1, 501)
    levels = np.array([f"level {number}" for number in range(500)], dtype=object)
    reference = levels[rng.choice(500, size=reference_rows, p=shares / shares.sum())]
    current = levels[rng.choice(500, size=600, p=shares / shares.sum())]
    assert run({"c": current}, {"c": reference}, {"c": "categorical"}).drifted is False
    current[:60] = "new"
    assert run({"c": current}, {"c": reference}, {"c": "categorical"}).drifted is True


def test_an_id_that_is_new_in_every_row_is_no_drift() -> None:
    before = np.array([f"user {number}" for number in range(5000)], dtype=object)
    after = np.array([f"user {number}" for number in range(5000, 5800)], dtype=object)
    found = of(run({"id": after}, {"id": before}, {"id": "categorical"}), "id")
    assert found.state == DriftState.NO_DRIFT and found.p_value == 1.0
