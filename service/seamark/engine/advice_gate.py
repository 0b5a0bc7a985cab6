"""The newest backtest of a model as it is -> what is told beside each recommendation, and what is kept warm."""

from __future__ import annotations

from datetime import datetime, timedelta

from seamark.core.advice import AdviceGate, WarmFloor
from seamark.core.own_backtest import OwnBacktest
from seamark.engine.services import Services

BACKTEST = "backtest"  # the kind of finding; one is kept per model
SAYS = "backtest_says"  # what is told of each, for the recommendations that were made with it
HOLDS = timedelta(days=7)


def gate(services: Services, model: str, at: datetime) -> AdviceGate:
    """Return what the newest backtest says of following the advice; `unknown` where there is none, or an old one."""
    return own_history_says(services, model, at)[0]


def own_history_says(services: Services, model: str, at: datetime) -> tuple[AdviceGate, WarmFloor | None]:
    """Return (the gate, the warm floor) of the newest backtest.

    A floor of any age stands until there is another: that a job fails is no reason to give up what carries bursts.
    """
    found = services.catalog.findings.latest(model, BACKTEST, OwnBacktest)
    if found is None:
        return AdviceGate("unknown", "Not backtested yet on this model's own history."), None
    last, floor = found.finding.gate, found.finding.warm_floor
    if last.at is not None and at - last.at > HOLDS:
        told = "The last backtest is more than a week old; its job has failed since."
        return AdviceGate("unknown", told, last.at), floor
    return last, floor
