"""What is read of metric points and of generative spans: figures per step and group, None where unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class MetricName:
    """A metric a model was heard to send: its newest unit and kind, its series, and its newest point."""

    name: str
    unit: str
    kind: str  # gauge | sum | histogram | exponential_histogram | summary
    temporality: str | None  # "delta" | "cumulative" | None
    monotonic: bool | None
    series: int
    last_seen_at: datetime


@dataclass(frozen=True)
class MetricValue:
    """The newest point of one series of a gauge; `value` is None where the series has ended or said NaN."""

    instance: str | None
    at: datetime
    value: float | None


@dataclass(frozen=True)
class MetricStep:
    """One step of one group of series. What the kind of metric does not have, or nobody knows, is None.

    Gauges: `last` is the newest value, `sum` adds up the last value of each series; `avg`, `min`, `max` are over all
    points.
    Monotonic sums: `rate` per second, added over the series, and `count`, by how much they grew.
    Histograms and summaries: `count` and `rate` of observations and their `avg`; histograms also quantiles, linear
    between the bounds of buckets.
    """

    at: datetime
    by: Mapping[str, str] = field(default_factory=dict)  # {"instance": ...}
    last: float | None = None
    sum: float | None = None
    avg: float | None = None
    min: float | None = None
    max: float | None = None
    rate: float | None = None
    count: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True)
class TokenStep:
    """Tokens of one step and group, with quantiles of the time to the first token."""

    at: datetime
    by: Mapping[str, str]  # {"gen_ai_model": ...}
    requests: int  # spans that tell of tokens or of a first token
    input_tokens: int | None
    output_tokens: int | None
    input_tokens_per_s: float | None
    output_tokens_per_s: float | None
    first_token_p50_ms: float | None
    first_token_p95_ms: float | None
    first_token_p99_ms: float | None
