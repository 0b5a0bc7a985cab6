"""A recommendation -> the short form that is kept of it, and back to the whole that is shown.

One is written every ten seconds for each model. What the backtest says is the same for a day and several sentences
long, so it is kept once, beside them; so are notes that are always the same.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from seamark.compute.autoscale import SCALE_IN_HOLD_S
from seamark.core.advice import AdviceGate, AdviceInput, PastAdvice, Recommendation, WarmFloor, long_form, short_form
from seamark.core.own_backtest import BacktestSays, OwnBacktest
from seamark.engine.advice_gate import BACKTEST, SAYS
from seamark.engine.advice_inputs import ESTIMATED, IN_SERVER
from seamark.engine.replicas import SPANS_SEE
from seamark.engine.services import Services

KIND = "recommendation"
LAST_ADVICE = timedelta(days=1)
LOST = "What this backtest said is not kept any more."
_NOTES = {"in_flight": ESTIMATED, "service_time": IN_SERVER, "replicas": SPANS_SEE}
_SAYS_READ = 5  # a backtest is kept minutes after the instant it is for


def keep(services: Services, advice: Recommendation) -> None:
    """Write a recommendation, without what `whole` puts back."""
    kept = replace(
        advice,
        inputs=tuple(_without_note(one) for one in advice.inputs),
        gate=_short_gate(advice.gate),
        warm_floor=_short_floor(advice.warm_floor),
    )
    services.catalog.findings.put(advice.model, KIND, advice.at, short_form(kept))


def recent(services: Services, model: str, until: datetime) -> list[PastAdvice]:
    """Return of a model's advice of the last minutes what a decision reads, newest first; of none then, of the last.

    After a pause that one still tells what runs, where nothing else does.
    """
    read = services.catalog.findings.since
    found = read(model, KIND, PastAdvice, until - timedelta(seconds=SCALE_IN_HOLD_S))
    return found or read(model, KIND, PastAdvice, until - LAST_ADVICE, limit=1)


def whole(services: Services, stored: Recommendation) -> Recommendation:
    """Return stored advice as it was made: with the sentences of its backtest and the notes of its inputs."""
    gate, floor = stored.gate, stored.warm_floor
    if _is_short_gate(gate) or _is_short_floor(floor):
        says = _said(services, stored)
        if gate is not None and _is_short_gate(gate):
            told = [one.gate for one in says if (one.gate.at, one.gate.state) == (gate.at, gate.state)]
            gate = told[0] if told else replace(gate, sentence=LOST)
        if floor is not None and _is_short_floor(floor):
            floor = next((one.warm_floor for one in says if _short_floor(one.warm_floor) == floor), floor)
    found = replace(stored, inputs=tuple(_with_note(one) for one in stored.inputs), gate=gate, warm_floor=floor)
    shown: Recommendation = long_form(found)
    return shown


def _said(services: Services, stored: Recommendation) -> list[BacktestSays]:
    """Return what the backtests before said, newest first; the last one also where an older version kept it."""
    findings = services.catalog.findings
    kept = findings.history(stored.model, SAYS, BacktestSays, until=stored.at, limit=_SAYS_READ)
    last = findings.latest(stored.model, BACKTEST, OwnBacktest)
    found = [one.finding for one in kept]
    return found if last is None else [*found, BacktestSays(last.finding.gate, last.finding.warm_floor)]


def _short_gate(gate: AdviceGate | None) -> AdviceGate | None:
    """Return a gate without the sentence of its backtest; one that knows of no backtest as it is."""
    return gate if gate is None or gate.at is None or gate.state == "unknown" else replace(gate, sentence="")


def _short_floor(floor: WarmFloor | None) -> WarmFloor | None:
    """Return of a floor what a decision reads, and which one it is."""
    return (
        floor if floor is None or floor.at is None else WarmFloor(floor.state, floor.days, floor.replicas, at=floor.at)
    )


def _is_short_gate(gate: AdviceGate | None) -> bool:
    return gate is not None and not gate.sentence


def _is_short_floor(floor: WarmFloor | None) -> bool:
    return floor is not None and not floor.reason and floor.at is not None


def _without_note(one: AdviceInput) -> AdviceInput:
    return replace(one, note="") if one.note is not None and one.note == _NOTES.get(one.name) else one


def _with_note(one: AdviceInput) -> AdviceInput:
    return replace(one, note=_NOTES.get(one.name)) if one.note == "" else one
