"""What targets.allow says decides when a run begins, and ends one that is under way."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from seamark.core.errors import Conflict
from seamark.core.findings import RunStatus
from seamark.core.records import LOAD_SAMPLES
from seamark.engine import loadtests, permission
from seamark.engine.services import Services
from seamark.runner import locust
from seamark.runner.order import LoadOrder, RunnerOutcome

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def config(allow: str, rate_rps: float = 10) -> str:
    return f"""
models: [{{name: m}}]
targets: {{allow: [{allow}, "http://127.0.0.1:10"]}}
loadtests:
  - name: smoke
    model: m
    target: http://127.0.0.1:9/predict
    payload: {{rows: [{{x: 1}}]}}
    shape: {{constant: {{rate_rps: {rate_rps}, duration_s: 1}}}}
"""


UNTIL = '{url: "http://127.0.0.1:9", until: 2026-03-01}'
CAPPED = '{url: "http://127.0.0.1:9", max_rps: 20}'


def test_after_its_last_day_a_target_is_not_tested(services: Services) -> None:
    services.configuration.apply(config(UNTIL), AT)
    assert loadtests.enqueue(services, "smoke", AT).status == RunStatus.QUEUED
    with pytest.raises(Conflict, match=r"http://127.0.0.1:9 was allowed until 2026-03-01"):
        loadtests.enqueue(services, "smoke", AT + timedelta(days=1))
    current = services.configuration.current()
    assert permission.allowed(current, AT) == ("http://127.0.0.1:9", "http://127.0.0.1:10")
    assert permission.allowed(current, AT + timedelta(days=1)) == ("http://127.0.0.1:10",)


def test_a_run_that_waited_past_the_last_day_does_not_begin(services: Services) -> None:
    now = services.clock.now()
    services.configuration.apply(config(UNTIL.replace("2026-03-01", str(now.date()))), now)
    run = loadtests.enqueue(services, "smoke", now)
    services.configuration.apply(config(UNTIL.replace("2026-03-01", str(now.date() - timedelta(days=1)))), now)
    assert loadtests.work(services, now, lambda: False)
    ended = services.catalog.runs.get(run.id)
    assert ended.status == RunStatus.INCONCLUSIVE and "was allowed until" in ended.reason


def test_a_cap_that_came_after_the_plan_holds_at_start(services: Services) -> None:
    services.configuration.apply(config('"http://127.0.0.1:9"', rate_rps=30), AT)
    plan = services.configuration.plan("smoke")
    services.configuration.apply(config(CAPPED), AT)
    with pytest.raises(Conflict, match=r"the plan asks for 30 requests/s, but http://127.0.0.1:9 takes at most 20"):
        permission.check(services.configuration.current(), plan, AT)
    with pytest.raises(Conflict, match=r"http://127.0.0.1:11 is not on targets.allow"):
        permission.check(services.configuration.current(), replace(plan, target="http://127.0.0.1:11/x"), AT)
    assert permission.caps(services.configuration.current()) == {"http://127.0.0.1:9": 20.0}


def test_a_run_is_stopped_when_its_target_is_taken_off_the_list(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = services.clock.now()
    services.configuration.apply(config(CAPPED), now)
    seen: list[LoadOrder] = []

    def under_way(order: LoadOrder, *, work_dir: Path, should_stop: Any, on_stopped: Any, **_: Any) -> RunnerOutcome:
        seen.append(order)
        assert not should_stop()
        services.configuration.apply('models: [{name: m}]\ntargets: {allow: ["http://127.0.0.1:10"]}', now)
        services.clock.advance(2)  # type: ignore[attr-defined]
        assert should_stop()
        on_stopped()
        return RunnerOutcome(LOAD_SAMPLES.empty_table(), aborted="stopped before its end", notes=("held back",))

    monkeypatch.setattr(locust, "run", under_way)
    run = loadtests.enqueue(services, "smoke", now)
    loadtests.work(services, now, lambda: False)
    ended = services.catalog.runs.get(run.id)
    assert (ended.status, ended.reason) == (
        RunStatus.ABORTED,
        "stopped: http://127.0.0.1:9 is not on targets.allow",
    )
    assert ended.verdict is not None and ended.verdict.notes == ("held back",)
    [order] = seen
    assert order.caps == {"http://127.0.0.1:9": 20.0} and order.closed == (services.data_dir,)
    assert order.loadtests_dir == services.loadtests_dir
