"""The documented analysis template against the three documents the service answers, by Argo Rollouts' own rules.

The rules are written down here anew, for just the expressions that the document has: jsonPath `{$.name}`, conditions
`result == "text"`, and how measurements become the state of a metric. Neither Argo's controller nor its expression
language nor Kubernetes' schemas are run: that the template is accepted by a cluster is not shown.
"""

from __future__ import annotations

import inspect
import itertools
import json
import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml
from fastapi.routing import APIRoute
from service_process import ROOT

from seamark.app import known_names
from seamark.core.release import MEASURES
from seamark.web import compare
from seamark.wire.config import parse_config

GOLDEN = json.loads((ROOT / "tests" / "golden" / "compare.json").read_text())
TEXT = (ROOT / "docs" / "releases.md").read_text()
WRITTEN = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
BLOCKS = [yaml.safe_load(block) for block in WRITTEN]


def of_kind(kind: str) -> Any:
    (found,) = (block for block in BLOCKS if block.get("kind") == kind)
    return found


TEMPLATE = of_kind("AnalysisTemplate")
(METRIC,) = TEMPLATE["spec"]["metrics"]
WEB = METRIC["provider"]["web"]


def result_of(document: dict[str, Any], json_path: str) -> Any:
    match = re.fullmatch(r"\{\$\.(\w+)\}", json_path)
    assert match, f"{json_path!r} is more than this test reads"
    return document[match[1]]


def holds(condition: str, result: Any) -> bool:
    match = re.fullmatch(r'result == "(\w+)"', condition)
    assert match, f"{condition!r} is more than this test reads"
    return bool(result == match[1])


def phase(metric: dict[str, Any], result: Any) -> str:
    """What a measurement is called (utils/evaluate): a condition that is not given is the other one's opposite."""
    success, failure = metric.get("successCondition"), metric.get("failureCondition")
    failed = holds(failure, result) if failure else bool(success) and not holds(success, result)
    passed = holds(success, result) if success else not failed
    return "Failed" if failed else "Successful" if passed else "Inconclusive"


def outcome(metric: dict[str, Any], phases: list[str]) -> str:
    """What becomes of a metric (analysis/analysis.go): limits first, then the count."""
    for taken in range(1, len(phases) + 1):
        so_far = phases[:taken]
        if so_far.count("Inconclusive") > metric.get("inconclusiveLimit", 0):
            return "Inconclusive"
        if so_far.count("Failed") > metric.get("failureLimit", 0):
            return "Failed"
        if taken >= metric["count"]:
            return "Successful"
    return "Running"


@pytest.mark.parametrize(
    "verdict, expected", [("promote", "Successful"), ("hold", "Failed"), ("inconclusive", "Inconclusive")]
)
def test_each_verdict_is_one_phase(verdict: str, expected: str) -> None:
    result = result_of(GOLDEN[verdict], WEB["jsonPath"])
    assert isinstance(result, str)  # never null: the provider has no place for a result without a value
    assert phase(METRIC, result) == expected


def test_without_a_failure_condition_inconclusive_would_roll_back() -> None:
    alone = {name: value for name, value in METRIC.items() if name != "failureCondition"}
    assert phase(alone, "inconclusive") == "Failed"


def test_only_a_promotion_and_no_hold_passes() -> None:
    count = METRIC["count"]
    for verdicts in itertools.product(GOLDEN, repeat=count):
        found = outcome(METRIC, [phase(METRIC, result_of(GOLDEN[one], WEB["jsonPath"])) for one in verdicts])
        if "hold" in verdicts:
            assert found == "Failed"
        else:
            assert found == ("Successful" if "promote" in verdicts else "Inconclusive")


def test_the_limit_that_the_document_warns_of_would_promote_the_unknown() -> None:
    assert METRIC["inconclusiveLimit"] < METRIC["count"]
    careless = {**METRIC, "inconclusiveLimit": METRIC["count"]}
    assert outcome(careless, ["Inconclusive"] * METRIC["count"]) == "Successful"


def test_the_url_is_one_the_service_answers() -> None:
    url = urlsplit(re.sub(r"\{\{args\.([\w-]+)\}\}", r"\1", WEB["url"]))
    (route,) = (route for route in compare.router().routes if isinstance(route, APIRoute))
    assert route.path_regex.fullmatch(url.path)
    assert {name for name, _ in parse_qsl(url.query)} <= set(inspect.signature(route.endpoint).parameters)
    used = set(re.findall(r"\{\{args\.([\w-]+)\}\}", json.dumps(METRIC)))
    assert used == {one["name"] for one in TEMPLATE["spec"]["args"]}
    steps = of_kind("Rollout")["spec"]["strategy"]["canary"]["steps"]
    (analysis,) = (step["analysis"] for step in steps if "analysis" in step)
    assert [one["templateName"] for one in analysis["templates"]] == [TEMPLATE["metadata"]["name"]]
    secret = {one["name"] for one in TEMPLATE["spec"]["args"] if "valueFrom" in one}
    assert {one["name"] for one in analysis["args"]} == used - secret


def test_the_example_settings_are_good() -> None:
    (settings,) = (block for block in WRITTEN if block.startswith("models:"))
    (model,) = parse_config(settings, known_names()).models
    assert model.release is not None and model.release.tolerance("new_category_ratio") is None
    assert model.release.tolerance("accuracy") == pytest.approx(0.005)


def test_every_measure_is_told_with_its_default() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| `")]
    for name, measure in MEASURES.items():
        (row,) = (row for row in rows if f"`{name}`" in row)
        _, _, _, tolerated, critical, _ = (cell.strip() for cell in row.split("|"))
        assert tolerated.startswith(f"{measure.tolerance * 100:g} "), row
        assert critical == ("yes" if measure.critical else "no"), row
        assert measure.of.split()[-1] in row or name in ("out_of_range_ratio", "new_category_ratio")
    settings = (ROOT / "docs" / "seamark-yaml.md").read_text()
    assert [
        name for name in ("latency_p99", "critical", "require", "warmup") if f"release.{name}" not in settings
    ] == []
