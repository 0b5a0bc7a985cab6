"""A load test's plan -> a Kubernetes Job of the workers that send it."""

from __future__ import annotations

from typing import Any

from seamark.core.specs import LoadTestPlan
from seamark.delivery.scalers.scaler import dns_name, manifest

IMAGE = "seamark:latest"
_NOTES = (
    "Apply it, then start the run: each pod waits for a run of this plan, joins it, sends its share and ends.",
    "The Secret seamark-run-key holds an API key of scope run (seamark keys create --scope run), under the name key.",
    "The pods must reach the service and, by SEAMARK_LOADTEST_BIND, the port of the run's master: a private network.",
)


def render(plan: LoadTestPlan, url: str) -> str:
    """Return the Job (batch/v1) as YAML: as many pods as the plan has remote workers, each of them once."""
    name = dns_name(f"seamark-load-{plan.name}")
    key = {"secretKeyRef": {"name": "seamark-run-key", "key": "key"}}
    container: dict[str, Any] = {
        "name": "worker",
        "image": IMAGE,
        "args": ["loadtest", "join", plan.name, "--wait", "600"],
        "env": [{"name": "SEAMARK_URL", "value": url}, {"name": "SEAMARK_API_KEY", "valueFrom": key}],
        # One core each: a worker sends from one thread.
        "resources": {"requests": {"cpu": "1", "memory": "512Mi"}, "limits": {"memory": "4Gi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True},
    }
    document: dict[str, Any] = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "annotations": {"seamark.loadtest": plan.name}},
        "spec": {
            "parallelism": max(plan.remote_workers, 1),
            "completions": max(plan.remote_workers, 1),
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": 3600,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
        },
    }
    return manifest(_NOTES, document)
