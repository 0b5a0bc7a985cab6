"""What ended of a search's step second by second -> whether the step is so clearly broken that the rest is not needed.

Whatever the rest brings, its share beyond a limit stays above what the estimate tells apart (crossing.FAR): a share
there says only that the crossing lies below, and no more. So ending such a step early takes nothing from the estimate,
while ending each step as soon as it breaks would leave the near ones with the clump of slow requests they broke by.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seamark.compute.capacity import lateness_limit_ms
from seamark.compute.crossing import FAR
from seamark.compute.load_shape import Ended, Segment
from seamark.compute.threshold_tallies import allowed_share
from seamark.core.thresholds import Threshold

LATE_SHARE = 0.01  # of requests sent late: from there on the generator may be what is measured


class StepWatch:
    """Counts one step's requests beyond each limit that is a share of requests. Token times are not looked at."""

    def __init__(self, segment: Segment, thresholds: Sequence[Threshold]) -> None:
        self._late_ms = lateness_limit_ms(thresholds)
        self._sent = self._late = 0
        self._over: dict[Threshold, int] = {}
        self._bound: dict[Threshold, float] = {}
        for threshold in thresholds:
            allowed = allowed_share(threshold)
            if allowed is not None and threshold.metric in ("latency_ms", "service_latency_ms", "error_ratio"):
                far = 1 / (1 + np.exp(-FAR) * (1 - allowed) / allowed)
                self._over[threshold], self._bound[threshold] = 0, far * len(segment.arrivals)

    def hopeless(self, ended: Ended) -> bool:
        """Take in what ended in the last second. Where requests are sent late the step goes on, and says so itself."""
        self._sent += len(ended.lateness_ms)
        self._late += int((np.asarray(ended.lateness_ms) > self._late_ms).sum())
        for threshold in self._over:
            self._over[threshold] += _beyond(threshold, ended)
        if self._late > LATE_SHARE * self._sent:
            return False
        return any(self._over[threshold] > bound for threshold, bound in self._bound.items())


def _beyond(threshold: Threshold, ended: Ended) -> int:
    """How many failed, or took longer than the limit; a request that was sent and never answered did."""
    if threshold.metric == "error_ratio":
        return ended.failed
    times = np.asarray(ended.latency_ms if threshold.metric == "latency_ms" else ended.service_latency_ms)
    within = times < threshold.limit if threshold.operator == "<" else times <= threshold.limit
    return max(len(ended.lateness_ms) - int(within.sum()), 0)
