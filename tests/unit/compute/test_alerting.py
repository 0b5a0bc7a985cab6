"""The diagram of an alert's life, walked step by step and by random walks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamark.compute.alerting import RESOLVED_KEPT, step
from seamark.core.findings import AlertRule, AlertState, AlertStatus, Transition

T0 = datetime(2026, 3, 1, tzinfo=UTC)
INACTIVE, PENDING, FIRING, RESOLVED = AlertStatus


def rule(for_s: float = 0.0, keep_s: float = 0.0) -> AlertRule:
    return AlertRule("Test", {"alertname": "Test"}, "page", for_s=for_s, keep_s=keep_s)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def walk(
    conditions: list[bool | None], of: AlertRule, every_s: float = 10.0
) -> list[tuple[AlertState, list[Transition]]]:
    state, found = AlertState(), []
    for number, condition in enumerate(conditions):
        state, transitions = step(state, condition, 1.0, at(number * every_s), of)
        found.append((state, transitions))
    return found


def statuses(conditions: list[bool | None], of: AlertRule) -> list[AlertStatus]:
    return [state.status for state, _ in walk(conditions, of)]


def test_without_dwell_times_it_fires_and_resolves_at_once() -> None:
    walked = walk([False, True, True, False], rule())
    assert [state.status for state, _ in walked] == [INACTIVE, FIRING, FIRING, RESOLVED]
    assert [sent for _, sent in walked] == [[], [Transition(FIRING, at(10))], [], [Transition(RESOLVED, at(30))]]
    assert walked[1][0].started_at == at(10) == walked[3][0].started_at
    assert walked[3][0].since == at(30)


def test_it_must_be_so_for_long_enough_before_it_fires() -> None:
    assert statuses([True, True, True, True], rule(for_s=20)) == [PENDING, PENDING, FIRING, FIRING]
    assert statuses([True, True, False, True, True, True], rule(for_s=20)) == [
        PENDING, PENDING, INACTIVE, PENDING, PENDING, FIRING,
    ]  # fmt: skip


def test_it_must_not_be_so_for_long_enough_before_it_resolves() -> None:
    assert statuses([True, False, False, False], rule(keep_s=20)) == [FIRING, FIRING, FIRING, RESOLVED]
    assert statuses([True, False, True, False, False, False], rule(keep_s=20)) == [FIRING] * 5 + [RESOLVED]


def test_resolved_fires_again_or_is_forgotten_after_a_day() -> None:
    assert statuses([True, False, True], rule()) == [FIRING, RESOLVED, FIRING]
    assert statuses([True, False, True], rule(for_s=10)) == [PENDING, INACTIVE, PENDING]
    resolved = walk([True, False], rule())[-1][0]
    kept, _ = step(resolved, False, 0.0, at(10) + RESOLVED_KEPT - timedelta(seconds=1), rule())
    assert kept.status == RESOLVED
    gone, sent = step(resolved, False, 0.0, at(10) + RESOLVED_KEPT, rule())
    assert gone.status == INACTIVE and sent == []


@pytest.mark.parametrize("conditions", [[False], [True], [True, True, True], [True, True, True, False, False]])
def test_unknown_moves_nothing_and_remembers_since_when(conditions: list[bool | None]) -> None:
    of = rule(for_s=20, keep_s=5)
    known = walk(conditions, of)[-1][0]
    unknown, sent = step(known, None, None, at(1000), of)
    still, _ = step(unknown, None, None, at(2000), of)
    assert sent == [] and still.unknown_since == at(1000) and still.value == known.value
    assert (still.status, still.since, still.started_at, still.clear_since) == (
        known.status, known.since, known.started_at, known.clear_since,
    )  # fmt: skip
    assert step(still, True, 2.0, at(3000), of)[0].unknown_since is None


random_walk = st.lists(st.tuples(st.sampled_from([True, False, None]), st.floats(0, 100)), max_size=40)
rules = st.builds(rule, st.sampled_from([0.0, 5.0, 60.0]), st.sampled_from([0.0, 5.0, 60.0]))


@given(random_walk, rules)
def test_random_walks_stay_on_the_diagram(steps: list[tuple[bool | None, float]], of: AlertRule) -> None:
    ways = {
        INACTIVE: {INACTIVE, PENDING, FIRING},
        PENDING: {PENDING, INACTIVE, FIRING},
        FIRING: {FIRING, RESOLVED},
        RESOLVED: {RESOLVED, PENDING, FIRING, INACTIVE},
    }
    state, now, sent = AlertState(), 0.0, []
    for condition, wait_s in steps:
        now += wait_s
        before = state
        state, transitions = step(state, condition, 1.0, at(now), of)
        sent += transitions
        assert state.status in ways[before.status]
        if condition is None:
            assert state.status == before.status and not transitions
        changed = state.status != before.status
        assert (state.since == at(now)) or not changed
        if state.status in (FIRING, RESOLVED):
            assert state.started_at is not None
        assert [t.to for t in transitions] == ([state.status] if changed and state.status in (FIRING, RESOLVED) else [])
        if transitions and transitions[0].to == FIRING and of.for_s:
            assert before.since is not None and now - (before.since - T0).total_seconds() >= of.for_s - 1e-6
    assert [t.to for t in sent] == [FIRING, RESOLVED] * (len(sent) // 2) + [FIRING] * (len(sent) % 2)
