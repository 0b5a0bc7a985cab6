"""The baseline part of a load test: what it says, and every mistake with its line."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from seamark.app import known_names
from seamark.core.baseline import BaselineSpec
from seamark.core.errors import ConfigInvalid
from seamark.core.specs import LoadTestPlan
from seamark.wire.config import parse_config

FILE = """models: [{name: churn}]
targets: {allow: ["http://127.0.0.1:9"]}
loadtests:
  - name: nightly
    model: churn
    target: http://127.0.0.1:9/predict
    payload: {rows: [{x: 1}]}
    shape: {constant: {rate_rps: 10, duration_s: 1}}
"""


def plan_of(text: str) -> LoadTestPlan:
    (plan,) = parse_config(f"{FILE}    baseline: {text}\n", known_names()).loadtests
    return plan


@pytest.mark.parametrize("text", ["", "null", "{}"])
def test_nothing_written_is_the_defaults(text: str) -> None:
    assert plan_of(text).baseline == BaselineSpec(runs=20, repeat=1, fails=False, since=None)


def test_all_of_it_is_taken_and_kept_with_the_plan() -> None:
    plan = plan_of("{runs: 30, repeat: 5, fail_on: regression, since: 2026-03-01T02:00:00+02:00}")
    assert plan.baseline == BaselineSpec(30, 5, fails=True, since=datetime(2026, 3, 1, tzinfo=UTC))
    assert plan.document["baseline"]["repeat"] == 5
    assert plan_of("{since: 2026-03-01, fail_on: never}").baseline.since == datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("5", "baseline: 5 is not a baseline (runs, repeat, fail_on, since)"),
        ("{run: 5}", "baseline.run: is not known in a baseline; did you mean runs?"),
        ("{runs: 4}", "baseline.runs: 4 is not a whole number from 5 to 100"),
        ("{runs: 10.5}", "baseline.runs: 10.5 is not a whole number"),
        ("{repeat: 0}", "baseline.repeat: 0 is not a whole number from 1 to 50"),
        ("{repeat: true}", "baseline.repeat: True is not a whole number"),
        ("{fail_on: always}", "baseline.fail_on: 'always' is unknown here; write never or regression"),
        ("{fail_on: [regression]}", "write never or regression"),
        ("{since: yesterday}", "baseline.since: 'yesterday' is no instant; write a day, like 2026-03-01"),
        ("{since: 2026-03-01T12:00:00}", "or an instant with its offset"),
        ("{since: 0001-01-01T00:00:00+23:59}", "is no instant"),
        ("{since: 20260301}", "20260301 is no instant"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, sentence: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        plan_of(text)
    (problem,) = refused.value.problems
    assert problem.line == 9
    assert sentence in f"{problem.field}: {problem.message}".replace("loadtests[0].", "")
