"""One Locust worker of a run: a share of each segment comes from the master, the rows of what ended go back."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import gevent
import numpy as np
from gevent.queue import Queue

from seamark.compute.load_shape import Segment, Segments, Users
from seamark.compute.shapes import SHAPES
from seamark.compute.token_notes import TokenNotes
from seamark_load.crew import TO_MASTER
from seamark_load.open_loop import OpenLoop, Send
from seamark_load.order import Order, is_here
from seamark_load.recorder import Recorder
from seamark_load.watch import CpuWatch

SHIP_S = 0.2  # between two shipments of rows
# What a worker that is done waits for Locust's master to let it go: that one may be killed before it has said so.
LET_GO_S = 2.0
WAITING_TOLD = 200  # of the oldest requests in flight their age


class WorkerMember:
    """Works through what the master hands out; hear() takes its messages from Locust."""

    def __init__(self, runner: Any, tokens: TokenNotes) -> None:
        self._runner, self._tokens = runner, tokens
        self._heard: Queue[dict[str, Any]] = Queue()
        self._loop: OpenLoop | None = None
        self._cpu = CpuWatch()
        self._working = False

    def hear(self, said: dict[str, Any]) -> None:
        """Take in what the master says; a stop is heard at once, whatever is under way, and so is a cut."""
        if said["kind"] == "stop" and self._loop is not None:
            self._loop.stop(said["reason"])
        if said["kind"] == "cut":
            if self._loop is not None:
                self._loop.cut(said["index"], said["at_s"])
            return
        self._heard.put(said)

    def work(self, work_dir: Path, token: str, prepare: Callable[[], tuple[Order, Send]]) -> None:
        """Join, send the shares that come, and return when the master says it is over; this process ends soon after.

        `prepare` reads the order that lies in `work_dir`; where none does, the master sends it.
        """
        if self._working:  # Locust gives the user of a lost worker to another one
            return
        self._working = True
        self._take_part(work_dir, token, prepare)
        gevent.spawn_later(LET_GO_S, self._runner.quit)

    def _take_part(self, work_dir: Path, token: str, prepare: Callable[[], tuple[Order, Send]]) -> None:
        self._say({"kind": "hello", "token": token, "wants_order": not is_here(work_dir)})
        begin = self._heard.get()
        if begin["kind"] == "order":
            for name, content in begin["files"].items():
                (work_dir / Path(name).name).write_bytes(content)
            begin = self._heard.get()
        if begin["kind"] != "begin":
            return
        order, send = prepare()
        recorder = Recorder(lambda chunk: self._say({"kind": "rows", "chunk": chunk}))
        self._loop = loop = OpenLoop(
            send,
            recorder,
            in_flight_max=order.in_flight_max,
            drain_s=order.timeout_s,
            feedback=SHAPES[order.shape].feedback,
            offset=begin["offset"],
            stride=begin["stride"],
            max_rps=None if order.max_rps is None else order.max_rps / begin["stride"],
        )
        loop.begin(perf_counter() + begin["zero"] - time.time())
        ticker = gevent.spawn(self._ship, loop, recorder)
        loop.run(self._segments(recorder))
        ticker.kill()
        recorder.flush()
        last = {"status": self._status(loop), "unreachable": loop.unreachable, "tokens": self._tokens.to_document()}
        self._say({"kind": "finished", **last})

    def _segments(self, recorder: Recorder) -> Segments:
        while True:
            said = self._heard.get()
            if said["kind"] != "segment":
                return
            yield _segment(said)
            recorder.flush()
            self._say({"kind": "done", "index": said["index"]})

    def _ship(self, loop: OpenLoop, recorder: Recorder) -> None:
        looked = perf_counter()
        while True:
            gevent.sleep(SHIP_S)
            if perf_counter() - looked >= 1.0:
                self._cpu.tick()
                looked = perf_counter()
            recorder.flush()
            self._say({"kind": "status", "status": self._status(loop), "unreachable": loop.unreachable})

    def _status(self, loop: OpenLoop) -> dict[str, Any]:
        return {
            "sent": loop.sent,
            "in_flight": loop.in_flight,
            "waiting_ms": loop.waiting_ms()[:WAITING_TOLD],
            "held_back": loop.held_back,
            "cpu_ratio": self._cpu.ratio,
            "saturated": self._cpu.saturated,
        }

    def _say(self, document: dict[str, Any]) -> None:
        self._runner.send_message(TO_MASTER, document)


def _segment(said: dict[str, Any]) -> Segment:
    users = said["users"]
    return Segment(
        said["index"],
        said["asked_rps"],
        said["duration_s"],
        np.frombuffer(said["arrivals"], dtype=np.float64),
        users=Users(*users) if users and users[0] else None,
        start_s=said["start_s"],
    )
