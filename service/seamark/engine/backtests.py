"""A model's own last two weeks -> a backtest of its advice beside the HPA, once a day and when asked; and its gate."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import isfinite

from seamark.compute.backtest.holes import bridged, runs
from seamark.compute.backtest.sized import CAPACITY_RPS_MOST, capacity
from seamark.core.advice import AdviceGate, AdviceRules, ArrivalHistory
from seamark.core.backtest import Backtest, BoolArray, Fleet, Trace
from seamark.core.errors import Invalid, NotFound, Problem, SeamarkError
from seamark.core.own_backtest import DAYS, BacktestAsked, BacktestSays, OwnBacktest, OwnState
from seamark.core.specs import AutoscaleSpec, ModelSpec
from seamark.core.windows import Window, format_duration
from seamark.engine.advice_gate import BACKTEST, SAYS
from seamark.engine.advice_inputs import COLD_START_DEFAULT_S, read_cold_start
from seamark.engine.capacity_input import read_capacity
from seamark.engine.own_history import HeardDays, own_history
from seamark.engine.services import Services
from seamark.runner import backtest as playing
from seamark.runner.worker_process import Interrupted

log = logging.getLogger(__name__)

WHAT_IF, ASKED = "backtest_what_if", "backtest_asked"  # kinds of findings, beside BACKTEST
DAYS_LEAST, DAYS_MOST = 0.5, 31.0
CAPACITY_RPS_LEAST = 1e-6
COLD_START_S_MOST = 86_400.0  # as in seamark.yaml
HISTORY_S_LEAST = 6 * 3600.0
COUNTED_LEAST = 0.5  # of the history: of what is missing more nothing is concluded
SLO_WAIT_S = 2.0  # where the model has no objective for its latency
TIMEOUT_S = 1_800.0  # for seconds of work, on a machine that has other work
DAILY = timedelta(days=1)
AGAIN = timedelta(hours=1)  # where it could not be played: history grows, a capacity is tested
LOOKED_EVERY = timedelta(seconds=60)  # for models whose daily turn has come


def ask(services: Services, model: str, asked: BacktestAsked) -> BacktestAsked:
    """Queue a backtest of a model; one that waits already is replaced. Invalid, NotFound say what is in the way."""
    problems = [*_problems("days", asked.days, DAYS_LEAST, DAYS_MOST)]
    if asked.cold_start_s is not None:
        problems += _problems("cold_start_s", asked.cold_start_s, 0.0, COLD_START_S_MOST)
    if asked.capacity_rps is not None:
        problems += _problems("capacity_rps", asked.capacity_rps, CAPACITY_RPS_LEAST, CAPACITY_RPS_MOST)
    if problems:
        raise Invalid("; ".join(map(str, problems)), problems)
    spec = services.configuration.model(model)
    if spec is None or spec.autoscale is None:
        raise NotFound(f"{model[:100]} has no `autoscale:` in seamark.yaml; give it min and max and apply")
    services.catalog.findings.put(model, ASKED, asked.at, asked, replace=True)
    return asked


def _problems(name: str, value: float, least: float, most: float) -> list[Problem]:
    good = isfinite(value) and least <= value <= most
    return [] if good else [Problem(name, f"{value:g} is not usable; give {least:g} to {most:g}")]


def newest(services: Services, model: str) -> OwnBacktest | None:
    """The backtest made last, what-ifs too."""
    found = [services.catalog.findings.latest(model, kind, OwnBacktest) for kind in (BACKTEST, WHAT_IF)]
    return max((one.finding for one in found if one), key=lambda one: one.at, default=None)


def waiting(services: Services, model: str) -> BacktestAsked | None:
    """What was asked for and is not done yet."""
    found = services.catalog.findings.latest(model, ASKED, BacktestAsked)
    return found.finding if found else None


@dataclass
class Backtester:
    """Plays one backtest at a time: what was asked for first, then the models whose daily turn has come."""

    looked_at: datetime | None = None
    due: list[str] = field(default_factory=list)  # models, the one that waits longest last
    heard: HeardDays = field(default_factory=HeardDays)

    def tick(self, services: Services, at: datetime, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Play the one that comes next; False where none is due."""
        specs = {spec.name: spec for spec in services.configuration.current().models if spec.autoscale}
        for model, asked in services.catalog.findings.of_models(list(specs), ASKED, BacktestAsked).items():
            self._play(services, specs[model], at, asked.finding, stopping)
            return True
        if not self.due and (self.looked_at is None or not timedelta(0) <= at - self.looked_at < LOOKED_EVERY):
            self.looked_at, self.due = at, _due(services, list(specs), at)
        while self.due:
            spec = specs.get(self.due.pop())
            if spec is not None:
                self._play(services, spec, at, None, stopping)
                return True
        return False

    def _play(
        self,
        services: Services,
        spec: ModelSpec,
        at: datetime,
        asked: BacktestAsked | None,
        stopping: Callable[[], bool],
    ) -> None:
        """Play and keep one; what fails is kept as failed, or it would be tried at each tick."""
        try:
            made = play(services, spec, at, asked, self.heard, stopping)
        except Interrupted:
            return  # what was asked for still waits
        except SeamarkError as error:
            log.warning("backtest of %s failed: %s", spec.name, error.message)
            made = _failed(services, spec.name, at, asked, f"The backtest failed: {error.message}.")
        except Exception:
            _keep(services, _failed(services, spec.name, at, asked, "The backtest failed; the service's log says how."))
            raise
        _keep(services, made)


