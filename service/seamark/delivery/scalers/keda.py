"""A recommendation -> a KEDA ScaledObject that asks this service for the replica count, again and again."""

from __future__ import annotations

from urllib.parse import quote

from seamark.core.advice import Recommendation
from seamark.delivery.scalers.scaler import Reached, Scaler, scaled_object

_NOTES = (
    "Where API keys are in force, the trigger needs authMode: bearer and an authenticationRef (docs/autoscale.md).",
)


def render(recommendation: Recommendation, reached: Reached) -> str:
    """Return the ScaledObject (keda.sh/v1alpha1). One trigger: metrics-api, desired = ceil(replicas / 1)."""
    trigger = {"type": "metrics-api", "metricType": "AverageValue", "metadata": _poll(recommendation, reached.url)}
    return scaled_object(recommendation, trigger, _NOTES)


def _poll(recommendation: Recommendation, url: str) -> dict[str, str]:
    model = quote(recommendation.model.encode("utf-8", "replace"), safe="")
    return {
        "url": f"{url.rstrip('/')}/api/v1/models/{model}/recommendation",
        "format": "json",
        "valueLocation": "replicas",
        "targetValue": "1",
        "activationTargetValue": "0",
    }


KEDA = Scaler(name="keda", render=render)
