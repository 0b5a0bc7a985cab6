"""A load shape -> shares for several Locust workers -> one run, as if one process had sent it all.

The master sends nothing itself. It cuts each segment's arrivals into shares, one for every worker, by turns, so that
together they are the very arrivals that were planned; workers ship the rows of what ended, and nothing is estimated.
All count from one instant, which the master names by the wall clock: on one machine that is exact, between machines as
good as their clocks, and only the pattern of arrivals depends on it, no latency does.
"""

from __future__ import annotations

import hmac
import math
import time
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import gevent
import numpy as np
import numpy.typing as npt

from seamark.compute.load_shape import Segment, SegmentResult, Segments
from seamark.compute.token_notes import TokenNotes
from seamark_load.order import Order, files_of
from seamark_load.recorder import Recorder

TO_WORKER, TO_MASTER = "seamark_to_worker", "seamark_to_master"
LEAD_S = 1.0  # how long before it begins a segment is handed out
SILENT_S = 5.0  # a worker that says nothing for so long is lost; Locust's own heartbeat sees it after three seconds
LAST_WORDS_S = 0.8  # what workers that are told to stop have for their last rows, within the service's grace
LOOK_S = 0.02
FloatArray = npt.NDArray[np.float64]
_COLUMNS = ("due_s", "sent_s", "latency_ms", "service_latency_ms", "ok", "first_token_ms", "time_per_token_ms")


class CrewTrack:
    """One segment under way on all workers: the rows that have come."""

    def __init__(self, segment: Segment, start_s: float) -> None:
        self.segment, self.start_s = segment, start_s
        self.cut_at_s: float | None = None  # from start_s
        self.rows: list[tuple[FloatArray, ...]] = []

    def result(self) -> SegmentResult:
        """What the shape is told, aligned with the planned arrivals; those that no row has come of are unknown."""
        due_s, sent_s, latency_ms, service_ms, ok, first_ms, per_token_ms = self._columns()
        whole_plan = self.segment.users is None and self.cut_at_s is None
        planned = self.segment.arrivals if whole_plan else due_s - self.start_s
        whole = np.full((6, len(planned)), np.nan)
        if len(due_s):
            # Rows and arrivals are both in order of being due, and each row is one arrival's.
            place = np.minimum(np.searchsorted(planned, due_s - self.start_s - 5e-7), max(len(planned) - 1, 0))
            place = _without_repeats(place, len(planned))
            whole[:, place] = latency_ms, service_ms, (sent_s - due_s) * 1e3, ok, first_ms, per_token_ms
        if self.cut_at_s is not None:  # each request that was handed out has a row, and no other
            self.segment = self.segment.until(self.cut_at_s, planned)
        return SegmentResult(self.segment, whole[0], whole[1], whole[2], whole[3] == 1, whole[4], whole[5])

    def _columns(self) -> list[FloatArray]:
        if not self.rows:
            return [np.empty(0)] * len(_COLUMNS)
        columns = [np.concatenate(parts).astype(np.float64) for parts in zip(*self.rows, strict=True)]
        order = np.argsort(columns[0], kind="stable")
        return [column[order] for column in columns]


@dataclass
class Member:
    """A worker as the master knows it."""

    offset: int
    heard_at: float = field(default_factory=perf_counter)
    status: dict[str, Any] = field(default_factory=dict)
    done: int = -1  # the last segment it has come to the end of
    finished: bool = False


