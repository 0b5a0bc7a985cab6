"""What Locust runs: one user that sends a whole load shape, open loop, to one allowed target.

Started by the service as `locust -f locustfile.py --headless` in a work folder that holds the order. Progress and
the outcome go to stdout as JSON lines, samples to a file in the folder.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from time import perf_counter
from typing import Any

import gevent
from locust import FastHttpUser, constant, events, task
from locust.exception import StopUser

from seamark_load.client import Answer, GuardedPool, failed, guard_connections, harden, read_answer
from seamark_load.guard import Guard, Refused
from seamark_load.order import read_order
from seamark_load.scenarios import SCENARIOS
from seamark_load.session import Session, lines_to_service
from seamark_load.watch import bound_memory, die_with_parent

ORDER = read_order(Path.cwd())
die_with_parent(ORDER.parent_pid)
bound_memory()
SESSION = Session(ORDER, lines_to_service())
guard_connections()
GUARD = Guard(ORDER.allow)
SCENARIO = SCENARIOS[ORDER.scenario]
# Trace ids must differ between runs of one seed, so they come from elsewhere.
TRACE_IDS = random.Random(os.urandom(16))
OVERTIME_S = 0.25  # the socket's own timeout comes first; this one ends answers that drip


class OpenLoopUser(FastHttpUser):
    """All arrivals come from this one user; as many requests are in flight as the target leaves unanswered."""

    host = ORDER.target
    fixed_count = 1
    wait_time = constant(0)
    insecure = False
    max_redirects = 0
    max_retries = 0
    connection_timeout = network_timeout = ORDER.timeout_s
    client_pool = GuardedPool(
        GUARD,
        concurrency=ORDER.in_flight_max + 1,
        connection_timeout=ORDER.timeout_s,
        network_timeout=ORDER.timeout_s,
        insecure=False,
    )

    def on_start(self) -> None:
        harden(self.client)

    @task
    def drive(self) -> None:
        """Send the whole shape once, then end the process."""
        try:
            GUARD.check_url(ORDER.target)
            SESSION.run(self.send)
        except Refused as error:
            SESSION.refuse(str(error))
        gevent.spawn(self.environment.runner.quit)
        raise StopUser

    def send(self, number: int, due: float) -> Answer:
        """Send one request and return what came back; `due` (perf_counter) is where its response time begins."""
        body = SCENARIO.body(ORDER.payloads[number % len(ORDER.payloads)])
        with gevent.Timeout(ORDER.timeout_s + OVERTIME_S) as overtime:
            try:
                return self._send(body, due)
            except gevent.Timeout as timeout:
                if timeout is not overtime:
                    raise
                return failed(timeout, ORDER.timeout_s)

    def _send(self, body: bytes, due: float) -> Answer:
        client: Any = self.client  # its annotation leaves out bytes, which it takes
        response = client.request(
            SCENARIO.method,
            ORDER.target,
            name=ORDER.plan,
            data=body,
            headers=_headers(),
            catch_response=True,
            stream=True,
        )
        with response:
            answer = read_answer(response, SCENARIO.judge, ORDER.timeout_s)
            response.request_meta["response_time"] = (perf_counter() - due) * 1e3
            response.request_meta["response_length"] = answer.length
            if answer.error is None:
                response.success()
            else:
                response.failure(answer.error)
        return answer


def _headers() -> dict[str, str]:
    trace_id, span_id = TRACE_IDS.getrandbits(128) or 1, TRACE_IDS.getrandbits(64) or 1
    return {
        **SCENARIO.headers,
        "User-Agent": f"seamark-loadtest/{ORDER.version}",
        "Accept-Encoding": "identity",
        "traceparent": f"00-{trace_id:032x}-{span_id:016x}-01",
        "baggage": "user_agent.synthetic.type=test",
        "seamark-synthetic": "test",
    }


def _on_quitting(**_: Any) -> None:
    """Asked to end, by a signal or by itself: tell what is known before Locust goes."""
    SESSION.finish(stopped="stopped before its end")


events.quitting.add_listener(_on_quitting)  # type: ignore[no-untyped-call]
