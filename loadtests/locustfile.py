"""What Locust runs: one user per process that sends a load shape, open loop, to one allowed target.

Started by the service as `locust -f locustfile.py --headless` in a work folder that holds the order; with several
workers there is a master beside them, which sends nothing and hands out shares. Progress and the outcome go to stdout
as JSON lines, samples to a file in the folder.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import gevent
from locust import User, constant, events, task
from locust.exception import StopUser
from locust.runners import MasterRunner, WorkerRunner

from seamark.compute.token_notes import TokenNotes
from seamark_load.answers import Reading
from seamark_load.client import guard_connections
from seamark_load.crew import TO_MASTER, TO_WORKER, Crew
from seamark_load.guard import Guard, Refused
from seamark_load.member import WorkerMember
from seamark_load.open_loop import Send
from seamark_load.order import Order, read_order
from seamark_load.pinned import Pins
from seamark_load.scenarios import SCENARIOS
from seamark_load.sender import Sender
from seamark_load.session import Session, lines_to_service
from seamark_load.watch import bound_memory, die_with_parent

HERE = Path.cwd()
TOKEN = os.environ.pop("SEAMARK_LOAD_TOKEN")
die_with_parent(int(os.environ["SEAMARK_LOAD_PARENT"]))
bound_memory()
TELL = lines_to_service()
TOKENS = TokenNotes()  # of all answers that this process gets
guard_connections(Pins({}))  # nothing is connected to before the order is known


class Role:
    """What this process is in the run; known when Locust has made its runner."""

    session: Session | None = None  # of a process that sends alone, and of the master
    member: WorkerMember | None = None
    crew: Crew | None = None


def _prepare() -> tuple[Order, Send]:
    order = read_order(HERE)
    guard_connections(Pins(order.addresses))
    scenario = SCENARIOS[order.scenario]
    reading = Reading(scenario, order.answers, order.answer, order.answer_tolerance, TOKENS)
    return order, Sender(order, Guard(order.allow), scenario, reading).send


class OpenLoopUser(User):
    """All arrivals of this process come from this one user; what the target leaves unanswered is in flight."""

    host = "http://none.invalid"  # Locust asks for one; the order names the target
    wait_time = constant(0)

    @task
    def drive(self) -> None:
        """Send the whole shape once, or this worker's share of it, then end."""
        if Role.member is not None:
            Role.member.work(HERE, TOKEN, _prepare)
        elif Role.session is not None:
            try:
                Role.session.alone(_prepare()[1])
            except Refused as error:
                Role.session.refuse(str(error))
            gevent.spawn(self.environment.runner.quit)
        raise StopUser


def _on_init(environment: Any, runner: Any, **_: Any) -> None:
    if isinstance(runner, WorkerRunner):
        member = Role.member = WorkerMember(runner, TOKENS)
        runner.register_message(TO_WORKER, lambda msg, **_: member.hear(msg.data))
        return
    session = Role.session = Session(read_order(HERE), TELL, TOKENS)
    # Locust hears the last one first: before the master lets its workers go.
    environment.events.quitting.add_listener(_on_quitting)
    if isinstance(runner, MasterRunner):
        crew = Role.crew = session.lead(runner, TOKEN)
        runner.register_message(TO_MASTER, lambda msg, **_: crew.hear(msg.node_id, msg.data))


def _on_test_start(environment: Any, **_: Any) -> None:
    session, crew = Role.session, Role.crew
    if session is not None and crew is not None:
        gevent.spawn(_conduct, session, crew, environment.runner)


def _conduct(session: Session, crew: Crew, runner: Any) -> None:
    session.run_crew(crew)
    runner.quit()


def _on_quitting(**_: Any) -> None:
    """Asked to end, by a signal or by itself: tell what is known before Locust goes."""
    if Role.session is not None:
        Role.session.finish(stopped="stopped before its end")


events.init.add_listener(_on_init)  # type: ignore[no-untyped-call]
events.test_start.add_listener(_on_test_start)  # type: ignore[no-untyped-call]
