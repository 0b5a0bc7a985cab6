"""Made-up headroom of every state its page must show: enough, over the line, held, one replica, nothing known."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta

from sample_facts import AT, HOSTILE, ago, recommendation

from seamark.core.advice import AdviceGate, AdviceInput, Forecast, Recommendation, ReplicaCapacity
from seamark.core.headroom import Crossing, Growth, Headroom, HeadroomStep, ReplicaTotal
from seamark.core.windows import Window

CAPACITY = ReplicaCapacity(48.0, "load_test", 50.0, 52.0, ago(36_000))
PRODUCTION = ReplicaCapacity(31.0, "production", None, None, ago(3600))
YOUNG = Growth("too_little_history", 3, 7)
STEADY = Growth("ok", 28, 7, 7, 96.0, 0.02, -0.4, 0.3, (Crossing("max", 20, 960.0, "not_at_this_growth"),))
GROWING = Growth(
    "ok",
    31,
    7,
    7,
    92.4,
    0.83,
    0.41,
    1.22,
    (
        Crossing("current", 2, 96.0, "ahead", ago(-374_000), ago(-255_000), ago(-758_000)),
        Crossing("max", 20, 960.0, "ahead", None, ago(-61_400_000 / 2), None),
    ),
)
CROSSED = Growth("uncertain", 7, 7, 1, 243.0, 11.3, None, None, (Crossing("current", 4, 192.0, "crossed"),))
INPUTS = (
    AdviceInput("arrivals", None, "fresh", 82.4, ago(6), "spans", "requests/s"),
    AdviceInput("service_time", None, "fresh", 0.0181, ago(6), "spans", "s", 0.0174, 0.0189),
    AdviceInput("capacity", None, "fresh", 48.0, ago(36_000), "load_test", "requests/s", 48.0, 52.0),
    AdviceInput("replicas", "k8s.deployment.available", "fresh", 2.0, ago(21), "metrics", "replicas"),
    AdviceInput(
        "cold_start", None, "fresh", 74.0, ago(5400), "spans", "s", 61.0, 96.0, "median of 9 starts, with their p90"
    ),
    AdviceInput("queue_length", "queue.length", "stale", None, ago(900), "metrics", "requests", note="15 min old"),
    AdviceInput("utilisation", "container.cpu.utilization", "unknown"),
)


def sample_headroom(scene: str, model: str, window: Window, at: datetime) -> Headroom:
    """The headroom of a sample model; what it is called picks its state."""
    if scene == "hostile":
        return _hostile(model, window, at)
    if model == "upsell":
        return _nothing(model, window, at, asked=False)
    if model == "night-batch":
        return _one_replica(model, window, at)
    if model == "pricing":
        return _held(model, window, at)
    busy = model == "search-ranker"
    steps = _steps(window, 2.6 if busy else 1.0, 48.0)
    gate = AdviceGate(
        "recommended", "Recommended: 17.3% fewer replica-hours than the HPA, 0.04 against 0.10.", ago(50_000)
    )
    if busy:
        gate = AdviceGate("not_recommended", "Not recommended: no better than the HPA in either figure.", ago(50_000))
    advice = recommendation(model, gate=gate, inputs=INPUTS, needed=3)
    if busy:
        advice = replace(advice, replicas=7, current=4, headroom_ratio=-0.21, needed=23, max=7, arrivals_rps=232.0)
    return _headroom(model, window, at, advice, steps, GROWING if not busy else CROSSED)


def _headroom(
    model: str,
    window: Window,
    at: datetime,
    advice: Recommendation | None,
    steps: tuple[HeadroomStep, ...],
    growth: Growth,
    capacity: ReplicaCapacity | None = CAPACITY,
) -> Headroom:
    hours = window.span_s / 3600
    totals = (
        ReplicaTotal("ran", 2.4 * hours, 8.5, 1.08 * hours),
        ReplicaTotal("recommended", 2.6 * hours, 0.25, 1.17 * hours),
        ReplicaTotal("hpa", 3.3 * hours, 1.75, 1.485 * hours),
    )
    return Headroom(
        model=model,
        at=at,
        window=window,
        step_s=_step_s(window),
        asked=advice is not None,
        advice=advice,
        capacity=capacity,
        steps=steps,
        forecasts=_past_forecasts(steps),
        ahead=_ahead(steps, window),
        totals=totals if advice is not None and capacity is not None else (),
        totals_over_s=0.9 * window.span_s,
        slo_wait_s=2.0,
        cold_start_s=74.0,
        growth=growth,
    )


def _step_s(window: Window) -> float:
    return {6: 60.0, 24: 120.0}.get(round(window.span_s / 3600), 1800.0)


def _load(at: datetime, level: float) -> float:
    """A day's wave with a ripple and a burst at eleven."""
    hour = at.hour + at.minute / 60
    wave = 60 + 34 * math.sin((hour - 9) / 24 * 2 * math.pi) + 5 * math.sin(at.minute / 4.1 + at.hour)
    return level * (wave + (42 if 11.2 < hour < 11.6 else 0))


