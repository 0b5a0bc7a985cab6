"""targets.allow with limits, plans held against them, and plans with a locustfile of one's own."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from seamark.app import known_names
from seamark.core.errors import ConfigInvalid, Invalid
from seamark.core.specs import Config, PayloadSpec
from seamark.core.targets import TargetSpec, peak_rps
from seamark.wire.config import parse_config, parse_plan

KNOWN = known_names()


def read(allow: str, loadtests: str = "[]") -> Config:
    return parse_config(f"models: [{{name: m}}]\ntargets:\n  allow: {allow}\nloadtests: {loadtests}\n", KNOWN)


def mistakes(allow: str, loadtests: str = "[]") -> list[tuple[str, int | None, str]]:
    with pytest.raises(ConfigInvalid) as refused:
        read(allow, loadtests)
    return [(problem.field, problem.line, problem.message) for problem in refused.value.problems]


def test_an_entry_is_an_origin_or_an_origin_with_limits() -> None:
    config = read(
        '["HTTP://A.test:80", {url: "http://b.test:81", max_rps: 50, until: 2026-12-31}, {url: "http://c.test"}]'
    )
    assert config.targets == (
        TargetSpec("http://a.test"),
        TargetSpec("http://b.test:81", 50.0, date(2026, 12, 31)),
        TargetSpec("http://c.test"),
    )
    assert config.targets_allow == ("http://a.test", "http://b.test:81", "http://c.test")
    assert config.target("http://b.test:81") == config.targets[1] and config.target("http://b.test") is None


@pytest.mark.parametrize(
    ("entry", "field", "says"),
    [
        ("{max_rps: 5}", "targets.allow[0].url", "is missing"),
        (
            '{url: "http://b.test", rps: 5}',
            "targets.allow[0].rps",
            "is not known in an allowed target; did you mean max_rps?",
        ),
        (
            '{url: "http://b.test/x", max_rps: 5}',
            "targets.allow[0].url",
            "has a path; write only the origin, http://b.test",
        ),
        ('{url: "ftp://b.test"}', "targets.allow[0].url", "must begin with http"),
        ('{url: "http://b.test", max_rps: 0}', "targets.allow[0].max_rps", "is not a number greater than 0"),
        ('{url: "http://b.test", max_rps: yes}', "targets.allow[0].max_rps", "is not a number"),
        ('{url: "http://b.test", max_rps: .inf}', "targets.allow[0].max_rps", "is not a number"),
        ('{url: "http://b.test", until: soon}', "targets.allow[0].until", "is no day; write the last day"),
        ('{url: "http://b.test", until: "2026-02-30"}', "targets.allow[0].until", "is no day"),
        ('{url: "http://b.test", until: 20261231}', "targets.allow[0].until", "is no day"),
        (
            "'http://169.254.169.254'",
            "targets.allow[0]",
            "names a link-local or metadata address, where nothing is ever",
        ),
        ("'http://[::ffff:a9fe:a9fe]:80'", "targets.allow[0]", "names a link-local or metadata address"),
        ("'http://[fd00:ec2::254]'", "targets.allow[0]", "names a link-local or metadata address"),
        ("'http://0.0.0.0:8000'", "targets.allow[0]", "names an unspecified address"),
        ("'http://224.0.0.1'", "targets.allow[0]", "names a multicast or broadcast address"),
        ("7", "targets.allow[0]", "is no URL"),
        ("{}", "targets.allow[0].url", "is missing"),
    ],
)
def test_a_wrong_entry_is_told_with_its_line(entry: str, field: str, says: str) -> None:
    [(found, line, message)] = mistakes(f"[{entry}]")
    assert found == field and line == 3 and says in message


def test_one_origin_has_one_entry() -> None:
    [(field, _, message)] = mistakes('["http://b.test", {url: "http://B.test:80", max_rps: 5}]')
    assert field == "targets.allow" and "http://b.test stands there twice, with different limits" in message
    assert read('["http://b.test", "http://b.test:80"]').targets_allow == ("http://b.test", "http://b.test")


PLAN: dict[str, Any] = {"model": "m", "target": "http://b.test/predict", "payload": {"rows": [{"x": 1}]}}
CAPPED = (TargetSpec("http://b.test", max_rps=50.0),)


def parse(**more: Any) -> Any:
    return parse_plan({**PLAN, **more}, "p", KNOWN, ["http://b.test"], {"m"}, CAPPED)


@pytest.mark.parametrize(
    ("shape", "peak"),
    [
        ({"constant": {"rate_rps": 51, "duration_s": 5}}, 51),
        ({"stages": [{"rate_rps": 10, "duration_s": 5}, {"rate_rps": 70, "duration_s": 5}]}, 70),
        ({"capacity": {"start_rps": 10, "stop_rps": 90, "step_s": 5}}, 90),
    ],
)
def test_a_plan_that_asks_for_more_than_its_target_takes_is_refused(shape: dict[str, Any], peak: float) -> None:
    with pytest.raises(Invalid) as refused:
        parse(shape=shape)
    [problem] = refused.value.problems
    assert problem.field == f"shape.{next(iter(shape))}"
    assert problem.message == (
        f"asks for {peak} requests/s, but http://b.test takes at most 50 (max_rps in targets.allow)"
    )


def test_a_plan_within_the_cap_and_one_of_users_pass() -> None:
    assert parse(shape={"constant": {"rate_rps": 50, "duration_s": 5}})
    assert parse(shape={"users": {"count": 1000, "spawn_per_s": 500, "duration_s": 5}})


@pytest.mark.parametrize(
    ("params", "peak"),
    [
        ({}, None),
        (None, None),
        ({"a_rps": "5"}, None),
        ({"a": [{"b_rps": 2}, {"c": {"d_rps": 3}}]}, 3.0),
        ({"x_rps": float("nan")}, None),
    ],
)
def test_the_highest_named_rate_is_found_wherever_it_stands(params: Any, peak: float | None) -> None:
    assert peak_rps(params) == peak


def test_a_permission_ends_with_its_last_day_in_utc() -> None:
    target = TargetSpec("http://b.test", until=date(2026, 12, 31))
    assert target.expired(datetime(2026, 12, 31, 23, 59, tzinfo=UTC)) is None
    assert target.expired(datetime(2027, 1, 1, tzinfo=UTC)) == (
        "http://b.test was allowed until 2026-12-31; write a later day under targets.allow and apply"
    )
    # Still the old year in UTC.
    assert target.expired(datetime(2027, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=2)))) is None
    assert TargetSpec("http://b.test").expired(datetime(2999, 1, 1, tzinfo=UTC)) is None


OWN: dict[str, Any] = {"scenario": "checkout.py", "shape": {"users": {"count": 5, "spawn_per_s": 1, "duration_s": 60}}}


def test_a_plan_may_name_a_locustfile_of_its_own() -> None:
    document = {"model": "m", "target": "http://b.test/", **OWN}
    plan = parse_plan(document, "p", KNOWN, ["http://b.test"], {"m"})
    assert (plan.scenario, plan.payload, plan.shape.kind) == ("checkout.py", PayloadSpec("rows"), "users")
    assert parse_plan(plan.document, "p", KNOWN, ["http://b.test"], {"m"}) == plan


@pytest.mark.parametrize(
    ("more", "field", "says"),
    [
        ({"payload": {"rows": [{"x": 1}]}}, "payload", "is not used"),
        ({"shape": {"constant": {"rate_rps": 5, "duration_s": 5}}}, "shape.constant", "write users: {count"),
        (
            {"shape": {"users": {"count": 5, "spawn_per_s": 5, "duration_s": 5, "wait_s": 1}}},
            "shape.users.wait_s",
            "is not used",
        ),
        ({"remote_workers": 2}, "remote_workers", "runs in one process"),
        ({"workers": 2}, "workers", "runs in one process"),
        ({"scenario": "../checkout.py"}, "scenario", "is no plain file name"),
        ({"scenario": "/etc/checkout.py"}, "scenario", "is no plain file name"),
        ({"scenario": "a/b"}, "scenario", "is no plain file name"),
        ({"scenario": ".py"}, "scenario", "is no plain file name"),
        ({"scenario": "checkout .py"}, "scenario", "is no plain file name"),
    ],
)
def test_what_a_locustfile_of_ones_own_cannot_have_is_refused(more: dict[str, Any], field: str, says: str) -> None:
    document = {"model": "m", "target": "http://b.test/", **OWN, **more}
    with pytest.raises(Invalid) as refused:
        parse_plan(document, "p", KNOWN, ["http://b.test"], {"m"})
    assert any(problem.field == field and says in problem.message for problem in refused.value.problems)


def test_an_unknown_scenario_is_told_that_a_file_is_possible() -> None:
    with pytest.raises(Invalid) as refused:
        parse(scenario="checkout", shape={"constant": {"rate_rps": 5, "duration_s": 5}})
    assert "or write FILE.py for a locustfile of yours" in refused.value.problems[0].message
