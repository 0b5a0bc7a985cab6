"""The system's clock is aware UTC; a manual clock moves only when told to."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from seamark.core.clock import Clock, ManualClock, SystemClock

AT = datetime(2026, 3, 1, tzinfo=UTC)


def test_the_systems_clock_is_aware_utc_and_never_goes_back() -> None:
    clock: Clock = SystemClock()
    assert clock.now().utcoffset() == timedelta(0)
    readings = [clock.monotonic_s() for _ in range(100)]
    assert readings == sorted(readings)


def test_the_systems_clock_sleeps() -> None:
    clock = SystemClock()
    before = clock.monotonic_s()
    asyncio.run(clock.sleep(0.01))
    assert clock.monotonic_s() - before >= 0.009


def test_a_manual_clock_moves_only_when_told_to() -> None:
    clock: Clock = ManualClock(AT)
    assert clock.now() == clock.now() == AT and clock.monotonic_s() == 0.0
    asyncio.run(clock.sleep(90.0))
    assert clock.now() == AT + timedelta(seconds=90) and clock.monotonic_s() == 90.0
    ManualClock(AT).advance(5.0)
    assert clock.now() == AT + timedelta(seconds=90)


def test_a_sleep_on_a_manual_clock_gives_others_a_turn() -> None:
    turns: list[str] = []

    async def other() -> None:
        turns.append("other")

    async def main() -> None:
        task = asyncio.create_task(other())
        await ManualClock(AT).sleep(3600.0)
        turns.append("slept")
        await task

    asyncio.run(main())
    assert turns == ["other", "slept"]
