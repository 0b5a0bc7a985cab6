"""Plans -> queued runs -> one Locust process at a time -> a verdict, and the capacity it showed."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from seamark.compute import verdict as verdicts
from seamark.core.errors import Conflict, SeamarkError, TryLater
from seamark.core.findings import RunStatus, to_document
from seamark.core.specs import LoadTestPlan
from seamark.engine import baselines, payloads, permission
from seamark.engine.run_traces import seed_of
from seamark.engine.services import Services
from seamark.runner import locust
from seamark.runner.order import LoadOrder, Progress, RunnerOutcome
from seamark.store.catalog.joins import Join
from seamark.store.catalog.runs import RunRecord

log = logging.getLogger(__name__)

JOB = "run-load-tests"
WORKER = f"{socket.gethostname()[:200]}, process {os.getpid()}"
STOPPED = "stopped before its end"
CUT_OFF = "the service was stopped while it ran this test"
LEASE_S = 30.0
RENEW_S = 2.0
KEEP_TRIES = 6
CONCLUDE_S = 600.0  # the lease while millions of samples are stored and judged
LOOK_S = 0.25  # how soon a stop is heard of: with the generator's grace, a stop is done within two seconds
QUEUED_MAX = 100


def enqueue(services: Services, name: str, at: datetime, *, trigger: str = "api") -> RunRecord:
    """Ask for a run of a plan now; Conflict where too many wait already."""
    plan = services.configuration.plan(name)
    permission.check(services.configuration.current(), plan, at)
    waiting = [run for run in services.catalog.runs.recent(plan=name, limit=QUEUED_MAX) if not run.status.final]
    if len(waiting) >= QUEUED_MAX:
        raise Conflict(f"{len(waiting)} runs of {name!r} are waiting already; stop some of them first")
    run = services.catalog.runs.create(plan, trigger=trigger, at=at)
    assert run is not None, "only cron instants are unique"
    return run


@dataclass(frozen=True)
class Waiting:
    """Why a queued run has not begun; `run_id` is the run it waits for, where there is one."""

    reason: str
    run_id: str | None


def waiting_for(services: Services, run: RunRecord) -> Waiting | None:
    """What a queued run waits for; None for one that does not wait."""
    if run.status != RunStatus.QUEUED:
        return None
    running = services.catalog.runs.running()
    same = next((other for other in running if other.origin == run.origin), None)
    ahead = services.catalog.runs.ahead_of(run)
    behind = f", behind {ahead} that were asked for before" if ahead else ""
    if same is not None:
        return Waiting(f"waiting for run {same.id} of {same.plan} against the same target{behind}", same.id)
    if running:
        other = running[0]
        return Waiting(f"waiting for a worker: run {other.id} of {other.plan} is under way{behind}", other.id)
    return Waiting(f"waiting for a worker to take it{behind}", None)


def work(services: Services, at: datetime, stopping: Callable[[], bool]) -> bool:
    """Claim the next queued run and carry it to its end; False where nothing was queued. Blocks while it runs."""
    run = services.catalog.runs.claim(at, at + timedelta(seconds=LEASE_S), worker=WORKER)
    if run is None:
        return False
    log.info("run %s of %s begins", run.id, run.plan)
    try:
        _carry_out(services, run, stopping)
    except SeamarkError as error:
        _end(services, run, RunStatus.INCONCLUSIVE, error.message)
    except Exception:
        _end(services, run, RunStatus.INCONCLUSIVE, "the service failed while it ran this test; its log says how")
        raise
    return True


def _end(services: Services, run: RunRecord, status: RunStatus, reason: str, *, again: bool = False) -> None:
    services.catalog.runs.finish(run.id, at=services.clock.now(), status=status, reason=reason, again=again)
    log.info("run %s of %s: %s (%s)", run.id, run.plan, status.value, reason)


def _carry_out(services: Services, run: RunRecord, stopping: Callable[[], bool]) -> None:
    config, now = services.configuration.current(), services.clock.now()
    plan = payloads.arrivals_of(services, _plan_of(services, run), now)
    rows = payloads.rows_of(services, plan, now)
    permission.check(config, plan, now)
    order = LoadOrder(
        run.id,
        plan,
        rows.bodies,
        permission.allowed(config, now),
        seed=seed_of(run.id),
        caps=permission.caps(config),
        loadtests_dir=services.loadtests_dir,
        closed=(services.data_dir,),
        answers=rows.answers,
        bind=services.loadtest_bind,
    )
    if plan.remote_workers:
        services.catalog.joins.open(Join(run.id, _reached_at(services), services.loadtest_bind[1], order.token))
    heart = _Heart(services, run, stopping)
    with tempfile.TemporaryDirectory(prefix="seamark-run-", dir=services.data_dir) as work_dir:
        outcome = locust.run(
            order,
            work_dir=Path(work_dir),
            on_progress=heart.beat,
            should_stop=heart.should_stop,
            on_stopped=heart.stopped,
        )
    if plan.remote_workers:
        services.catalog.joins.close(run.id)
    if heart.ended is None:
        services.catalog.runs.renew(run.id, services.clock.now() + timedelta(seconds=CONCLUDE_S))
    _conclude(services, run, plan, replace(outcome, notes=(*outcome.notes, *rows.notes)), heart.ended)


def _keep(services: Services, run: RunRecord, outcome: RunnerOutcome) -> tuple[str, ...]:
    """Store the samples, again where the lake cannot take them just now; a run's verdict does not depend on it."""
    if not outcome.samples.num_rows:
        return ()
    for left in reversed(range(KEEP_TRIES)):
        try:
            services.lake.append({"load_samples": outcome.samples})
            return ()
        except TryLater as error:
            log.warning("samples of run %s were not stored (%s); %d tries are left", run.id, error, left)
            if left:
                asyncio.run(services.clock.sleep(error.retry_after_s or 1))
    return ("the samples could not be stored: the report has no plots and no errors by kind",)


