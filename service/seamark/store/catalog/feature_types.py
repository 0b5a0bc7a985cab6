"""What the features of a model version are by the first rows that told it, and rows refused for saying otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from seamark.core.feature_types import FixedType, TypeClash
from seamark.core.windows import Window
from seamark.store.catalog.database import Database
from seamark.store.catalog.tables import feature_types, type_refusals

TYPES_MAX = 10_000  # of one model, over its versions; features beyond are taken as they come
REFUSED_SHOWN = 200

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class RefusedRows:
    """Rows of a window that were refused because `feature` came as `sent`."""

    version: str
    feature: str
    sent: str  # "numeric" | "categorical"
    rows: int
    last_at: datetime  # to the minute


class FeatureTypes:
    """Types by model, version and feature: whoever comes first fixes one, on any node."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def of(self, model: str, version: str) -> dict[str, FixedType]:
        """The types that rows have fixed."""
        query = sa.select(feature_types).where(feature_types.c.model == model, feature_types.c.version == version)
        with self._db.read() as connection:
            return {row.feature: FixedType(row.kind, row.since) for row in connection.execute(query)}

    def since(self, model: str, version: str | None) -> dict[str, datetime]:
        """When each feature was first told, of a version or of any (None)."""
        query = sa.select(feature_types.c.feature, sa.func.min(feature_types.c.since))
        query = query.where(feature_types.c.model == model).group_by(feature_types.c.feature)
        if version is not None:
            query = query.where(feature_types.c.version == version)
        with self._db.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def fix(self, model: str, version: str, kinds: Mapping[str, str], at: datetime) -> bool:
        """Fix what is not fixed yet; False, and nothing is, where the model would have more than TYPES_MAX."""
        count = sa.select(sa.func.count()).select_from(feature_types).where(feature_types.c.model == model)
        rows = [
            {"model": model, "version": version, "feature": name, "kind": kind, "since": at}
            for name, kind in sorted(kinds.items())  # in one order on every node: no two wait for each other
        ]
        with self._db.begin() as connection:
            if (connection.execute(count).scalar() or 0) + len(rows) > TYPES_MAX:
                return False
            connection.execute(self._db.insert(feature_types).on_conflict_do_nothing(), rows)
        return True

    def forget(self, model: str, version: str, feature: str) -> bool:
        """Let the next rows say what a feature is; whether it was fixed."""
        gone = feature_types.delete().where(
            feature_types.c.model == model, feature_types.c.version == version, feature_types.c.feature == feature
        )
        with self._db.begin() as connection:
            return connection.execute(gone).rowcount > 0

    def count_refused(self, refused: Mapping[TypeClash, int], at: datetime) -> None:
        """Add rows to the minute they were refused in."""
        minute = at.replace(second=0, microsecond=0)
        rows = [
            {"model": c.model, "version": c.version, "feature": c.feature, "sent": c.sent, "at": minute, "rows": count}
            for c, count in sorted(refused.items(), key=lambda item: str(item[0]))
        ]
        added = self._db.insert(type_refusals)
        added = added.on_conflict_do_update(
            index_elements=["model", "version", "feature", "sent", "at"],
            set_={"rows": type_refusals.c.rows + added.excluded.rows},
        )
        with self._db.begin() as connection:
            connection.execute(added, rows)

    def refused(self, model: str, version: str | None, window: Window) -> list[RefusedRows]:
        """Rows refused in the minutes of a window, the most frequent first, at most REFUSED_SHOWN entries."""
        table = type_refusals.c
        rows, last_at = sa.func.sum(table.rows).label("refused"), sa.func.max(table.at).label("last_at")
        query = sa.select(table.version, table.feature, table.sent, rows, last_at)
        query = query.where(table.model == model, table.at > window.start - _MINUTE, table.at < window.end)
        if version is not None:
            query = query.where(table.version == version)
        query = query.group_by(table.version, table.feature, table.sent)
        query = query.order_by(rows.desc(), table.feature, table.version, table.sent).limit(REFUSED_SHOWN)
        with self._db.read() as connection:
            return [
                RefusedRows(row.version, row.feature, row.sent, int(row.refused), row.last_at)
                for row in connection.execute(query)
            ]

    def prune(self, before: datetime) -> int:
        """Drop counts of refused rows older than that."""
        with self._db.begin() as connection:
            return connection.execute(type_refusals.delete().where(type_refusals.c.at < before)).rowcount
