"""A load shape -> requests at their due instants, whatever the target does.

Open loop: an answer that is late delays no later request, and latency counts from the instant a request was due. A
target that freezes for two seconds is charged for every request that should have been sent in them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter

import gevent
import numpy as np
import numpy.typing as npt
from gevent.pool import Pool

from seamark.compute.load_shape import Segment, SegmentResult, Segments
from seamark_load.client import Answer, failed
from seamark_load.recorder import Recorder, Row

# The request number and its due instant (perf_counter seconds) -> the answer. Raises nothing but GreenletExit.
Send = Callable[[int, float], Answer]

BEHIND_MAX_S = 5.0  # a request later than this is not sent any more: the generator has fallen behind for good
BURST = 16  # requests handed out in a row before answers get a turn
UNREACHABLE_AFTER_S = 1.0
GIVE_UP_S = 2.0
NAP_S = 0.25  # the longest sleep: how soon a stop is noticed
LATENESS_MIN_MS = 10.0
LATENESS_SAMPLES_MIN = 100


@dataclass
class Track:
    """One segment under way: what is known of each of its requests, NaN where nothing is yet."""

    segment: Segment
    start_s: float
    latency_ms: npt.NDArray[np.float64] = field(init=False)
    service_latency_ms: npt.NDArray[np.float64] = field(init=False)
    lateness_ms: npt.NDArray[np.float64] = field(init=False)
    ok: npt.NDArray[np.bool_] = field(init=False)
    ended: npt.NDArray[np.bool_] = field(init=False)
    dispatched: int = 0

    def __post_init__(self) -> None:
        count = len(self.segment.arrivals)
        self.latency_ms, self.service_latency_ms, self.lateness_ms = (np.full(count, np.nan) for _ in range(3))
        self.ok, self.ended = np.zeros(count, bool), np.zeros(count, bool)

    def due_s(self, index: int) -> float:
        """When a request is due, in seconds from the run's start."""
        return self.start_s + float(self.segment.arrivals[index])

    def result(self) -> SegmentResult:
        """What the shape is told. Copies: answers may still come in."""
        latency_ms, service_ms, lateness_ms = self.latency_ms, self.service_latency_ms, self.lateness_ms
        return SegmentResult(self.segment, latency_ms.copy(), service_ms.copy(), lateness_ms.copy(), self.ok.copy())

    def lateness_p99_ms(self) -> float | None:
        """None where too few were sent to say."""
        known = self.lateness_ms[~np.isnan(self.lateness_ms)]
        return float(np.quantile(known, 0.99)) if len(known) >= LATENESS_SAMPLES_MIN else None


