"""What evidence makes of a release: the states, the three verdicts, and the sentence that says why."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from bench.release import judge_answers, judge_requests
from bench.release_data import CASES, draw, draw_answers

from seamark.compute.release.blocks import Error, Evidence, weigh
from seamark.compute.release.judge import HOLD_AT, holm, judge
from seamark.core.release import MEASURES, MetricState, ReleaseFinding, ReleaseSpec, ReleaseVerdict
from seamark.core.windows import Window

WINDOW = Window.trailing(datetime(2026, 3, 1, tzinfo=UTC), 3600)
PROMOTE, HOLD, INCONCLUSIVE = ReleaseVerdict


def evidence(name: str, harm: float, error: float = 0.1, rows: int = 10_000) -> Evidence:
    """A measure that is worse by `harm`, both in parts of its tolerance."""
    tolerance = MEASURES[name].tolerance
    weighed = weigh(harm * tolerance, Error(error * tolerance, 60.0), tolerance)
    sign = -1 if MEASURES[name].worse == "lower" else 1
    low, high = sorted((sign * weighed.low, sign * weighed.high))
    more = (weighed.p_worse, weighed.within, weighed.better, weighed.enlarge)
    return Evidence((rows, rows), 0.5, 0.5, sign * harm * tolerance, low, high, *more)


def judged(found: Mapping[str, Any], spec: ReleaseSpec | None = None) -> ReleaseFinding:
    told = {name: one if isinstance(one, dict) else {None: one} for name, one in found.items()}
    return judge("churn", ("v1", "v2"), WINDOW, told, spec or ReleaseSpec())


def state_of(finding: ReleaseFinding, name: str) -> MetricState:
    return next(metric.state for metric in finding.metrics if metric.metric == name)


GOOD = {name: evidence(name, 0.0) for name in ("latency_p50", "latency_p95", "latency_p99", "error_ratio")}


def test_nothing_worse_and_enough_rows_promote() -> None:
    finding = judged(GOOD)
    assert (finding.verdict, finding.ok) == (PROMOTE, True)
    assert [metric.metric for metric in finding.metrics] == list(MEASURES)
    assert state_of(finding, "latency_p99") == "same" and state_of(finding, "accuracy") == "unknown"
    assert "not known: accuracy, mae" in finding.reason


@pytest.mark.parametrize("name", [name for name, measure in MEASURES.items() if measure.critical])
def test_one_critical_measure_that_is_worse_holds(name: str) -> None:
    finding = judged({**GOOD, name: evidence(name, 2.0)})
    assert (finding.verdict, finding.ok) == (HOLD, False)
    assert finding.reason.startswith(f"{name} of v2 is ") and "are tolerated" in finding.reason


def test_a_certain_but_tolerated_difference_is_no_hold() -> None:
    finding = judged({**GOOD, "latency_p99": evidence("latency_p99", 0.5, error=0.05)})
    (p99,) = (metric for metric in finding.metrics if metric.metric == "latency_p99")
    assert p99.low is not None and p99.low > 0 and p99.state == "same"
    assert finding.verdict == PROMOTE


@pytest.mark.parametrize("harm", [0.9, 1.0, 1.1])
def test_what_is_about_as_much_as_is_tolerated_is_neither(harm: float) -> None:
    finding = judged({**GOOD, "latency_p99": evidence("latency_p99", harm)})
    assert (finding.verdict, finding.ok) == (INCONCLUSIVE, None)
    assert finding.reason.startswith("too few rows to tell latency_p99: v2 has 10,000 requests, about ")


def test_too_few_rows_promote_nothing() -> None:
    finding = judged({**GOOD, "error_ratio": evidence("error_ratio", 0.0, error=1.0)})
    assert finding.verdict == INCONCLUSIVE
    (errors,) = (metric for metric in finding.metrics if metric.metric == "error_ratio")
    assert errors.state == "too_few_rows" and errors.rows_needed is not None and errors.rows_needed > 10_000


def test_what_only_one_version_has_promotes_nothing() -> None:
    finding = judged({**GOOD, "accuracy": Evidence((500, 0))})
    assert finding.verdict == INCONCLUSIVE
    assert finding.reason == "v2 has no labelled predictions yet that count in the window; not told: accuracy"


def test_nothing_at_all_is_not_known() -> None:
    finding = judged({})
    assert (finding.verdict, finding.ok) == (INCONCLUSIVE, None)
    assert {metric.state for metric in finding.metrics} == {MetricState.UNKNOWN}


def test_what_stops_no_release_promotes_none_by_itself() -> None:
    finding = judged({"null_ratio": {"age": evidence("null_ratio", 0.0)}})
    assert (finding.verdict, "nothing that could stop a release" in finding.reason) == (INCONCLUSIVE, True)


def test_a_measure_that_is_not_critical_asks_for_a_look() -> None:
    finding = judged({**GOOD, "null_ratio": {"age": evidence("null_ratio", 3.0)}})
    assert finding.verdict == INCONCLUSIVE and "null_ratio of 'age' of v2" in finding.reason
    critical = judged(
        {**GOOD, "null_ratio": {"age": evidence("null_ratio", 3.0)}}, ReleaseSpec(critical=("null_ratio",))
    )
    assert critical.verdict == HOLD


def test_what_is_required_must_be_known() -> None:
    finding = judged(GOOD, ReleaseSpec(require=("accuracy",)))
    assert finding.verdict == INCONCLUSIVE and finding.reason.startswith("accuracy must be known")
    assert (
        judged({**GOOD, "accuracy": evidence("accuracy", 0.0)}, ReleaseSpec(require=("accuracy",))).verdict == PROMOTE
    )


def test_what_is_left_out_is_not_told() -> None:
    finding = judged({**GOOD, "accuracy": evidence("accuracy", 9.0)}, ReleaseSpec(tolerances={"accuracy": None}))
    assert finding.verdict == PROMOTE
    assert "accuracy" not in {metric.metric for metric in finding.metrics}


def test_the_worst_feature_is_told_and_others_beside_it() -> None:
    features = {f"f{index:02}": evidence("null_ratio", 0.0) for index in range(30)}
    features |= {f"g{index:02}": evidence("null_ratio", 2.0 + index / 10) for index in range(15)}
    features["h"] = evidence("null_ratio", 9.0)
    finding = judged({**GOOD, "null_ratio": features})
    (nulls,) = (metric for metric in finding.metrics if metric.metric == "null_ratio")
    assert (nulls.feature, nulls.features, nulls.state, len(nulls.others)) == ("h", 46, "worse", 10)
    assert all(other.startswith("g") for other in nulls.others)


def test_many_features_make_no_hold_and_hide_none() -> None:
    """Two hundred tests of equal features are corrected by themselves; the p99 is judged as if they were not there."""
    at_most = {f"f{index}": evidence("null_ratio", 1.0 + 0.25 * (index % 3 - 1)) for index in range(200)}
    p99 = evidence("latency_p99", 1.33)
    assert p99.p_worse is not None and HOLD_AT / 200 < p99.p_worse < HOLD_AT / 4
    assert judged({**GOOD, "latency_p99": p99, "null_ratio": at_most}).verdict == HOLD


def test_holm_is_the_step_down_procedure() -> None:
    assert holm([]) == []
    assert holm([0.02, 0.001, 0.5, 0.02]) == pytest.approx([0.06, 0.004, 0.5, 0.06])


def test_a_finding_is_the_same_every_time() -> None:
    answers = draw_answers(2_000, 1)
    assert judge_answers(answers) == judge_answers(answers)


# --- the study in short; `python -m bench release` is the long one -----------------------------------------------


@pytest.mark.slow
def test_equal_versions_are_not_held() -> None:
    verdicts = [judge_requests(draw(case, 6_000, seed)).verdict for case in CASES for seed in range(25)]
    verdicts += [judge_answers(draw_answers(1_500, seed)).verdict for seed in range(20)]
    assert verdicts.count(HOLD) <= 1


def test_equal_versions_with_enough_rows_are_promoted() -> None:
    verdicts = [judge_requests(draw(CASES[0], 60_000, seed)).verdict for seed in range(8)]
    assert verdicts.count(PROMOTE) >= 7


@pytest.mark.slow
def test_a_slower_tail_is_held_at_the_rows_that_are_told() -> None:
    verdicts = [judge_requests(draw(CASES[0], 100_000, seed, slower=1.1, beyond=0.98)).verdict for seed in range(8)]
    assert verdicts.count(HOLD) >= 7


@pytest.mark.slow
def test_a_lower_accuracy_is_held_at_the_rows_that_are_told() -> None:
    drawn = (draw_answers(40_000, seed, accuracy=(0.9, 0.88), swing=0.0, features=False) for seed in range(8))
    assert [judge_answers(answers).verdict for answers in drawn].count(HOLD) >= 7


@pytest.mark.soak
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_equal_versions_are_not_held_in_a_thousand_runs(case: Any) -> None:
    held = sum(judge_requests(draw(case, 20_000, seed)).verdict == HOLD for seed in range(1_000))
    assert held <= 10
