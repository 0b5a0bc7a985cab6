"""A recommendation -> a KEDA ScaledObject that follows `seamark_recommended_replicas` in Prometheus."""

from __future__ import annotations

import json

from seamark.core.advice import Recommendation
from seamark.delivery.scalers.scaler import Reached, Scaler, scaled_object

_SERVER = "http://prometheus.monitoring.svc:9090"
_NOTES = (
    "serverAddress: put your Prometheus there. It has to scrape Seamark's /metrics.",
    "On hold the metric is the count that runs, or absent where that is unknown. ignoreNullValues must stay false:",
    "with KEDA's default, true, an absent metric would be a 0, and the fleet would shrink for want of news.",
)


def render(recommendation: Recommendation, reached: Reached) -> str:
    """Return the ScaledObject (keda.sh/v1alpha1). One trigger: prometheus, which asks nothing of this service."""
    trigger = {
        "type": "prometheus",
        "metricType": "AverageValue",
        "metadata": {
            "serverAddress": _SERVER,
            "query": f"max(seamark_recommended_replicas{{model={_quoted(recommendation.model)}}})",
            "threshold": "1",
            "activationThreshold": "0",
            "ignoreNullValues": "false",
        },
    }
    return scaled_object(recommendation, trigger, _NOTES)


def _quoted(model: str) -> str:
    """Return a model's name as a string of PromQL; it escapes as JSON does where only controls and quotes need it."""
    return json.dumps(model.encode("utf-8", "replace").decode(), ensure_ascii=False)


KEDA_PROMETHEUS = Scaler(name="keda-prometheus", render=render)
