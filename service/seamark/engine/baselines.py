"""A run's verdict and the earlier runs of its plan -> the verdict with the comparison in it."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from seamark.compute.baseline.comparable import parts_of
from seamark.compute.baseline.judge import RunFigures, figures_of, judge
from seamark.compute.baseline.sampling import sampling_errors
from seamark.core.baseline import BaselineState
from seamark.core.findings import RunStatus, Verdict
from seamark.core.specs import LoadTestPlan
from seamark.engine.services import Services
from seamark.store.catalog.runs import JudgedRun, RunRecord

EARLIER_MAX = 300  # runs that are looked at, for those of the same plan among them


def compared(services: Services, run: RunRecord, plan: LoadTestPlan, verdict: Verdict, samples: pa.Table) -> Verdict:
    """Return the verdict with its comparison; where the plan asks for it, a regression fails a run that passed.

    A run that is inconclusive or aborted says nothing that could be compared.
    """
    if verdict.status not in (RunStatus.PASSED, RunStatus.FAILED):
        return verdict
    at = services.clock.now()
    now = figures_of(run.id, at, verdict, parts_of(run.document), sampling_errors(samples), passed=False)
    judged = services.catalog.runs.judged(plan.name, since=plan.baseline.since, limit=EARLIER_MAX)
    earlier = _earlier(services, [one for one in judged if one.id != run.id], plan.baseline.runs + plan.baseline.repeat)
    finding = judge(now, earlier, plan.baseline, search=plan.shape.kind == "capacity")
    verdict = replace(verdict, baseline=finding)
    if finding.fails and finding.state == BaselineState.REGRESSION and verdict.status == RunStatus.PASSED:
        return replace(verdict, status=RunStatus.FAILED, reason=finding.reason)
    return verdict


def _earlier(services: Services, judged: list[JudgedRun], documents_max: int) -> list[RunFigures]:
    """The figures of earlier runs. Of those stored before comparisons were, the plans of some are read once more."""
    found, read = [], 0
    for run in judged:
        kept = run.verdict.baseline
        if kept is None:
            if read == documents_max:  # a plan may be megabytes of payloads
                continue
            read += 1
        parts = dict(kept.parts) if kept is not None else parts_of(services.catalog.runs.document(run.id))
        sampling = dict(kept.sampling_errors) if kept is not None else {}
        passed = run.status == RunStatus.PASSED
        found.append(figures_of(run.id, run.ended_at, run.verdict, parts, sampling, passed=passed))
    return found
