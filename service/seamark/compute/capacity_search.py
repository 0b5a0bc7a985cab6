"""Results of steps so far -> the next rate of a capacity search, or its end.

The walk: twice the rate that held, or less where latency already rises towards its limit, until a step does not hold.
The approach: steps about the estimated crossing (compute/crossing), until its interval is narrow or the time is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log2
from typing import ClassVar

import numpy as np

from seamark.compute.capacity import aggregate, judge_step, requests_needed
from seamark.compute.crossing import UPPER, Belief
from seamark.compute.load_shape import SegmentResult
from seamark.compute.threshold_tallies import TIMES, believe, series
from seamark.core.findings import CapacityStep
from seamark.core.thresholds import Threshold

BRACKETED = 1.2  # a rate that broke by one that held: from here on, steps are long and about the estimate
STRETCH_MAX = 3.0  # a step is made so much longer, where its percentiles need it
STEADY = 50.0  # times a slow request, that a step near the crossing lasts: a shorter one never leaves the empty queue
STEPS_MAX = 24  # of the longest kind, by which the time of a search is bounded


class Search:
    """The state of one search. next_step(), then observe() how it went, until next_step() is None."""

    PRECISION: ClassVar[float] = 0.04  # the half width of the 95 % interval at which the search is content
    GROWTH: ClassVar[float] = 2.0
    GROWTH_LEAST: ClassVar[float] = 1.1
    HALVINGS_MAX: ClassVar[int] = 4  # below start_rps, before giving up
    BLIND_MAX: ClassVar[int] = 2  # steps in which the generator was the bottleneck, near the crossing
    # Where steps are placed about the estimate, in log-odds of the share beyond the limit: on both sides, or the slope
    # and with it the crossing stays unknown; most of them below it, where the target is spared.
    PLACES: ClassVar[tuple[float, ...]] = (-1.2, 0.7, -0.5)
    BELOW, ABOVE = 0.9, 1.06  # and never further off than this

    def __init__(self, start_rps: float, stop_rps: float, step_s: float, thresholds: Sequence[Threshold]) -> None:
        self._start, self._stop, self._step_s = start_rps, stop_rps, step_s
        self._thresholds = tuple(thresholds)
        self._results: list[SegmentResult] = []
        self._steps: list[CapacityStep] = []
        self._left_s = longest_s(start_rps, stop_rps, step_s)
        self._again = False
        self._blind = self._near = 0

    def next_step(self) -> tuple[float, float] | None:
        """The rate in requests per second and the duration in seconds of the step to make; None: the search is over."""
        rate = self._next_rate()
        if rate is None:
            return None
        duration = self._duration_s(rate)
        return (rate, duration) if duration + pause_s(self._step_s) <= self._left_s else None

    def observe(self, result: SegmentResult) -> bool:
        """Take a step's result in; returns whether it held."""
        step = judge_step(result, self._thresholds)
        self._left_s -= result.segment.duration_s + pause_s(self._step_s)
        if not self._steps and not self._again and step.held is False:
            self._again = True  # one hiccup of a cold target must not cap the whole search: the first rate once more
            return False
        self._blind += step.held is None
        self._results.append(result)
        self._steps.append(step)
        return bool(step.held)

    def _next_rate(self) -> float | None:
        held = [step.asked_rps for step in self._steps if step.held]
        failed = [step.asked_rps for step in self._steps if step.held is False]
        if not self._steps:
            return self._start
        if self._blind and (not failed or not held or self._blind > self.BLIND_MAX):
            return None  # higher rates would measure the generator, not the target
        if not held:
            lower = min(failed) / 2.0
            return lower if lower >= self._start / 2.0**self.HALVINGS_MAX else None
        if not failed and max(held) < self._stop:
            return min(self._walk(max(held)), self._stop)
        belief = believe(self._results, self._steps, self._thresholds)
        return None if belief is None else self._approach(belief, held, failed)

    def _approach(self, belief: Belief, held: Sequence[float], failed: Sequence[float]) -> float | None:
        if belief.above(self._stop) >= UPPER:
            return None
        if not failed:
            return self._stop
        if belief.half_width <= self.PRECISION:  # once more, where all that bounds it above is one step: a hiccup?
            return min(failed) if len(failed) < 2 else None
        below = max((rate for rate in held if rate < min(failed)), default=0.0)
        if not self._near and min(failed) > BRACKETED * below and belief.half_width > 3 * self.PRECISION:
            rate = max(belief.quantile(0.4), below)  # not near yet: into the lower part of what is possible
        else:
            away = float(np.exp(self.PLACES[self._near % len(self.PLACES)] / belief.slope))
            rate = belief.rps * min(max(away, self.BELOW), self.ABOVE)
            self._near += 1
        return min(rate, self._walk(max(held)), self._stop)

    def _walk(self, held: float) -> float:
        """Return how far above a rate that held the next one may lie."""
        return held * min(max(self._room(held), self.GROWTH_LEAST), self.GROWTH)

    def _room(self, held: float) -> float:
        """Return how many times `held` the limit is reached at, by the last two rates that held; inf: not in sight.

        Of M/M/1 the inverse of any percentile of latency falls in a straight line to 0 at saturation, and of other
        queues about so near it. So the line through the two highest rates is drawn on to the inverse of the limit.
        """
        rates = sorted({step.asked_rps for step in self._steps if step.held})[-2:]
        if len(rates) < 2:
            return np.inf
        room = self._reach(rates, [self._mean_ms(rate) for rate in rates], 0.0)
        for threshold in self._thresholds:
            if threshold.quantile is not None and threshold.metric in TIMES:
                room = min(room, self._reach(rates, [self._used(rate, threshold) for rate in rates], 1.0))
        return room / held

    @staticmethod
    def _reach(rates: Sequence[float], measured: Sequence[float], inverse_limit: float) -> float:
        """The rate at which the line through the inverses of two measured values comes down to the limit's."""
        first, second = measured
        if not 0.0 < first < second < np.inf:
            return np.inf  # nothing rises: nothing is seen of the limit
        steep = (1 / first - 1 / second) / (rates[1] - rates[0])
        return rates[1] + (1 / second - inverse_limit) / steep

    def _mean_ms(self, rate: float) -> float:
        """The mean latency of what was answered at a rate."""
        values = np.concatenate([result.latency_ms for result in self._held_at(rate)])
        known = values[~np.isnan(values)]
        return float(known.mean()) if len(known) else np.inf

    def _slow_ms(self) -> float:
        """The latency of a slow request (p95) at the highest rate that held; 0 where none did."""
        rate = max((step.asked_rps for step in self._steps if step.held), default=None)
        values = np.concatenate([r.latency_ms for r in self._held_at(rate)]) if rate is not None else np.empty(0)
        known = values[~np.isnan(values)]
        return float(np.quantile(known, 0.95)) if len(known) else 0.0

    def _used(self, rate: float, threshold: Threshold) -> float:
        """The share of a limit of times that is used at a rate: 1 at the limit, 0 where nothing is known."""
        seen = [times for result in self._held_at(rate) if (times := series(result, threshold)) is not None]
        values = np.concatenate(seen) if seen else np.empty(0)
        known = values[~np.isnan(values)]
        actual = aggregate(known, threshold)
        return 0.0 if actual is None or not threshold.limit else actual / threshold.limit

    def _held_at(self, rate: float) -> list[SegmentResult]:
        seen = zip(self._results, self._steps, strict=True)
        return [result for result, step in seen if step.held and step.asked_rps == rate]

    def _duration_s(self, rate: float) -> float:
        """Steps near the crossing, or at the top, are long: what they say is what the answer rests on."""
        failed = [step.asked_rps for step in self._steps if step.held is False]
        if self._near or rate >= self._stop:
            steady_s = min(STEADY * self._slow_ms() / 1e3, self._left_s - pause_s(self._step_s))
            return max(self._step_s * STRETCH_MAX, steady_s)
        return step_duration_s(rate, self._step_s, (2 if failed else 1) * needed(self._thresholds))


def needed(thresholds: Sequence[Threshold]) -> int:
    """Return how many requests support the farthest percentile, if none of them is slow."""
    return max((requests_needed(t.quantile) for t in thresholds if t.quantile is not None), default=0)


def step_duration_s(rate_rps: float, step_s: float, requests: int) -> float:
    """Return how long a step lasts: as asked, or longer where it would have fewer requests, up to a bound."""
    return min(max(step_s, requests / rate_rps), step_s * STRETCH_MAX)


def pause_s(step_s: float) -> float:
    """How long a target rests after a step that was too much: a quarter of a step, at most 5 s."""
    return min(step_s / 4, 5.0)


def longest_s(start_rps: float, stop_rps: float, step_s: float) -> float:
    """Return how long a search may take at most."""
    steps = min(STEPS_MAX, ceil(log2(max(stop_rps / start_rps, 1.0))) + 2 + Search.HALVINGS_MAX + 4)
    return steps * (step_s * STRETCH_MAX + pause_s(step_s))
