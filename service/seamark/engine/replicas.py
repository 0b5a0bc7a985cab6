"""Where a model's replicas are told -> how many run now, with who says so.

In this order: what seamark.yaml says (a count, a metric, a query); in metrics of the OpenTelemetry Collector the
Deployment or StatefulSet that the model's spans name, or that has its name; the instances that answered in the last
minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from seamark.core.advice import AdviceInput
from seamark.core.specs import MetricInput, ModelSpec, PrometheusInput
from seamark.core.traffic import LevelReading
from seamark.core.windows import Window
from seamark.delivery.scalers.scaler import dns_name
from seamark.engine.input_memory import Asked
from seamark.engine.inputs import AHEAD_S, FRESH_S, HEARD_S, read_metric
from seamark.engine.model_history import known_instances
from seamark.engine.services import Services
from seamark.store import points

# As the Collector's k8sclusterreceiver names them, then OpenTelemetry's conventions, now and before.
AVAILABLE = (
    "k8s.deployment.available",
    "k8s.deployment.pod.available",
    "k8s.deployment.available_pods",
    "k8s.statefulset.ready_pods",
    "k8s.statefulset.pod.ready",
)
DESIRED = (
    "k8s.deployment.desired",
    "k8s.deployment.pod.desired",
    "k8s.deployment.desired_pods",
    "k8s.statefulset.desired_pods",
    "k8s.statefulset.pod.desired",
)
ACTIVE_REQUESTS = "http.server.active_requests"
SPANS_SEE = "instances that answered in the last minute; one without requests is not seen"


def read_replicas(services: Services, spec: ModelSpec, at: datetime, in_spans: int | None) -> AdviceInput:
    """Return how many replicas run. What is named and not fresh stays so: the caller counts `in_spans` instead."""
    wanted = spec.autoscale.replicas if spec.autoscale is not None else None
    if isinstance(wanted, PrometheusInput):
        return _asked(services.remembered.prometheus.get(wanted, Asked()), wanted, at)
    if isinstance(wanted, MetricInput):
        return read_metric(services, spec.name, "replicas", wanted, at)
    if wanted is not None:
        return AdviceInput("replicas", None, "fresh", float(wanted), source="seamark.yaml", unit="replicas")
    found = _of_cluster(services, spec.name, at)
    if found is not None and found.state == "fresh":
        return found
    told = found.note if found is not None else None
    if in_spans is None:
        note = told or "no span names its instance, and no metric the replicas; set service.instance.id"
        return AdviceInput("replicas", None, "unknown", source="spans", unit="replicas", note=note)
    note = f"{told}; {SPANS_SEE}" if told else SPANS_SEE
    return AdviceInput("replicas", None, "fresh", float(in_spans), at, "spans", "replicas", note=note)


def levels(services: Services, at: datetime) -> list[LevelReading]:
    """Return the newest levels of all that advice looks for by itself: one read serves all models of a tick."""
    window = Window(at - timedelta(seconds=FRESH_S), at + timedelta(seconds=AHEAD_S))
    names = (*AVAILABLE, *DESIRED, ACTIVE_REQUESTS)
    return services.remembered.levels.get("levels", at, lambda: points.levels(services.lake, names, window))


def _asked(found: Asked, wanted: PrometheusInput, at: datetime) -> AdviceInput:
    query = wanted.query[:200]
    age_s = (at - found.at).total_seconds() if found.at is not None else None
    if found.value is not None and age_s is not None and abs(age_s) <= FRESH_S:
        return AdviceInput(
            "replicas", query, "fresh", round(found.value), found.at, "prometheus", "replicas", note=found.problem
        )
    heard = age_s is not None and 0 <= age_s <= HEARD_S
    note = found.problem or "not asked yet"
    return AdviceInput(
        "replicas", query, "stale" if heard else "unknown", None, found.at, "prometheus", "replicas", note=note
    )


def _of_cluster(services: Services, model: str, at: datetime) -> AdviceInput | None:
    """Return what the cluster's metrics say of the model's workload; None where they do not speak of it."""
    read = levels(services, at)
    known = known_instances(services, model, at)
    named = known.deployment if known is not None else None
    for name in dict.fromkeys((named, model, dns_name(model))):
        series = [one for one in read if name is not None and one.workload == name and one.name != ACTIVE_REQUESTS]
        if named == name and known is not None and known.namespace is not None:
            series = [one for one in series if one.namespace in (known.namespace, None)]
        if series:
            return _workload(series, name or "")
    return None


def _workload(series: Sequence[LevelReading], name: str) -> AdviceInput:
    places = {(one.namespace, one.cluster) for one in series}
    if len(places) > 1:
        where = ", ".join(sorted({"/".join(filter(None, place[::-1])) or "(none)" for place in places})[:5])
        several = f"several workloads are called {name} ({where}); name one in autoscale.replicas, with where"
        return AdviceInput("replicas", series[0].name, "unknown", unit="replicas", note=several)
    desired: str | None = "as many are desired; how many serve is not sent"
    for names, note in ((AVAILABLE, None), (DESIRED, desired)):
        told = [one for one in series if one.name in names and one.value is not None and one.value >= 0]
        if told:
            most = max(told, key=lambda one: one.value or 0.0)
            newest = max(one.at for one in told)
            return AdviceInput("replicas", most.name, "fresh", most.value, newest, unit="replicas", note=note)
    return AdviceInput("replicas", series[0].name, "unknown", unit="replicas", note=f"{name} has no number of replicas")
