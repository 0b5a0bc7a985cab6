"""Arrivals are counted as their steps end: once however often, late ones too, and an outage is no zero."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count
from typing import Any

import numpy as np
import pytest
from tests.lake_rows import AT, rows_of

from seamark.compute.arrival_history import DAYS
from seamark.core.advice import ArrivalHistory
from seamark.core.day_rates import day_of
from seamark.engine import arrival_history
from seamark.engine.arrival_history import DAY, KEPT, ArrivalRoll, history_of, prune
from seamark.engine.services import Services

IDS = count(1)
NAMES = (f"m{number}" for number in count())


class Model:
    """A model of the test's own, which is advised."""

    def __init__(self, services: Services) -> None:
        self.services, self.name = services, next(NAMES)
        services.configuration.apply(f"models: [{{name: {self.name}, autoscale: {{max: 9}}}}]", AT)


@pytest.fixture
def advised(shared: tuple[Services, object]) -> Model:
    return Model(shared[0])


def spans(advised: Model, at: datetime, count: int, **fields: Any) -> None:
    names = {"trace_id": next(IDS).to_bytes(16, "big")}
    rows = [
        {**names, "span_id": n.to_bytes(8, "big"), "start_at": at, "received_at": at, "model": advised.name, **fields}
        for n in range(count)
    ]
    advised.services.lake.append({"spans": rows_of("spans", rows)})


def metrics(model: Model, at: datetime) -> None:
    model.services.lake.append(
        {"metric_points": rows_of("metric_points", [{"at": at, "received_at": at, "model": model.name}])}
    )


def rates(model: Model, at: datetime) -> list[float]:
    found = history_of(model.services, model.name, at)
    assert found is not None
    return [round(float(rate), 4) for rate in found.rates]


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def test_each_step_is_counted_and_late_spans_are_added(advised: Model) -> None:
    roll = ArrivalRoll()
    spans(advised, AT - minutes(15), 300)
    spans(advised, AT - minutes(5), 600)
    spans(advised, AT + minutes(5), 60)
    spans(advised, AT - minutes(5), 999, synthetic=True, span_id=b"12345678")
    roll.tick(advised.services, AT)
    assert rates(advised, AT) == [0.5, 1.0]
    roll.tick(advised.services, AT + minutes(9))
    assert rates(advised, AT + minutes(9)) == [0.5, 1.0], "a step that has not ended is not told"
    spans(advised, AT - minutes(4), 60)
    roll.tick(advised.services, AT + minutes(10))
    assert rates(advised, AT + minutes(10)) == [0.5, 1.1, 0.1]
    ArrivalRoll().tick(advised.services, AT + minutes(10))
    assert rates(advised, AT + minutes(10)) == [0.5, 1.1, 0.1], "a new process finds it again"


