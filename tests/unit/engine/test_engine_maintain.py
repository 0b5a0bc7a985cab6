"""The lake is kept up in steps, while there is work and time."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.lake_rows import AT, spans

from seamark.core.clock import ManualClock
from seamark.engine import maintain
from seamark.engine.services import Services


class Steps:
    """A lake whose upkeep has so many steps left, each of some seconds."""

    def __init__(self, clock: ManualClock, left: int, seconds: float) -> None:
        self._clock, self._left, self._seconds = clock, left, seconds
        self.taken = 0

    def maintain(self, at: datetime, keep_days: float) -> bool:
        self.taken += 1
        self._clock.advance(self._seconds)
        return self.taken < self._left


@pytest.mark.parametrize(
    ("left", "seconds", "stopping", "taken"),
    [(1, 0.1, False, 1), (5, 0.1, False, 5), (999, 3.0, False, 3), (9, 0.1, True, 1)],
)
def test_steps_are_taken_while_there_is_work_and_time(
    services: Services, left: int, seconds: float, stopping: bool, taken: int
) -> None:
    clock = ManualClock(AT)
    lake: Any = Steps(clock, left, seconds)
    maintain.maintain_lake(replace(services, clock=clock, lake=lake), AT, lambda: stopping)
    assert lake.taken == taken


@pytest.mark.slow
def test_many_small_files_become_one_and_old_rows_go(services: Services) -> None:
    for number in range(17):
        services.lake.append({"spans": spans(1, first=number, start_at=AT - timedelta(minutes=number))})
    services.lake.append({"spans": spans(1, first=99, start_at=AT - timedelta(days=services.retention_days + 1))})
    maintain.maintain_lake(services, AT)
    maintain.prune_catalog(services, AT)
    assert services.lake.query("SELECT count(*) AS n FROM lake.spans")["n"][0].as_py() == 17
    assert services.lake.health().files <= 2
