"""Every scaler output, over the registry: one valid manifest for any model name, state and bounds."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema
import kubernetes_validate
import pytest
import yaml

from seamark.cli import MANIFESTS
from seamark.core.advice import AdviceGate, Recommendation
from seamark.delivery import scalers
from seamark.delivery.scalers import SCALERS, Reached
from seamark.delivery.scalers.scaler import NAME_MAX, Scaler, dns_name

REACHED = Reached("http://seamark.test:8000", 5317)
ADVICE = Recommendation(
    model="churn",
    at=datetime(2026, 3, 1, 12, tzinfo=UTC),
    state="ok",
    replicas=7,
    current=5,
    min=2,
    max=20,
    reason="410 requests/s at p90 need 7 replicas of 60 requests/s",
    capacity_rps=60.0,
    arrivals_rps=390.0,
    forecast=None,
    headroom_ratio=-0.3,
)
NAMES = [
    "churn",
    "Churn v2",
    "y",
    "1e3",
    "null",
    "0x1F",
    "007",
    "",
    "-",
    "x" * 300,
    "größe",
    "a\n---\nkind: Secret\nmetadata: {name: stolen}",
    "\"'`{{ .Values }}${HOME}%0a #",
    "\u2028\u0085\ufeff\x00\ud800\U0001f600",
    "../../etc/passwd?x=1#y",
    "*anchor &a !!python/object:os.system",
]
# The kind each output must be, and what proves its form.
KEDAS = ("keda", "keda-external", "keda-prometheus")
EXPECTED = {**dict.fromkeys(KEDAS, "ScaledObject"), "hpa": "HorizontalPodAutoscaler"}

every_scaler = pytest.mark.parametrize("scaler", SCALERS.values(), ids=SCALERS.keys())
every_keda = pytest.mark.parametrize("kind", KEDAS)
every_name = pytest.mark.parametrize("model", NAMES, ids=range(len(NAMES)))


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """A CRD's schema as kubectl holds a manifest against it: what it does not name is refused, int32 has its range."""
    made = {key: value for key, value in schema.items() if not key.startswith("x-")}
    if "properties" in made:
        made["properties"] = {name: strict(value) for name, value in made["properties"].items()}
        made.setdefault("additionalProperties", False)
    if isinstance(made.get("items"), dict):
        made["items"] = strict(made["items"])
    if made.get("format") == "int32":
        made = {"maximum": 2**31 - 1, "minimum": -(2**31), **made}
    return made


@functools.cache
def scaled_object() -> jsonschema.Draft202012Validator:
    """What proves a ScaledObject: KEDA's own CRD. Its rule on the two counts stands in read()."""
    crd = yaml.safe_load((Path(__file__).parents[1] / "golden/keda_scaledobjects_crd.yaml").read_text())
    [version] = crd["spec"]["versions"]
    assert (crd["spec"]["names"]["kind"], version["name"]) == ("ScaledObject", "v1alpha1")
    schema = version["schema"]["openAPIV3Schema"]
    [rule] = schema["properties"]["spec"]["x-kubernetes-validations"]
    assert rule["message"] == "minReplicaCount must be less than or equal to maxReplicaCount"
    return jsonschema.Draft202012Validator(strict(schema))


def read(text: str) -> dict[str, Any]:
    """The manifest, which must be one document, with Kubernetes' rules held against it."""
    documents = list(yaml.safe_load_all(text))
    assert len(documents) == 1
    document = documents[0]
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", document["metadata"]["name"])
    assert all(isinstance(value, str) for value in document["metadata"]["annotations"].values())
    if document["kind"] == "ScaledObject":
        assert document["apiVersion"] == "keda.sh/v1alpha1"
        scaled_object().validate(document)
        assert document["spec"]["minReplicaCount"] <= document["spec"]["maxReplicaCount"]
    else:
        for version in ("1.33", "1.37"):
            kubernetes_validate.validate(document, version, strict=True)
        assert 1 <= document["spec"]["minReplicas"] <= document["spec"]["maxReplicas"]
    return dict(document)


@pytest.mark.parametrize(
    "path, value",
    [
        ("spec.fallback.behaviour", "currentReplicas"),
        ("spec.fallback.behavior", "keep"),
        ("spec.fallback.failureThreshold", -1),
        ("spec.pollingInterval", "15"),
        ("spec.maxReplicaCount", 2**31),
        ("spec.triggers.0.metadata.threshold", 1),
        ("spec.advanced.horizontalPodAutoscalerConfig.behavior.scaleUp.tolerance", "none"),
    ],
)
def test_the_crd_refuses_what_keda_would(path: str, value: Any) -> None:
    document = read(SCALERS["keda"].render(ADVICE, REACHED))
    *parents, last = path.split(".")
    place: Any = document
    for name in parents:
        place = place[int(name)] if name.isdigit() else place[name]
    place[last] = value
    with pytest.raises(jsonschema.ValidationError):
        scaled_object().validate(document)


