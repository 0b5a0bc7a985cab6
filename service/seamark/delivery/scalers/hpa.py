"""A recommendation -> a HorizontalPodAutoscaler that follows the metric `seamark_recommended_replicas`."""

from __future__ import annotations

import re
from typing import Any

from seamark.core.advice import Recommendation
from seamark.delivery.scalers.scaler import (
    NAME_MAX,
    TOLERANCE_NOTES,
    Reached,
    Scaler,
    behavior,
    bounds,
    dns_name,
    headline,
    manifest,
)

METRIC = "seamark_recommended_replicas"
_LABEL_VALUE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?", re.ASCII)
_NOTES = (
    "scaleTargetRef: put the name of your Deployment there if it is another, and remove spec.replicas from it.",
    f"An external metrics adapter must serve {METRIC} from Prometheus (docs/autoscale.md).",
    "On hold the metric is the count that runs, or absent where that is unknown: the HPA then keeps what runs,",
    "and so it does when Seamark, Prometheus or the adapter is down. Alert on SeamarkDown (docs/autoscale.md).",
    *TOLERANCE_NOTES,
)


def render(recommendation: Recommendation, reached: Reached) -> str:
    """Return the HorizontalPodAutoscaler (autoscaling/v2); its URL leads a reader to the advice's evidence."""
    name = dns_name(recommendation.model)
    least, most = bounds(recommendation)
    label, notes = _label(recommendation.model, name)
    document: dict[str, Any] = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "annotations": {"seamark.model": recommendation.model, "seamark.url": reached.url}},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": max(least, 1),
            "maxReplicas": most,
            "metrics": [
                {
                    "type": "External",
                    "external": {
                        "metric": {"name": METRIC, "selector": {"matchLabels": {"model": label}}},
                        "target": {"type": "AverageValue", "averageValue": "1"},
                    },
                }
            ],
            "behavior": behavior(most),
        },
    }
    if least == 0:
        notes.append("min 0 became minReplicas 1: an HPA does not scale to zero; KEDA does.")
    return manifest([*headline(recommendation), *_NOTES, *notes], document)


def _label(model: str, name: str) -> tuple[str, list[str]]:
    """Return the value of the metric's model label, and a note where the name itself cannot be one in a selector."""
    if len(model) <= NAME_MAX and _LABEL_VALUE.fullmatch(model):
        return model, []
    return name, [f"The model's name cannot stand in a selector: let the adapter relabel it as model: {name}."]


HPA = Scaler(name="hpa", render=render)