def _reached_at(services: Services) -> str:
    """The host by which other machines reach this one: as bound, or, bound to all, as people reach the service."""
    host = services.loadtest_bind[0]
    return host if host not in ("0.0.0.0", "::") else urlsplit(services.url).hostname or host  # noqa: S104 - compared


def _plan_of(services: Services, run: RunRecord) -> LoadTestPlan:
    """The plan as it was asked for, held against the allow-list of now."""
    return services.configuration.parse(run.plan, run.document, services.configuration.current())


class _Heart:
    """Keeps the lease and the live progress of a run while Locust is at work."""

    def __init__(self, services: Services, run: RunRecord, stopping: Callable[[], bool]) -> None:
        self._services, self._run, self._run_id, self._origin = services, run, run.id, run.origin
        self._stopping = stopping
        self._seq = 0
        self._why = STOPPED
        self.ended: str | None = None  # the reason, once the run was ended because it was stopped
        self._stop_asked = False
        self._next_look_s = self._next_renewal_s = 0.0

    def beat(self, progress: Progress) -> None:
        """One line of progress, about once a second."""
        try:
            self._services.catalog.runs.add_progress(self._run_id, self._seq, to_document(progress))
        except SeamarkError as error:
            log.warning("progress of run %s was not kept: %s", self._run_id, error)
        self._seq += 1
        # The job is at work, not late: it comes back only when the run has ended.
        self._services.telemetry.job_succeeded(JOB, self._services.clock.now())

    def should_stop(self) -> bool:
        """Asked many times a second; reads the catalog four times a second, and renews the lease every two seconds."""
        if self._stopping():
            self._why = CUT_OFF
            return True
        now_s = self._services.clock.monotonic_s()
        if now_s >= self._next_look_s:
            self._next_look_s = now_s + LOOK_S
            try:
                self._stop_asked = self._told_to_stop(now_s)
            except SeamarkError as error:
                log.warning("lease of run %s was not renewed: %s", self._run_id, error)
        return self._stop_asked

    def stopped(self) -> None:
        """The generator is gone: the run has ended, before the samples are read, which may be millions."""
        _end(self._services, self._run, RunStatus.ABORTED, self._why, again=self._why == CUT_OFF)
        self.ended = self._why

    def _told_to_stop(self, now_s: float) -> bool:
        runs = self._services.catalog.runs
        if now_s < self._next_renewal_s:
            return runs.to_be_stopped(self._run_id)
        stop = runs.renew(self._run_id, self._services.clock.now() + timedelta(seconds=LEASE_S))
        config = self._services.configuration.current()
        withdrawn = permission.withdrawn(config, self._origin, self._services.clock.now())
        self._next_renewal_s = now_s + RENEW_S
        if withdrawn is not None and not stop:
            self._why = f"stopped: {withdrawn}"
        return stop or withdrawn is not None


def _conclude(
    services: Services, run: RunRecord, plan: LoadTestPlan, outcome: RunnerOutcome, ended: str | None
) -> None:
    """Keep what was measured and judge it; `ended` is why the run has ended already, None where it has not."""
    not_kept = _keep(services, run, outcome)
    if ended is None and outcome.error and not outcome.samples.num_rows:
        _end(services, run, RunStatus.INCONCLUSIVE, f"the load generator failed: {outcome.error}")
        return
    verdict = verdicts.judge(
        plan,
        outcome.samples,
        outcome.segments,
        generator_saturated=outcome.generator_saturated,
        aborted=ended or outcome.aborted,
        unreachable=outcome.unreachable,
        tokens=outcome.tokens,
    )
    if outcome.error and verdict.status != RunStatus.ABORTED:
        verdict = replace(
            verdict, status=RunStatus.INCONCLUSIVE, reason=f"the load generator ended early: {outcome.error}"
        )
    measured = verdict.status == RunStatus.PASSED  # a lower capacity is no less true where the plan fails on it
    verdict = replace(verdict, notes=(*outcome.notes, *not_kept))
    verdict = baselines.compared(services, run, plan, verdict, outcome.samples)
    at = services.clock.now()
    segments = [to_document(segment) for segment in outcome.segments]
    if ended is not None:
        services.catalog.runs.add_verdict(run.id, verdict, segments)
        return
    done = services.catalog.runs.finish(
        run.id, at=at, status=verdict.status, reason=verdict.reason, verdict=verdict, segments=segments
    )
    if done and verdict.capacity is not None and measured:
        services.catalog.findings.put(plan.model, "capacity", at, verdict.capacity, run_id=run.id)
    log.info("run %s of %s: %s (%s)", run.id, run.plan, verdict.status.value, verdict.reason)