def test_registry_and_folder_name_the_same_scalers() -> None:
    folder = Path(scalers.__file__).parent
    files = {path.stem for path in folder.glob("*.py")} - {"__init__", "scaler"}
    names = {name.replace("-", "_") for name in SCALERS}
    assert files == names, "a file in delivery/scalers without its line in __init__.py, or a line without a file"
    assert EXPECTED.keys() == set(SCALERS)
    for name, scaler in SCALERS.items():
        assert isinstance(scaler, Scaler) and scaler.name == name
        assert scaler in vars(importlib.import_module(f"{scalers.__name__}.{name.replace('-', '_')}")).values()


@every_scaler
@every_name
def test_any_model_name_gives_one_valid_manifest(scaler: Scaler, model: str) -> None:
    advice = dataclasses.replace(ADVICE, model=model, reason=f"because of {model}")
    document = read(scaler.render(advice, REACHED))
    assert document["kind"] == EXPECTED[scaler.name]
    assert document["metadata"]["name"] == document["spec"]["scaleTargetRef"]["name"] == dns_name(model)
    written = document["metadata"]["annotations"]["seamark.model"]
    assert written == model.encode("utf-8", "replace").decode()


@every_scaler
def test_a_backtest_that_the_advice_lost_is_a_warning_at_the_head(scaler: Scaler) -> None:
    lost = AdviceGate("not_recommended", "Not recommended: no better\nthan the HPA in either figure.", ADVICE.at)
    text = scaler.render(dataclasses.replace(ADVICE, gate=lost), REACHED)
    assert read(text) == read(scaler.render(ADVICE, REACHED))
    warning = next(line for line in text.splitlines() if "WARNING" in line)
    assert warning == "# WARNING: Not recommended: no better\\nthan the HPA in either figure."
    unknown = AdviceGate("unknown", "Not backtested yet on this model's own history.")
    text = scaler.render(dataclasses.replace(ADVICE, gate=unknown), REACHED)
    assert "Backtest:" not in text and "WARNING" not in text


@every_scaler
@pytest.mark.parametrize("least, most", [(0, 1), (0, 0), (1, 1), (3, 2), (2, 500)])
@pytest.mark.parametrize("state, replicas, current", [("ok", 4, 2), ("hold", None, None), ("hold", None, 900)])
def test_any_state_and_bounds_give_a_valid_manifest(
    scaler: Scaler, least: int, most: int, state: str, replicas: int | None, current: int | None
) -> None:
    advice = dataclasses.replace(ADVICE, min=least, max=most, state=state, replicas=replicas, current=current)
    text = scaler.render(advice, REACHED)
    read(text)
    assert ("unknown replicas (hold)" in text) == (replicas is None)
    assert ("WARNING: the advice was on hold" in text) == (state == "hold")


@every_scaler
def test_the_manifest_says_why_and_is_the_same_each_time(scaler: Scaler) -> None:
    text = scaler.render(ADVICE, REACHED)
    assert text == scaler.render(ADVICE, REACHED)
    assert ADVICE.reason in text and "7 replicas" in text and "2026-03-01T12:00:00Z" in text


@every_scaler
def test_small_changes_are_not_swallowed(scaler: Scaler) -> None:
    text = scaler.render(ADVICE, REACHED)
    spec = read(text)["spec"]
    behavior = spec.get("behavior") or spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert {rule["tolerance"] for rule in behavior.values()} == {"0"}
    assert behavior["scaleUp"]["policies"][0]["value"] == ADVICE.max
    assert re.search(r"^# tolerance: 0 needs Kubernetes 1\.33 with", text, re.MULTILINE)


def without(text: str, script: str) -> dict[str, Any]:
    """The manifest after the `sed` that its own comments tell of."""
    assert f"sed '{script}'" in "".join(line for line in text.splitlines() if line.startswith("#"))
    done = subprocess.run(["sed", script], input=text, capture_output=True, text=True, check=True)
    return read(done.stdout)


@pytest.mark.slow
@every_scaler
def test_an_older_cluster_takes_it_without_the_lines_that_the_comments_name(scaler: Scaler) -> None:
    text = scaler.render(ADVICE, REACHED)
    document = without(text, "/ tolerance: /d")
    full = json.dumps(read(text))
    assert '"tolerance"' in full and '"tolerance"' not in json.dumps(document)
    assert json.loads(full.replace(', "tolerance": "0"', "")) == document
    if document["kind"] == "HorizontalPodAutoscaler":
        kubernetes_validate.validate(document, "1.30", strict=True)
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(read(text), "1.30", strict=True)