class OpenLoop:
    """Walks a shape's segments once; stop() ends it early. All instants are seconds from `begin()`."""

    def __init__(self, send: Send, recorder: Recorder, *, in_flight_max: int, drain_s: float, feedback: bool) -> None:
        self._send, self._recorder = send, recorder
        self._in_flight_max, self._drain_s, self._feedback = in_flight_max, drain_s, feedback
        self._pool = Pool(in_flight_max)
        self._zero = perf_counter()
        self._answered = False
        self._first_sent_s = math.inf
        self.tracks: list[Track] = []
        self.sent = 0
        self.stopped: str | None = None
        self.unreachable: str | None = None

    @property
    def in_flight(self) -> int:
        """Requests sent and not ended."""
        return len(self._pool)

    @property
    def now_s(self) -> float:
        """Seconds since the run began."""
        return perf_counter() - self._zero

    def begin(self) -> None:
        """Make this instant the run's first."""
        self._zero = perf_counter()

    def run(self, segments: Segments) -> None:
        """Send everything the shape asks for; returns when all of it has ended, or soon after stop()."""
        try:
            segment = next(segments)
            while not self._over:
                track = self._walk(segment)
                if self._feedback and not self._over:
                    self._pool.join(timeout=self._drain_s)
                segment = segments.send(track.result())
        except StopIteration:
            pass
        finally:
            segments.close()
        if not self._over:
            self._pool.join(timeout=self._drain_s)
        self.abandon()

    def stop(self, reason: str) -> None:
        """End the run soon; requests in flight will be given up and recorded so."""
        self.stopped = self.stopped or reason

    def abandon(self) -> None:
        """Give up what is still in flight, and write down how far each request came. May be called twice."""
        self._pool.kill(block=True, timeout=GIVE_UP_S)
        self._settle()

    @property
    def _over(self) -> bool:
        return self.stopped is not None or self.unreachable is not None

    def _walk(self, segment: Segment) -> Track:
        planned = self.tracks[-1].start_s + self.tracks[-1].segment.duration_s if self.tracks else 0.0
        track = Track(segment, max(planned, self.now_s) if self._feedback or not self.tracks else planned)
        self.tracks.append(track)
        for index in range(len(segment.arrivals)):
            wait_s = track.due_s(index) - self.now_s
            if wait_s > 0:
                self._sleep_until(track.due_s(index))
            elif index % BURST == 0:
                gevent.sleep(0)
            if self._over:
                return track
            track.dispatched = index + 1
            self._dispatch(track, index, wait_s)
        self._sleep_until(track.start_s + segment.duration_s)
        return track

    def _sleep_until(self, instant_s: float) -> None:
        while not self._over and (left_s := instant_s - self.now_s) > 0:
            gevent.sleep(min(left_s, NAP_S))

    def _dispatch(self, track: Track, index: int, wait_s: float) -> None:
        if wait_s < -BEHIND_MAX_S:
            self._not_sent(track, index, f"not sent: the load generator fell {BEHIND_MAX_S:g} s behind")
        elif self._pool.full():
            self._not_sent(track, index, f"not sent: {self._in_flight_max} requests were in flight")
        else:
            self._pool.spawn(self._one, track, index)

    def _one(self, track: Track, index: int) -> None:
        due_s, sent_s = track.due_s(index), self.now_s
        number, self.sent = self.sent, self.sent + 1
        self._first_sent_s = min(self._first_sent_s, sent_s)
        try:
            answer = self._send(number, self._zero + due_s)
        except gevent.GreenletExit:
            answer = Answer(None, "stopped before an answer")
            self._end(track, index, number, sent_s, None, answer)
            raise
        except Exception as error:  # noqa: BLE001 - one odd answer must not end the run
            answer = failed(error, self._drain_s)
        self._end(track, index, number, sent_s, self.now_s, answer)
        self._look_at_reach(answer)

    def _end(self, track: Track, index: int, number: int, sent_s: float, ended_s: float | None, answer: Answer) -> None:
        """Write a request down. One that was cut off by the timeout counts with the time it took until then; one that
        ended without an answer in any other way has no latency: how soon it failed says nothing good.
        """
        due_s = track.due_s(index)
        latency_ms = service_ms = None
        if ended_s is not None and (answer.status is not None or answer.timed_out):
            latency_ms, service_ms = (ended_s - due_s) * 1e3, (ended_s - sent_s) * 1e3
        ok = answer.error is None
        track.ended[index], track.ok[index] = True, ok
        track.lateness_ms[index] = (sent_s - due_s) * 1e3
        if latency_ms is not None:
            track.latency_ms[index], track.service_latency_ms[index] = latency_ms, service_ms
        told = (answer.first_token_ms, answer.time_per_token_ms, answer.tokens, answer.matches)
        row = Row(
            track.segment.index, due_s, sent_s, latency_ms, service_ms, answer.status, ok, answer.error, number, *told
        )
        self._recorder.add(row)

    def _not_sent(self, track: Track, index: int, error: str) -> None:
        track.ended[index] = True
        self._recorder.add(Row(track.segment.index, track.due_s(index), None, None, None, None, False, error))

    def _look_at_reach(self, answer: Answer) -> None:
        """A target that no connection could be made to in the first second is not there: stop, do not hammer on."""
        self._answered = self._answered or answer.connected
        if not self._answered and self.unreachable is None:
            refused = (answer.error or "").startswith("refused:")
            if refused or self.now_s - self._first_sent_s >= UNREACHABLE_AFTER_S:
                self.unreachable = answer.error

    def _settle(self) -> None:
        """Give every request that was handed out its one row, also those that were stopped before they began."""
        for track in self.tracks:
            for index in np.flatnonzero(~track.ended[: track.dispatched]):
                self._not_sent(track, int(index), "not sent: the run was stopped")
        failures = self._recorder.failed
        if not self._answered and self.unreachable is None and self.stopped is None and self.sent and failures:
            self.unreachable = "no connection could be made to the target"
