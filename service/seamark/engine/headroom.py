"""A model and a window -> its headroom: load, what was safe, replicas that ran, were advised, an HPA would have had."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import ceil, isfinite

import numpy as np

from seamark.compute.growth import growth
from seamark.compute.hindsight import Hindsight, hindsight
from seamark.compute.outlook import outlook
from seamark.core.advice import ArrivalHistory, Forecast, Recommendation, ReplicaCapacity
from seamark.core.backtest import Fleet, FloatArray
from seamark.core.errors import Invalid, Problem
from seamark.core.headroom import Growth, Headroom, HeadroomStep
from seamark.core.specs import AutoscaleSpec, ModelSpec
from seamark.core.windows import Window, format_duration
from seamark.engine.advice_inputs import COLD_START_DEFAULT_S
from seamark.engine.arrival_history import history_of, stored_history
from seamark.engine.backtests import SLO_WAIT_S, slo_wait_s
from seamark.engine.capacity_input import read_capacity
from seamark.engine.overview import overview
from seamark.engine.own_history import unheard_as_unknown
from seamark.engine.scheduler import slot
from seamark.engine.services import Services
from seamark.store import arrival_steps, spans

TICK_S = 15.0
FINE_S = 25 * 3600.0  # windows as long as this are read in ticks, longer ones in the steps of the history
HISTORY_STEP_S = 600.0
SHORTEST_S = 900.0
LONGEST_S = 15 * 86_400.0  # advice is kept for 14 days, and an HPA is simulated for every tick of it
STEPS_S = (60.0, 120.0, 300.0, 600.0, 1800.0)
STEPS_MAX = 750  # what a plot can show
ADVICE_READ_MAX = 1_500
ADVICE_HOLDS_S = 180.0  # a piece of advice speaks for so long, or until the next
HALF_KNOWN = 0.5
AHEAD_STEPS = 8
AHEAD_MOST_S = 86_400.0


def headroom(services: Services, model: str, window: Window, at: datetime) -> Headroom:
    """Return the model's headroom over a window.

    NotFound where nothing is known of the model; Invalid where the window is too short, too long or to come.
    """
    advice = overview(services, model, at).recommendation
    spec = services.configuration.model(model)
    bounds = spec.autoscale if spec is not None else None
    step_s, window = _steps(window, at)
    weeks = weeks_of_arrivals(services, model, at)
    recent = past_arrivals(services, model, window, weeks)
    capacity = read_capacity(services, spec or ModelSpec(model), at, None)[0]
    made = services.catalog.findings.thinned(model, "recommendation", Recommendation, window, ADVICE_READ_MAX)[0]
    past = [found.finding for found in made]
    cold_start_s = _cold_start_s(bounds, advice)
    wait_s = slo_wait_s(spec) if spec else SLO_WAIT_S
    fleet = _fleet(capacity, advice, bounds or AutoscaleSpec(), cold_start_s, wait_s)
    price = bounds.cost_per_replica_hour if bounds else None
    played = _played(recent, fleet, past, window, price) if fleet else None
    return Headroom(
        model=model,
        at=at,
        window=window,
        step_s=step_s,
        asked=bounds is not None,
        advice=advice,
        capacity=capacity,
        steps=_rows(recent, window, step_s, past, played),
        forecasts=_forecasts(past, step_s),
        ahead=_ahead(weeks, window, at),
        totals=played.totals if played else (),
        totals_over_s=played.over_s if played else 0.0,
        slo_wait_s=wait_s,
        cold_start_s=cold_start_s,
        growth=_growth(weeks, at, advice, bounds, fleet),
    )


def past_arrivals(services: Services, model: str, window: Window, weeks: ArrivalHistory) -> ArrivalHistory:
    """Arrivals of a window in ticks, of a long one in the steps of `weeks`; NaN where nothing is known."""
    if window.span_s > FINE_S:
        return cut(weeks, window)
    rates = spans.arrivals(services.lake, model, window, TICK_S)
    heard = rates > 0
    if not heard.all():
        heard = arrival_steps.heard(services.lake, window, TICK_S)
    return ArrivalHistory(window.end, TICK_S, _within_life(unheard_as_unknown(rates, heard)))


def cut(history: ArrivalHistory, window: Window) -> ArrivalHistory:
    """Return the part of a history that lies in a window, which ends between two of its steps; NaN beyond its ends."""
    count = round(window.span_s / history.step_s)
    behind = round((history.end - window.end).total_seconds() / history.step_s)
    first = len(history.rates) - behind - count  # of the window's steps, in the history; negative: before it began
    found = np.full(count, np.nan)
    inside = history.rates[max(first, 0) : max(first + count, 0)]
    found[max(-first, 0) :][: len(inside)] = inside
    return ArrivalHistory(window.end, history.step_s, found)


def weeks_of_arrivals(services: Services, model: str, at: datetime) -> ArrivalHistory:
    """At most five weeks in steps of HISTORY_STEP_S, as they were counted; NaN where nothing is known."""
    found = history_of(services, model, at) or stored_history(services, model, at)
    return found or ArrivalHistory(slot(at, HISTORY_STEP_S), HISTORY_STEP_S, np.empty(0))


def _within_life(rates: FloatArray) -> FloatArray:
    """Return rates with NaN before the first request and after the last one: nothing tells what is beyond."""
    found, heard = rates.copy(), np.flatnonzero(rates > 0)
    if len(heard) == 0:
        found[:] = np.nan
    else:
        found[: heard[0]] = np.nan
        found[heard[-1] + 1 :] = np.nan
    return found


def _steps(window: Window, at: datetime) -> tuple[float, Window]:
    """Return (length of a step, the window in whole steps that ends by now)."""
    if not SHORTEST_S <= window.span_s <= LONGEST_S:
        told = f"write a window from {format_duration(SHORTEST_S)} to {format_duration(LONGEST_S)}"
        raise Invalid(f"start: {told}", [Problem("start", told)])
    if window.start >= at:
        raise Invalid("start: the window has not begun yet", [Problem("start", "must lie before now")])
    read_s = TICK_S if window.span_s <= FINE_S else HISTORY_STEP_S
    step_s = next(step for step in STEPS_S if step >= read_s and window.span_s / step <= STEPS_MAX)
    end = slot(min(window.end, at - timedelta(seconds=TICK_S)), read_s)  # what began a moment ago is not all here yet
    return step_s, Window.trailing(end, max(round(window.span_s / step_s), 1) * step_s)


def _cold_start_s(bounds: AutoscaleSpec | None, advice: Recommendation | None) -> float:
    """What advice took for the cold start, else what is written, else the default."""
    told = next((one.value for one in advice.inputs if one.name == "cold_start"), None) if advice else None
    written = bounds.cold_start_s if bounds else None
    return next((value for value in (told, written) if value is not None), COLD_START_DEFAULT_S)


def _fleet(
    capacity: ReplicaCapacity | None,
    advice: Recommendation | None,
    bounds: AutoscaleSpec,
    cold_start_s: float,
    wait_s: float,
) -> Fleet | None:
    """What a replay is played on; None without a capacity that carries anything."""
    rps = capacity.safe_rps if capacity else advice.capacity_rps if advice else None
    if rps is None or not isfinite(rps) or rps <= 0:
        return None
    return Fleet(rps, cold_start_s, slo_wait_s=wait_s, min=bounds.min, max=bounds.max)


def _played(
    recent: ArrivalHistory, fleet: Fleet, past: Sequence[Recommendation], window: Window, price: float | None
) -> Hindsight | None:
    ticks = round(window.span_s / fleet.tick_s)
    counts = {
        "ran": _held(past, [advice.current for advice in past], window, ticks, fleet.tick_s),
        "recommended": _held(past, [advice.replicas for advice in past], window, ticks, fleet.tick_s),
    }
    return hindsight(recent, fleet, counts, cost_per_replica_hour=price)


def _held(
    past: Sequence[Recommendation], values: Sequence[int | None], window: Window, ticks: int, tick_s: float
) -> FloatArray:
    """Return the value of each tick: that of the last advice made by its end, while it speaks; NaN beyond."""
    found = np.full(ticks, np.nan)
    if not past:
        return found
    made_s = np.array([(advice.at - window.start).total_seconds() for advice in past])
    ends_s = (np.arange(ticks) + 1) * tick_s
    place = np.searchsorted(made_s, ends_s, side="right") - 1
    holds_s = max(ADVICE_HOLDS_S, 3 * window.span_s / ADVICE_READ_MAX)
    spoken = (place >= 0) & (ends_s - made_s[np.maximum(place, 0)] <= holds_s)
    known = np.array([np.nan if value is None else float(value) for value in values])
    found[spoken] = known[place[spoken]]
    return found


def _rows(
    recent: ArrivalHistory, window: Window, step_s: float, past: Sequence[Recommendation], played: Hindsight | None
) -> tuple[HeadroomStep, ...]:
    count, each = round(window.span_s / step_s), round(step_s / recent.step_s)
    rates = recent.rates[: count * each].reshape(count, each) if each else np.empty((0, 1))
    index = _held(past, list(range(len(past))), window, count, step_s)
    rows = []
    for place, inside in enumerate(rates):
        known = inside[np.isfinite(inside)]
        enough = len(known) >= HALF_KNOWN * each and len(known) > 0
        advice = None if np.isnan(index[place]) else past[int(index[place])]
        last_tick = round((place + 1) * step_s / played.tick_s) - 1 if played else 0
        rows.append(
            HeadroomStep(
                at=window.start + timedelta(seconds=place * step_s),
                arrivals_rps=float(known.mean()) if enough else None,
                safe_rps=_safe_rps(advice),
                capacity_rps=advice.capacity_rps if advice else None,
                current=advice.current if advice else None,
                recommended=advice.replicas if advice else None,
                needed=advice.needed if advice else None,
                hpa=int(played.hpa[last_tick]) if played and enough else None,
                state=advice.state if advice else None,
            )
        )
    return tuple(rows)


def _safe_rps(advice: Recommendation | None) -> float | None:
    if advice is None or advice.capacity_rps is None or advice.current is None:
        return None
    return advice.capacity_rps * advice.current


def _forecasts(past: Sequence[Recommendation], step_s: float) -> tuple[Forecast, ...]:
    """The forecasts that were made, at most one per step of the instants they were for."""
    found: list[Forecast] = []
    for advice in past:
        coming = advice.forecast
        if coming is None or coming.state != "ok":
            continue
        if not found or (coming.at - found[-1].at).total_seconds() >= step_s:
            found.append(coming)
    return tuple(found)


def _ahead(weeks: ArrivalHistory, window: Window, at: datetime) -> tuple[Forecast, ...]:
    """Forecasts of the time to come, a quarter as long as the window; none where the window ends before now."""
    if (at - window.end).total_seconds() > 2 * HISTORY_STEP_S:
        return ()
    made = outlook(weeks, min(window.span_s / 4, AHEAD_MOST_S) / 3600)
    thinned = made[-1 :: -max(ceil(len(made) / AHEAD_STEPS), 1)][::-1]  # the last of them always
    return tuple(one for one in thinned if one.state == "ok" and one.at > at)


def _growth(
    weeks: ArrivalHistory,
    at: datetime,
    advice: Recommendation | None,
    bounds: AutoscaleSpec | None,
    fleet: Fleet | None,
) -> Growth:
    lines: list[tuple[str, int, float]] = []
    if fleet is not None and advice is not None and advice.current:
        lines.append(("current", advice.current, advice.current * fleet.capacity_rps))
    if fleet is not None and bounds is not None:
        lines.append(("max", bounds.max, bounds.max * fleet.capacity_rps))
    return growth(weeks, at, lines)
