"""A run's samples and the gaps between its tokens -> tokens, goodput, mismatches, and what thresholds ask of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from seamark.compute.capacity import aggregate, summary
from seamark.compute.histogram import Histogram
from seamark.compute.load_shape import FloatArray
from seamark.compute.token_notes import TokenNotes
from seamark.core.load_answers import AnswerCheck, Goodput, TokenSummary, TokenTimes
from seamark.core.thresholds import Threshold

# What a limit can be held against request by request.
PER_REQUEST = ("latency_ms", "service_latency_ms", "first_token_ms", "time_per_token_ms")


@dataclass(frozen=True)
class RunAnswers:
    """Arrays by request, NaN where unknown. `until_s` is the run's length up to its last answer."""

    ok: npt.NDArray[np.bool_]
    series: Mapping[str, FloatArray]  # by the names of PER_REQUEST
    tokens: FloatArray
    matches: FloatArray  # 1 and 0
    until_s: float
    notes: TokenNotes

    @classmethod
    def read(cls, samples: pa.Table, planned_s: float, notes: TokenNotes | None) -> RunAnswers:
        """Take what LOAD_SAMPLES tells of answers; `planned_s` is how long the plan's segments last."""
        series = {name: _floats(samples, name) for name in PER_REQUEST}
        ended_s = _floats(samples, "due_s") + series["latency_ms"] / 1e3
        last_s = float(np.nanmax(ended_s)) if np.isfinite(ended_s).any() else 0.0
        return cls(
            ok=np.asarray(samples["ok"].to_pylist(), dtype=np.bool_),
            series=series,
            tokens=_floats(samples, "tokens"),
            matches=_floats(samples, "answer_matches"),
            until_s=max(planned_s, last_s),
            notes=notes or TokenNotes(),
        )

    def measure(self, threshold: Threshold, limits: Sequence[Threshold]) -> float | None:
        """What a threshold of core.thresholds.OF_ANSWERS speaks of, None where it was not measured.

        `limits` are all thresholds of the plan, by which goodput is told.
        """
        metric = threshold.metric
        if metric in self.series:
            values = self.series[metric]
            return aggregate(values[~np.isnan(values)], threshold)
        if metric == "inter_token_ms":
            return _of_gaps(self.notes.gaps, threshold)
        if metric == "tokens_per_s":
            found = self.token_summary()
            return found.tokens_per_s if found else None
        if metric == "answer_mismatch_ratio":
            check = self.answer_check()
            return check.ratio if check else None
        good = self.goodput(limits)
        if good is None:
            return None
        return good.rps if metric == "goodput_rps" else good.ratio

    def token_summary(self) -> TokenSummary | None:
        """None where no answer told of tokens."""
        counted = self.ok & ~np.isnan(self.tokens)
        if not counted.any() and np.isnan(self.series["first_token_ms"]).all():
            return None
        tokens = int(self.tokens[counted].sum())
        gaps = self.notes.gaps
        p50, p95, p99 = (gaps.quantile(q) for q in (0.5, 0.95, 0.99))
        return TokenSummary(
            requests=int(counted.sum()),
            tokens=tokens,
            tokens_per_s=tokens / self.until_s if counted.any() and self.until_s > 0 else None,
            first_token_ms=self._times("first_token_ms"),
            time_per_token_ms=self._times("time_per_token_ms"),
            inter_token_ms=TokenTimes(p50, p95, p99, gaps.max_ms if gaps.count else None),
            gaps=gaps.count,
            counted_by=self.notes.counted_by,
        )

    def _times(self, name: str) -> TokenTimes:
        values = self.series[name]
        found = summary(values[self.ok & ~np.isnan(values)])
        return TokenTimes(found.p50, found.p95, found.p99, found.max)

    def goodput(self, thresholds: Sequence[Threshold]) -> Goodput | None:
        """Return the requests that succeeded within the plan's limits per request, of all that were asked for.

        As vLLM's, AIPerf's and inference-perf's goodput: the rate of requests that meet every objective. Of a metric
        with several limits the one of its highest percentile counts (`max` is the highest), because that is the one
        which nearly every request is to stay within. An answer of one token has no time per token and misses no limit
        on it. None where the plan limits nothing per request, or a limited metric was never measured.
        """
        limits = per_request_limits(thresholds)
        if not limits or not len(self.ok):
            return None
        good = self.ok.copy()
        for limit in limits:
            values = self.series[limit.metric]
            if np.isnan(values).all():
                return None
            unlimited = self.tokens <= 1 if limit.metric == "time_per_token_ms" else np.zeros(len(good), np.bool_)
            good &= unlimited | (values <= limit.limit if limit.operator == "<=" else values < limit.limit)
        count = int(good.sum())
        rate = count / self.until_s if self.until_s > 0 else 0.0
        return Goodput(tuple(map(str, limits)), count, count / len(good), rate)

    def answer_check(self) -> AnswerCheck | None:
        """None where nothing was held against a recorded answer."""
        known = self.matches[~np.isnan(self.matches)]
        return AnswerCheck(len(known), int((known == 0).sum())) if len(known) else None


def per_request_limits(thresholds: Sequence[Threshold]) -> tuple[Threshold, ...]:
    """Return the upper limit of each metric of PER_REQUEST that the plan limits, by its highest percentile."""
    found: dict[str, Threshold] = {}
    for threshold in thresholds:
        level = _level(threshold)
        if threshold.metric not in PER_REQUEST or level is None:
            continue
        other = found.get(threshold.metric)
        if other is None or (level, -threshold.limit) > (_level(other) or 0.0, -other.limit):
            found[threshold.metric] = threshold
    return tuple(found[name] for name in PER_REQUEST if name in found)


def _level(threshold: Threshold) -> float | None:
    if threshold.operator not in ("<", "<="):
        return None
    return 1.0 if threshold.aggregate == "max" else threshold.quantile


def _of_gaps(gaps: Histogram, threshold: Threshold) -> float | None:
    if not gaps.count:
        return None
    if threshold.quantile is not None:
        return gaps.quantile(threshold.quantile)
    return gaps.max_ms if threshold.aggregate == "max" else gaps.mean_ms


def _floats(samples: pa.Table, name: str) -> FloatArray:
    """A column as floats, NaN where it is null or where there is no such column."""
    if name not in samples.column_names:
        return np.full(samples.num_rows, np.nan)
    column = samples[name]
    column = column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column
    return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
