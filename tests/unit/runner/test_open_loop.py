"""The open loop by itself: what is sent when the target is slow, the generator is late, or the run is stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import gevent
import numpy as np
import pytest

from seamark.compute.load_shape import Segment, SegmentResult, Segments, Users
from seamark.runner.locust import read_samples
from seamark_load import open_loop
from seamark_load.alarm import Alarm
from seamark_load.client import Answer
from seamark_load.hands import Hands
from seamark_load.open_loop import OpenLoop
from seamark_load.recorder import Recorder, Row
from seamark_load.watch import CpuWatch

OK = Answer(200, None)


def segment(index: int, rate: float, duration_s: float) -> Segment:
    return Segment(index, rate, duration_s, np.arange(int(rate * duration_s)) / rate)


def run(
    tmp_path: Path,
    send: Callable[[int, float], Answer],
    segments: Segments,
    *,
    during: Callable[[OpenLoop], Any] | None = None,
    **settings: Any,
) -> tuple[OpenLoop, list[dict[str, Any]]]:
    chunks: list[bytes] = []
    recorder = Recorder(chunks.append)
    loop = OpenLoop(send, recorder, **{"in_flight_max": 100, "drain_s": 2.0, "feedback": True, **settings})
    loop.begin()
    other = gevent.spawn(during, loop) if during else None
    loop.run(segments)
    if other is not None:
        other.get()
    recorder.flush()
    (tmp_path / "s.bin").write_bytes(b"".join(chunks))
    rows = read_samples(tmp_path / "s.bin", "r").to_pylist()
    return loop, sorted(rows, key=lambda row: (row["segment"], row["due_s"]))


def each(*segments: Segment, results: list[SegmentResult] | None = None) -> Segments:
    for one in segments:
        result = yield one
        if results is not None:
            results.append(result)


def slowly(seconds: float) -> Callable[[int, float], Answer]:
    def send(number: int, due: float) -> Answer:
        gevent.sleep(seconds)
        return OK

    return send


@pytest.mark.slow
def test_a_slow_target_delays_no_request_and_is_charged_from_the_due_instant(tmp_path: Path) -> None:
    results: list[SegmentResult] = []
    loop, rows = run(tmp_path, slowly(0.3), each(segment(0, 50, 0.4), results=results))
    assert len(rows) == 20 == loop.sent
    for row in rows:
        assert row["sent_s"] >= row["due_s"]
        assert row["latency_ms"] >= row["service_latency_ms"] >= 299
    (result,) = results
    assert result.ok.all() and (result.latency_ms >= 300).all() and (result.lateness_ms >= 0).all()


@pytest.mark.slow
def test_in_flight_is_bounded_and_what_is_not_sent_is_counted(tmp_path: Path) -> None:
    results: list[SegmentResult] = []
    loop, rows = run(tmp_path, slowly(0.5), each(segment(0, 50, 0.4), results=results), in_flight_max=5)
    unsent = [row for row in rows if row["sent_s"] is None]
    assert len(rows) == 20 and len(unsent) == 15 and loop.sent == 5
    assert {row["error"] for row in unsent} == {"not sent: 5 requests were in flight"}
    assert int(np.isnan(results[0].lateness_ms).sum()) == 15 and not results[0].ok[-1]


@pytest.mark.slow
def test_a_step_of_a_search_waits_for_the_last_answer_and_other_shapes_do_not(tmp_path: Path) -> None:
    for feedback in (True, False):
        results: list[SegmentResult] = []
        segments = each(segment(0, 20, 0.1), segment(1, 20, 0.1), results=results)
        loop, rows = run(tmp_path, slowly(0.4), segments, feedback=feedback)
        first, second = loop.tracks
        assert len(rows) == 4 and all(row["ok"] for row in rows)
        if feedback:
            assert second.start_s > 0.4 and results[0].ok.all()
        else:
            assert second.start_s == pytest.approx(first.start_s + 0.1) and not results[0].ok.any()


def test_one_odd_answer_does_not_end_the_run(tmp_path: Path) -> None:
    def send(number: int, due: float) -> Answer:
        if number == 2:
            raise ValueError("odd")
        return OK

    _, rows = run(tmp_path, send, each(segment(0, 50, 0.1)))
    assert [row["error"] for row in rows] == [None, None, "ValueError", None, None]


def test_a_request_cut_off_by_the_timeout_has_a_latency_and_a_lost_one_has_none(tmp_path: Path) -> None:
    answers = [
        Answer(None, "no answer within 1 s", timed_out=True),
        Answer(None, "connection lost"),
        Answer(503, "HTTP 503"),
    ]
    results: list[SegmentResult] = []
    _, rows = run(tmp_path, lambda number, due: answers[number], each(segment(0, 30, 0.1), results=results))
    assert [row["latency_ms"] is None for row in rows] == [False, True, False]
    assert list(np.isnan(results[0].latency_ms)) == [False, True, False] and not results[0].ok.any()


@pytest.mark.slow
def test_a_stopped_run_gives_every_request_that_was_handed_out_one_row(tmp_path: Path) -> None:
    def stop_soon(loop: OpenLoop) -> None:
        gevent.sleep(0.3)
        loop.stop("enough")

    loop, rows = run(tmp_path, slowly(60), each(segment(0, 100, 60)), during=stop_soon, drain_s=60.0)
    assert loop.stopped == "enough" and 10 < len(rows) < 200
    assert len(rows) == loop.tracks[0].dispatched
    assert {row["error"] for row in rows} <= {"stopped before an answer", "not sent: the run was stopped"}
    assert len({row["due_s"] for row in rows}) == len(rows)


@pytest.mark.slow
def test_a_generator_that_falls_behind_says_so_instead_of_sending_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_loop, "BEHIND_MAX_S", 0.05)
    held = iter([True])

    def send(number: int, due: float) -> Answer:
        if next(held, False):
            until = loop_time() + 0.3
            while loop_time() < until:
                pass
        return OK

    from time import perf_counter as loop_time

    _, rows = run(tmp_path, send, each(segment(0, 100, 0.5)))
    late = [row for row in rows if row["sent_s"] is None]
    assert len(rows) == 50 and late and all("fell 0.05 s behind" in row["error"] for row in late)


@pytest.mark.slow
def test_a_target_nobody_can_connect_to_is_given_up(tmp_path: Path) -> None:
    refused = Answer(None, "cannot connect: connection refused", connected=False)
    loop, rows = run(tmp_path, lambda number, due: refused, each(segment(0, 20, 60)))
    assert loop.unreachable == refused.error and len(rows) < 60
    assert {row["latency_ms"] for row in rows} == {None}


def test_a_short_run_without_one_connection_is_unreachable_too(tmp_path: Path) -> None:
    loop, _ = run(tmp_path, lambda n, due: Answer(None, "x", connected=False), each(segment(0, 50, 0.1)))
    assert loop.unreachable == "no connection could be made to the target"


@pytest.mark.slow
def test_a_segment_without_arrivals_lasts_as_long_as_it_says(tmp_path: Path) -> None:
    loop, rows = run(tmp_path, lambda number, due: OK, each(Segment(0, 0.0, 0.2, np.array([])), segment(1, 50, 0.1)))
    assert len(rows) == 5 and loop.tracks[1].start_s >= 0.2


def test_cpu_is_saturated_only_after_three_busy_seconds_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = cpu = 0.0
    monkeypatch.setattr("seamark_load.watch.time.perf_counter", lambda: wall)
    monkeypatch.setattr("seamark_load.watch.time.process_time", lambda: cpu)
    watch = CpuWatch()
    for busy, saturated in (
        (1.0, False),
        (1.0, False),
        (0.1, False),
        (0.95, False),
        (1.0, False),
        (0.99, True),
        (0.0, True),
    ):
        wall, cpu = wall + 1.0, cpu + busy
        assert watch.tick() == pytest.approx(busy)
        assert watch.saturated is saturated
    assert watch.ratio == pytest.approx(5.04 / 7)


@pytest.mark.slow
def test_users_wait_for_their_answers_and_are_started_one_after_the_other(tmp_path: Path) -> None:
    results: list[SegmentResult] = []
    closed = Segment(0, 0.0, 0.5, np.empty(0), users=Users(4, 20.0))
    loop, rows = run(tmp_path, slowly(0.1), each(closed, results=results), feedback=False)
    # Started at 0, 50, 100 and 150 ms, each sends again as soon as its answer of 100 ms is there, and no sooner.
    assert 4 <= len(rows) == loop.sent <= 18
    assert all(row["ok"] and row["latency_ms"] >= 99 and row["due_s"] <= row["sent_s"] for row in rows)
    assert sorted(row["number"] for row in rows) == list(range(len(rows)))
    assert len([row for row in rows if row["due_s"] < 0.049]) == 1
    busy = [sum(one["sent_s"] <= at["sent_s"] < one["sent_s"] + 0.099 for one in rows) for at in rows]
    assert max(busy) <= 4
    assert loop.in_flight == 0


@pytest.mark.slow
def test_users_think_and_do_not_hammer_a_target_that_fails(tmp_path: Path) -> None:
    thinking = Segment(0, 0.0, 0.4, np.empty(0), users=Users(1, 100.0, wait_s=0.15))
    _, rows = run(tmp_path, slowly(0.0), each(thinking), feedback=False)
    assert 1 <= len(rows) <= 3
    failing = Segment(0, 0.0, 0.4, np.empty(0), users=Users(2, 100.0))
    _, rows = run(tmp_path, lambda number, due: Answer(500, "HTTP 500"), each(failing), feedback=False)
    assert 2 <= len(rows) <= 10


def test_processes_that_share_a_run_number_their_requests_apart(tmp_path: Path) -> None:
    _, rows = run(tmp_path, lambda number, due: OK, each(segment(0, 50, 0.1)), offset=2, stride=3)
    assert [row["number"] for row in rows] == [2, 5, 8, 11, 14]


@pytest.mark.slow
def test_a_request_that_takes_too_long_is_cut_off_and_counted_so(tmp_path: Path) -> None:
    loop, rows = run(tmp_path, slowly(30), each(segment(0, 10, 0.2)), drain_s=0.3)
    assert {row["error"] for row in rows} == {"no answer within 0.3 s"} and len(rows) == 2
    assert all(300 <= row["service_latency_ms"] < 600 for row in rows) and loop.in_flight == 0


def test_an_alarm_wakes_at_its_instant_and_lets_others_work_until_then() -> None:
    others: list[int] = []
    busy = gevent.spawn(lambda: [others.append(1) or gevent.sleep(0.01) for _ in range(100)])
    alarm = Alarm()
    for wait_s in (0.05, 0.0, -1.0, 0.0004):
        instant = perf_counter() + wait_s
        alarm.until(instant)
        assert perf_counter() >= instant
    assert others
    busy.kill()
    alarm.close()
    alarm.close()


def test_hands_are_used_again_and_a_request_is_never_cut_off_for_another() -> None:
    done: list[tuple[int, int]] = []

    def work(number: int, wait_ms: int) -> None:
        if wait_ms:
            gevent.sleep(wait_ms / 1e3)
        done.append((number, id(gevent.getcurrent())))

    hands = Hands(work)
    for number in range(50):
        hands.give(number, 0)
        gevent.sleep(0)
    assert [number for number, _ in done] == list(range(50)) and len({who for _, who in done}) == 1
    done.clear()
    for number in range(5):
        hands.give(number, 20)
    gevent.sleep(0.1)
    assert sorted(number for number, _ in done) == list(range(5)) and len({who for _, who in done}) == 5
    hands.dismiss()
    gevent.sleep(0)
    hands.give(9, 0)
    gevent.sleep(0)
    assert done[-1][0] == 9


@pytest.mark.slow
def test_planned_arrivals_at_the_very_cap_are_sent_and_those_above_it_are_held_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    for asked, lost in ((50.0, False), (500.0, True)):
        arrivals = np.sort(rng.uniform(0, 1.0, int(asked * 1.2)))  # by chance a fifth more than asked for
        planned = Segment(0, asked, 1.0, arrivals)
        loop, rows = run(tmp_path, lambda number, due: OK, each(planned), max_rps=50.0)
        unsent = [row for row in rows if row["sent_s"] is None]
        assert len(rows) == len(arrivals) and bool(unsent) is lost and loop.held_back == len(unsent)


@pytest.mark.slow
def test_a_cut_that_is_named_beforehand_is_kept_and_users_are_never_cut(tmp_path: Path) -> None:
    def name_it(loop: OpenLoop) -> None:
        loop.cut(1, loop.tracks[0].start_s + 0.4)

    loop, _ = run(tmp_path, slowly(0.0), each(segment(0, 50, 0.1), segment(1, 50, 9.0)), during=name_it)
    second = loop.tracks[1]
    assert second.start_s + second.segment.duration_s == pytest.approx(loop.tracks[0].start_s + 0.4, abs=1e-6)
    users = Segment(0, 0.0, 0.3, np.empty(0), users=Users(2, 100.0))

    def cut_soon(loop: OpenLoop) -> None:
        gevent.sleep(0.05)
        loop.cut_now()

    loop, rows = run(tmp_path, slowly(0.05), each(users), during=cut_soon)
    assert loop.tracks[0].segment.duration_s == 0.3 and max(row["due_s"] for row in rows) > 0.15


def test_a_second_is_the_same_whether_rows_come_one_by_one_or_from_a_worker() -> None:
    rows = [
        Row(0, 1.0, 1.001, 30.0, 29.0, 200, True, None, 0),
        Row(0, 1.0, 1.002, None, None, None, False, "connection lost", 1),
        Row(0, 1.0, None, None, None, None, False, "not sent: behind"),
    ]
    chunks: list[bytes] = []
    one_by_one, whole = Recorder(chunks.append), Recorder(lambda chunk: None)
    for row in rows:
        one_by_one.add(row)
    one_by_one.flush()
    whole.add_chunk(chunks[0])
    seconds = [recorder.take_second() for recorder in (one_by_one, whole)]
    for second in seconds:
        assert (second.done, second.failed, second.latency_ms) == (3, 2, [30.0])
        assert second.service_latency_ms == [29.0] and second.lateness_ms == pytest.approx([1.0, 2.0])
