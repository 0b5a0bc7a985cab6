"""What Locust runs: one user that sends a whole load shape, open loop, to one allowed target.

Started by the service as `locust -f locustfile.py --headless` in a work folder that holds the order. Progress and
the outcome go to stdout as JSON lines, samples to a file in the folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gevent
from locust import User, constant, events, task
from locust.exception import StopUser

from seamark_load.client import guard_connections
from seamark_load.guard import Guard, Refused
from seamark_load.order import read_order
from seamark_load.scenarios import SCENARIOS
from seamark_load.sender import Sender
from seamark_load.session import Session, lines_to_service
from seamark_load.watch import bound_memory, die_with_parent

ORDER = read_order(Path.cwd())
die_with_parent(ORDER.parent_pid)
bound_memory()
SESSION = Session(ORDER, lines_to_service())
guard_connections()


class OpenLoopUser(User):
    """All arrivals come from this one user; as many requests are in flight as the target leaves unanswered."""

    host = ORDER.target
    fixed_count = 1
    wait_time = constant(0)

    @task
    def drive(self) -> None:
        """Send the whole shape once, then end the process."""
        try:
            SESSION.run(Sender(ORDER, Guard(ORDER.allow), SCENARIOS[ORDER.scenario]).send)
        except Refused as error:
            SESSION.refuse(str(error))
        gevent.spawn(self.environment.runner.quit)
        raise StopUser


def _on_quitting(**_: Any) -> None:
    """Asked to end, by a signal or by itself: tell what is known before Locust goes."""
    SESSION.finish(stopped="stopped before its end")


events.quitting.add_listener(_on_quitting)  # type: ignore[no-untyped-call]