def test_models_beyond_measure_are_counted(advised: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = advised.services.telemetry.registry
    before = registry.get_sample_value("seamark_advice_cut_total", {"what": "models"})
    spans(advised, AT - minutes(5), 9)
    for _ in range(3):
        spans(advised, AT - minutes(5), 3, model=next(NAMES))
    monkeypatch.setattr(arrival_history, "MODELS_MAX", 1)
    ArrivalRoll().tick(advised.services, AT)
    after = registry.get_sample_value("seamark_advice_cut_total", {"what": "models"})
    assert before is not None and after is not None and after >= before + 3, "others' models are there too"


@pytest.mark.slow
def test_an_outage_is_unknown_with_metrics_too_and_silence_while_others_are_heard_is_none(services: Services) -> None:
    advised = Model(services)
    spans(advised, AT - minutes(235), 600)
    for ago in range(225, 0, -10):
        metrics(advised, AT - minutes(ago))
    spans(advised, AT - minutes(65), 600)
    ArrivalRoll().tick(services, AT)
    found = rates(advised, AT)
    assert (found[0], found[17]) == (1.0, 1.0)
    assert np.isnan(found[1:17]).all(), "metrics went on, and no span of anybody came"
    assert np.isnan(found[18:]).all(), "what came after the last request is not known"
    for ago in (145, 25):
        spans(advised, AT - minutes(ago), 10, model="other")
    ArrivalRoll().tick(services, AT)
    found = rates(advised, AT)
    assert (found[9], found[21]) == (0.0, 0.0), "metrics went on, and spans of others came"
    assert np.isnan(found[1:9]).all() and np.isnan(found[10:17]).all() and np.isnan(found[22:]).all()


def test_silence_between_requests_is_none_where_others_are_heard_without_metrics(services: Services) -> None:
    advised = Model(services)
    for ago in (85, 35):
        spans(advised, AT - minutes(ago), 600)
    ArrivalRoll().tick(services, AT)
    assert np.isnan(rates(advised, AT)[1:5]).all()
    for ago in (65, 15):
        spans(advised, AT - minutes(ago), 10, model="other")
    ArrivalRoll().tick(services, AT)
    assert np.flatnonzero(np.isfinite(rates(advised, AT))).tolist() == [0, 2, 5]
    assert rates(advised, AT)[2] == 0.0


@pytest.mark.slow
def test_days_nobody_counted_are_counted_one_a_tick(advised: Model) -> None:
    for back in (1, 5, 20):
        spans(advised, AT - back * DAY, 600)
    roll = ArrivalRoll()
    roll.tick(advised.services, AT)
    for _ in range(DAYS + 1):
        roll.tick(advised.services, AT)
    found = history_of(advised.services, advised.name, AT)
    assert found is not None
    assert len(found.rates) == 20 * 144
    assert found.rates[[0, 15 * 144, 19 * 144]].tolist() == [1.0, 1.0, 1.0]
    assert np.isfinite(found.rates).sum() == 3


def test_clocks_that_jump_give_no_wild_number(advised: Model) -> None:
    spans(advised, AT - minutes(5), 600)
    roll = ArrivalRoll()
    roll.tick(advised.services, AT)
    assert history_of(advised.services, advised.name, AT + timedelta(days=400)) is None
    roll.tick(advised.services, AT + timedelta(days=400))
    roll.tick(advised.services, AT - timedelta(days=400))
    roll.tick(advised.services, AT + minutes(10))
    again = history_of(advised.services, advised.name, AT + minutes(10))
    assert again is not None and again.rates[0] == 1.0
    assert history_of(advised.services, advised.name, AT - minutes(1)) is None


def test_what_the_lake_dropped_stays_counted_until_no_history_reaches_it(services: Services) -> None:
    advised = Model(services)
    spans(advised, AT - minutes(5), 600)
    ArrivalRoll().tick(advised.services, AT)
    services.lake.maintain(AT + timedelta(days=2), 0.5)
    later = AT + timedelta(days=1)
    ArrivalRoll().tick(advised.services, later)
    assert rates(advised, later)[0] == 1.0
    prune(services, day_of(AT) + KEPT)
    assert services.catalog.arrivals.days() == {day_of(AT)}
    prune(services, day_of(AT) + KEPT + DAY)
    assert services.catalog.arrivals.days() == set()


def test_only_models_that_are_advised_are_kept_in_memory(advised: Model) -> None:
    spans(advised, AT - minutes(5), 600)
    spans(advised, AT - minutes(6), 600, model="other")
    services, roll = advised.services, ArrivalRoll()
    roll.tick(services, AT)
    assert set(services.remembered.history) == {advised.name}
    stored = services.catalog.arrivals.read(day_of(AT), AT, [advised.name, "other"])
    assert set(stored) == {(advised.name,), ("other",)}
    services.configuration.apply("models: [{name: other, autoscale: {max: 9}}]", AT)
    roll.tick(services, AT + minutes(10))
    assert isinstance(services.remembered.history["other"], ArrivalHistory)
    assert set(services.remembered.history) == {"other"}
