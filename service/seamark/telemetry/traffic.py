"""Rows on their way into the lake become request and prediction counts, a latency histogram and exemplars."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from prometheus_client import Histogram
from prometheus_client import Metric as PrometheusFamily
from prometheus_client.samples import Exemplar, Sample
from prometheus_client.utils import floatToGoString

from seamark.telemetry.families import LABEL_LENGTH_MAX, family, histogram_samples

OTHER = "other"
MODELS_MAX = 200
VERSIONS_MAX = 20  # per model
ROUTES_MAX = 50  # per model
SERIES_MAX = 2_000  # of (model, version, route) over all models; each is 17 lines of the page

BOUNDS_S = tuple(bound for bound in Histogram.DEFAULT_BUCKETS if bound != float("inf"))
_BOUND_TEXTS = (*(floatToGoString(bound) for bound in BOUNDS_S), "+Inf")
_BUCKETS = len(_BOUND_TEXTS)
_FOLDABLE = ("model", "version", "route", "series")

Ints = npt.NDArray[np.int64]


class BoundedLabels:
    """Gives each label value a place while there is room; the rest is `other`, and counted."""

    def __init__(self) -> None:
        self._models: set[str] = set()
        self._versions: dict[str, set[str]] = {}
        self._routes: dict[str, set[str]] = {}
        self.folded = dict.fromkeys(_FOLDABLE, 0)

    def model(self, name: str, rows: int) -> str:
        """Return the model's label for `rows` more rows."""
        return self._admit(self._models, name, MODELS_MAX, "model", rows)

    def version(self, model: str, version: str, rows: int) -> str:
        """Return the version's label; `model` is a label this object returned."""
        return self._admit(self._versions.setdefault(model, set()), version, VERSIONS_MAX, "version", rows)

    def route(self, model: str, route: str, rows: int) -> str:
        """Return the route's label; `model` is a label this object returned."""
        return self._admit(self._routes.setdefault(model, set()), route, ROUTES_MAX, "route", rows)

    def _admit(self, known: set[str], value: str, limit: int, label: str, rows: int) -> str:
        if value in known or value == OTHER:
            return value
        if len(known) < limit and len(value) <= LABEL_LENGTH_MAX:
            known.add(value)
            return value
        self.folded[label] += rows
        return OTHER


@dataclass
class DurationCounts:
    """Counts per bucket of one histogram series, with the latest exemplar of each bucket."""

    counts: Ints = field(default_factory=lambda: np.zeros(_BUCKETS, dtype=np.int64))
    total_s: float = 0.0
    exemplars: dict[int, Exemplar] = field(default_factory=dict)

    def add(self, seconds: npt.NDArray[np.float64]) -> None:
        """Count these durations."""
        self.counts += np.bincount(bucket_of(seconds), minlength=_BUCKETS)
        self.total_s += float(seconds.sum())

    def samples(self, name: str, labels: dict[str, str]) -> list[Sample]:
        """Return the lines of this series."""
        buckets = [
            (bound, int(count), self.exemplars.get(index))
            for index, (bound, count) in enumerate(zip(_BOUND_TEXTS, self.counts, strict=True))
        ]
        return histogram_samples(name, labels, buckets, self.total_s)


def bucket_of(seconds: npt.NDArray[np.float64]) -> Ints:
    """Return for each duration the index of the first bucket whose bound is not below it."""
    return np.searchsorted(np.asarray(BOUNDS_S), seconds, side="left")


@dataclass
class _Requests:
    """One (model, version, route)."""

    ok: int = 0
    failed: int = 0
    durations: DurationCounts = field(default_factory=DurationCounts)


