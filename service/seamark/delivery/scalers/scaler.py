"""What a scaler output is, and what all of them share: safe names, bounds, behaviour, YAML nobody can break out of."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from seamark.core.advice import Recommendation
from seamark.core.findings import to_document

NAME_MAX = 63  # DNS-1123 label, which is also the longest label value
TOLERANCE_NOTES = (
    "tolerance: 0 needs Kubernetes 1.33 with its gate HPAConfigurableTolerance (1.35 has it on), and in a ScaledObject",
    "KEDA 2.18. Where kubectl refuses the field, delete both lines: sed '/ tolerance: /d'. Without it, or where the",
    "gate is off and drops it, counts within 10 % of the present are ignored: fleets of 10 and more notice that.",
)
_DOWN_NOTES = (
    "When Seamark is down, or does not know a number, the fleet stays as it is: after fallback.failureThreshold failed",
    "polls KEDA keeps what runs, and no less than fallback.replicas, the advice when this was written. It then neither",
    "grows nor shrinks with the load until Seamark answers again: alert on SeamarkDown (docs/autoscale.md).",
    "fallback needs KEDA 2.17: an older one ignores its behavior, and sets just fallback.replicas at the first failed",
    "poll. There delete the block: sed '/^  fallback:/,/^    behavior:/d'. The HPA then keeps what runs.",
)
_DNS_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.ASCII)
_SURELY_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9./-]{5,}", re.ASCII)  # longer than any of YAML's words for true or null
_COMMENT_MAX = 600


class _Quoted(str):
    """Text to be written in double quotes."""


class _Dumper(yaml.SafeDumper):
    """SafeDumper that knows _Quoted."""


_Dumper.add_representer(_Quoted, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


@dataclass(frozen=True)
class Reached:
    """Where a cluster reaches this service: over HTTP, and over gRPC on the same host."""

    url: str
    grpc_port: int


@dataclass(frozen=True)
class Scaler:
    """A scaler output: a record, registered by name in `delivery/scalers/__init__.py`.

    render(recommendation, reached) is a complete manifest as YAML text: valid for any model name and any state (bounds
    come from the recommendation, `hold` included), the same for equal arguments.
    """

    name: str
    render: Callable[[Recommendation, Reached], str]


def dns_name(model: str) -> str:
    """Return a DNS-1123 label for a model: its name where that is one, else a cleaned form and a hash of the name.

    The hash keeps apart what cleaning makes equal.

    >>> dns_name("churn"), dns_name("Churn v2")
    ('churn', 'churn-v2-2c4d0374')
    """
    if len(model) <= NAME_MAX and _DNS_LABEL.fullmatch(model):
        return model
    digest = hashlib.sha256(model.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    clean = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")[: NAME_MAX - 9].rstrip("-")
    return f"{clean or 'model'}-{digest}"


def bounds(recommendation: Recommendation) -> tuple[int, int]:
    """Return (min, max) replicas that every cluster accepts: 0 <= min <= max and 1 <= max."""
    least = max(recommendation.min, 0)
    return least, max(recommendation.max, least, 1)


def behavior(most: int) -> dict[str, Any]:
    """Return the HPA behaviour that follows a recommended count at once: the advice itself waits before scaling in.

    A window of the HPA's own would keep the largest count of its 300 s on top of that: twice the wait, and paid for.
    Without tolerance 0 the HPA ignores a count within 10 % of the present one: at 20 replicas, 19 to 22.
    """
    return {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "policies": [{"type": "Pods", "value": most, "periodSeconds": 15}],
            "tolerance": "0",
        },
        "scaleDown": {
            "stabilizationWindowSeconds": 0,
            "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
            "tolerance": "0",
        },
    }


def scaled_object(recommendation: Recommendation, trigger: Mapping[str, Any], notes: Sequence[str]) -> str:
    """Return a KEDA ScaledObject (keda.sh/v1alpha1) with one trigger, `notes` on it, and what holds for every trigger.

    `fallback` is for a trigger that fails, so the trigger has to fail, and not say 0, where nothing is known.
    """
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
                "replicas": _floor(recommendation, least, most),
                "behavior": "currentReplicasIfHigher",
            },
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior(most)}},
            "triggers": [dict(trigger)],
        },
    }
    target = "scaleTargetRef: put the name of your Deployment there if it is another."
    return manifest([*headline(recommendation), target, *_DOWN_NOTES, *notes, *TOLERANCE_NOTES], document)


def _floor(recommendation: Recommendation, least: int, most: int) -> int:
    """Return the fewest replicas while nobody answers: the advice, else what runs, else the least."""
    known = recommendation.replicas if recommendation.replicas is not None else recommendation.current
    return least if known is None else min(max(known, least), most)


def headline(recommendation: Recommendation) -> list[str]:
    """Return the comment lines that say what was advised, when and why."""
    advised = "unknown" if recommendation.replicas is None else str(recommendation.replicas)
    lines = [
        f"Seamark's advice for {recommendation.model!r}: {advised} replicas ({recommendation.state}).",
        f"Given at {to_document(recommendation.at)}. {recommendation.reason}",
    ]
    if recommendation.state != "ok":
        told = "WARNING: the advice was on hold when this was written, and fallback.replicas is none"
        lines.append(f"{told}: write it anew when it is ok.")
    gate = recommendation.gate
    if gate is not None and gate.state == "not_recommended":
        lines += [f"WARNING: {gate.sentence}", "Think twice before you apply this: the HPA alone did better."]
    elif gate is not None and gate.state != "unknown":
        lines.append(f"Backtest: {gate.sentence}")
    return lines


def manifest(comments: Sequence[str], document: Mapping[str, Any]) -> str:
    """Return `document` as YAML under `comments`, which can hold no line break whatever is in them."""
    text: str = yaml.dump(_plain(document), Dumper=_Dumper, sort_keys=False, allow_unicode=False, width=1000)
    return "".join(f"# {_one_line(comment)}\n" for comment in comments) + text


def _one_line(text: str) -> str:
    cut = text if len(text) <= _COMMENT_MAX else f"{text[:_COMMENT_MAX]}..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)


def _plain(value: Any) -> Any:
    """Return `value` with its strings safe for every YAML reader.

    Unpaired surrogates become question marks. Whatever some reader could take for a number or a truth value (`y`,
    `1e3`: Go's readers see more of them than Python's) is marked to be quoted.
    """
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, str):
        return value
    text = value.encode("utf-8", "replace").decode()
    return text if _SURELY_TEXT.fullmatch(text) else _Quoted(text)
