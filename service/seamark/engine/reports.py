"""Queued drift reports -> Evidently's HTML, made in a worker process."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from seamark.core.errors import SeamarkError
from seamark.core.windows import Window
from seamark.engine import drift
from seamark.engine.overview import overview
from seamark.engine.services import Services
from seamark.runner import evidently
from seamark.runner.worker_process import Interrupted
from seamark.store.catalog.conclusions import DriftReport

log = logging.getLogger(__name__)

TIMEOUT_S = 180.0


def current_report(services: Services, model: str, window: Window, *, renew: bool) -> DriftReport:
    """Return the newest report of a model, queueing one where there is none or a new one is asked for.

    A report that is being made is not asked for twice: nearly the same window is the same report.
    """
    at, patience = services.clock.now(), timedelta(seconds=2 * TIMEOUT_S)
    latest = services.catalog.drift_reports.latest(model)
    if latest is not None:
        # A report whose worker went away is never finished: it is asked for anew.
        lost = latest.status == "running" and at - latest.created_at > patience
        under_way = latest.status in ("queued", "running") and not lost
        # Whoever asks for "the last hour" again and again moves the window while the report is made.
        same = latest.window.span_s == window.span_s and abs(latest.window.end - window.end) < patience
        if under_way or (not lost and (not renew or (same and latest.status in ("ready", "failed")))):
            return latest
    overview(services, model, at)  # NotFound for a model nobody knows
    return services.catalog.drift_reports.queue(model, window, at)


def make_reports(services: Services, at: datetime, stopping: Callable[[], bool] = lambda: False) -> bool:
    """Make the oldest queued report; False where none was."""
    report = services.catalog.drift_reports.claim()
    if report is None:
        return False
    try:
        reference, current, kinds = drift.samples(services, report.model, None, report.window)
        finding = drift.judge(services, report.model, None, report.window)
        with tempfile.TemporaryDirectory(prefix="seamark-report-", dir=services.data_dir) as folder:
            out = Path(folder) / "report.html"
            single = [f for f in finding.features if f.kind in ("numeric", "categorical")]  # what Evidently is given
            methods = {f.feature: f.method for f in single}
            thresholds = {f.feature: f.threshold for f in single}
            evidently.report(
                reference, current, kinds, out, TIMEOUT_S, methods=methods, thresholds=thresholds, stopping=stopping
            )
            services.catalog.drift_reports.finish(report.id, html=out.read_bytes())
    except Interrupted:
        services.catalog.drift_reports.requeue(report.id)
    except SeamarkError as error:
        services.catalog.drift_reports.finish(report.id, html=None, reason=error.message)
        log.warning("drift report of %s failed: %s", report.model, error.message)
    except Exception:
        reason = "the service failed while it made this report; its log says how"
        services.catalog.drift_reports.finish(report.id, html=None, reason=reason)
        raise
    return True
