"""Counts kept while the service runs and findings handed in at the scrape become the text Prometheus reads."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client import Metric as PrometheusFamily
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from seamark.core.findings import Alert, ModelOverview
from seamark.core.inference import HALVES
from seamark.telemetry.families import Page, family
from seamark.telemetry.generative import Generative
from seamark.telemetry.readings import LakeFigures, LastRun, put_alerts, put_lake, put_missed, put_overviews, put_runs
from seamark.telemetry.traffic import DurationCounts, Traffic, bucket_of
from seamark.wire.cut import cut_from

CLASSIC = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = openmetrics.CONTENT_TYPE_LATEST
CUT = ("attributes", "events", "links", "depth", "names", "features", "outcomes")
ADVICE_CUT = ("models", "instances")
JOINED_BY = ("arrival", "job")
SIGNALS = ("traces", "logs", "metrics", "predictions", "labels", "cloudevents")


class Telemetry:
    """What one process knows of itself and shows on /metrics. Every method may be called from any thread.

    Counters exist from the start at zero, so that their first increase is an increase. Nothing here reads the
    clock: instants are handed in.
    """

    def __init__(self, *, version: str = "") -> None:
        self._lock = threading.Lock()
        self._version = version
        self._traffic = Traffic()
        self._generative = Generative(self._traffic.labels)
        self._rows = {(signal, outcome): 0 for signal in SIGNALS for outcome in ("accepted", "refused")}
        self._cut = dict.fromkeys(CUT, 0)
        self._advice_cut = dict.fromkeys(ADVICE_CUT, 0)
        self._joined = dict.fromkeys(JOINED_BY, 0)
        self._alone = dict.fromkeys(HALVES, 0)
        self._commits = DurationCounts()
        self._committed_rows = 0
        self._job_interval_s: dict[str, float] = {}
        self._job_succeeded_at: dict[str, datetime] = {}
        self._job_failures: dict[str, int] = {}
        self.registry = CollectorRegistry()
        self.registry.register(_Kept(self))
        ProcessCollector(registry=self.registry)

    # --- kept while the service runs ------------------------------------------------------------------------------

    def observe_spans(self, spans: pa.Table) -> None:
        """Count the requests of a SPANS table that was just made durable."""
        with self._lock:
            self._traffic.observe_spans(spans)
            self._generative.observe(spans)

    def observe_predictions(self, predictions: pa.Table) -> None:
        """Count the rows of a PREDICTIONS table that was just made durable."""
        with self._lock:
            self._traffic.observe_predictions(predictions)

    def count_rows(self, signal: str, accepted: int, refused: int) -> None:
        """Count rows that were answered for. `signal` is one of SIGNALS; KeyError otherwise."""
        with self._lock:
            self._rows[signal, "accepted"] += accepted
            self._rows[signal, "refused"] += refused

    def count_cut(self, cut: Mapping[str, int]) -> None:
        """Count what was cut from rows that were stored, by what it was. KeyError for what is none of CUT."""
        with self._lock:
            for what, count in cut.items():
                self._cut[what] += count

    def count_advice_cut(self, what: str, count: int) -> None:
        """Count what advice had no room to remember, by one of ADVICE_CUT. KeyError otherwise."""
        with self._lock:
            self._advice_cut[what] += count

    def count_joined(self, by: str, inferences: int) -> None:
        """Count inferences whose halves were joined, by one of JOINED_BY. KeyError otherwise."""
        with self._lock:
            self._joined[by] += inferences

    def count_alone(self, alone: Mapping[str, int]) -> None:
        """Count halves whose other half did not come in time, by which they are. KeyError for what is no half."""
        with self._lock:
            for half, count in alone.items():
                self._alone[half] += count

    def observe_commit(self, seconds: float, tables: Mapping[str, pa.Table]) -> None:
        """Count one group commit to the lake: how long it took, and what it made durable."""
        cut = cut_from(tables)
        rows = sum(table.num_rows for table in tables.values())
        if "spans" in tables:
            self.observe_spans(tables["spans"])
        if "predictions" in tables:
            self.observe_predictions(tables["predictions"])
        self.count_cut(cut)
        with self._lock:
            self._commits.counts[int(bucket_of(np.array([seconds]))[0])] += 1
            self._commits.total_s += seconds
            self._committed_rows += rows

    def expect_job(self, name: str, every_s: float | None = None) -> None:
        """Make a job known before its first run: its failures start at 0, its interval tells what late means."""
        with self._lock:
            self._job_failures.setdefault(name, 0)
            if every_s is not None:
                self._job_interval_s[name] = every_s

    def job_succeeded(self, name: str, at: datetime) -> None:
        """Note that a job's run ended well at `at`."""
        self.expect_job(name)
        with self._lock:
            self._job_succeeded_at[name] = at

    def job_failed(self, name: str) -> None:
        """Note that a job's run failed."""
        self.expect_job(name)
        with self._lock:
            self._job_failures[name] += 1

    def kept_families(self) -> Iterator[PrometheusFamily]:
        """Yield what was counted so far."""
        with self._lock:
            page = Page()
            for (signal, outcome), count in self._rows.items():
                page.put("seamark_ingest_rows_total", (signal, outcome), count)
                if signal == "traces":
                    page.put("seamark_ingest_spans_total", (outcome,), count)
            for what, count in self._cut.items():
                page.put("seamark_ingest_cut_total", (what,), count)
            for what, count in self._advice_cut.items():
                page.put("seamark_advice_cut_total", (what,), count)
            for by, count in self._joined.items():
                page.put("seamark_inferences_joined_total", (by,), count)
            for half, count in self._alone.items():
                page.put("seamark_inference_halves_alone_total", (half,), count)
            page.put("seamark_ingest_committed_rows_total", (), self._committed_rows)
            for job, failures in self._job_failures.items():
                page.put("seamark_job_failures_total", (job,), failures)
                page.put("seamark_job_interval_seconds", (job,), self._job_interval_s.get(job))
            for job, at in self._job_succeeded_at.items():
                page.put("seamark_job_last_success_timestamp_seconds", (job,), at.timestamp())
            commits = family("seamark_ingest_commit_seconds")
            commits.samples = self._commits.samples("seamark_ingest_commit_seconds", {})
            kept = [*self._traffic.families(), *self._generative.families(), commits, *page.families()]
        yield from kept

    # --- made at the scrape ---------------------------------------------------------------------------------------

    def render(
        self,
        accept: str | None,
        *,
        at: datetime,
        overviews: Sequence[ModelOverview] = (),
        runs: Sequence[LastRun] = (),
        missed: Mapping[str, int] | None = None,
        alerts: Sequence[Alert] = (),
        lake: LakeFigures | None = None,
        outbox_pending: int | None = None,
        buffer_waiting_rows: int | None = None,
    ) -> tuple[bytes, str]:
        """Return the page and its content type: OpenMetrics with exemplars where `accept` names it, else classic text.

        What is unknown (None, an empty sequence) has no sample on the page; it is never told as 0.
        """
        page = Page()
        page.put("seamark_build_info", (self._version,), 1.0)
        page.put("seamark_clock_timestamp_seconds", (), at.timestamp())
        put_overviews(page, overviews)
        put_runs(page, runs)
        put_missed(page, missed or {})
        put_alerts(page, alerts)
        put_lake(page, lake)
        page.put("seamark_outbox_pending", (), outbox_pending)
        page.put("seamark_buffer_waiting_rows", (), buffer_waiting_rows)
        scrape = _Scrape(self.registry, page)
        if "application/openmetrics-text" in (accept or ""):
            return openmetrics.generate_latest(scrape), OPENMETRICS
        return generate_latest(scrape), CLASSIC


class _Kept(Collector):
    """The registry's view of a Telemetry."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def collect(self) -> Iterator[PrometheusFamily]:
        yield from self._telemetry.kept_families()


class _Scrape(Collector):
    """One page: what the registry keeps, then what was read for this scrape."""

    def __init__(self, registry: CollectorRegistry, page: Page) -> None:
        self._registry = registry
        self._page = page

    def collect(self) -> Iterator[PrometheusFamily]:
        yield from self._registry.collect()
        yield from self._page.families()