class Crew:
    """Does for several workers what OpenLoop does for one process; as many as the order names are waited for."""

    def __init__(
        self, runner: Any, recorder: Recorder, order: Order, *, token: str, feedback: bool, tokens: TokenNotes
    ) -> None:
        self._runner, self._recorder, self._order, self._tokens = runner, recorder, order, tokens
        self._size, self._token, self._drain_s, self._feedback = order.workers, token, order.timeout_s, feedback
        self._zero = math.inf  # until all workers are there
        self._by_segment: dict[int, CrewTrack] = {}
        self.members: dict[str, Member] = {}
        self.tracks: list[CrewTrack] = []
        self.stopped: str | None = None
        self.unreachable: str | None = None
        self.lost: str | None = None

    @property
    def now_s(self) -> float:
        """Seconds since the run began; below 0 before."""
        return perf_counter() - self._zero

    @property
    def sent(self) -> int:
        """Requests sent by all workers."""
        return int(sum(member.status.get("sent", 0) for member in self.members.values()))

    @property
    def in_flight(self) -> int:
        """Requests sent and not ended, of all workers."""
        return int(sum(member.status.get("in_flight", 0) for member in self.members.values()))

    @property
    def held_back(self) -> int:
        """Requests that the target's rate cap delayed or kept from being sent, of all workers."""
        return int(sum(member.status.get("held_back", 0) for member in self.members.values()))

    @property
    def cpu(self) -> tuple[float, bool]:
        """The busiest worker's share of a core, and whether any was saturated."""
        told = [member.status for member in self.members.values()]
        ratios = [status.get("cpu_ratio", 0.0) for status in told]
        return max(ratios, default=0.0), any(status.get("saturated") for status in told)

    def waiting_ms(self) -> list[float]:
        """For how long the requests in flight have been under way, as the workers said last."""
        return [age for member in self.members.values() for age in member.status.get("waiting_ms", ())]

    def begin(self) -> None:
        """The run begins when all workers are there; see run()."""

    def hear(self, client_id: str, said: dict[str, Any]) -> None:
        """Take in what a worker says."""
        kind = said["kind"]
        if kind == "hello":
            self._welcome(client_id, said)
            return
        member = self.members.get(client_id)
        if member is None:
            return
        member.heard_at = perf_counter()
        if kind == "rows":
            self._take_rows(said["chunk"])
        elif kind == "done":
            member.done = max(member.done, said["index"])
        elif kind == "finished":
            member.finished = True
            self._tokens.merge(TokenNotes.from_document(said["tokens"]))
        member.status.update(said.get("status", {}))
        self.unreachable = self.unreachable or said.get("unreachable")

    def run(self, segments: Segments) -> None:
        """Have everything sent that the shape asks for; returns when all of it has ended, or soon after stop()."""
        if not self._gather():
            segments.close()
            return
        try:
            segment = next(segments)
            while not self._over:
                track = self._walk(segment)
                segment = segments.send(track.result())
        except StopIteration:
            pass
        finally:
            segments.close()
        if not self._over:
            self._send({"kind": "end"})
            self._wait(lambda: all(member.finished for member in self.members.values()), self._drain_s + 5.0)
        self.abandon()

    def stop(self, reason: str) -> None:
        """End the run soon."""
        self.stopped = self.stopped or reason

    def cut_now(self) -> None:
        """End the segment under way as soon as all workers can have heard of it."""
        track = self.tracks[-1] if self.tracks else None
        at_s = self.now_s + LEAD_S / 2
        if track is None or track.cut_at_s is not None or at_s >= track.start_s + track.segment.duration_s:
            return
        track.cut_at_s = max(at_s - track.start_s, 0.0)
        self._send({"kind": "cut", "index": track.segment.index, "at_s": at_s})

    def abandon(self) -> None:
        """Tell the workers to give up, and take in their last rows. May be called twice."""
        left = [member for member in self.members.values() if not member.finished]
        if left:
            self._send({"kind": "stop", "reason": self.stopped or "the run is over"})
            end = perf_counter() + LAST_WORDS_S
            while perf_counter() < end and not all(member.finished for member in left):
                gevent.sleep(LOOK_S)
            for member in left:
                member.finished = True

    @property
    def _over(self) -> bool:
        return self.stopped is not None or self.unreachable is not None or self.lost is not None

    def _welcome(self, client_id: str, said: dict[str, Any]) -> None:
        known = isinstance(said.get("token"), str) and hmac.compare_digest(said["token"], self._token)
        if not known or client_id in self.members or len(self.members) >= self._size:
            return
        if said.get("wants_order"):
            files = files_of(self._order.samples.parent)
            self._runner.send_message(TO_WORKER, {"kind": "order", "files": files}, client_id)
        self.members[client_id] = Member(len(self.members))

    def _gather(self) -> bool:
        """Wait for all workers, and name the instant from which all count."""
        end = perf_counter() + self._order.join_s
        while len(self.members) < self._size and not self._over:
            if perf_counter() > end:
                self.lost = f"only {len(self.members)} of {self._size} workers came within {self._order.join_s:g} s"
                return False
            gevent.sleep(LOOK_S)
        self._zero = perf_counter() + LEAD_S
        zero = time.time() + LEAD_S
        for client_id, member in self.members.items():
            begin = {"kind": "begin", "zero": zero, "offset": member.offset, "stride": self._size}
            self._runner.send_message(TO_WORKER, begin, client_id)
        return not self._over

    def _walk(self, segment: Segment) -> CrewTrack:
        before = self.tracks[-1] if self.tracks else None
        planned = before.start_s + before.segment.duration_s if before else 0.0
        start_s = max(planned, self.now_s + LEAD_S / 2) if self._feedback and before else planned
        track = CrewTrack(segment, start_s)
        self.tracks.append(track)
        self._by_segment[segment.index] = track
        self._hand_out(track)
        if self._feedback:
            self._wait(
                lambda: all(member.done >= segment.index for member in self.members.values()),
                start_s + segment.duration_s - self.now_s + self._drain_s + 5.0,
            )
        else:
            self._wait(lambda: self.now_s >= start_s + segment.duration_s - LEAD_S, segment.duration_s + LEAD_S)
        return track

    def _hand_out(self, track: CrewTrack) -> None:
        segment, users = track.segment, track.segment.users
        for client_id, member in self.members.items():
            share = {
                "kind": "segment",
                "index": segment.index,
                "asked_rps": segment.asked_rps / self._size,
                "duration_s": segment.duration_s,
                "start_s": track.start_s,
                "arrivals": segment.arrivals[member.offset :: self._size].tobytes(),
                "users": None,
            }
            if users is not None:
                count = len(range(member.offset, users.count, self._size))
                share["users"] = [count, users.spawn_per_s / self._size, users.wait_s]
            self._runner.send_message(TO_WORKER, share, client_id)

    def _send(self, document: dict[str, Any]) -> None:
        for client_id in self.members:
            self._runner.send_message(TO_WORKER, document, client_id)

    def _wait(self, until: Any, longest_s: float) -> None:
        end = perf_counter() + longest_s
        while not self._over and not until():
            if perf_counter() > end:
                self.lost = "the workers of the load generator did not come to an end"
            self._look_for_lost()
            gevent.sleep(LOOK_S)

    def _look_for_lost(self) -> None:
        now = perf_counter()
        for member in self.members.values():
            if not member.finished and now - member.heard_at > SILENT_S:
                number = member.offset + 1
                self.lost = f"worker {number} of {self._size} went away {max(self.now_s, 0):.0f} s into the run"

    def _take_rows(self, chunk: bytes) -> None:
        for columns in self._recorder.add_chunk(chunk):
            for index in np.unique(columns["segment"]).tolist():
                track = self._by_segment.get(index)
                if track is not None:
                    mine = columns["segment"] == index
                    track.rows.append(tuple(columns[name][mine] for name in _COLUMNS))


def _without_repeats(places: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Move places that coincide (arrivals due at one instant) on to the next free one; ascending in, ascending out."""
    moved = np.maximum.accumulate(places - np.arange(len(places))) + np.arange(len(places))
    return np.asarray(np.minimum(moved, count - 1), dtype=np.int64)
