"""What a load generator writes of requests that the target has no part in."""

from __future__ import annotations

STOPPED_WAITING = "stopped before an answer"
STOPPED_UNSENT = "not sent: the run was stopped"
GIVEN_UP = frozenset({STOPPED_WAITING, STOPPED_UNSENT})