@every_keda
def test_a_keda_before_2_17_takes_it_without_its_fallback(kind: str) -> None:
    text = SCALERS[kind].render(ADVICE, REACHED)
    document = without(text, "/^  fallback:/,/^    behavior:/d")
    full = read(text)
    del full["spec"]["fallback"]
    assert document == full


@every_name
def test_keda_polls_exactly_this_models_advice(model: str) -> None:
    document = read(SCALERS["keda"].render(dataclasses.replace(ADVICE, model=model), Reached(f"{REACHED.url}/", 4317)))
    [trigger] = document["spec"]["triggers"]
    assert trigger["type"] == "metrics-api" and trigger["metricType"] == "AverageValue"
    assert trigger["metadata"]["valueLocation"] == "replicas" and trigger["metadata"]["targetValue"] == "1"
    head, _, tail = trigger["metadata"]["url"].rpartition("/")
    prefix, _, name = head.rpartition("/")
    assert (prefix, tail) == (f"{REACHED.url}/api/v1/models", "recommendation")
    assert unquote(name) == model.encode("utf-8", "replace").decode()


@every_name
def test_the_external_trigger_names_exactly_this_model(model: str) -> None:
    document = read(SCALERS["keda-external"].render(dataclasses.replace(ADVICE, model=model), REACHED))
    [trigger] = document["spec"]["triggers"]
    assert trigger["type"] == "external" and trigger["metricType"] == "AverageValue"
    assert trigger["metadata"] == {
        "scalerAddress": "seamark.test:5317",
        "model": model.encode("utf-8", "replace").decode(),
    }


@pytest.mark.parametrize(
    "url, address", [("http://[::1]:8000", "[::1]:4317"), ("https://x/y", "x:4317"), ("", "seamark:4317")]
)
def test_the_external_scaler_is_on_the_services_host(url: str, address: str) -> None:
    [trigger] = read(SCALERS["keda-external"].render(ADVICE, Reached(url, 4317)))["spec"]["triggers"]
    assert trigger["metadata"]["scalerAddress"] == address


@every_name
def test_prometheus_is_asked_for_exactly_this_model_and_an_absent_metric_is_no_zero(model: str) -> None:
    document = read(SCALERS["keda-prometheus"].render(dataclasses.replace(ADVICE, model=model), REACHED))
    [trigger] = document["spec"]["triggers"]
    metadata = trigger["metadata"]
    assert trigger["type"] == "prometheus" and trigger["metricType"] == "AverageValue"
    assert (metadata["threshold"], metadata["ignoreNullValues"]) == ("1", "false")
    name = re.fullmatch(r'max\(seamark_recommended_replicas\{model=("(?:[^"\\\x00-\x1f]|\\.)*")\}\)', metadata["query"])
    assert name is not None and json.loads(name[1]) == model.encode("utf-8", "replace").decode()


@every_keda
@pytest.mark.parametrize(
    "replicas, current, floor", [(7, 5, 7), (None, 5, 5), (None, None, 2), (None, 1, 2), (None, 99, 20)]
)
def test_keda_keeps_what_runs_when_nobody_answers(
    kind: str, replicas: int | None, current: int | None, floor: int
) -> None:
    advice = dataclasses.replace(ADVICE, replicas=replicas, current=current)
    text = SCALERS[kind].render(advice, REACHED)
    fallback = read(text)["spec"]["fallback"]
    assert fallback == {"failureThreshold": 3, "replicas": floor, "behavior": "currentReplicasIfHigher"}
    assert "# When Seamark is down, or does not know a number, the fleet stays as it is" in text


def test_the_command_offers_every_output() -> None:
    assert set(MANIFESTS) == set(SCALERS)


@every_name
def test_the_hpa_selects_by_a_label_that_kubernetes_takes(model: str) -> None:
    text = SCALERS["hpa"].render(dataclasses.replace(ADVICE, model=model), REACHED)
    external = read(text)["spec"]["metrics"][0]["external"]
    label = external["metric"]["selector"]["matchLabels"]["model"]
    assert external["metric"]["name"] == "seamark_recommended_replicas"
    assert external["target"] == {"type": "AverageValue", "averageValue": "1"}
    assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", label)
    assert label == model or f"relabel it as model: {label}" in text


def test_an_hpa_that_cannot_scale_to_zero_says_so() -> None:
    text = SCALERS["hpa"].render(dataclasses.replace(ADVICE, min=0), REACHED)
    assert read(text)["spec"]["minReplicas"] == 1 and "does not scale to zero" in text


def test_names_are_dns_labels_stable_and_apart() -> None:
    names = [dns_name(model) for model in [*NAMES, "Churn-v2", "churn_v2", "CHURN V2", "y" * 63, "y" * 64]]
    assert len(set(names)) == len(names)
    assert all(len(name) <= NAME_MAX and re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name) for name in names)
    assert dns_name("churn-v2") == "churn-v2" and dns_name("Churn v2") == "churn-v2-2c4d0374"
