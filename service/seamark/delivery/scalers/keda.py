"""A recommendation -> a KEDA ScaledObject that asks this service for the replica count, again and again."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from seamark.core.findings import Recommendation
from seamark.delivery.scalers.scaler import TOLERANCE_NOTES, Scaler, behavior, bounds, dns_name, headline, manifest

_NOTES = (
    "scaleTargetRef: put the name of your Deployment there if it is another.",
    "On hold the advice is the count that runs, or null where that is unknown: KEDA then falls back to what runs,",
    "and to no less than fallback.replicas. The same happens while Seamark does not answer.",
    "Where API keys are in force, the trigger needs authMode: bearer and an authenticationRef (docs/autoscale.md).",
    *TOLERANCE_NOTES,
)


def render(recommendation: Recommendation, url: str) -> str:
    """Return the ScaledObject (keda.sh/v1alpha1). One trigger: metrics-api, desired = ceil(replicas / 1)."""
    name = dns_name(recommendation.model)
    least, most = bounds(recommendation)
    document: dict[str, Any] = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": name, "annotations": {"seamark.model": recommendation.model}},
        "spec": {
            "scaleTargetRef": {"name": name},
            "pollingInterval": 15,
            "minReplicaCount": least,
            "maxReplicaCount": most,
            "fallback": {
                "failureThreshold": 3,
                "replicas": _fallback(recommendation, least, most),
                "behavior": "currentReplicasIfHigher",
            },
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior(most)}},
            "triggers": [{"type": "metrics-api", "metricType": "AverageValue", "metadata": _poll(recommendation, url)}],
        },
    }
    return manifest([*headline(recommendation), *_NOTES], document)


def _poll(recommendation: Recommendation, url: str) -> dict[str, str]:
    model = quote(recommendation.model.encode("utf-8", "replace"), safe="")
    return {
        "url": f"{url.rstrip('/')}/api/v1/models/{model}/recommendation",
        "format": "json",
        "valueLocation": "replicas",
        "targetValue": "1",
        "activationTargetValue": "0",
    }


def _fallback(recommendation: Recommendation, least: int, most: int) -> int:
    """Return the floor while this service does not answer: the advice, else what runs, else the least."""
    known = recommendation.replicas if recommendation.replicas is not None else recommendation.current
    return least if known is None else min(max(known, least), most)


KEDA = Scaler(name="keda", render=render)
