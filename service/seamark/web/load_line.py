"""A model's live load, forecast and tested capacity -> the load line: places along one bar, and the words for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from seamark.core.findings import ModelOverview
from seamark.web.page_words import Moment, known, moment, plural, rate, span

_ROOM = 1.08  # of the bar, right of the largest value
_LEAST = 1e-300  # below it the bar of a service without traffic is drawn: a tick would be no float
_TICK_STEPS = (1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True)
class Tick:
    """A number on the scale; `anchor` keeps its text inside the bar."""

    x: str
    label: str
    anchor: str


@dataclass(frozen=True)
class Band:
    """The forecast: p10 to p90 as a band, the median as a tick. Places and widths are percentages as text."""

    x: str
    width: str
    median_x: str | None


@dataclass(frozen=True)
class LoadLine:
    """All a template needs to draw one bar. A place that is None is not drawn; its `_words` say why.

    `state` is `live`, `zero` (heard of, no requests), `stale` or `unknown`. Places are percentages of the bar.
    """

    state: str
    ticks: tuple[Tick, ...]
    live_width: str | None
    live_value: str | None
    live_words: str
    bar_words: str | None  # written into a bar that shows no load
    over_x: str | None  # where live load passes the tested capacity
    over_width: str | None
    band: Band | None
    forecast_value: str | None
    forecast_words: str
    capacity_x: str | None
    capacity_beyond_width: str | None
    capacity_value: str | None
    capacity_words: str
    summary: str


def load_line(seen: ModelOverview) -> LoadLine:
    """Return the load line of one model. Silence draws no live bar; only a measured 0 reads as 0."""
    heard = moment(seen.last_seen_at, seen.at)
    live = known(seen.live_rps) if seen.liveness == "live" else None
    capacity, capacity_words = _capacity(seen)
    quantiles, forecast_words = _forecast(seen)
    state = seen.liveness if live is None else "live" if live > 0 else "zero"
    state = "unknown" if state not in ("live", "zero", "stale") or (state == "live" and live is None) else state
    scale, step = _scale([live, capacity, *(quantiles or ())]) or (None, None)
    forecast_value = f"{rate(quantiles[0])}–{rate(quantiles[2])}" if quantiles else None
    live_words = _live_words(state, heard)
    beyond = live - capacity if live is not None and capacity is not None and live > capacity else None
    return LoadLine(
        state=state,
        ticks=_ticks(scale, step) if scale and step else (),
        live_width=_place(live if beyond is None else capacity, scale),
        live_value=rate(live),
        live_words=live_words,
        bar_words=_bar_words(state, heard),
        over_x=_place(capacity, scale) if beyond is not None else None,
        over_width=_place(beyond, scale),
        band=_band(quantiles, scale),
        forecast_value=forecast_value,
        forecast_words=forecast_words,
        capacity_x=_place(capacity, scale),
        capacity_beyond_width=_place(scale - capacity, scale) if scale and capacity is not None else None,
        capacity_value=rate(capacity),
        capacity_words=capacity_words,
        summary=_summary(seen.model, rate(live), live_words, forecast_value, forecast_words, capacity, capacity_words),
    )


def _live_words(state: str, heard: Moment | None) -> str:
    if state == "stale":
        return f"silent: last heard of {heard.ago}" if heard else "silent"
    if state == "unknown":
        return "unknown: not measured yet" if heard else "unknown: never heard of"
    return "no requests in the last minute" if state == "zero" else "over the last minute"


def _bar_words(state: str, heard: Moment | None) -> str | None:
    if state == "stale":
        return f"last heard of {heard.ago}" if heard else "silent"
    if state == "unknown":
        return "not measured yet" if heard else "nothing heard yet"
    return "0" if state == "zero" else None


def _capacity(seen: ModelOverview) -> tuple[float | None, str]:
    """The tested capacity of the replicas that run now, by what is safe to count on, and the words for it."""
    per_replica = known(seen.capacity.safe_rps) if seen.capacity else None
    if per_replica is None:
        return None, "not yet tested: run a capacity load test"
    current = seen.recommendation.current if seen.recommendation else None
    if not current:
        return per_replica, f"tested for one replica; {'how many run is not known' if current is None else 'none runs'}"
    return per_replica * current, f"tested: {plural(current, 'replica')} × {rate(per_replica)}"


def _forecast(seen: ModelOverview) -> tuple[tuple[float, float | None, float] | None, str]:
    """(p10, p50, p90) or None, and the words for it."""
    forecast = seen.recommendation.forecast if seen.recommendation else None
    if seen.liveness == "unknown" and forecast is None:
        return None, "no forecast: never heard of"
    if seen.liveness == "stale" or (forecast is not None and forecast.state == "stale"):
        return None, "no forecast: nothing heard lately"
    if forecast is None:
        return None, "no forecast yet"
    low, high = known(forecast.p10), known(forecast.p90)
    if forecast.state != "ok" or low is None or high is None:
        reasons = {"too_few_points": "too few points"}
        return None, f"no forecast yet: {reasons.get(forecast.state, forecast.state.replace('_', ' '))}"
    return (low, known(forecast.p50), max(low, high)), f"in {span(forecast.horizon_s)}, p10 to p90"


def _scale(values: list[float | None]) -> tuple[float, float] | None:
    """(right end of the bar, distance of its ticks): a round number past the largest value; None: all is unknown."""
    largest = max((value for value in values if value is not None), default=None)
    if largest is None:
        return None
    wanted = max(largest, 0.0) * _ROOM
    if wanted < _LEAST:
        wanted = 1.0
    power = 10.0 ** math.floor(math.log10(wanted / 4))
    step = next(part * power for part in _TICK_STEPS if part * power * 5 >= wanted)
    return math.ceil(wanted / step - 1e-9) * step, step


def _ticks(scale: float, step: float) -> tuple[Tick, ...]:
    count = round(scale / step)
    anchors = {0: "start", count: "end"}
    return tuple(
        Tick(
            f"{100 * i / count:.2f}%",
            f"{step * i:,.4g}" if scale < 10_000 else f"{step * i:,.0f}",
            anchors.get(i, "middle"),
        )
        for i in range(count + 1)
    )


def _band(quantiles: tuple[float, float | None, float] | None, scale: float | None) -> Band | None:
    if quantiles is None or scale is None:
        return None
    low, median, high = quantiles
    x, width = _place(low, scale), _place(max(high - low, scale * 0.004), scale)
    return Band(x, width, _place(median, scale)) if x is not None and width is not None else None


def _place(value: float | None, scale: float | None) -> str | None:
    if value is None or not scale:
        return None
    return f"{min(max(value / scale, 0.0), 1.0) * 100:.2f}%"


def _summary(
    model: str,
    live: str | None,
    live_words: str,
    forecast: str | None,
    forecast_words: str,
    capacity: float | None,
    capacity_words: str,
) -> str:
    """The bar in one sentence, for those who do not see it."""
    parts = [f"live {live} requests per second {live_words}" if live else f"live load {live_words}"]
    parts.append(f"forecast {forecast} requests per second {forecast_words}" if forecast else forecast_words)
    told = f"safe capacity {rate(capacity)} requests per second, {capacity_words}"
    parts.append(told if capacity is not None else f"safe capacity {capacity_words}")
    return f"Load line of {model}: {'; '.join(parts)}."
