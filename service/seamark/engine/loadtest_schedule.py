"""Cron lines and the clock -> queued runs, each instant once whatever the number of workers; what was missed counts."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

from seamark.core.findings import RunStatus
from seamark.core.specs import LoadTestPlan
from seamark.engine.services import Services
from seamark.store.catalog.schedule import Mark, Missed

log = logging.getLogger(__name__)

LATE_MAX_S = 300.0  # a run that begins later than this is another test: nights end, traffic comes back
LOOK_BACK_S = 7 * 86_400.0  # missed instants further back are not counted
WHY_LATE = "no worker looked in time: the service was down or its catalog out of reach"
WHY_QUEUED = "the last run had not begun yet"


def tick(services: Services, at: datetime) -> None:
    """Queue a run for each plan whose cron instant has come. Every worker does this; the catalog lets one of them.

    The newest instant makes a run unless it is more than LATE_MAX_S ago or the plan's last run still waits; all others
    that passed since the last look are counted as missed. A plan, and a changed cron line, begins with its first look.
    """
    services.catalog.runs.expire(at)
    marks = services.catalog.schedule.all()
    views = services.configuration.plans().values()
    for view in views:
        if view.plan is not None and view.plan.schedule is not None:
            _look(services, view.plan, marks.get(view.name), at)
    kept = {view.name for view in views if view.plan is None or view.plan.schedule is not None}
    services.catalog.schedule.forget(marks.keys() - kept)


def _look(services: Services, plan: LoadTestPlan, mark: Mark | None, at: datetime) -> None:
    line = f"{plan.schedule} {plan.timezone}"
    if mark is None or mark.line != line:
        services.catalog.schedule.begin(plan.name, line, at)
        return
    due = due_instants(plan, max(mark.seen_until, at - timedelta(seconds=LOOK_BACK_S)), at)
    if not due:
        return
    why = WHY_LATE
    runs = (at - due[-1]).total_seconds() <= LATE_MAX_S
    if runs and any(r.status == RunStatus.QUEUED for r in services.catalog.runs.recent(plan=plan.name, limit=5)):
        runs, why = False, WHY_QUEUED
    left_out = due[:-1] if runs else due
    missed = Missed(len(left_out), left_out[-1], why) if left_out else None
    run_id = services.catalog.schedule.move_on(mark, due[-1], missed, plan if runs else None, at)
    if run_id is not None:
        log.info("%s is due at %s: run %s is queued", plan.name, due[-1], run_id)
    if missed is not None:
        log.warning("%s: %d instants made no run, the last at %s: %s", plan.name, missed.count, missed.at, why)


def due_instants(plan: LoadTestPlan, since: datetime, at: datetime) -> list[datetime]:
    """Return the instants of the plan's cron line in (since, at], in order.

    Read as Debian's cron reads it: a local time that the clocks skip comes once, at their change; one that they repeat
    comes once, the first time. A line with `*` in its hours or minutes goes by elapsed time.
    """
    assert plan.schedule is not None
    found = []
    for instant in CronSim(plan.schedule, since.astimezone(ZoneInfo(plan.timezone))):
        # Two instants of one zone compare by their wall clocks, which a change of clocks turns back: hence in UTC.
        utc = instant.astimezone(at.tzinfo)
        if utc > at:
            break
        found.append(utc)
    return found


def next_instant(plan: LoadTestPlan, at: datetime) -> datetime | None:
    """Return when the plan's cron line is due next, or None for a plan without one."""
    if plan.schedule is None:
        return None
    return next(CronSim(plan.schedule, at.astimezone(ZoneInfo(plan.timezone)))).astimezone(at.tzinfo)
