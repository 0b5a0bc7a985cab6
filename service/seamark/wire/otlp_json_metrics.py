"""OTLP metrics in JSON become structs with the fields of the protobuf messages; see otlp_json.py for the rules."""

from __future__ import annotations

from msgspec import Struct

from seamark.wire.otlp_json_values import Double, Integer, KeyValue, Resource


class NumberPoint(Struct, rename="camel", gc=False):
    attributes: list[KeyValue] | None = None
    start_time_unix_nano: Integer = None
    time_unix_nano: Integer = None
    as_int: Integer = None
    as_double: Double = None
    flags: Integer = None


class HistogramPoint(Struct, rename="camel", gc=False):
    attributes: list[KeyValue] | None = None
    start_time_unix_nano: Integer = None
    time_unix_nano: Integer = None
    count: Integer = None
    sum: Double = None
    min: Double = None
    max: Double = None
    bucket_counts: list[Integer] | None = None
    explicit_bounds: list[Double] | None = None
    flags: Integer = None


class Buckets(Struct, rename="camel", gc=False):
    offset: Integer = None
    bucket_counts: list[Integer] | None = None


class ExponentialPoint(Struct, rename="camel", gc=False):
    attributes: list[KeyValue] | None = None
    start_time_unix_nano: Integer = None
    time_unix_nano: Integer = None
    count: Integer = None
    sum: Double = None
    min: Double = None
    max: Double = None
    scale: Integer = None
    zero_count: Integer = None
    zero_threshold: Double = None
    positive: Buckets | None = None
    negative: Buckets | None = None
    flags: Integer = None


class ValueAtQuantile(Struct, rename="camel", gc=False):
    quantile: Double = None
    value: Double = None


class SummaryPoint(Struct, rename="camel", gc=False):
    attributes: list[KeyValue] | None = None
    start_time_unix_nano: Integer = None
    time_unix_nano: Integer = None
    count: Integer = None
    sum: Double = None
    quantile_values: list[ValueAtQuantile] | None = None
    flags: Integer = None


class Gauge(Struct, rename="camel", gc=False):
    data_points: list[NumberPoint] | None = None


class Sum(Struct, rename="camel", gc=False):
    data_points: list[NumberPoint] | None = None
    aggregation_temporality: int | None = None
    is_monotonic: bool | None = None


class Histogram(Struct, rename="camel", gc=False):
    data_points: list[HistogramPoint] | None = None
    aggregation_temporality: int | None = None


class ExponentialHistogram(Struct, rename="camel", gc=False):
    data_points: list[ExponentialPoint] | None = None
    aggregation_temporality: int | None = None


class Summary(Struct, rename="camel", gc=False):
    data_points: list[SummaryPoint] | None = None


class Metric(Struct, rename="camel", gc=False):
    name: str | None = None
    unit: str | None = None
    gauge: Gauge | None = None
    sum: Sum | None = None
    histogram: Histogram | None = None
    exponential_histogram: ExponentialHistogram | None = None
    summary: Summary | None = None


class ScopeMetrics(Struct, rename="camel", gc=False):
    metrics: list[Metric] | None = None


class ResourceMetrics(Struct, rename="camel", gc=False):
    resource: Resource | None = None
    scope_metrics: list[ScopeMetrics] | None = None


class MetricsRequest(Struct, rename="camel", gc=False):
    resource_metrics: list[ResourceMetrics] | None = None
