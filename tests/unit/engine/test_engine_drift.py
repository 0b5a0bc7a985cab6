"""Drift of many models at one tick: read together, judged as each alone; references profiled once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.lake_rows import SCHEMA, rows_of

from seamark.core.errors import StoreUnavailable
from seamark.core.findings import DriftFinding
from seamark.core.windows import Window
from seamark.engine import drift, held, references
from seamark.engine.evaluate import Evaluator
from seamark.engine.services import Services

MODELS = ["alpha", "beta", "gamma"]
CONFIG = "models:\n" + "".join(f"  - {{name: {model}, drift: {{window: 1h}}}}\n" for model in MODELS)


class CountingLake:
    """The lake, with what was asked of it."""

    def __init__(self, lake: Any) -> None:
        self._lake = lake
        self.asked: list[str] = []
        self.failing: str | None = None

    def query(self, sql: str, parameters: Any = (), **more: Any) -> pa.Table:
        self.asked.append(sql)
        if self.failing is not None and self.failing in sql:
            raise StoreUnavailable("the lake is away")
        return self._lake.query(sql, parameters, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lake, name)

    def reads_of(self, column: str, table: str) -> int:
        return sum(column in sql and f"lake.{table}" in sql for sql in self.asked)


@pytest.fixture
def watched(services: Services) -> Services:
    """Services that hold an hour of three models and their references; beta's numbers have moved."""
    rng = np.random.default_rng(1)
    at = services.clock.now()
    for model in MODELS:
        services.catalog.schemas.remember([(model, SCHEMA)])
        columns = {"age": rng.normal(size=400), "income": rng.normal(size=400)}
        texts = {name: rng.choice(["a", "b", "c"], 400) for name in SCHEMA.categorical}
        references.put(services, model, "", SCHEMA, pa.table(columns | texts), {}, at - timedelta(days=1))
    rows = [
        {
            "model": model,
            "prediction_id": f"{model}-{row}",
            "at": at - timedelta(seconds=5 * row + 1),
            "numeric": (rng.normal(size=2) + 2.0 * (model == "beta")).tolist(),
            "categorical": rng.choice(["a", "b", "c"], 2).tolist(),
        }
        for row in range(300)
        for model in MODELS
    ]
    services.lake.append({"predictions": rows_of("predictions", rows)})
    services.configuration.apply(CONFIG, at)
    return replace(services, lake=CountingLake(services.lake))


def findings(services: Services) -> dict[str, DriftFinding]:
    latest = {model: services.catalog.findings.latest(model, "drift", DriftFinding) for model in MODELS}
    return {model: found.finding for model, found in latest.items() if found is not None}


@pytest.mark.slow
def test_a_tick_reads_all_models_at_once_and_judges_each_as_alone(watched: Services) -> None:
    at = watched.clock.now()
    Evaluator().tick(watched, at)
    # All of it at once; and for each whether its rows repeat.
    assert watched.lake.reads_of("numeric", "predictions") == 1 + len(MODELS)
    found = findings(watched)
    assert {model: finding.drifted for model, finding in found.items()} == {
        "alpha": False,
        "beta": True,
        "gamma": False,
    }
    for model in MODELS:
        assert found[model] == drift.judge(watched, model, None, Window.trailing(at, 3600.0))


@pytest.mark.slow
def test_a_reference_is_read_once(watched: Services) -> None:
    at = watched.clock.now()
    evaluator = Evaluator()
    evaluator.tick(watched, at)
    assert watched.lake.reads_of("numeric", "reference_rows") >= len(MODELS)
    watched.lake.asked.clear()
    for tick in (1, 2):
        evaluator.tick(watched, at + timedelta(minutes=11 * tick))
    assert watched.lake.reads_of("numeric", "predictions") > 0
    assert watched.lake.reads_of("numeric", "reference_rows") == 0, "whatever was made of it is kept"


@pytest.mark.slow
def test_where_reading_together_fails_each_model_is_read_alone(watched: Services) -> None:
    watched.lake.failing = "model, schema_id, numeric"
    evaluator, at = Evaluator(), watched.clock.now()
    with pytest.raises(StoreUnavailable):
        evaluator.tick(watched, at)
    assert set(findings(watched)) == {"beta", "gamma"}, "the first met the failure; it is tried again at the next tick"
    watched.lake.failing = None
    evaluator.tick(watched, at + timedelta(seconds=1))
    assert set(findings(watched)) == set(MODELS)


def test_a_model_alone_is_read_alone(watched: Services) -> None:
    together = drift.Together(watched, ["beta"], Window.trailing(watched.clock.now(), 3600.0))
    assert together.take("beta") is None


def test_profiles_of_references_are_bounded_and_the_last_is_kept(watched: Services) -> None:
    references = [watched.catalog.references.current(model, None) for model in MODELS]
    cache = held.ReferenceCache(bytes_max=1)
    for reference in references:
        assert reference is not None
        assert cache.profiles(watched, reference) is cache.profiles(watched, reference)
    watched.lake.asked.clear()
    assert references[0] is not None
    cache.profiles(watched, references[0])
    assert watched.lake.reads_of("numeric", "reference_rows") == 1, "it had to make room"


def test_a_feature_that_comes_as_another_kind_is_judged_as_the_references(watched: Services) -> None:
    """The window's numbers were sent as text, and its texts as numbers."""
    at = watched.clock.now()
    swapped = type(SCHEMA)(numeric=("plan",), categorical=("age", "income"))
    watched.catalog.schemas.remember([("alpha", swapped)])
    rows = [
        {
            "model": "alpha",
            "prediction_id": f"swapped-{row}",
            "at": at + timedelta(hours=2),
            "schema_id": swapped.schema_id,
            "numeric": [float(row % 3)],
            "categorical": [str(row / 100), "no number"],
        }
        for row in range(200)
    ]
    watched.lake.append({"predictions": rows_of("predictions", rows)})
    finding = drift.judge(watched, "alpha", None, Window.trailing(at + timedelta(hours=2, seconds=1), 60.0))
    found = {feature.feature: (feature.kind, feature.state.value, feature.rows) for feature in finding.features}
    assert found["age"] == ("numeric", "drift", 200)
    assert found["income"] == ("numeric", "all_null", 0)
    assert found["plan"] == ("categorical", "drift", 200)
    assert found["active"] == ("categorical", "not_in_window", 0)


@pytest.mark.slow
def test_one_window_is_judged_at_a_time(watched: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once, most = 0, 0
    real = drift.drift_window.judge

    def judge(*given: Any, **more: Any) -> DriftFinding:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        finding = real(*given, **more)
        at_once -= 1
        return finding

    monkeypatch.setattr(drift.drift_window, "judge", judge)
    hour = Window.trailing(watched.clock.now(), 3600.0)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda model: drift.judge(watched, model, None, hour), MODELS * 4))
    assert most == 1 and len(found) == 12
