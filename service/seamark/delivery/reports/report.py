"""What a run report is made of, and the samples of a run -> a line per second and a distribution."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from seamark.core.findings import RunStatus, ThresholdResult, Verdict
from seamark.core.load_traces import RunTraces

POINTS_MAX = 600
FloatArray = npt.NDArray[np.float64]

ERROR_KINDS_MAX = 20
POINTS_PER_NINE = 12  # of the percentile curve


@dataclass(frozen=True)
class SeriesPoint:
    """One step of a run, `t_s` seconds after its first instant. None: nothing to say of this step.

    `asked_rps` and the latencies go by when requests were due; `achieved_rps` counts successful answers by when they
    came. `latency` counts from the due instant, `service` from the send.
    """

    t_s: float
    asked_rps: float
    achieved_rps: float
    errors: int
    p50_ms: float | None
    p99_ms: float | None
    service_p50_ms: float | None
    service_p99_ms: float | None
    lateness_p99_ms: float | None = None


@dataclass(frozen=True)
class ErrorKind:
    """Failed requests that say the same: how many, and when the first and the last were due, in seconds."""

    error: str
    count: int
    first_s: float
    last_s: float


@dataclass(frozen=True)
class GeneratorPoint:
    """The load generator at one instant: its share of a core (None: not told), and requests in flight."""

    t_s: float
    cpu_ratio: float | None
    in_flight: int | None


@dataclass(frozen=True)
class DistributionPoint:
    """A share of all answers (0-1) and the latency that it stays within."""

    share: float
    latency_ms: float
    service_latency_ms: float


@dataclass(frozen=True)
class RunReport:
    """One run, ready to be shown. `verdict` is None where it never got one; `reason` says why then.

    `errors` are its failures by kind, the most frequent first; `error_kinds` counts all kinds, shown or not. `url` is
    its page at the service, for who reads this elsewhere.
    """

    run_id: str
    plan: str
    document: Mapping[str, Any]
    status: RunStatus
    reason: str
    started_at: datetime | None
    ended_at: datetime | None
    verdict: Verdict | None
    series: Sequence[SeriesPoint] = ()
    segments: Sequence[Mapping[str, Any]] = ()
    distribution: Sequence[DistributionPoint] = ()
    traces: RunTraces | None = None  # None: not asked for
    traces_url: str = "/traces/"  # what a trace's id is put behind to see it
    errors: Sequence[ErrorKind] = ()
    error_kinds: int = 0
    generator: Sequence[GeneratorPoint] = ()
    url: str | None = None
    trigger: str = ""

    @property
    def duration_s(self) -> float | None:
        """Seconds from start to end; None for a run that has not both."""
        if self.started_at is None or self.ended_at is None:
            return None
        return max(0.0, (self.ended_at - self.started_at).total_seconds())

    @property
    def thresholds(self) -> tuple[ThresholdResult, ...]:
        """The verdict's thresholds; without a verdict those the plan asked for, none of them judged."""
        if self.verdict is not None:
            return self.verdict.thresholds
        asked = self.document.get("thresholds")
        texts = asked if isinstance(asked, list | tuple) else ()
        return tuple(ThresholdResult(str(text), None, None) for text in texts)


