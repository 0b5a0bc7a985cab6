"""An order -> one run: shape, sender, recorder, abort conditions, one line of progress a second, one last line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import gevent

from seamark.compute.abort import AbortWatch
from seamark.compute.load_shape import Watch
from seamark.compute.shapes import SHAPES
from seamark.compute.token_notes import TokenNotes
from seamark_load.crew import Crew, CrewTrack
from seamark_load.open_loop import OpenLoop, Send
from seamark_load.order import Order
from seamark_load.recorder import Recorder, Second, to_file
from seamark_load.track import Track
from seamark_load.watch import CpuWatch

# Writes one line to the service.
Tell = Callable[[dict[str, Any]], None]


def lines_to_service() -> Tell:
    """Keep the real stdout for JSON lines; whatever else prints goes to stderr."""
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(document: dict[str, Any]) -> None:
        lines.write(json.dumps(document, separators=(",", ":")) + "\n")
        lines.flush()

    return tell


class Session:
    """One run in this process. run() drives it; finish() may come first, from a signal."""

    def __init__(self, order: Order, tell: Tell, tokens: TokenNotes) -> None:
        self.order, self._tell, self._tokens = order, tell, tokens
        self._shape = SHAPES[order.shape]
        self._recorder = Recorder(to_file(order.samples))
        self._cpu = CpuWatch()
        self._abort = AbortWatch(order.abort)
        self._watched: int | None = None  # the segment that is looked at for whether it is hopeless
        self._watch: Watch | None = None
        self._loop: OpenLoop | Crew | None = None
        self._error: str | None = None
        self._finished = False
        self._ended_s = 0.0

    @property
    def feedback(self) -> bool:
        """Whether a segment waits for the answers of the one before."""
        return self._shape.feedback

    def alone(self, send: Send) -> None:
        """Send what the shape asks for from this process, and tell how it went."""
        order = self.order
        self._run(
            OpenLoop(
                send,
                self._recorder,
                in_flight_max=order.in_flight_max,
                drain_s=order.timeout_s,
                feedback=self.feedback,
                max_rps=order.max_rps,
            )
        )

    def lead(self, runner: Any, token: str) -> Crew:
        """Return the crew whose workers, known by `token`, send what the shape asks for; run_crew() begins."""
        return Crew(runner, self._recorder, self.order, token=token, feedback=self.feedback, tokens=self._tokens)

    def run_crew(self, crew: Crew) -> None:
        """Have the workers send, and tell how it went."""
        self._run(crew)

    def _run(self, loop: OpenLoop | Crew) -> None:
        order = self.order
        self._loop = loop
        loop.begin()
        ticker = gevent.spawn(self._tick_each_second, loop)
        try:
            loop.run(self._shape.segments(order.shape_params, order.thresholds, order.seed))
        except Exception as error:  # noqa: BLE001 - told to the service, which has nothing else to go by
            self._error = f"{type(error).__name__}: {error}"
        ticker.kill(block=True)
        self.finish()

    def refuse(self, reason: str) -> None:
        """End before the first request."""
        self._error = reason
        self.finish()

    def finish(self, stopped: str | None = None) -> None:
        """Write down what is known and tell the last line; the first call does, later ones do nothing."""
        if self._finished:
            return
        self._finished = True
        loop = self._loop
        if loop is not None:
            self._ended_s = loop.now_s
            if stopped:
                loop.stop(stopped)
            loop.abandon()
        try:
            if loop is not None:
                self._tell(self._progress(loop, self._recorder.take_second()))
            self._recorder.flush()
        except OSError as error:
            self._error = self._error or f"the samples could not be written: {error.strerror}"
        self._tell(self._last_line(loop))

    def _tick_each_second(self, loop: OpenLoop | Crew) -> None:
        second = 1
        while True:
            gevent.sleep(min(max(0.0, second - loop.now_s), 1.0))
            if loop.now_s < second:  # the workers are not there yet
                continue
            second = max(second + 1, int(loop.now_s) + 1)
            try:
                self._recorder.flush()
                self._cpu.tick()
                last = self._recorder.take_second()
                self._tell(self._progress(loop, last))
                self._abort_if_met(loop, last)
                self._cut_if_hopeless(loop, last)
            except OSError as error:
                self._error = f"the samples could not be written: {error.strerror}"
                loop.stop(self._error)

    def _abort_if_met(self, loop: OpenLoop | Crew, last: Second) -> None:
        met = self._abort.observe(loop.now_s, last, waiting_ms=loop.waiting_ms())
        if met is not None:
            loop.stop(f"the abort condition {met} was met")

    def _cut_if_hopeless(self, loop: OpenLoop | Crew, last: Second) -> None:
        """End a step of a search early where more of the same says nothing more.

        The first second in which a segment is seen is left out: what ended in it may be of the one before.
        """
        if self._shape.give_up is None or not loop.tracks:
            return
        segment = loop.tracks[-1].segment
        if segment.index != self._watched:
            self._watched = segment.index
            self._watch = self._shape.give_up(segment, self.order.thresholds) if segment.asked_rps else None
        elif self._watch is not None and self._watch.hopeless(last):
            self._watch = None
            loop.cut_now()

    def _progress(self, loop: OpenLoop | Crew, last: Second) -> dict[str, Any]:
        segment = loop.tracks[-1].segment if loop.tracks else None
        recorder = self._recorder
        return {
            "kind": "progress",
            "t_s": round(max(loop.now_s, 0.0), 3),
            "segment": segment.index if segment else 0,
            "asked_rps": segment.asked_rps if segment else 0.0,
            "sent": loop.sent,
            "done": recorder.done,
            "failed": recorder.failed,
            "not_sent": recorder.not_sent,
            "in_flight": loop.in_flight,
            "cpu_ratio": loop.cpu[0] if loop.cpu else self._cpu.last_ratio,
            **last.quantiles(),
        }

    def _last_line(self, loop: OpenLoop | Crew | None) -> dict[str, Any]:
        tracks = loop.tracks if loop else []
        held_back = loop.held_back if loop else 0
        cpu_ratio, saturated = (loop.cpu if loop else None) or (self._cpu.ratio, self._cpu.saturated)
        return {
            "kind": "end",
            "segments": [
                {
                    "index": track.segment.index,
                    "asked_rps": track.segment.asked_rps,
                    "start_s": track.start_s,
                    "duration_s": track.segment.duration_s,
                    "ran_s": self._ran_s(loop, track) if loop else None,
                }
                for track in tracks
            ],
            "generator_cpu_ratio": round(cpu_ratio, 4),
            "generator_saturated": saturated,
            "aborted": loop.stopped if loop and not self._error and not loop.lost else None,
            "unreachable": loop.unreachable if loop else None,
            "error": self._error or (loop.lost if loop else None),
            "tokens": self._tokens.to_document() if self._tokens.known else None,
            "notes": [f"{held_back} requests were held back to keep max_rps of targets.allow"] if held_back else [],
        }

    def _ran_s(self, loop: OpenLoop | Crew, track: Track | CrewTrack) -> float | None:
        """How much of its time a segment was run, where the run was stopped in it; None: all of it."""
        if loop.stopped is None and loop.unreachable is None and loop.lost is None:
            return None
        return round(min(track.segment.duration_s, max(self._ended_s - track.start_s, 0.001)), 3)
