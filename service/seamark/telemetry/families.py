"""Label values and numbers become one Prometheus family: unknown values are left out, the same labels never twice."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import Metric as PrometheusFamily
from prometheus_client.samples import Exemplar, Sample

from seamark.telemetry.names import METRICS

LABEL_LENGTH_MAX = 200


def family(name: str) -> PrometheusFamily:
    """Return the empty family of a metric that METRICS names."""
    metric = METRICS[name]
    base = name.removesuffix("_total") if metric.kind == "counter" else name
    return PrometheusFamily(base, metric.meaning, metric.kind)


class Page:
    """The gauges and counters of one scrape, family by family, in the order METRICS names them."""

    def __init__(self) -> None:
        self._samples: dict[str, dict[tuple[str, ...], float]] = {}

    def put(self, name: str, values: Sequence[str], value: float | None) -> None:
        """Add a sample; None and NaN mean unknown and add none; the last value for the same labels stands."""
        if value is None or math.isnan(value):
            return
        key = tuple(text[:LABEL_LENGTH_MAX] for text in values)
        self._samples.setdefault(name, {})[key] = float(value)

    def states(self, name: str, values: Sequence[str], states: Iterable[str], now: str | None) -> None:
        """Add a sample per state, 1 for the one that holds: a series that ends would look like an outage."""
        for state in states:
            self.put(name, (*values, state), 1.0 if state == now else 0.0)

    def families(self) -> Iterator[PrometheusFamily]:
        """Yield the families that have samples."""
        for name, metric in METRICS.items():
            samples = self._samples.get(name)
            if samples:
                out = family(name)
                out.samples = [
                    Sample(name, dict(zip(metric.labels, key, strict=True)), value) for key, value in samples.items()
                ]
                yield out


def histogram_samples(
    name: str, labels: dict[str, str], buckets: Sequence[tuple[str, int, Exemplar | None]], total_s: float
) -> list[Sample]:
    """Return the samples of one histogram series; `buckets` are (upper bound, count in this bucket alone, exemplar)."""
    samples, cumulated = [], 0
    for bound, count, exemplar in buckets:
        cumulated += count
        samples.append(Sample(f"{name}_bucket", labels | {"le": bound}, float(cumulated), None, exemplar))
    samples.append(Sample(f"{name}_count", labels, float(cumulated)))
    samples.append(Sample(f"{name}_sum", labels, total_s))
    return samples