def _steps(window: Window, level: float, capacity: float) -> tuple[HeadroomStep, ...]:
    step_s, found = _step_s(window), []
    for place in range(round(window.span_s / step_s)):
        at = window.start + timedelta(seconds=place * step_s)
        load = _load(at, level)
        needed = math.ceil(1.12 * load / capacity)
        current = max(math.ceil(1.0 * _load(at - timedelta(minutes=20), level) / capacity), 1)
        hole = 0.42 < place * step_s / window.span_s < 0.47  # an outage of the sender
        advised = place * step_s / window.span_s >= 0.1  # advice was asked for later
        found.append(
            HeadroomStep(
                at,
                None if hole else load,
                capacity * current if advised and not hole else None,
                capacity if advised else None,
                current if advised and not hole else None,
                needed + 1 if place % 90 < 12 and advised else needed if advised else None,
                needed if advised and not hole else None,
                None if hole else math.ceil(load / capacity / 0.7),
                ("hold" if hole else "ok") if advised else None,
            )
        )
    return tuple(found)


def _past_forecasts(steps: tuple[HeadroomStep, ...]) -> tuple[Forecast, ...]:
    found = []
    for step in steps:
        if step.needed is not None and step.arrivals_rps is not None:
            p50 = step.arrivals_rps * (1 + 0.03 * math.sin(step.at.minute))
            found.append(Forecast(step.at, 104.0, "ok", "trend", 0.88 * p50, p50, 1.13 * p50, 1.3 * p50))
    return tuple(found)


def _ahead(steps: tuple[HeadroomStep, ...], window: Window) -> tuple[Forecast, ...]:
    last = next((step.arrivals_rps for step in reversed(steps) if step.arrivals_rps is not None), None)
    if last is None or abs((AT - window.end).total_seconds()) > 600:
        return ()
    reach_s, found = min(window.span_s / 4, 86_400.0), []
    for place in range(1, 9):
        wide = 1 + 0.05 * place
        at = window.end + timedelta(seconds=reach_s * place / 8)
        found.append(Forecast(at, reach_s, "ok", "seasonal_naive", last / wide, last, last * wide, last * wide**2))
    return tuple(found)


def _nothing(model: str, window: Window, at: datetime, *, asked: bool) -> Headroom:
    step_s = _step_s(window)
    starts = (window.start + timedelta(seconds=place * step_s) for place in range(round(window.span_s / step_s)))
    steps = tuple(HeadroomStep(start, None) for start in starts)
    none = Growth("too_little_history", 0, 7)
    return replace(_headroom(model, window, at, None, steps, none, None), asked=asked, forecasts=(), ahead=())


def _held(model: str, window: Window, at: datetime) -> Headroom:
    """Silent, and never load-tested: the advice holds what runs."""
    steps = tuple(
        replace(step, safe_rps=None, capacity_rps=None, needed=None, hpa=None, state="hold")
        for step in _steps(window, 0.4, 48.0)
    )
    advice = recommendation(
        model,
        state="hold",
        replicas=2,
        current=2,
        capacity_rps=None,
        headroom_ratio=None,
        reason="Hold: what one replica can carry is not known; run a load test of shape `capacity`.",
        forecast=Forecast(AT, 75.0, "too_few_points", "none"),
        cost_per_hour=None,
    )
    held = _headroom(model, window, at, advice, steps, YOUNG, None)
    return replace(held, forecasts=(), ahead=())


def _one_replica(model: str, window: Window, at: datetime) -> Headroom:
    steps = tuple(
        replace(step, current=1, recommended=1, needed=1, hpa=1, safe_rps=31.0, capacity_rps=31.0)
        for step in _steps(window, 0.02, 31.0)
    )
    told = "1 replica, the minimum: 1.3 requests/s arrived in the last minute, and one replica was seen to carry 31.0."
    advice = recommendation(
        model,
        replicas=1,
        current=1,
        min=1,
        max=1,
        headroom_ratio=0.96,
        arrivals_rps=1.3,
        reason=told,
        cost_per_hour=0.45,
    )
    return _headroom(model, window, at, advice, steps, STEADY, PRODUCTION)


def _hostile(model: str, window: Window, at: datetime) -> Headroom:
    """Names that hurt, and numbers that no plot can show."""
    steps = list(_steps(window, 1.0, 48.0))
    steps[3] = replace(steps[3], arrivals_rps=math.nan, safe_rps=math.inf, recommended=10**9)
    steps[4] = replace(steps[4], arrivals_rps=1e300)
    hurt = AdviceInput(HOSTILE, HOSTILE, HOSTILE, math.inf, at, HOSTILE, HOSTILE, math.nan, 1e300, "</script>" * 40)
    gate = AdviceGate(HOSTILE, HOSTILE, None)
    coming = Forecast(AT, 75.0, "ok", HOSTILE, math.nan, math.inf, 1e300, None)
    advice = recommendation(
        model, reason=HOSTILE * 9, inputs=(hurt,), gate=gate, forecast=coming, cost_per_hour=math.nan
    )
    growth = Growth("ok", 30, 7, 7, math.nan, 1e300, None, math.inf, (Crossing(HOSTILE, 10**9, 1e300, HOSTILE),))
    return replace(
        _headroom(model, window, at, advice, tuple(steps), growth),
        forecasts=(coming,),
        ahead=(coming,),
        totals=(ReplicaTotal(HOSTILE, math.inf, math.nan, math.nan),),
    )
