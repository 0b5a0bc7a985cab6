"""Days of rates by name: merged into what is there, read together, dropped when they are old."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa

from seamark.core.day_rates import from_bytes, nothing, to_bytes
from seamark.core.traffic import FloatArray
from seamark.store.catalog.database import Database

MODELS_AT_ONCE = 500  # named in one statement
ROWS_AT_ONCE = 1_000

Days = Mapping[tuple[str, ...], FloatArray]  # (model,) or (model, version) -> one day's rates


class DayRates:
    """One table with a row per name and day. A name is a model, or a model and its version."""

    def __init__(self, database: Database, table: sa.Table) -> None:
        self._db = database
        self._table = table
        self._names = [column.name for column in table.primary_key if column.name != "day"]

    def merge(self, day: datetime, rates: Days) -> None:
        """Write what is known of a day's steps; of what was known already the larger value stays.

        A step only ever gains: rows that come late add to it, and rows that retention has dropped since, or that came
        while the lake was cut, take nothing away. Done again it changes nothing.
        """
        table, names = self._table, sorted(rates)
        for place in range(0, len(names), ROWS_AT_ONCE):
            part = names[place : place + ROWS_AT_ONCE]
            with self._db.begin() as connection:
                query = sa.select(table).where(table.c.day == day, table.c.model.in_({name[0] for name in part}))
                there = {self._name(row): from_bytes(row.rates) for row in connection.execute(query)}
                changed = []
                for name in part:
                    before = there.get(name, nothing())
                    after = np.fmax(before, from_bytes(to_bytes(rates[name])))
                    if name not in there or not np.array_equal(before, after, equal_nan=True):
                        changed.append({**dict(zip(self._names, name, strict=True)), "rates": to_bytes(after)})
                if changed:
                    insert = self._db.insert(table)
                    insert = insert.on_conflict_do_update(
                        index_elements=[*self._names, "day"], set_={"rates": insert.excluded.rates}
                    )
                    connection.execute(insert, [{**row, "day": day} for row in changed])

    def read(
        self, since: datetime, until: datetime, models: Collection[str]
    ) -> dict[tuple[str, ...], dict[datetime, FloatArray]]:
        """Return the days from `since` to `until`, both inside, of these models."""
        found: dict[tuple[str, ...], dict[datetime, FloatArray]] = {}
        listed = sorted(models)
        with self._db.read() as connection:
            for place in range(0, len(listed), MODELS_AT_ONCE):
                query = sa.select(self._table).where(
                    self._table.c.model.in_(listed[place : place + MODELS_AT_ONCE]),
                    self._table.c.day >= since,
                    self._table.c.day <= until,
                )
                for row in connection.execute(query):
                    found.setdefault(self._name(row), {})[row.day] = from_bytes(row.rates)
        return found

    def days(self) -> set[datetime]:
        """Return the days of which anything is there."""
        with self._db.read() as connection:
            return set(connection.execute(sa.select(self._table.c.day).distinct()).scalars())

    def prune(self, before: datetime) -> int:
        """Drop the days that began before that; returns how many rows went."""
        with self._db.begin() as connection:
            return connection.execute(self._table.delete().where(self._table.c.day < before)).rowcount

    def _name(self, row: Any) -> tuple[str, ...]:
        return tuple(getattr(row, name) for name in self._names)
