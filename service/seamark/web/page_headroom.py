"""A model's headroom -> the rows of its page: advice and what it goes by, load, replicas beside an HPA's, growth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from seamark.core.advice import AdviceInput, Recommendation
from seamark.core.headroom import Headroom, HeadroomStep, ReplicaTotal
from seamark.core.windows import Window, format_duration
from seamark.web.charts import Figure
from seamark.web.charts_headroom import load_figure, replicas_figure
from seamark.web.page_gate import GateView, gate_view
from seamark.web.page_growth import GrowthView, growth_view
from seamark.web.page_views import Chip, Tile, headroom_tile, model_url, replicas_tile
from seamark.web.page_words import Moment, known, moment, number, plural, rate, span

REFRESHED_S = {"1h": 30, "6h": 60, "24h": 120, "14d": 600}
WINDOWS = {"1h": 3600.0, "6h": 6 * 3600.0, "24h": 86_400.0, "14d": 14 * 86_400.0}
DEFAULT_WINDOW = "6h"
TABLE_ROWS = 75
_TABLE_STEPS_S = (60.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 21_600.0, 43_200.0, 86_400.0)
_STATES = {"fresh": Chip("good", "fresh"), "stale": Chip("warn", "stale")}
_NOT_MEASURED = {"default": Chip("warn", "assumed"), "seamark.yaml": Chip("good", "given")}
_NAMES = {"ran": "What ran", "recommended": "Advice, followed", "hpa": "HPA, simulated"}
_SOURCES = {"load_test": "load test", "metrics": "OTLP metrics"}


@dataclass(frozen=True)
class InputRow:
    """One thing the advice goes by; what is None shows as unknown."""

    name: str
    value: str | None
    interval: str | None
    source: str
    age: Moment | None
    chip: Chip
    note: str | None


@dataclass(frozen=True)
class StepRow:
    """A stretch of the window: the mean and the highest load, the lowest safe line, the counts at its end."""

    at: Moment | None
    load: str | None
    highest: str | None
    safe: str | None
    current: str | None
    recommended: str | None
    needed: str | None
    hpa: str | None


@dataclass(frozen=True)
class TotalRow:
    """What a count came to."""

    name: str
    replica_hours: str | None
    cost: str | None
    violations: str | None


@dataclass(frozen=True)
class HeadroomPage:
    """All that the page shows."""

    model: str
    url: str
    api_url: str
    chip: Chip
    tone: str
    sentence: str
    gate: GateView | None
    missing: tuple[str, ...]
    tiles: tuple[Tile, ...]
    advised: Moment | None
    facts: tuple[tuple[str, str], ...]
    inputs: tuple[InputRow, ...]
    ranges: tuple[tuple[str, str, bool], ...]
    refresh_s: int
    start: Moment | None
    end: Moment | None
    step: str
    load: Figure | None
    band_words: str
    replicas: Figure | None
    table_step: str
    table: tuple[StepRow, ...]
    totals: tuple[TotalRow, ...]
    totals_words: str | None
    priced: bool
    growth: GrowthView


def headroom_page(seen: Headroom, chosen: str | None) -> HeadroomPage:
    """Return the page; `chosen` is the range whose link is marked, None where a window was given by its instants."""
    at, advice = seen.at, seen.advice
    chip, sentence = _advice_words(seen)
    load, replicas = load_figure(seen), replicas_figure(seen)
    table_s, table = _table(seen)
    return HeadroomPage(
        model=seen.model,
        url=model_url(seen.model),
        api_url=f"/api/v1{model_url(seen.model)}/headroom?{urlencode(_query(seen.window))}",
        chip=chip,
        tone=chip.tone,
        sentence=sentence,
        gate=gate_view(advice.gate, at) if advice else None,
        missing=_missing(seen),
        tiles=(replicas_tile(advice), headroom_tile(advice), _bounds_tile(advice), _cost_tile(advice)),
        advised=moment(advice.at, at) if advice else None,
        facts=_forecast_facts(advice),
        inputs=tuple(_input_row(one, at) for one in _inputs(seen)),
        ranges=tuple((name, f"?range={name}", name == chosen) for name in WINDOWS),
        refresh_s=REFRESHED_S.get(chosen or "", 0),
        start=moment(seen.window.start, at),
        end=moment(seen.window.end, at),
        step=format_duration(seen.step_s),
        load=load if any(trace["name"] != "safe for one replica" for trace in load["traces"]) else None,
        band_words=_band_words(seen),
        replicas=replicas if replicas["traces"] else None,
        table_step=format_duration(table_s),
        table=table if load["traces"] or replicas["traces"] else (),
        totals=tuple(_total_row(total) for total in seen.totals),
        totals_words=_totals_words(seen),
        priced=any(total.cost is not None for total in seen.totals),
        growth=growth_view(seen.growth, at),
    )


def _query(window: Window) -> dict[str, str]:
    return {
        name: one.isoformat().replace("+00:00", "Z") for name, one in (("start", window.start), ("end", window.end))
    }


# --- the advice ------------------------------------------------------------------------------------------------------


def _advice_words(seen: Headroom) -> tuple[Chip, str]:
    advice = seen.advice
    if not seen.asked:
        told = "Nobody asked for advice on this model: write autoscale: with min and max under it in seamark.yaml."
        return Chip("quiet", "no advice"), told
    if advice is None:
        return Chip("quiet", "no advice yet"), "The first recommendation comes within seconds of an apply."
    if advice.state == "hold" or advice.replicas is None:
        return Chip("warn", "hold"), advice.reason
    if advice.current is None or advice.replicas == advice.current:
        return Chip("good", "keep" if advice.current is not None else "advised"), advice.reason
    more = advice.replicas > advice.current
    return Chip("warn" if more else "good", "scale out" if more else "can scale in"), advice.reason


def _missing(seen: Headroom) -> tuple[str, ...]:
    """What keeps the page from telling more, and what to do."""
    found = []
    if seen.capacity is None:
        found.append(
            "What one replica carries is not known, so there is no safe line: run a load test of shape capacity."
        )
    if all(step.arrivals_rps is None for step in seen.steps):
        found.append(
            "Nothing is known of the load in this window. Silence is not zero traffic: the sender may be down."
        )
    if seen.asked and seen.advice is not None and all(step.recommended is None for step in seen.steps):
        found.append("No recommendation of this window is kept.")
    return tuple(found)


def _bounds_tile(advice: Recommendation | None) -> Tile:
    if advice is None:
        return Tile("Bounds", None, "not set", "quiet")
    if advice.min == advice.max:
        return Tile("Bounds", f"{advice.min}", "fixed: min is max", "quiet")
    full = advice.needed is not None and advice.needed > advice.max
    words = f"{plural(advice.needed or 0, 'replica')} would be needed" if full else "replicas, least to most"
    return Tile(
        "Bounds", f"{advice.min}–{advice.max}", words, "bad" if full else "quiet", state="full" if full else None
    )


def _cost_tile(advice: Recommendation | None) -> Tile:
    cost = known(advice.cost_per_hour) if advice else None
    if cost is None:
        return Tile("Cost per hour", None, "no price told: cost_per_replica_hour", "quiet")
    now = None
    if advice and advice.current is not None and advice.replicas and advice.current != advice.replicas:
        now = f"{money(cost / advice.replicas * advice.current)} →"
    return Tile("Cost per hour", money(cost), "of the replicas recommended", "quiet", before=now)


def money(value: float | None) -> str | None:
    """Return an amount in whatever the price was told in.

    >>> money(1.354), money(0.0004), money(12_345.6)
    ('1.35', '0.0004', '12,346')
    """
    value = known(value)
    if value is None:
        return None
    if value and abs(value) < 0.1:
        return f"{value:.2g}"
    return f"{value:,.2f}" if abs(value) < 1000 else f"{value:,.0f}"


def _forecast_facts(advice: Recommendation | None) -> tuple[tuple[str, str], ...]:
    coming = advice.forecast if advice else None
    if coming is None:
        return ()
    if coming.state != "ok":
        reasons = {"too_few_points": "none yet: too little history", "stale": "none: nothing heard lately"}
        return (("Forecast", reasons.get(coming.state, coming.state.replace("_", " "))),)
    middle = f"{rate(coming.p50) or 'unknown'} requests/s"
    band = f"{rate(coming.p10) or 'unknown'} to {rate(coming.p90) or 'unknown'} requests/s"
    return (
        (f"Forecast in {span(coming.horizon_s)}, p50", middle),
        ("p10 to p90", band),
        ("p99", f"{rate(coming.p99) or 'unknown'} requests/s"),
        ("Method", coming.method.replace("_", " ")),
    )


def _inputs(seen: Headroom) -> list[AdviceInput]:
    """What the advice went by; what it names elsewhere comes first."""
    advice = seen.advice
    named = {one.name for one in advice.inputs} if advice else set()
    found = []
    if advice is not None and "arrivals" not in named:
        state = "unknown" if advice.arrivals_rps is None else "fresh"
        at = None if advice.arrivals_rps is None else advice.at
        found.append(AdviceInput("arrivals", None, state, advice.arrivals_rps, at, "spans", "requests/s"))
    if "capacity" not in named:
        held = seen.capacity
        found.append(
            AdviceInput("capacity", None, "unknown", source="load_test", note="no capacity test has found one")
            if held is None
            else AdviceInput(
                "capacity",
                None,
                "fresh",
                held.safe_rps,
                held.at,
                held.source,
                "requests/s",
                held.safe_rps,
                held.high_rps,
            )
        )
    if advice is not None and "replicas" not in named:
        state = "unknown" if advice.current is None else "fresh"
        at = None if advice.current is None else advice.at
        found.append(AdviceInput("replicas", None, state, advice.current, at, "spans", "replicas"))
    return [*found, *(advice.inputs if advice else ())]


def _input_row(one: AdviceInput, at: datetime) -> InputRow:
    value = number(one.value)
    unit = one.unit.removesuffix("s") if one.value == 1 and one.unit in ("replicas", "requests") else one.unit
    return InputRow(
        name=one.name.replace("_", " "),
        value=f"{value} {unit}".strip() if value is not None else None,
        interval=_interval(number(one.low), number(one.high)),
        source=f"{_SOURCES.get(one.source, one.source.replace('_', ' '))}{f', {one.metric}' if one.metric else ''}",
        age=moment(one.at, at),
        chip=_input_chip(one),
        note=one.note,
    )


def _input_chip(one: AdviceInput) -> Chip:
    """Fresh is what was measured; what somebody wrote down or what stands in for an unknown is told apart from it."""
    if one.state == "fresh" and one.source in _NOT_MEASURED:
        return _NOT_MEASURED[one.source]
    return _STATES.get(one.state, Chip("quiet", one.state))


def _interval(low: str | None, high: str | None) -> str | None:
    if low and high:
        return f"{low} to {high}"
    return f"{low} or more" if low else f"up to {high}" if high else None


# --- the window ------------------------------------------------------------------------------------------------------


def _table(seen: Headroom) -> tuple[float, tuple[StepRow, ...]]:
    """(length of a row in seconds, rows, newest first): steps put together, so that a page stays a page."""
    step_s = seen.step_s
    fits = (wide for wide in _TABLE_STEPS_S if wide % step_s == 0 and len(seen.steps) * step_s / wide <= TABLE_ROWS)
    wide_s = next(fits, step_s)
    each = max(round(wide_s / step_s), 1)
    groups = [seen.steps[place : place + each] for place in range(0, len(seen.steps), each)]
    return wide_s, tuple(_step_row(group, seen.at) for group in reversed(groups))


def _step_row(steps: Sequence[HeadroomStep], at: datetime) -> StepRow:
    load = [value for step in steps if (value := known(step.arrivals_rps)) is not None]
    safe = [value for step in steps if (value := known(step.safe_rps)) is not None]

    def last(name: str) -> str | None:
        found = next((value for step in reversed(steps) if (value := getattr(step, name)) is not None), None)
        return None if found is None else f"{found:,}"

    return StepRow(
        at=moment(steps[0].at, at),
        load=rate(sum(load) / len(load)) if load else None,
        highest=rate(max(load)) if load else None,
        safe=rate(min(safe)) if safe else None,
        current=last("current"),
        recommended=last("recommended"),
        needed=last("needed"),
        hpa=last("hpa"),
    )


def _band_words(seen: Headroom) -> str:
    safe = any(step.safe_rps is not None for step in seen.steps)
    line = "The safe line is the capacity that advice goes by, times the replicas that ran." if safe else ""
    band = "The band shows what had been foreseen for each moment; p99 may leave the plot, pointing at it tells it."
    made = band if seen.forecasts else ""
    ahead = "Right of the upright line is what is foreseen now, of means over ten minutes." if seen.ahead else ""
    return " ".join(told for told in (line, made, ahead) if told)


def _total_row(total: ReplicaTotal) -> TotalRow:
    return TotalRow(
        name=_NAMES.get(total.name, total.name),
        replica_hours=number(total.replica_hours),
        cost=money(total.cost),
        violations=number(total.violation_minutes),
    )


def _totals_words(seen: Headroom) -> str | None:
    if not seen.totals:
        return None
    over, wait, start = span(seen.totals_over_s), span(seen.slo_wait_s), span(seen.cold_start_s)
    return (
        f"Over {over} of which load, capacity and advice are known. Violations are simulated: minutes in which a"
        f" request would have waited over {wait} if each replica carried its safe rate, with starts of {start}. The HPA"
        " aims at 70 % of the CPU, with its own delays and tolerance."
    )
