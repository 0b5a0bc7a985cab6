"""A manifest and what its trigger reads, poll after poll -> the replicas that KEDA and its HPA ask for.

The arithmetic is that of KEDA 2.17 and later and of the HPA: a failed poll is an error for the HPA, which then keeps
what runs, until more than `failureThreshold` polls in a row have failed; from then on KEDA makes up a metric by
`fallback`. An AverageValue metric asks for ceil(metric / target), unless metric / (target x replicas) is within the
tolerance.
"""

from __future__ import annotations

from math import ceil
from typing import Any

import yaml

TOLERANCE_DEFAULT = 0.1  # of kube-controller-manager
TARGETS = {"metrics-api": "targetValue", "prometheus": "threshold"}


class Keda:
    """One ScaledObject."""

    def __init__(self, manifest: str) -> None:
        self.spec: dict[str, Any] = yaml.safe_load(manifest)["spec"]
        [self.trigger] = self.spec["triggers"]
        assert self.trigger["metricType"] == "AverageValue"
        target = TARGETS.get(self.trigger["type"])
        self.target = float(self.trigger["metadata"][target]) if target else 1.0  # external: GetMetricSpec says 1
        self.failures = 0

    @property
    def every_s(self) -> int:
        """Seconds between two polls."""
        return int(self.spec["pollingInterval"])

    def poll(self, reading: float | None, replicas: int) -> int:
        """The count asked for after a poll; `reading` None is a failed one, `replicas` those that are there."""
        if reading is None:
            self.failures += 1
            fallback = self.spec.get("fallback")
            if fallback is None or self.failures <= fallback["failureThreshold"]:
                return replicas
            reading = self.target * _fallen_back(fallback, replicas)
        else:
            self.failures = 0
        return self._hpa(reading, replicas)

    def _hpa(self, metric: float, replicas: int) -> int:
        ratio = metric / (self.target * replicas)
        rules = self.spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        rule = rules["scaleUp"] if ratio > 1 else rules["scaleDown"]
        assert rule["stabilizationWindowSeconds"] == 0
        if abs(ratio - 1) <= float(rule.get("tolerance", TOLERANCE_DEFAULT)):
            return replicas
        wanted = min(max(ceil(metric / self.target), self.spec["minReplicaCount"]), self.spec["maxReplicaCount"])
        [policy] = rule["policies"]
        if wanted > replicas:
            assert policy["type"] == "Pods"
            return min(wanted, replicas + int(policy["value"]))
        assert policy["type"] == "Percent"
        return max(wanted, replicas - ceil(replicas * policy["value"] / 100))


def _fallen_back(fallback: dict[str, Any], replicas: int) -> int:
    count = int(fallback["replicas"])
    match fallback.get("behavior", "static"):
        case "currentReplicas":
            return replicas
        case "currentReplicasIfHigher":
            return max(replicas, count)
        case "currentReplicasIfLower":
            return min(replicas, count)
        case _:
            return count
