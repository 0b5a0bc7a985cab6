"""The newest backtest of a model as it is -> what is told beside each recommendation."""

from __future__ import annotations

from datetime import datetime, timedelta

from seamark.core.advice import AdviceGate
from seamark.core.own_backtest import OwnBacktest
from seamark.engine.services import Services

BACKTEST = "backtest"  # the kind of finding; one is kept per model
HOLDS = timedelta(days=7)


def gate(services: Services, model: str, at: datetime) -> AdviceGate:
    """Return what the newest backtest says of following the advice; `unknown` where there is none, or an old one."""
    found = services.catalog.findings.latest(model, BACKTEST, OwnBacktest)
    if found is None:
        return AdviceGate("unknown", "Not backtested yet on this model's own history.")
    last = found.finding.gate
    if last.at is not None and at - last.at > HOLDS:
        return AdviceGate("unknown", "The last backtest is more than a week old; its job has failed since.", last.at)
    return last