class Traffic:
    """Requests and predictions by model, version and route. Not thread-safe: its owner holds a lock."""

    def __init__(self) -> None:
        self.labels = BoundedLabels()
        self._requests: dict[tuple[str, str, str], _Requests] = {}
        self._predictions: dict[tuple[str, str], int] = {}

    def observe_spans(self, spans: pa.Table) -> None:
        """Count the requests of a SPANS table; other spans and synthetic ones are passed over."""
        chosen = pc.and_(spans["is_request"], pc.invert(spans["synthetic"]))
        rows = spans.select(["model", "version", "route", "failed", "duration_ns", "start_at", "trace_id"]).filter(
            chosen
        )
        if rows.num_rows == 0:
            return
        groups, keys = group_rows(rows, ("model", "version", "route"))
        sizes = np.bincount(groups, minlength=len(keys))
        series = [self._series(key, int(size)) for key, size in zip(keys, sizes, strict=True)]
        seconds = np.maximum(_numbers(rows["duration_ns"]) / 1e9, 0.0)
        buckets = bucket_of(seconds)
        failed = np.bincount(groups, weights=_numbers(rows["failed"].cast(pa.int8())), minlength=len(keys))
        totals = np.bincount(groups, weights=seconds, minlength=len(keys))
        cells = groups * _BUCKETS + buckets
        counts = np.bincount(cells, minlength=len(keys) * _BUCKETS).reshape(len(keys), _BUCKETS)
        for index, one in enumerate(series):
            one.failed += int(failed[index])
            one.ok += int(sizes[index] - failed[index])
            one.durations.counts += counts[index]
            one.durations.total_s += float(totals[index])
        _keep_exemplars(series, cells, rows, seconds)

    def observe_predictions(self, predictions: pa.Table) -> None:
        """Count the rows of a PREDICTIONS table; synthetic ones are passed over."""
        rows = predictions.select(["model", "version"]).filter(pc.invert(predictions["synthetic"]))
        if rows.num_rows == 0:
            return
        groups, keys = group_rows(rows, ("model", "version"))
        for (name, version), size in zip(keys, np.bincount(groups, minlength=len(keys)), strict=True):
            model = self.labels.model(name, int(size))
            key = (model, self.labels.version(model, version, int(size)))
            self._predictions[key] = self._predictions.get(key, 0) + int(size)

    def _series(self, key: tuple[str, ...], rows: int) -> _Requests:
        name, version, route = key
        model = self.labels.model(name, rows)
        labels = (model, self.labels.version(model, version, rows), self.labels.route(model, route, rows))
        if labels not in self._requests and len(self._requests) >= SERIES_MAX:
            self.labels.folded["series"] += rows
            labels = (model, OTHER, OTHER)
        return self._requests.setdefault(labels, _Requests())

    def families(self) -> Iterator[PrometheusFamily]:
        """Yield the four families of TRAFFIC; those of which nothing was seen are empty."""
        requests, durations = family("seamark_requests_total"), family("seamark_request_duration_seconds")
        for (model, version, route), seen in self._requests.items():
            labels = {"model": model, "version": version, "route": route}
            for status, count in (("ok", seen.ok), ("error", seen.failed)):
                requests.samples.append(Sample("seamark_requests_total", labels | {"status": status}, float(count)))
            durations.samples += seen.durations.samples("seamark_request_duration_seconds", labels)
        predictions, folded = family("seamark_predictions_total"), family("seamark_label_values_folded_total")
        for (model, version), count in self._predictions.items():
            predictions.samples.append(
                Sample("seamark_predictions_total", {"model": model, "version": version}, float(count))
            )
        for label, count in self.labels.folded.items():
            folded.samples.append(Sample("seamark_label_values_folded_total", {"label": label}, float(count)))
        yield from (requests, durations, predictions, folded)


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    return np.asarray(column)


def group_rows(rows: pa.Table, columns: tuple[str, ...]) -> tuple[Ints, list[tuple[str, ...]]]:
    """Return the group number of each row, and the label values of each group."""
    codes = np.zeros(rows.num_rows, dtype=np.int64)
    values: list[list[str]] = []
    for name in columns:
        encoded = rows[name].combine_chunks().dictionary_encode()
        values.append(encoded.dictionary.to_pylist())
        codes = codes * len(values[-1]) + encoded.indices.to_numpy(zero_copy_only=False)
    present, groups = np.unique(codes, return_inverse=True)
    return groups.astype(np.int64), [_label_values(int(code), values) for code in present]


def _label_values(code: int, values: list[list[str]]) -> tuple[str, ...]:
    out: list[str] = []
    for known in reversed(values):
        code, index = divmod(code, len(known))
        out.append(known[index])
    return tuple(reversed(out))


def _keep_exemplars(series: list[_Requests], cells: Ints, rows: pa.Table, seconds: npt.NDArray[np.float64]) -> None:
    """Keep for every bucket the request that ended last, unless a later one is there already."""
    ended_s = _numbers(rows["start_at"].cast(pa.int64())) / 1e6 + seconds
    order = np.argsort(-ended_s, kind="stable")
    touched, first = np.unique(cells[order], return_index=True)
    latest = order[first]
    traces = rows["trace_id"].take(pa.array(latest)).to_pylist()
    for cell, row, trace_id in zip(touched.tolist(), latest.tolist(), traces, strict=True):
        index, bucket = divmod(cell, _BUCKETS)
        known = series[index].durations.exemplars
        at_s = float(ended_s[row])
        previous = known.get(bucket)
        if len(trace_id) == 16 and (previous is None or float(previous.timestamp or 0.0) <= at_s):
            known[bucket] = Exemplar({"trace_id": trace_id.hex()}, float(seconds[row]), at_s)