def _keep(services: Services, made: OwnBacktest) -> None:
    services.catalog.findings.put(made.model, WHAT_IF if made.what_if else BACKTEST, made.at, made, replace=True)
    if made.state == OwnState.PLAYED and not made.what_if:
        says = BacktestSays(made.gate, made.warm_floor)
        services.catalog.findings.put(made.model, SAYS, made.at, says)
    if made.asked_at is not None:
        services.catalog.findings.drop(made.model, ASKED, made.asked_at)


def _due(services: Services, models: Sequence[str], at: datetime) -> list[str]:
    """Models whose newest backtest is a day old, or an hour where it was not played; those without one last."""
    made = services.catalog.findings.of_models(models, BACKTEST, OwnBacktest)
    old = [
        model
        for model, last in made.items()
        if not timedelta(0) <= at - last.at < (DAILY if last.finding.state == OwnState.PLAYED else AGAIN)
    ]
    return [*reversed(old), *(model for model in models if model not in made)]


def play(
    services: Services,
    spec: ModelSpec,
    at: datetime,
    asked: BacktestAsked | None,
    heard: HeardDays,
    stopping: Callable[[], bool] = lambda: False,
) -> OwnBacktest:
    """Return the backtest of a model as it is, or as `asked` has it; blocks while a process of its own plays."""
    autoscale = spec.autoscale or AutoscaleSpec()
    wanted = asked or BacktestAsked(at)
    history = own_history(services, spec.name, at, wanted.days, heard)
    trace, words = _trace(history)
    if trace is None or history is None:
        return _not_played(spec.name, at, asked, OwnState.TOO_LITTLE_HISTORY, words)
    carried, source = _capacity(services, spec, wanted, at)
    if carried is None:
        told = "What one replica carries is not known; run a load test of shape `capacity`, or give --capacity."
        return _not_played(spec.name, at, asked, OwnState.NO_CAPACITY, told)
    cold_start_s, cold_start_source = _cold_start(services, spec, wanted, at)
    try:
        fleet = Fleet(
            capacity_rps=capacity(trace, carried, "capacity_rps"),
            cold_start_s=cold_start_s,
            slo_wait_s=slo_wait_s(spec),
            min=autoscale.min,
            max=autoscale.max,
            tells_queue=autoscale.queue_length is not None,
            rules=_rules(autoscale),
        )
    except Invalid as error:
        return _not_played(spec.name, at, asked, OwnState.REFUSED, f"{error.message}.")
    answer = playing.play(
        trace,
        fleet,
        cost_per_replica_hour=autoscale.cost_per_replica_hour,
        folder=services.data_dir,
        timeout_s=TIMEOUT_S,
        stopping=stopping,
    )
    return OwnBacktest(
        model=spec.name,
        at=at,
        state=OwnState.PLAYED,
        reason=answer.found.verdict,
        days=wanted.days,
        gate=_gate(answer.found, at),
        asked_at=asked.at if asked else None,
        what_if=wanted.what_if,
        window=Window.trailing(history.end, trace.duration_s),
        capacity_source=source,
        cold_start_source=cold_start_source,
        cpu_s=answer.cpu_s,
        found=answer.found,
        warm_floor=replace(answer.warm_floor, at=history.end),
    )


