"""What the users of somebody's own locustfile did -> samples, a line of progress a second, and a last line.

Closed loop: a user that waits for an answer asks nothing meanwhile. There is no due instant, so a request is due when
it is sent, and its latency is what Locust measured from there.
"""

from __future__ import annotations

import os
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import gevent

from seamark.compute.abort import AbortWatch
from seamark_load.own_file import OwnOrder, told
from seamark_load.recorder import Recorder, Row, Second, to_file
from seamark_load.session import Tell
from seamark_load.watch import CpuWatch

if TYPE_CHECKING:  # it loads Locust, which patches the process
    from seamark_load.every_request import EveryRequest

NOTES_MAX = 8
KINDS_MAX = 20


class Recording:
    """What the run did, told to the service line by line. finish() ends it; only its first call counts."""

    def __init__(self, order: OwnOrder, tell: Tell, samples: Path) -> None:
        self._order, self._tell = order, tell
        self._recorder, self._cpu, self._abort = Recorder(to_file(samples)), CpuWatch(), AbortWatch(order.abort)
        self._zero: float | None = None
        self._finished = self._over = self._ending = False
        self._refused: dict[str, int] = {}
        self._raised: dict[str, int] = {}
        self._environment: Any = None
        self.requests: EveryRequest | None = None
        self.stopped: str | None = None
        self.fenced_by_kernel = True

    # --- Locust's events ---

    def on_init(self, environment: Any, **_: Any) -> None:
        """Keep a shape of the file's own within the plan's users."""
        self._environment = environment
        if environment.shape_class is not None:
            tick, most = environment.shape_class.tick, self._order.users

            def within() -> Any:
                asked = tick()
                self._over = self._over or asked is None
                return None if asked is None else (min(int(asked[0]), most), *asked[1:])

            environment.shape_class.tick = within

    def on_start(self, **_: Any) -> None:
        """The run's first instant."""
        self._zero = perf_counter()
        gevent.spawn(self._tick_each_second)

    def on_request(
        self, response_time: Any, exception: Any, response: Any = None, context: Any = None, **_: Any
    ) -> None:
        """One ended request, whichever client made it."""
        number = self.requests.take_number(context) if self.requests else None
        if self._zero is None or self._finished:
            return
        known = isinstance(response_time, int | float)
        latency_ms = float(response_time) if known else None
        sent_s = max(perf_counter() - self._zero - (latency_ms or 0.0) / 1e3, 0.0)
        status = getattr(response, "status_code", None)
        error = None if exception is None else str(exception) or type(exception).__name__
        whole = status if isinstance(status, int) and 100 <= status <= 999 else None
        self._recorder.add(Row(0, sent_s, sent_s, latency_ms, latency_ms, whole, error is None, error, number))

    def on_cut_off(self, sent_at: float, number: int | None) -> None:
        """A request that was not answered when its user was ended; `sent_at` by perf_counter."""
        if self._zero is not None and not self._finished:
            sent_s = max(sent_at - self._zero, 0.0)
            self._recorder.add(Row(0, sent_s, sent_s, None, None, None, False, "stopped before an answer", number))

    def on_user_error(self, exception: BaseException, tb: Any = None, **_: Any) -> None:
        """A task that raised; Locust goes on with the next one."""
        _count(self._raised, told(exception, self._order.locustfile))

    def on_refused(self, what: str) -> None:
        """Something that the sandbox did not let happen."""
        _count(self._refused, what)

    def on_quitting(self, **_: Any) -> None:
        """Locust ends: by time, by the file's shape, by a signal, or because the file said so."""
        self.finish(None if self._over else f"the locustfile ended the run {self._when()}")

    def at_exit(self) -> None:
        """The interpreter ends and Locust never said so: sys.exit() in a task."""
        self.finish(f"the locustfile ended its process {self._when()}")

    # --- the end ---

    def finish(self, ended: str | None = None, error: str | None = None) -> None:
        """Write down what is known and tell the last line."""
        if self._finished:
            return
        now_s = min(self._now_s, self._order.duration_s)
        for sent_at, number in self.requests.in_flight if self.requests else ():
            self.on_cut_off(sent_at, number)
        self._tell_progress(self._recorder.take_second())
        self._finished = True
        self._recorder.flush()
        self._tell(
            {
                "kind": "end",
                "segments": []
                if self._zero is None
                else [{"index": 0, "asked_rps": 0.0, "start_s": 0.0, "duration_s": max(now_s, 1e-3)}],
                "generator_cpu_ratio": round(self._cpu.ratio, 4),
                "generator_saturated": self._cpu.saturated,
                "aborted": self.stopped or ended,
                "unreachable": None,
                "error": error,
                "notes": self._notes(),
            }
        )

    def _notes(self) -> list[str]:
        notes = [
            "closed loop: latency counts from the send, and a user that waits asks nothing (coordinated omission)",
        ]
        held_back = self.requests.held_back if self.requests else 0
        if held_back:
            notes.append(f"{held_back} requests were held back to keep max_rps of targets.allow")
        notes += [f"refused ({count} x): {what}" for what, count in self._refused.items()]
        notes += [f"raised in the locustfile ({count} x): {what}" for what, count in self._raised.items()]
        if not self.fenced_by_kernel:
            notes.append("this kernel has no Landlock: the locustfile was fenced in by Python's audit hook alone")
        return [note[:500] for note in notes[:NOTES_MAX]]

    @property
    def _now_s(self) -> float:
        return 0.0 if self._zero is None else perf_counter() - self._zero

    def _when(self) -> str:
        return f"after {self._now_s:.1f} s of {self._order.duration_s:g} s" if self._zero else "before it began"

    def _tick_each_second(self) -> None:
        second = 1
        while not self._finished:
            due_s = second if self._ending else min(second, self._order.duration_s)
            gevent.sleep(max(0.0, due_s - self._now_s))
            second = max(second + 1, int(self._now_s) + 1)
            try:
                self._recorder.flush()
            except OSError as error:
                self.finish(error=f"the samples could not be written: {error.strerror}")
                os._exit(1)
            self._cpu.tick()
            last = self._recorder.take_second()
            self._tell_progress(last)
            self._end_if_over(last)

    def _end_if_over(self, last: Second) -> None:
        """Have Locust end when the time is over or an abort condition has come true."""
        if self._ending:
            return  # users that wait for an answer are given time for it
        met = self._abort.observe(self._now_s, last)
        if met is not None:
            self.stopped = f"the abort condition {met} was met"
        if met is not None or self._now_s >= self._order.duration_s:
            self._over = self._ending = True
            gevent.spawn(self._environment.runner.quit)

    def _tell_progress(self, last: Second) -> None:
        recorder = self._recorder
        in_flight = len(self.requests.in_flight) if self.requests else 0
        self._tell(
            {
                "kind": "progress",
                "t_s": round(self._now_s, 3),
                "segment": 0,
                "asked_rps": 0.0,
                "sent": recorder.done + in_flight,
                "done": recorder.done,
                "failed": recorder.failed,
                "not_sent": 0,
                "in_flight": in_flight,
                **last.quantiles(),
            }
        )


def _count(into: dict[str, int], what: str) -> None:
    """Count by text; of many texts the first are told, the rest together."""
    key = what if what in into or len(into) < KINDS_MAX else "and others"
    into[key] = into.get(key, 0) + 1
