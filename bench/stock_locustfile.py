"""Locust as its documentation shows it, told by the environment how: USERS_RATE requests a second of each user, or 0
for as fast as it can. Prints its own CPU seconds of the run at its end.
"""

from __future__ import annotations

import json
import os
import resource
from typing import Any

from locust import FastHttpUser, constant, constant_throughput, events, task

RATE = float(os.environ["USERS_RATE"])
STARTED = [0.0]


class Visitor(FastHttpUser):
    """Waits for each answer before it sends the next request."""

    wait_time = constant_throughput(RATE) if RATE else constant(0)

    @task
    def predict(self) -> None:
        """One prediction."""
        self.client.post("/predict", data=b'{"x":1.0}', headers={"Content-Type": "application/json"})


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@events.test_start.add_listener
def _begin(**_: Any) -> None:
    STARTED[0] = _cpu_s()


@events.test_stop.add_listener
def _end(environment: Any, **_: Any) -> None:
    total = environment.stats.total
    told = {
        "cpu_s": _cpu_s() - STARTED[0],
        "requests": total.num_requests,
        "failed": total.num_failures,
        **{f"p{level:g}_ms": total.get_response_time_percentile(level / 100) for level in (50, 95, 99)},
        "max_ms": total.max_response_time,
    }
    with open("told.json", "w", encoding="utf-8") as file:  # noqa: PTH123 - the folder it is run in
        json.dump(told, file)