def _gate(found: Backtest, at: datetime) -> AdviceGate:
    return AdviceGate(found.gate, f"{found.verdict} Played on {found.days:.1f} days of its own arrivals.", at)


def _trace(history: ArrivalHistory | None) -> tuple[Trace | None, str]:
    """Return (what is to be played, notes), or None and why nothing can be."""
    if history is None:
        return None, "No requests of this model are in the lake; a backtest needs 6h of them."
    rates, counts = bridged(history.rates, history.step_s)
    spans_s, counted_s = len(rates) * history.step_s, float(counts.sum()) * history.step_s
    if counted_s < HISTORY_S_LEAST:
        told = f"{_length(counted_s)} of this model's arrivals are known; a backtest needs"
        return None, f"{told} {format_duration(HISTORY_S_LEAST)}."
    if counted_s < COUNTED_LEAST * spans_s:
        told = f"of {_length(spans_s)} since the first request only {_length(counted_s)} are known"
        return None, f"Too little of the history: {told}; at least half is needed."
    return Trace(history.step_s, rates, bridged=_notes(history, counts), counted=counts), ""


def _notes(history: ArrivalHistory, counts: BoolArray) -> tuple[str, ...]:
    missing = history.rates != history.rates
    holes = [(end - start) * history.step_s for start, end in runs(missing)]
    left_out = float((~counts).sum()) * history.step_s
    if not holes:
        return ()
    told = f"{len(holes)} {'hole' if len(holes) == 1 else 'holes'} without telemetry, the longest of"
    notes = [f"{told} {_length(max(holes))}, bridged in a straight line."]
    if left_out:
        notes.append(f"{_length(left_out)} of them are in no figure: holes of more than five minutes are only played.")
    return tuple(notes)


def _capacity(services: Services, spec: ModelSpec, asked: BacktestAsked, at: datetime) -> tuple[float | None, str]:
    if asked.capacity_rps is not None:
        return asked.capacity_rps, "asked"
    found, _ = read_capacity(services, spec, at, serving=None)
    if found is None or not found.safe_rps > 0:
        return None, ""
    return found.safe_rps, found.source


def _cold_start(services: Services, spec: ModelSpec, asked: BacktestAsked, at: datetime) -> tuple[float, str]:
    if asked.cold_start_s is not None:
        return asked.cold_start_s, "asked"
    told = read_cold_start(services, spec, at)
    return (COLD_START_DEFAULT_S if told.value is None else told.value), told.source


def _rules(spec: AutoscaleSpec) -> AdviceRules:
    return AdviceRules(
        scale_out_most=spec.scale_out_most, scale_in_most=spec.scale_in_most, warm=spec.warm, warm_auto=spec.warm_auto
    )


def slo_wait_s(spec: ModelSpec) -> float:
    """A request that waits as long as its objective allows for the whole answer has broken it."""
    latency = spec.slo.latency if spec.slo else None
    return SLO_WAIT_S if latency is None else latency.limit / 1000


def _not_played(model: str, at: datetime, asked: BacktestAsked | None, state: OwnState, reason: str) -> OwnBacktest:
    wanted = asked or BacktestAsked(at, DAYS)
    return OwnBacktest(
        model=model,
        at=at,
        state=state,
        reason=reason,
        days=wanted.days,
        gate=AdviceGate("unknown", reason, at),
        asked_at=asked.at if asked else None,
        what_if=wanted.what_if,
    )


def _failed(services: Services, model: str, at: datetime, asked: BacktestAsked | None, reason: str) -> OwnBacktest:
    """Return what is kept of a failure: gate and warm floor are the last one's, which are as true as they were."""
    made = _not_played(model, at, asked, OwnState.FAILED, reason)
    last = services.catalog.findings.latest(model, BACKTEST, OwnBacktest)
    return made if last is None else replace(made, gate=last.finding.gate, warm_floor=last.finding.warm_floor)


def _length(seconds: float) -> str:
    return format_duration(seconds // 60 * 60 if seconds >= 3600 else seconds)
