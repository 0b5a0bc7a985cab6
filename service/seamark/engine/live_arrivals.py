"""Spans of the last two hours -> requests per second of now, made whole by how late spans come, and the forecast."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import numpy as np

from seamark.compute import forecast
from seamark.compute.completeness import Completeness, completeness, made_whole
from seamark.compute.silence import bridged, silences
from seamark.core.advice import AdviceInput, ArrivalHistory, Forecast
from seamark.core.backtest import BoolArray, FloatArray
from seamark.core.windows import Window
from seamark.engine.scheduler import slot
from seamark.engine.services import Services
from seamark.store import arrival_steps, traffic

ARRIVAL_STEP_S = 10.0
ARRIVAL_HISTORY_S = 7200.0  # rare misses are what the margin is made of: an hour has too few of them
LAST_MINUTE = 6  # steps
LIVE_S = 120.0


@dataclass(frozen=True)
class Arrivals:
    """Requests per second of the last minute that is known (None: nothing was heard), and of the steps up to it."""

    rate_rps: float | None
    steps: FloatArray  # from the first that was heard of, oldest first
    behind_s: float  # from the end of the last step to the end of the one that ended last
    told: AdviceInput


def read_arrivals(services: Services, model: str, at: datetime) -> Arrivals:
    """Return real requests by when they began, failed and refused ones too.

    Silence is None and not 0: a minute of it may be an outage of telemetry.
    """
    end = slot(at, ARRIVAL_STEP_S)
    window = Window.trailing(end, ARRIVAL_HISTORY_S)
    memory = services.remembered
    memory.asked.note([model], at)
    lately = partial(memory.asked.lately, at)
    steps = memory.live.arrivals(services.lake, model, lately, window, ARRIVAL_STEP_S)
    told = AdviceInput("arrivals", None, "unknown", source="spans", unit="requests/s")
    if not steps.any():
        return Arrivals(None, steps[:0], 0.0, replace(told, note="no request was heard of in two hours"))
    known = memory.lateness.get(model, at, lately, partial(_completeness, services, at))
    left_out, note = 0, "how late spans come is not known: what is on its way is not counted"
    if known is not None:
        shares = known.of_steps(len(steps), ARRIVAL_STEP_S, (at - end).total_seconds())
        steps, left_out = made_whole(steps, shares, ARRIVAL_STEP_S)
        note = _lateness(known, shares[: len(steps)][-LAST_MINUTE:], left_out)
    behind_s = left_out * ARRIVAL_STEP_S
    until = end - timedelta(seconds=behind_s)
    heard = steps.nonzero()[0]
    silent_s = (len(steps) - int(heard[-1])) * ARRIVAL_STEP_S if len(heard) else ARRIVAL_HISTORY_S
    since_first = steps[int(heard[0]) :] if len(heard) else steps[:0]
    since_first, known_steps = _without_outages(services, since_first, until)
    last_minute = since_first[-LAST_MINUTE:][known_steps[-LAST_MINUTE:]]
    if silent_s > LIVE_S or not last_minute.any():
        heard_at = until - timedelta(seconds=silent_s - ARRIVAL_STEP_S)
        return Arrivals(
            None, steps[:0], behind_s, replace(told, state="stale", at=heard_at, note="silence is not zero traffic")
        )
    rate = float(last_minute.mean())
    return Arrivals(rate, since_first, behind_s, replace(told, state="fresh", value=rate, at=until, note=note))


def _completeness(services: Services, at: datetime, models: Collection[str]) -> dict[str, Completeness | None]:
    return {model: completeness(lags) for model, lags in traffic.lags(services.lake, models, at).items()}


def _without_outages(services: Services, steps: FloatArray, until: datetime) -> tuple[FloatArray, BoolArray]:
    """Return (the steps that end at `until`, bridged where telemetry was out; which of them say something).

    Silence in which some other model was heard of is silence: its senders got through.
    """
    found = silences(steps, ARRIVAL_STEP_S)
    if not found:
        return steps, np.ones(len(steps), np.bool_)
    heard = arrival_steps.heard(services.lake, Window.trailing(until, len(steps) * ARRIVAL_STEP_S), ARRIVAL_STEP_S)
    return bridged(steps, [(start, end) for start, end in found if not heard[start:end].any()])


def foresee(arrivals: Arrivals, at: datetime, horizon_s: float, history: ArrivalHistory | None = None) -> Forecast:
    """Return the forecast at the horizon. Steps that are left out make the way to it longer, not the target later."""
    if arrivals.rate_rps is None:
        return Forecast(at, horizon_s, "stale", "none")
    until = at - timedelta(seconds=arrivals.behind_s)
    found = forecast.forecast(arrivals.steps, ARRIVAL_STEP_S, horizon_s + arrivals.behind_s, until, history)
    return replace(found, horizon_s=horizon_s)


def _lateness(known: Completeness, shares: FloatArray, left_out: int) -> str:
    told = [f"90 % of spans come within {known.within_s(0.9):.0f} s"]
    if left_out:
        told.append(f"the last {left_out * ARRIVAL_STEP_S:.0f} s, of which too few are here, are left out")
    missing = 1 - float(shares.mean())
    if missing > 0.005:
        told.append(f"{missing:.0%} of the minute are taken to be on their way")
    return "; ".join(told)
