"""What is put together from one read of all models is what a read of each gives: late, repeated, paused, restarted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from tests.lake_rows import AT, rows_of

from seamark.core.windows import Window
from seamark.engine.live_steps import LiveSteps
from seamark.engine.services import Services
from seamark.store import spans, traffic

STEP_S, HISTORY_S, WARM_S = 10.0, 1800.0, 60.0
MODELS = ("a", "b", "quiet")


def sent(rng: np.random.Generator, tick: int) -> list[dict[str, Any]]:
    """Spans that come in one tick: up to nine minutes late, some of them twice, some with an id of another model's."""
    rows: list[dict[str, Any]] = []
    for model in MODELS[:2]:
        for _ in range(int(rng.poisson(6))):
            now = AT + timedelta(seconds=10 * tick)
            late_s = float(rng.choice([rng.uniform(0, 9), rng.uniform(0, 530)], p=[0.7, 0.3]))
            rows.append(
                {
                    "model": model,
                    "trace_id": int(rng.integers(1, 2**60)).to_bytes(16, "big"),
                    "start_at": now - timedelta(seconds=late_s),
                    "received_at": now,
                    "instance": ("i", "j", "k", None)[rng.integers(4)],
                    "synthetic": bool(rng.random() < 0.1),
                }
            )
    twice = [row for row in rows if rng.random() < 0.2]
    other = [{**row, "model": "b"} for row in rows if row["model"] == "a" and rng.random() < 0.1]
    return [*rows, *twice, *other]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_it_is_what_each_model_reads_by_itself(shared: tuple[Services, object], seed: int) -> None:
    lake, rng, live = shared[0].lake, np.random.default_rng(seed), LiveSteps()
    tick = 1000 * seed
    for turn in range(24):
        tick += int(rng.choice([1, 1, 2, 9]))  # a tick late; a pause that is too long
        lake.append({"spans": rows_of("spans", sent(rng, tick))})
        if turn == 12:
            live = LiveSteps()  # restarted
        at = AT + timedelta(seconds=10 * tick)
        window = Window.trailing(at, HISTORY_S)
        for model in MODELS:
            found = live.arrivals(lake, model, lambda: MODELS, window, STEP_S)
            assert found.tolist() == spans.arrivals(lake, model, window, STEP_S).tolist()
            minute = Window.trailing(at, WARM_S)
            assert traffic.instances(lake, MODELS, minute).get(model) == spans.instances(lake, model, minute)


def test_a_model_that_is_advised_since_a_moment_ago_is_read_by_itself(shared: tuple[Services, object]) -> None:
    lake, live, names, at = shared[0].lake, LiveSteps(), ["old"], AT + timedelta(days=4)
    lake.append(
        {
            "spans": rows_of(
                "spans",
                [
                    {"model": model, "start_at": at - timedelta(seconds=700), "received_at": at}
                    for model in ("old", "new")
                ],
            )
        }
    )
    for tick in range(4):
        window = Window.trailing(at + timedelta(seconds=10 * tick), HISTORY_S)
        for model in names:
            found = live.arrivals(lake, model, lambda: names, window, STEP_S)
            assert found.tolist() == spans.arrivals(lake, model, window, STEP_S).tolist()
            assert found.sum() == pytest.approx(0.1)
        if tick == 1:
            names.append("new")


def test_models_that_are_known_share_one_read(shared: tuple[Services, object], monkeypatch: pytest.MonkeyPatch) -> None:
    lake, live = shared[0].lake, LiveSteps()
    query, asked = lake.query, list[str]()

    def counted(sql: str, *given: Any, **named: Any) -> Any:
        asked.append(sql)
        return query(sql, *given, **named)

    monkeypatch.setattr(lake, "query", counted)
    reads, names = [], [f"m{number}" for number in range(20)]
    for tick in range(3):
        at = AT + timedelta(days=1, seconds=10 * tick)
        for number in range(20):
            live.arrivals(lake, f"m{number}", lambda: names, Window.trailing(at, HISTORY_S), STEP_S)
        reads.append(len(asked))
        asked.clear()
    assert reads == [3, 2, 2], "all three parts at first, then the newest and one of the older ones"


