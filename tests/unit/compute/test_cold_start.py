"""What starts took is learned from instances as they are first heard of, and from nothing that was there before."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.lake_rows import AT

from seamark.compute.cold_start import INSTANCES_MOST, KEPT, cold_start, learned
from seamark.core.advice import Recommendation
from seamark.core.traffic import InstanceBirth, SeenInstances

SINCE = AT - timedelta(days=1)
BEFORE = SeenInstances(SINCE, AT - timedelta(minutes=10))
ADVICE = Recommendation("m", AT, "ok", 2, 2, 1, 20, "because", 60.0, 90.0, None, None)


def ago(seconds: float) -> datetime:
    return AT - timedelta(seconds=seconds)


def birth(name: str, first_s: float, **resource: Any) -> InstanceBirth:
    named = {key.replace("_", ".", 1): value for key, value in resource.items()}
    return InstanceBirth(name, "v1", ago(first_s), ago(0), json.dumps(named))


def pod(name: str, first_s: float, start_s: float, **more: Any) -> InstanceBirth:
    said = {"k8s.pod.start_time": ago(start_s).isoformat(), "k8s.pod.uid": name, **more}
    return InstanceBirth(name, "v1", ago(first_s), ago(0), json.dumps(said))


def took(*births: InstanceBirth, before: SeenInstances = BEFORE, advice: Any = ()) -> list[tuple[float, str]]:
    found = learned(before, births, AT, advice)
    return [(one.seconds, one.source or "") for one in found.seen[::-1] if one.seconds is not None]


def test_a_start_is_the_pods_and_ends_with_the_first_request() -> None:
    assert took(pod("a", 100, 145.5)) == [(45.5, "k8s.pod.start_time")]
    assert took(pod("a", 100, 145, **{"process.creation.time": ago(110).isoformat()})) == [(45.0, "k8s.pod.start_time")]
    process = InstanceBirth("p", "v1", ago(100), ago(0), json.dumps({"process.creation.time": ago(130).isoformat()}))
    assert took(process) == [(30.0, "process.creation.time")]


def test_without_a_start_it_is_the_moment_more_replicas_were_advised() -> None:
    bare = InstanceBirth("a", "v1", ago(100), ago(0), None)
    advice = [
        Recommendation(**{**ADVICE.__dict__, "at": ago(seconds), "replicas": count, "current": 2})
        for seconds, count in ((400, 2), (160, 4), (150, 4), (90, 9))
    ]
    assert took(bare, advice=advice) == [(60.0, "advice")]
    assert took(bare, advice=advice[:1]) == []
    ran_already = [Recommendation(**{**one.__dict__, "current": 9}) for one in advice]
    assert took(bare, advice=ran_already) == [], "nobody was started for it"


@pytest.mark.parametrize(
    "one",
    [
        pod("a", 100, 86_400 * 2),
        pod("a", 100, 100 + 3_601),
        pod("a", 100, 90),
        InstanceBirth("a", "v1", ago(100), ago(0), None),
        InstanceBirth("a", "v1", ago(100), ago(0), "[[[[" * 50_000),
        InstanceBirth("a", "v1", ago(100), ago(0), '{"k8s.pod.start_time": "yesterday"}'),
        InstanceBirth("a", "v1", ago(100), ago(0), '{"k8s.pod.start_time": 5}'),
        InstanceBirth("a", "v1", ago(100), ago(0), '{"k8s.pod.start_time": "9999-12-31T23:59:59-23:59"}'),
        pod("a", 1_200, 1_230),
    ],
    ids=["before we listened", "too long", "after its first request", "bare", "nested", "text", "number", "far", "old"],
)
def test_what_is_no_start_is_none(one: InstanceBirth) -> None:
    assert took(one) == []


def test_workers_forked_from_one_start_count_once() -> None:
    first, again = pod("a", 100, 145), pod("b", 10, 145, **{"k8s.pod.uid": "a"})
    assert took(first, again) == [(45.0, "k8s.pod.start_time")]
    after = learned(BEFORE, [first], AT, ())
    assert len(learned(after, [again], AT, ()).seen) == 2
    assert [one.seconds for one in learned(after, [again], AT, ()).seen if one.seconds] == [45.0]


def test_an_instance_is_met_once_and_forgotten_in_time() -> None:
    after = learned(BEFORE, [pod("a", 100, 145)], AT, ())
    later = AT + KEPT + timedelta(seconds=1)
    assert learned(after, [pod("a", 50, 145)], AT, ()).seen[0].first_at == ago(100)
    assert learned(after, [], later, ()).seen == ()
    many = learned(BEFORE, [pod(str(n), 100, 145) for n in range(INSTANCES_MOST + 50)], AT, ())
    assert len(many.seen) == INSTANCES_MOST


def test_three_starts_make_a_figure() -> None:
    births = [pod(str(seconds), 100, 100 + seconds) for seconds in (20, 30, 40, 50, 60, 70, 80, 90, 100, 600)]
    found = cold_start(learned(BEFORE, births, AT, ()))
    assert found is not None
    assert (found.count, found.median_s, found.p90_s) == (10, 65.0, 100.0)
    assert found.sources == ("k8s.pod.start_time",)
    assert cold_start(learned(BEFORE, births[:2], AT, ())) is None
    assert cold_start(learned(BEFORE, births[:3], AT, ())) is not None


def test_the_deployment_is_the_one_that_spans_name() -> None:
    one = pod("a", 100, 145, **{"k8s.deployment.name": "shop-churn", "k8s.namespace.name": "shop"})
    found = learned(BEFORE, [one], AT, ())
    assert (found.deployment, found.namespace) == ("shop-churn", "shop")
    assert learned(found, [pod("b", 50, 60)], AT, ()).deployment == "shop-churn"
