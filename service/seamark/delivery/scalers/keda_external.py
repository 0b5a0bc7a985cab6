"""A recommendation -> a KEDA ScaledObject that asks this service over gRPC, as an external scaler."""

from __future__ import annotations

from urllib.parse import urlsplit

from seamark.core.advice import Recommendation
from seamark.delivery.scalers.scaler import Reached, Scaler, scaled_object

_NOTES = (
    "scalerAddress: where KEDA reaches Seamark's gRPC port (--grpc-port); change it where a Service has another.",
    "Where API keys are in force, add to the metadata tokenFromEnv: the name of an environment variable of the",
    "workload that holds a key of scope read, bound to this model (docs/autoscale.md). KEDA can send no other.",
)


def render(recommendation: Recommendation, reached: Reached) -> str:
    """Return the ScaledObject (keda.sh/v1alpha1). One trigger: external, on the host that is reached."""
    model = recommendation.model.encode("utf-8", "replace").decode()
    trigger = {
        "type": "external",
        "metricType": "AverageValue",
        "metadata": {"scalerAddress": f"{_host(reached.url)}:{reached.grpc_port}", "model": model},
    }
    return scaled_object(recommendation, trigger, _NOTES)


def _host(url: str) -> str:
    host = urlsplit(url).hostname or "seamark"
    return f"[{host}]" if ":" in host else host


KEDA_EXTERNAL = Scaler(name="keda-external", render=render)
