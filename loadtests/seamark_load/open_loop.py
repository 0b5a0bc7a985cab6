"""A load shape -> requests at their due instants, whatever the target does.

Open loop: an answer that is late delays no later request, and latency counts from the instant a request was due. A
target that freezes for two seconds is charged for every request that should have been sent in them. A segment with
users is the closed loop that other tools know: each user waits for its answer, and a request is due when it is sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from time import perf_counter
from typing import Any

import gevent

from seamark.compute.load_shape import Segment, Segments, Users
from seamark.core.load_errors import STOPPED_UNSENT, STOPPED_WAITING
from seamark_load.alarm import Alarm
from seamark_load.allowance import Allowance
from seamark_load.client import Answer, failed
from seamark_load.hands import Hands
from seamark_load.recorder import Recorder, Row
from seamark_load.track import Track

# The request number and its due instant (perf_counter seconds) -> the answer. Raises nothing but GreenletExit.
Send = Callable[[int, float], Answer]

BEHIND_MAX_S = 5.0  # a request later than this is not sent any more: the generator has fallen behind for good
BURST_S = 0.1  # of users and of files of one's own: what a rate cap lets through at once
PLANNED_BURST_S = 2.0  # of arrivals that were planned above the cap
BURST = 16  # requests handed out in a row before answers get a turn
UNREACHABLE_AFTER_S = 1.0
GIVE_UP_S = 0.5  # well within the service's grace, after which there is no last line
NAP_S = 0.1  # the longest sleep: how soon a stop is noticed
SWEEP_S = 0.05  # between two looks for requests that take too long


class Overtime(BaseException):
    """Thrown into a request that has taken longer than it may. Nothing on its way catches it by mistake."""


class OpenLoop:
    """Walks a shape's segments once; stop() ends it early. All instants are seconds from `begin()`.

    Of `stride` processes that share a run this is the one at `offset`: its requests bear the numbers offset, offset +
    stride, ... `drain_s` is how long a request may take before it is cut off. `max_rps` is what the target
    takes from this process at most.
    """

    def __init__(
        self,
        send: Send,
        recorder: Recorder,
        *,
        in_flight_max: int,
        drain_s: float,
        feedback: bool,
        offset: int = 0,
        stride: int = 1,
        max_rps: float | None = None,
    ) -> None:
        self._send, self._recorder = send, recorder
        self._in_flight_max, self._drain_s, self._feedback = in_flight_max, drain_s, feedback
        self._next_number, self._stride = offset, stride
        self._max_rps = max_rps
        self._planned = Allowance(max_rps, burst_s=PLANNED_BURST_S)
        self._allowance = Allowance(max_rps, burst_s=BURST_S)
        self._hands = Hands(self._one)
        self._in_flight: dict[int, gevent.Greenlet] = {}
        self._sent_s: dict[int, float] = {}  # of those in flight, oldest first
        self._zero = perf_counter()
        self._answered = False
        self._first_sent_s = math.inf
        self._cut_s: dict[int, float] = {}  # segments that end early, and when, from the run's first instant
        self._until_s = math.inf  # when the one under way ends early
        self.tracks: list[Track] = []
        self.sent = 0
        self.stopped: str | None = None
        self.unreachable: str | None = None
        self.lost: str | None = None  # nobody can be: it is one process
        self.cpu: tuple[float, bool] | None = None  # as its process

    @property
    def in_flight(self) -> int:
        """Requests sent and not ended."""
        return len(self._in_flight)

    @property
    def held_back(self) -> int:
        """Requests that the target's rate cap delayed or kept from being sent."""
        return self._allowance.held_back + self._planned.held_back

    def waiting_ms(self) -> list[float]:
        """For how long the requests in flight have been under way, oldest first: at least that slow they will be."""
        now_s = self.now_s
        return [(now_s - sent_s) * 1e3 for sent_s in self._sent_s.values()]

    @property
    def now_s(self) -> float:
        """Seconds since the run began."""
        return perf_counter() - self._zero

    def begin(self, at: float | None = None) -> None:
        """Make `at` (perf_counter seconds), or this instant, the run's first."""
        self._zero = perf_counter() if at is None else at

    def run(self, segments: Segments) -> None:
        """Send everything the shape asks for; returns when all of it has ended, or soon after stop()."""
        sweeper = gevent.spawn(self._sweep)
        try:
            segment = next(segments)
            while not self._over:
                track = self._walk(segment)
                if self._feedback:
                    self._drain()
                segment = segments.send(track.result())
        except StopIteration:
            pass
        finally:
            segments.close()
            self._drain()
            sweeper.kill()
        self.abandon()

    def stop(self, reason: str) -> None:
        """End the run soon; requests in flight will be given up and recorded so."""
        self.stopped = self.stopped or reason

    def cut(self, index: int, at_s: float) -> None:
        """End a segment of planned arrivals early: what is due from `at_s` on, of the run, is not sent."""
        self._cut_s.setdefault(index, at_s)
        if self.tracks and self.tracks[-1].segment.index == index:
            self._until_s = self._ends_early(self.tracks[-1].segment)

    def cut_now(self) -> None:
        """End the segment under way here."""
        if self.tracks:
            self.cut(self.tracks[-1].segment.index, self.now_s)

    def abandon(self) -> None:
        """Give up what is still in flight, and write down how far each request came. May be called twice."""
        gevent.killall(list(self._in_flight.values()), block=True, timeout=GIVE_UP_S)
        self._in_flight.clear()
        self._hands.dismiss()
        self._settle()

    @property
    def _over(self) -> bool:
        return self.stopped is not None or self.unreachable is not None

    def _walk(self, segment: Segment) -> Track:
        planned = self.tracks[-1].start_s + self.tracks[-1].segment.duration_s if self.tracks else 0.0
        start_s = max(planned, self.now_s) if self._feedback or not self.tracks else planned
        track = Track(segment, start_s if segment.start_s is None else segment.start_s)
        self.tracks.append(track)
        self._until_s = self._ends_early(segment)
        if segment.users is not None:
            self._walk_users(track, segment.users)
        else:
            self._walk_arrivals(track)
        self._sleep_until(track.start_s + segment.duration_s)
        if self._until_s < track.start_s + segment.duration_s:
            track.cut(max(self._until_s - track.start_s, 0.0))
        self._until_s = math.inf
        return track

    def _ends_early(self, segment: Segment) -> float:
        return self._cut_s.get(segment.index, math.inf) if segment.users is None else math.inf

    def _walk_arrivals(self, track: Track) -> None:
        alarm = Alarm()
        try:
            self._walk_by(alarm, track)
        finally:
            alarm.close()

    def _walk_by(self, alarm: Alarm, track: Track) -> None:
        start_s = track.start_s
        # Random arrivals of a rate within the cap come closer together now and then: they are what was allowed.
        cap = self._max_rps or math.inf
        above_cap = track.segment.asked_rps > cap * (1 + 1e-9)
        for index, due_s in enumerate(track.due_s):
            wait_s = start_s + due_s - self.now_s
            if wait_s > 0:
                if wait_s > NAP_S:
                    self._sleep_until(start_s + due_s - NAP_S)
                alarm.until(self._zero + min(start_s + due_s, self._until_s))
            elif index % BURST == 0:
                gevent.sleep(0)
            if self.stopped is not None or self.unreachable is not None or start_s + due_s >= self._until_s:
                return
            track.dispatched = index + 1
            if wait_s < -BEHIND_MAX_S:
                self._not_sent(track, index, f"not sent: the load generator fell {BEHIND_MAX_S:g} s behind")
            elif len(self._in_flight) >= self._in_flight_max:
                self._not_sent(track, index, f"not sent: {self._in_flight_max} requests were in flight")
            elif above_cap and not self._planned.passes():
                told = f"the target takes at most {cap * self._stride:g} requests/s (max_rps)"
                self._not_sent(track, index, f"not sent: {told}")
            else:
                number = self._take_number()
                self._in_flight[number] = self._hands.give(track, index, number)

    def _walk_users(self, track: Track, users: Users) -> None:
        """Start users at their rate; each sends, waits for the answer and for its think time, and sends again."""
        end_s = track.start_s + track.segment.duration_s
        started = []
        for index in range(users.count):
            self._sleep_until(track.start_s + index / users.spawn_per_s)
            if self._over or self.now_s >= end_s:
                break
            started.append(gevent.spawn(self._one_user, track, end_s, users.wait_s))
        self._sleep_until(end_s)
        if self._over:
            gevent.killall(started, block=True, timeout=GIVE_UP_S)

    def _one_user(self, track: Track, end_s: float, wait_s: float) -> None:
        while not self._over and self.now_s < end_s:
            if (held_s := self._allowance.delay_s()) > 0:
                self._sleep_until(self.now_s + held_s)
                if self.now_s >= end_s or self.stopped is not None or self.unreachable is not None:
                    return
            number = self._take_number()
            index = track.add(self.now_s - track.start_s)
            self._in_flight[number] = gevent.getcurrent()
            before_s = self.now_s
            self._one(track, index, number)
            # A target that fails at once must not turn users into a spinning loop.
            self._sleep_until(max(self.now_s + wait_s, before_s + (0.0 if track.ok[index] else NAP_S)))

    def _take_number(self) -> int:
        number = self._next_number
        self._next_number += self._stride
        return number

    def _sleep_until(self, instant_s: float) -> None:
        while (left_s := min(instant_s, self._until_s) - self.now_s) > 0 and not self._over:
            gevent.sleep(min(left_s, NAP_S))

    def _drain(self) -> None:
        """Wait until nothing is in flight any more; requests that take too long are cut off meanwhile."""
        end_s = self.now_s + self._drain_s + 1.0
        while self._in_flight and not self._over and self.now_s < end_s:
            gevent.sleep(0.005)

    def _sweep(self) -> None:
        """Cut off the requests that have taken too long. One look for all: a timer for each costs more than sending."""
        while True:
            gevent.sleep(SWEEP_S)
            oldest_s = self.now_s - self._drain_s
            late = []
            for number, sent_s in self._sent_s.items():
                if sent_s > oldest_s:
                    break
                late.append(number)
            for number in late:
                self._sent_s.pop(number, None)
                gevent.get_hub().loop.run_callback(self._cut_off, number, self._in_flight.get(number))

    def _cut_off(self, number: int, greenlet: Any) -> None:
        """Runs in the hub, so that nothing comes between the look and the throw: a greenlet may be at other work."""
        mine = self._in_flight.get(number)
        if mine is not None and mine is greenlet:
            mine.throw(Overtime())

    def _one(self, track: Track, index: int, number: int) -> None:
        due_s, sent_s = track.start_s + track.due_s[index], self.now_s
        self.sent += 1
        if self.sent == 1:
            self._first_sent_s = sent_s
        self._sent_s[number] = sent_s
        try:
            answer = self._send(number, self._zero + due_s)
        except gevent.GreenletExit:
            self._end(track, index, number, sent_s, None, Answer(None, STOPPED_WAITING))
            raise
        except Overtime:
            answer = failed(TimeoutError(), self._drain_s)
        except Exception as error:  # noqa: BLE001 - one odd answer must not end the run
            answer = failed(error, self._drain_s)
        finally:
            self._sent_s.pop(number, None)
            self._in_flight.pop(number, None)
        self._end(track, index, number, sent_s, self.now_s, answer)
        if not self._answered:
            self._look_at_reach(answer)

    def _end(self, track: Track, index: int, number: int, sent_s: float, ended_s: float | None, answer: Answer) -> None:
        """Write a request down. One that was cut off by the timeout counts with the time it took until then; one that
        ended without an answer in any other way has no latency: how soon it failed says nothing good.
        """
        due_s = track.start_s + track.due_s[index]
        latency_ms = service_ms = None
        if ended_s is not None and (answer.status is not None or answer.timed_out):
            track.latency_ms[index] = latency_ms = (ended_s - due_s) * 1e3
            track.service_latency_ms[index] = service_ms = (ended_s - sent_s) * 1e3
        ok = answer.error is None
        track.ended[index], track.ok[index] = True, ok
        track.lateness_ms[index] = (sent_s - due_s) * 1e3
        if answer.first_token_ms is not None:
            track.first_token_ms[index] = answer.first_token_ms
        if answer.time_per_token_ms is not None:
            track.time_per_token_ms[index] = answer.time_per_token_ms
        self._recorder.add(
            Row(
                track.segment.index,
                due_s,
                sent_s,
                latency_ms,
                service_ms,
                answer.status,
                ok,
                answer.error,
                number,
                answer.first_token_ms,
                answer.time_per_token_ms,
                answer.tokens,
                answer.matches,
            )
        )

    def _not_sent(self, track: Track, index: int, error: str) -> None:
        track.ended[index] = True
        due_s = track.start_s + track.due_s[index]
        self._recorder.add(Row(track.segment.index, due_s, None, None, None, None, False, error))

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
            for index in [i for i in range(track.dispatched) if not track.ended[i]]:
                self._not_sent(track, index, STOPPED_UNSENT)
        failures = self._recorder.failed
        if not self._answered and self.unreachable is None and self.stopped is None and self.sent and failures:
            self.unreachable = "no connection could be made to the target"
