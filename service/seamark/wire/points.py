"""OTLP metric data points, whatever encoding they came in, become rows of METRIC_POINTS or the reasons why not."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from seamark.core.records import METRIC_POINTS, Decoded, Refusal
from seamark.wire import buckets
from seamark.wire.attributes import Source, attributes_text, model_of, read_source, resource_bytes_max
from seamark.wire.budget import check_rows
from seamark.wire.spans import Reader
from seamark.wire.tables import Row, as_table
from seamark.wire.values import NANOS_MAX, RowRefused, clean_name, shown

NO_RECORDED_VALUE = 1  # the flag of a series that has ended: the instant is known, the value is not
QUANTILES_MAX = 1_000  # of one summary
DELTA, CUMULATIVE = 1, 2
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1

# value, count, sum, min, max, bounds, counts, quantile_values
Figures = tuple[
    float | None,
    int | None,
    float | None,
    float | None,
    float | None,
    list[float] | None,
    list[int] | None,
    list[float | None] | None,
]
UNKNOWN: Figures = (None,) * 8


class PointReader(Reader, Protocol):
    """What the encodings differ in, beyond spans: numbers that may be absent or written as words."""

    def integers(self, raw: Any, what: str) -> list[int]: ...

    def doubles(self, raw: Any, what: str) -> list[float]: ...

    def double(self, raw: Any, what: str) -> float: ...

    def optional(self, point: Any, field: str) -> float | None: ...

    def value(self, point: Any) -> int | float | None: ...

    def data(self, metric: Any, kinds: Sequence[str]) -> tuple[str, Any] | None: ...


@dataclass(frozen=True)
class _Metric:
    """A metric of one source; `fault` says why none of its points can be taken."""

    source: Source
    head: tuple[str, str, str, int | None, bool | None]  # name, unit, kind, temporality, monotonic
    figures: Callable[[PointReader, Any], Figures]
    points: Sequence[Any]
    fault: str


def decode_points(reader: PointReader, groups: Sequence[tuple[Any, Sequence[Any]]], received_us: int) -> Decoded:
    """Return all points of (resource, metrics) groups as a table, with a Refusal by place for each bad one.

    Nothing is read before all are counted; BodyTooLarge where there are too many points or values.
    """
    check_rows(sum(len(metrics) for _, metrics in groups), "metrics")
    found = [(resource, [reader.data(metric, tuple(KINDS)) for metric in metrics]) for resource, metrics in groups]
    total = sum(len(data[1].data_points or ()) for _, datas in found for data in datas if data)
    check_rows(total, "data points")
    rows: list[Row] = []
    refusals: list[Refusal] = []
    index = 0
    for (resource, datas), (_, metrics) in zip(found, groups, strict=True):
        source: Source | None = None
        for data, metric in zip(datas, metrics, strict=True):
            if data is None or not data[1].data_points:
                continue
            source = source or read_source(
                reader.attributes(resource.attributes if resource else ()), resource_bytes_max(total)
            )
            one = _metric(metric, *data, source)
            _add(reader, one, index, rows, refusals, received_us)
            index += len(one.points)
    return Decoded({"metric_points": as_table(rows, METRIC_POINTS)} if rows else {}, tuple(refusals))


def _metric(metric: Any, kind: str, data: Any, source: Source) -> _Metric:
    name = clean_name(metric.name or "")
    temporal, monotonic = kind not in ("gauge", "summary"), None
    temporality = data.aggregation_temporality if temporal else None
    if kind == "sum":
        monotonic = bool(data.is_monotonic)
    fault = "" if name else "its metric has no name"
    if not fault and temporal and temporality not in (DELTA, CUMULATIVE):
        fault = f"its metric {shown(name)} says neither delta nor cumulative"
    head = (name, clean_name(metric.unit or ""), kind, temporality, monotonic)
    return _Metric(source, head, KINDS[kind], data.data_points, fault)


def _add(
    reader: PointReader, metric: _Metric, first: int, rows: list[Row], refusals: list[Refusal], received_us: int
) -> None:
    source, fault = metric.source, metric.fault
    for index, point in enumerate(metric.points, first):
        try:
            if fault:
                raise RowRefused(fault)
            at_us = _instant_us(reader.integer(point.time_unix_nano, "time"), "time")
            if at_us is None:
                raise RowRefused("time is not set")
            start_us = _instant_us(reader.integer(point.start_time_unix_nano, "start time"), "start time")
            unknown = reader.integer(point.flags, "flags") & NO_RECORDED_VALUE
            figures = UNKNOWN if unknown else metric.figures(reader, point)
            attributes = reader.attributes(point.attributes)
        except RowRefused as refused:
            refusals.append(Refusal(index, str(refused)))
            continue
        model, version = model_of(attributes, source)
        who = (model, version, source.service, source.instance)
        text = attributes_text(attributes)
        rows.append((*who, *metric.head, start_us, at_us, *figures, text, source.attributes, received_us))


def _instant_us(nanos: int, what: str) -> int | None:
    if nanos == 0:
        return None
    if not 0 < nanos <= NANOS_MAX:
        raise RowRefused(f"{what} {shown(nanos)} does not lie between 1970 and 2262, in nanoseconds")
    return nanos // 1000


def _finite(number: float | None) -> float | None:
    """A value that is not finite is unknown: no arithmetic can go on with it."""
    return number if number is not None and math.isfinite(number) else None


def _number(reader: PointReader, point: Any) -> Figures:
    value = reader.value(point)
    if value is None:
        raise RowRefused("the point has no value")
    if isinstance(value, int) and not _INT_MIN <= value <= _INT_MAX:
        raise RowRefused(f"value: {shown(value)} has more than 64 bits")
    return (_finite(float(value)), *UNKNOWN[1:])


def _count(reader: PointReader, point: Any) -> int:
    return buckets.checked_count(reader.integer(point.count, "count"), "count")


def _histogram(reader: PointReader, point: Any) -> Figures:
    bounds = reader.doubles(point.explicit_bounds, "a bound")
    counts = reader.integers(point.bucket_counts, "a bucket's count")
    return _distribution(reader, point, buckets.explicit(bounds, counts))


def _exponential(reader: PointReader, point: Any) -> Figures:
    found = buckets.exponential(
        reader.integer(point.scale, "scale"),
        reader.integer(point.zero_count, "zero count"),
        reader.double(point.zero_threshold, "zero threshold"),
        _side(reader, point.positive),
        _side(reader, point.negative),
    )
    return _distribution(reader, point, found)


def _side(reader: PointReader, side: Any) -> tuple[int, list[int]]:
    if side is None:
        return 0, []
    return reader.integer(side.offset, "offset"), reader.integers(side.bucket_counts, "a bucket's count")


def _distribution(reader: PointReader, point: Any, found: buckets.Buckets | None) -> Figures:
    total, least, most = (_finite(reader.optional(point, field)) for field in ("sum", "min", "max"))
    bounds, counts = found or (None, None)
    return None, _count(reader, point), total, least, most, bounds, counts, None


def _summary(reader: PointReader, point: Any) -> Figures:
    found = point.quantile_values or ()
    if len(found) > QUANTILES_MAX:
        raise RowRefused(f"the point has {len(found):,} quantiles; at most {QUANTILES_MAX:,} are taken")
    quantiles = reader.doubles([one.quantile for one in found], "a quantile")
    if not all(0 <= quantile <= 1 for quantile in quantiles):
        raise RowRefused("a quantile does not lie between 0 and 1")
    values = [_finite(value) for value in reader.doubles([one.value for one in found], "a quantile's value")]
    total = _finite(reader.double(point.sum, "sum"))
    return None, _count(reader, point), total, None, None, quantiles, None, values


KINDS: dict[str, Callable[[PointReader, Any], Figures]] = {
    "gauge": _number,
    "sum": _number,
    "histogram": _histogram,
    "exponential_histogram": _exponential,
    "summary": _summary,
}
