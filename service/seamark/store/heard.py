"""Rows of the lake to who was heard of, and when: looked up once, then only what has arrived since."""

# ruff: noqa: S608 - the SQL is put together from texts of this file; every value is a parameter

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from seamark.core.findings import ModelSeen
from seamark.store.lake import Lake

_FOREVER = datetime.max.replace(tzinfo=UTC)

MODELS_MAX = 10_000  # versions remembered; those heard of last
AFRESH = timedelta(hours=1)  # everything is looked up anew: retention has dropped rows, clocks of nodes went wrong
MARGIN = timedelta(seconds=30)  # between a row's arrival and its commit, and between the clocks of nodes


@dataclass
class _Last:
    """When a version was last heard of: of real rows (None: of no such row), and of any."""

    real: datetime | None
    of_any: datetime

    @property
    def at(self) -> datetime:
        return self.real or self.of_any


class Heard:
    """Knows every version of every model of one lake. May be asked from any thread."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._learning = threading.Lock()
        self._last: dict[tuple[str, str], _Last] = {}
        self._until: datetime | None = None  # the newest arrival that was looked at
        self._afresh_at: datetime | None = None

    def versions(self, at: datetime, since: datetime, model: str | None = None) -> list[ModelSeen]:
        """Return each version of every model, or of `model`, by name, with its real (not synthetic) rows since `since`.

        `last_seen_at` is over all time, of real rows where there are any (a load test keeps no model alive), and no
        later than a row's arrival, whatever time its sender claims. `at` is now.
        """
        last = self._learn(at)
        recent = self._recent(since, model)
        return [
            ModelSeen(*name, *recent.get(name, (0, 0)), last[name].at)
            for name in sorted(last)
            if model is None or name[0] == model
        ]

    def _learn(self, at: datetime) -> dict[tuple[str, str], _Last]:
        with self._learning:
            if self._afresh_at is None or not timedelta(0) <= at - self._afresh_at < AFRESH:
                self._last, self._until = {}, None
                self._look()
                self._afresh_at = at
            else:
                self._look()
            if len(self._last) > MODELS_MAX:
                newest = sorted(self._last, key=lambda name: self._last[name].at, reverse=True)
                self._last = {name: self._last[name] for name in newest[:MODELS_MAX]}
            return dict(self._last)

    def _look(self) -> None:
        """Take in what arrived since the last look; the files' own statistics pass over all that is older."""
        new = "" if self._until is None else " WHERE received_at >= $since"
        columns = "model, version, synthetic, received_at"
        rows = self._lake.query(
            "SELECT model, version, max(at_seen) FILTER (NOT synthetic) AS real, max(at_seen) AS of_any,"
            " max(received_at) AS until FROM ("
            f" SELECT {columns}, least(start_at, received_at) AS at_seen FROM lake.spans{new}"
            f' UNION ALL SELECT {columns}, least("at", received_at) FROM lake.predictions{new}'
            ") GROUP BY model, version ORDER BY of_any DESC LIMIT $most",
            {"most": MODELS_MAX, **({} if self._until is None else {"since": self._until - MARGIN})},
        ).to_pylist()
        for row in rows:
            name = (row["model"], row["version"])
            real, of_any = _utc(row["real"]), row["of_any"].astimezone(UTC)
            known = self._last.get(name)
            if known is not None:
                real = max(filter(None, (real, known.real)), default=None)
                of_any = max(of_any, known.of_any)
            self._last[name] = _Last(real, of_any)
            until = row["until"].astimezone(UTC)
            self._until = until if self._until is None else max(self._until, until)

    def _recent(self, since: datetime, model: str | None) -> dict[tuple[str, str], tuple[int, int]]:
        """Return requests and predictions from `since`, each once however often it was sent."""
        distinct = " DISTINCT ON (trace_id, span_id, start_at)" if self._lake.may_repeat(since, _FOREVER) else ""
        wanted = "NOT synthetic" if model is None else "NOT synthetic AND model = $model"
        found = self._lake.query(
            "SELECT model, version, count(*) FILTER (request) AS requests, count(*) FILTER (NOT request) AS predictions"
            f" FROM (SELECT{distinct} model, version, true AS request FROM lake.spans"
            f" WHERE start_at >= $since AND is_request AND {wanted}"
            " UNION ALL SELECT model, version, false FROM (SELECT DISTINCT model, version, prediction_id"
            f' FROM lake.predictions WHERE "at" >= $since AND {wanted})) GROUP BY ALL',
            {"since": since, **({} if model is None else {"model": model})},
            within=(since, _FOREVER),
        ).to_pylist()
        return {(row["model"], row["version"]): (row["requests"], row["predictions"]) for row in found}


def _utc(at: datetime | None) -> datetime | None:
    return at.astimezone(UTC) if at is not None else None
