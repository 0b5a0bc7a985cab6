"""One alert, one evaluation: the state before and what is so now -> the state after and what is to be sent.

    inactive --so--> pending --so for for_s--> firing --not so for keep_s--> resolved --a day later--> inactive
                        |                                                       |
                        +--not so--> inactive                  pending <--so----+

Unknown (None) moves nothing: it only remembers since when it is unknown.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from seamark.core.findings import AlertRule, AlertState, AlertStatus, Transition

RESOLVED_KEPT = timedelta(days=1)  # whoever comes in the morning sees what came and went at night


def step(
    state: AlertState, condition: bool | None, value: float | None, at: datetime, rule: AlertRule
) -> tuple[AlertState, list[Transition]]:
    """Return the state after evaluating `condition` at `at`, and the transitions to be sent (firing, resolved)."""
    if condition is None:
        return replace(state, unknown_since=state.unknown_since or at), []
    state = replace(state, unknown_since=None, value=value)
    if state.status == AlertStatus.FIRING:
        return _while_firing(state, condition, at, rule)
    if not condition:
        lately = state.since is not None and at - state.since < RESOLVED_KEPT
        if state.status == AlertStatus.INACTIVE or (state.status == AlertStatus.RESOLVED and lately):
            return state, []
        return _to(state, AlertStatus.INACTIVE, at), []
    if state.status != AlertStatus.PENDING:
        state = replace(_to(state, AlertStatus.PENDING, at), started_at=None)
    assert state.since is not None
    if at - state.since < timedelta(seconds=rule.for_s):
        return state, []
    return replace(_to(state, AlertStatus.FIRING, at), started_at=at), [Transition(AlertStatus.FIRING, at)]


def _while_firing(
    state: AlertState, condition: bool, at: datetime, rule: AlertRule
) -> tuple[AlertState, list[Transition]]:
    if condition:
        return replace(state, clear_since=None), []
    clear_since = state.clear_since or at
    if at - clear_since < timedelta(seconds=rule.keep_s):
        return replace(state, clear_since=clear_since), []
    return _to(state, AlertStatus.RESOLVED, at), [Transition(AlertStatus.RESOLVED, at)]


def _to(state: AlertState, status: AlertStatus, at: datetime) -> AlertState:
    return replace(state, status=status, since=at, clear_since=None)
