"""Durations one by one -> counts in buckets of three digits, which merge, and of which quantiles are read.

Buckets as in HdrHistogram (Tene, 2012): exact below 2,048 microseconds, then 1,024 of one width in each doubling, so a
value is told with an error below 0.1 %. Memory does not grow with the number of values.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

_BITS = 11  # 2,048 exact values, then half as many per doubling
_HALF = 1 << (_BITS - 1)
_MOST_US = 2**42 - 1  # 51 days; whatever is longer counts as that


class Histogram:
    """Counts of durations in milliseconds. One writer."""

    __slots__ = ("_counts", "_sum_ms", "count", "max_ms")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._sum_ms = 0.0
        self.count = 0
        self.max_ms = 0.0

    def add(self, value_ms: float) -> None:
        """Count one duration; what is below 0 counts as 0."""
        us = min(max(int(value_ms * 1e3 + 0.5), 0), _MOST_US)
        shift = max(us.bit_length() - _BITS, 0)
        bucket = shift * _HALF + (us >> shift)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self.count += 1
        self._sum_ms += value_ms
        self.max_ms = max(self.max_ms, value_ms)

    def merge(self, other: Histogram) -> None:
        """Count in what another one has: the same as if all had been added here."""
        for bucket, count in other._counts.items():
            self._counts[bucket] = self._counts.get(bucket, 0) + count
        self.count += other.count
        self._sum_ms += other._sum_ms
        self.max_ms = max(self.max_ms, other.max_ms)

    def quantile(self, q: float) -> float | None:
        """Return the smallest duration, in milliseconds, that at least the share `q` do not exceed; None without any.

        Of its bucket the upper end is told, never more than the longest of all: a latency is not made to look better.
        """
        if not self.count:
            return None
        wanted, seen = max(1, ceil(q * self.count - 1e-9)), 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= wanted:
                return min(_upper_us(bucket) / 1e3, self.max_ms)
        return self.max_ms

    @property
    def mean_ms(self) -> float | None:
        """The mean of all, exact; None without any."""
        return self._sum_ms / self.count if self.count else None

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON-able data; from_document() reads it."""
        return {
            "sum_ms": self._sum_ms,
            "max_ms": self.max_ms,
            "buckets": [[bucket, count] for bucket, count in sorted(self._counts.items())],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Histogram:
        """Return what to_document() wrote; ValueError, KeyError or TypeError for anything else."""
        made = cls()
        for bucket, count in document["buckets"]:
            if not (isinstance(bucket, int) and isinstance(count, int) and bucket >= 0 and count > 0):
                raise ValueError("a histogram's buckets are pairs of whole numbers")
            made._counts[bucket] = made._counts.get(bucket, 0) + count
            made.count += count
        made._sum_ms, made.max_ms = float(document["sum_ms"]), float(document["max_ms"])
        return made


def _upper_us(bucket: int) -> int:
    if bucket < 2 * _HALF:
        return bucket
    shift = bucket // _HALF - 1
    return ((bucket - shift * _HALF + 1) << shift) - 1
