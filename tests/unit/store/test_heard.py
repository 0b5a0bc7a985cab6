"""Who was heard of: the same answer by small looks as by one over the whole lake."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.empty_stores import put_lake
from tests.lake_rows import AT, predictions, rows_of

from seamark.store import heard
from seamark.store.heard import Heard
from seamark.store.local_lake import LocalLake


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[LocalLake]:
    made = put_lake(tmp_path)
    yield made
    made.close()


class Watched:
    """A lake that remembers what it was asked."""

    def __init__(self, lake: LocalLake) -> None:
        self._lake = lake
        self.may_repeat = lake.may_repeat
        self.asked: list[Any] = []

    def query(self, sql: str, parameters: Any = (), **options: Any) -> pa.Table:
        self.asked.append(parameters)
        return self._lake.query(sql, parameters, **options)


@pytest.mark.slow
def test_small_looks_find_what_one_look_over_everything_finds(lake: LocalLake) -> None:
    rng = random.Random(3)
    watched = Watched(lake)
    small = Heard(watched)  # type: ignore[arg-type]
    for minute in range(6):
        at = AT + timedelta(minutes=minute)
        rows = [
            {
                "model": f"m{rng.randrange(4)}",
                "version": rng.choice(["1", "2"]),
                "span_id": rng.randbytes(8),
                "synthetic": rng.random() < 0.5,
                "start_at": at + timedelta(hours=rng.choice([-30, 0, 0, 30])),
                "received_at": at - timedelta(seconds=rng.uniform(0, 60)),
            }
            for _ in range(20)
        ]
        lake.append({"spans": rows_of("spans", rows)})
        late = at - timedelta(seconds=20)  # committed after rows that arrived later
        lake.append({"predictions": predictions(1, model=f"p{minute}", at=late, received_at=late)})
        since = at - timedelta(minutes=5)
        assert small.versions(at, since) == Heard(lake).versions(at, since)
    looks = [parameters for parameters in watched.asked if "most" in parameters]
    assert [("since" in parameters) for parameters in looks] == [False, True, True, True, True, True]


def test_what_retention_dropped_is_forgotten_within_the_hour(lake: LocalLake) -> None:
    lake.append({"spans": rows_of("spans", [{"model": "old", "start_at": AT - timedelta(days=9)}, {"model": "new"}])})
    known = Heard(lake)
    assert [one.model for one in known.versions(AT, AT)] == ["new", "old"]
    lake.maintain(AT, 7)
    assert [one.model for one in known.versions(AT + heard.AFRESH, AT)] == ["new"]


def test_those_heard_of_last_are_remembered(lake: LocalLake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heard, "MODELS_MAX", 10)
    known = Heard(lake)
    for first in range(0, 40, 8):
        times = [AT + timedelta(seconds=first + one) for one in range(8)]
        rows = [{"model": f"m{at.second:02}", "start_at": at, "received_at": at} for at in times]
        lake.append({"spans": rows_of("spans", rows)})
        assert len(known.versions(AT, AT)) <= 10
    assert [one.model for one in known.versions(AT, AT)] == [f"m{number}" for number in range(30, 40)]


def test_a_span_from_the_future_counts_as_heard_of_when_it_arrived(lake: LocalLake) -> None:
    far = AT + timedelta(days=3650)
    lake.append({"spans": rows_of("spans", [{"start_at": far, "received_at": AT}])})
    [seen] = Heard(lake).versions(AT, AT - timedelta(minutes=5))
    assert seen.last_seen_at == AT