def test_what_comes_later_than_the_newest_part_is_there_after_a_turn_of_the_older_ones(
    shared: tuple[Services, object],
) -> None:
    lake, live, model, at = shared[0].lake, LiveSteps(), "very-late", AT + timedelta(days=2)
    late = {"model": model, "start_at": at - timedelta(seconds=1000), "received_at": at}
    totals = []
    for tick in range(8):
        window = Window.trailing(at + timedelta(seconds=10 * tick), HISTORY_S)
        totals.append(round(live.arrivals(lake, model, lambda: [model], window, STEP_S).sum() * STEP_S))
        if tick % 4 == 0:
            rows = [{**late, "trace_id": bytes(15) + bytes([tick + 1])}]
            rows += [{**rows[0], "start_at": at - timedelta(seconds=1500), "trace_id": bytes(15) + bytes([tick + 2])}]
            lake.append({"spans": rows_of("spans", rows)})
    assert totals == [0, 1, 2, 2, 2, 3, 4, 4], "each older part is read at every second tick"


def test_every_older_step_is_read_again_within_a_turn(shared: tuple[Services, object]) -> None:
    lake, live, model, at = shared[0].lake, LiveSteps(), "each-step", AT + timedelta(days=5)
    hours_s, turn = 7200.0, 12
    live.arrivals(lake, model, lambda: [model], Window.trailing(at, hours_s), STEP_S)
    rows = [
        {"model": model, "trace_id": step.to_bytes(16, "big"), "start_at": at - timedelta(seconds=10.0 * step + 5)}
        for step in range(round(hours_s / STEP_S))
    ]
    lake.append({"spans": rows_of("spans", [{**row, "received_at": at} for row in rows])})
    for tick in range(1, turn + 1):
        window = Window.trailing(at + timedelta(seconds=10 * tick), hours_s)
        found = live.arrivals(lake, model, lambda: [model], window, STEP_S)
    assert found.tolist() == spans.arrivals(lake, model, window, STEP_S).tolist()


def test_a_page_between_two_models_of_a_round_has_nothing_read_whole(
    shared: tuple[Services, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, live, names, at = shared[0].lake, LiveSteps(), ["a", "b", "c"], AT + timedelta(days=6)
    query, asked = lake.query, list[str]()

    def counted(sql: str, *given: Any, **named: Any) -> Any:
        asked.append(sql)
        return query(sql, *given, **named)

    def ask(model: str, seconds: float) -> int:
        asked.clear()
        live.arrivals(lake, model, lambda: names, Window.trailing(at + timedelta(seconds=seconds), HISTORY_S), STEP_S)
        return len(asked)

    monkeypatch.setattr(lake, "query", counted)
    # The round begins; a page that is asked ten seconds later carries all on; the round's others are read alone.
    assert [ask("a", 0), ask("c", 10), ask("b", 0), ask("c", 0), ask("c", 10), ask("b", 10)] == [3, 2, 1, 1, 0, 0]


def test_a_clock_that_goes_back_reads_again(shared: tuple[Services, object]) -> None:
    lake, live, model, at = shared[0].lake, LiveSteps(), "back", AT + timedelta(days=3)
    for seconds in (200, 210, 200, 220, 100, 110, 100, 300):
        now = at + timedelta(seconds=seconds)
        window = Window.trailing(now, HISTORY_S)
        assert (
            live.arrivals(lake, model, lambda: MODELS, window, STEP_S).tolist()
            == spans.arrivals(lake, model, window, STEP_S).tolist()
        )
        row = {
            "model": model,
            "trace_id": bytes(15) + bytes([seconds % 250 + 1]),
            "start_at": at - timedelta(seconds=5),
        }
        lake.append({"spans": rows_of("spans", [{**row, "received_at": now}])})