def series(samples: pa.Table) -> list[SeriesPoint]:
    """Return a point per second of a run (LOAD_SAMPLES rows), or per longer step: never more than 600 points."""
    if samples.num_rows == 0:
        return []
    due_s, latency_ms, service_ms = (_floats(samples, name) for name in ("due_s", "latency_ms", "service_latency_ms"))
    ok = samples["ok"].to_numpy().astype(bool)
    width_s = max(1, math.ceil((float(due_s.max()) + 1) / POINTS_MAX))
    steps = np.maximum(due_s, 0.0) // width_s
    count = int(steps.max()) + 1
    bins = steps.astype(np.int64)
    asked = np.bincount(bins, minlength=count)
    errors = np.bincount(bins[~ok], minlength=count)
    came = ok & ~np.isnan(latency_ms)
    came_bins = ((due_s[came] + latency_ms[came] / 1e3) // width_s).astype(np.int64)
    achieved = np.bincount(np.clip(came_bins, 0, count - 1), minlength=count)
    p50, p99 = _quantiles_by_bin(bins, latency_ms, count)
    service_p50, service_p99 = _quantiles_by_bin(bins, service_ms, count)
    _, lateness_p99 = _quantiles_by_bin(bins, np.maximum((_floats(samples, "sent_s") - due_s) * 1e3, 0.0), count)
    return [
        SeriesPoint(
            t_s=float(index * width_s),
            asked_rps=round(float(asked[index]) / width_s, 3),
            achieved_rps=round(float(achieved[index]) / width_s, 3),
            errors=int(errors[index]),
            p50_ms=_known(p50[index]),
            p99_ms=_known(p99[index]),
            service_p50_ms=_known(service_p50[index]),
            service_p99_ms=_known(service_p99[index]),
            lateness_p99_ms=_known(lateness_p99[index]),
        )
        for index in range(count)
    ]


def distribution(samples: pa.Table) -> list[DistributionPoint]:
    """Return the latency that each share of the answers stays within; empty where nothing was answered.

    Each nine (90 %, 99 %, 99.9 %, ...) has as many points, up to the nine that the number of answers supports; the
    last point is the maximum. Each is an answer's own latency (numpy's `inverted_cdf`), as in the verdict.
    """
    latency_ms, service_ms = _floats(samples, "latency_ms"), _floats(samples, "service_latency_ms")
    known = ~np.isnan(latency_ms) & ~np.isnan(service_ms)
    if not known.any():
        return []
    steps = np.arange(math.floor(POINTS_PER_NINE * math.log10(int(known.sum()))) + 1)
    levels = np.append(1 - 10.0 ** (-steps / POINTS_PER_NINE), 1.0)
    latencies, services = (
        np.quantile(values[known], levels, method="inverted_cdf") for values in (latency_ms, service_ms)
    )
    pairs = zip(levels, latencies, services, strict=True)
    return [DistributionPoint(float(level), round(float(a), 3), round(float(b), 3)) for level, a, b in pairs]


def errors_by_kind(samples: pa.Table) -> tuple[list[ErrorKind], int]:
    """Return the most frequent kinds of failure, and how many kinds there are."""
    failed = samples.filter(pc.invert(samples["ok"])).select(["error", "due_s"])
    told = [("due_s", "count"), ("due_s", "min"), ("due_s", "max")]
    kinds = (
        failed.group_by("error").aggregate(told).sort_by([("due_s_count", "descending"), ("due_s_min", "ascending")])
    )
    rows = kinds.slice(0, ERROR_KINDS_MAX).to_pylist()
    found = [
        ErrorKind(r["error"] or "no reason was recorded", r["due_s_count"], r["due_s_min"], r["due_s_max"])
        for r in rows
    ]
    return found, kinds.num_rows


def generator(progress: Sequence[Mapping[str, Any]]) -> list[GeneratorPoint]:
    """Return what a run's lines of progress tell of the generator, at most 600 points."""
    lines = [line for line in progress if isinstance(line.get("t_s"), int | float)]
    every = max(1, math.ceil(len(lines) / POINTS_MAX))
    return [GeneratorPoint(line["t_s"], line.get("cpu_ratio"), line.get("in_flight")) for line in lines[::every]]


def _floats(samples: pa.Table, name: str) -> FloatArray:
    return np.asarray(samples[name].to_numpy(), dtype=np.float64)


def _quantiles_by_bin(bins: npt.NDArray[np.int64], values: FloatArray, count: int) -> tuple[FloatArray, FloatArray]:
    """The median and the 99th percentile of each bin (`inverted_cdf`, as in the verdict), NaN for an empty one."""
    known = ~np.isnan(values)
    bins, values = bins[known], values[known]
    order = np.lexsort((values, bins))
    bins, values = bins[order], values[order]
    starts = np.searchsorted(bins, np.arange(count))
    sizes = np.searchsorted(bins, np.arange(count), side="right") - starts
    return _at(values, starts, sizes, 0.5), _at(values, starts, sizes, 0.99)


def _at(values: FloatArray, starts: npt.NDArray[Any], sizes: npt.NDArray[Any], level: float) -> FloatArray:
    out = np.full(len(starts), np.nan)
    filled = sizes > 0
    place = np.ceil(level * sizes[filled]).astype(np.int64) - 1
    out[filled] = values[starts[filled] + np.maximum(place, 0)]
    return out


def _known(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 3)
