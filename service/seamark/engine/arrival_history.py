"""Requests of the lake, counted as their steps end -> five weeks of arrivals in the catalog, and in memory for advice.

Each step is counted again for a while, since spans come late. A day that nobody has counted yet (an upgrade, a new
catalog) is counted from the lake, one a tick. Counting again changes nothing, and takes nothing away that the lake has
dropped since.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import numpy as np

from seamark.compute.arrival_history import DAYS, arrival_history
from seamark.core.advice import ArrivalHistory
from seamark.core.day_rates import STEP_S, day_of, nothing, step_of
from seamark.core.traffic import FloatArray
from seamark.core.windows import Window
from seamark.engine.scheduler import slot
from seamark.engine.services import Services
from seamark.store import traffic

DAY = timedelta(days=1)
KEPT = timedelta(days=DAYS + 1)
LATE_S = 3 * 3600.0  # steps that ended less long ago are counted again
LATE_AT_START_S = 26 * 3600.0  # after a start, so much: what came while nobody counted
MODELS_MAX = 10_000  # of a step, the busiest


class ArrivalRoll:
    """Knows up to when steps are counted, and which days have been."""

    def __init__(self) -> None:
        self._counted_until: datetime | None = None
        self._days: set[datetime] = set()
        self._days_of_models: dict[str, dict[datetime, FloatArray]] = {}

    def tick(self, services: Services, at: datetime) -> None:
        """Count the steps that ended since the last tick; where none did, one day that nobody has counted."""
        end = slot(at, STEP_S)
        if self._counted_until is None:
            self._days = services.catalog.arrivals.days()
        if end != self._counted_until:
            late_s = LATE_AT_START_S if self._counted_until is None else LATE_S
            _count(services, Window.trailing(end, late_s))
            self._days |= {day_of(end), day_of(end - timedelta(seconds=LATE_S))}
            self._remember(services, end)
            self._counted_until = end
            return
        missing = [day for back in range(DAYS + 1) if (day := day_of(end) - back * DAY) not in self._days]
        if missing:
            _count(services, Window(missing[0], min(missing[0] + DAY, end)))
            self._days.add(missing[0])
            if len(missing) == 1:
                self._days_of_models = {}
                self._remember(services, end)

    def _remember(self, services: Services, end: datetime) -> None:
        """Put the histories of the models that are advised into memory: all days of a new one, the last of others."""
        advised = {spec.name for spec in services.configuration.current().models if spec.autoscale is not None}
        known = {name: days for name, days in self._days_of_models.items() if name in advised}
        for models, since in ((advised - known.keys(), day_of(end) - KEPT), (set(known), day_of(end) - 2 * DAY)):
            for (name,), days in services.catalog.arrivals.read(since, day_of(end), models).items():
                known.setdefault(name, {}).update(days)
        first = day_of(end) - KEPT
        self._days_of_models = {
            name: {day: rates for day, rates in days.items() if day >= first} for name, days in known.items()
        }
        found = {name: arrival_history(days, end) for name, days in self._days_of_models.items()}
        services.remembered.history = {name: history for name, history in found.items() if history is not None}


def history_of(services: Services, model: str, at: datetime) -> ArrivalHistory | None:
    """Return a model's arrivals of up to five weeks, from memory; None where none are known, or none near `at`."""
    found = services.remembered.history.get(model)
    if found is None or not timedelta(0) <= at - found.end < timedelta(seconds=6 * STEP_S):
        return None  # a clock that jumped, a roll that stands still: the past is not where it was thought to be
    return found


def stored_history(services: Services, model: str, at: datetime) -> ArrivalHistory | None:
    """Return the same from the catalog, for a node on which nobody counts, and for models that are not advised."""
    end = slot(at, STEP_S)
    days = services.catalog.arrivals.read(day_of(end) - KEPT, day_of(end), [model])
    return arrival_history(days.get((model,), {}), end)


def prune(services: Services, at: datetime) -> None:
    """Drop the days that no history reaches back to. They are counts: how long rows are kept is another matter."""
    services.catalog.arrivals.prune(day_of(at) - KEPT)
    services.catalog.carried.prune(day_of(at) - KEPT)


def _count(services: Services, window: Window) -> None:
    """Count the window's steps of all models into the catalog. Its ends lie between steps."""
    days: dict[datetime, dict[tuple[str, ...], FloatArray]] = {}

    def put(model: str, step: int, rate: float) -> None:
        at = window.start + timedelta(seconds=step * STEP_S)
        rates = days.setdefault(day_of(at), {}).setdefault((model,), nothing())
        rates[step_of(at)] = np.fmax(rates[step_of(at)], rate)

    counts = traffic.counts(services.lake, window, STEP_S)
    heard = {step for _, step, _ in counts}  # spans of some model came through
    lives: dict[str, tuple[int, int]] = {}
    for model, step, requests in counts:
        put(model, step, requests / STEP_S)
        first, last = lives.get(model, (step, step))
        lives[model] = min(first, step), max(last, step)
    between = ((model, step) for model, (first, last) in lives.items() for step in range(first, last))
    for model, step in (*traffic.metric_steps(services.lake, window, STEP_S), *between):
        if step in heard:
            put(model, step, 0.0)  # it ran, and others' spans came: no requests are none. Metrics alone do not tell
    for day, rates in days.items():
        services.telemetry.count_advice_cut("models", max(len(rates) - MODELS_MAX, 0))
        services.catalog.arrivals.merge(day, _busiest(rates))


def _busiest(rates: Mapping[tuple[str, ...], FloatArray]) -> dict[tuple[str, ...], FloatArray]:
    """Return the MODELS_MAX that had most requests: names are the senders' to make up."""
    if len(rates) <= MODELS_MAX:
        return dict(rates)
    totals = {name: float(np.nansum(one)) for name, one in rates.items()}
    return {name: rates[name] for name in sorted(totals, key=lambda name: (-totals[name], name))[:MODELS_MAX]}
