"""The catalog's tables: small rows about what is configured, what ran, what was concluded, what must be sent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect


class UtcDateTime(sa.TypeDecorator[datetime]):
    """Aware UTC in and out, on SQLite (which keeps no zone) and PostgreSQL alike."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value} has no time zone; every time in the catalog is aware UTC")
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        at: datetime = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return at


metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

# Names and order of features; predictions in the lake refer to it by a hash that every node derives alike.
feature_schemas = sa.Table(
    "feature_schemas",
    metadata,
    sa.Column("model", sa.String(256), primary_key=True),
    sa.Column("schema_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("numeric", sa.JSON, nullable=False),
    sa.Column("categorical", sa.JSON, nullable=False),
)

# Every seamark.yaml that was applied; the newest is in force.
configs = sa.Table(
    "configs",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("applied_at", UtcDateTime, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)

# Load-test plans put through the API; those of seamark.yaml are read from the configuration in force.
plans = sa.Table(
    "plans",
    metadata,
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Column("document", sa.JSON, nullable=False),
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("plan", sa.String(100), nullable=False),
    sa.Column("model", sa.String(256), nullable=False),
    sa.Column("origin", sa.String(512), nullable=False),  # scheme://host:port of the target
    sa.Column("document", sa.JSON, nullable=False),  # the plan as it was when the run was asked for
    sa.Column("trigger", sa.String(16), nullable=False),  # schedule | api | retry
    sa.Column("scheduled_for", UtcDateTime),  # the cron instant; null for runs on demand
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("started_at", UtcDateTime),
    sa.Column("ended_at", UtcDateTime),
    sa.Column("lease_until", UtcDateTime),  # running: whoever holds it renews this; past: the holder is gone
    sa.Column("stop_requested", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("verdict", sa.JSON),
    sa.Column("segments", sa.JSON),
    sa.Column("retry_of", sa.String(32)),  # the run whose worker went away, and that this one makes again
    sa.Column("attempt", sa.Integer, nullable=False, server_default="1"),
    sa.Column("worker", sa.String(256)),  # who claimed it
    # One cron instant makes one run, however many nodes look at the clock.
    sa.UniqueConstraint("plan", "scheduled_for"),
)
# Two runs against one target would measure each other.
sa.Index(
    "uq_runs_one_running_per_origin",
    runs.c.origin,
    unique=True,
    sqlite_where=runs.c.status == "running",
    postgresql_where=runs.c.status == "running",
)
sa.Index("ix_runs_plan_created_at", runs.c.plan, runs.c.created_at)
# A run is made again once, whoever finds that its worker is gone.
sa.Index("uq_runs_retry_of", runs.c.retry_of, unique=True)

# How far each plan's cron line has been dealt with, and the instants that made no run.
schedule_marks = sa.Table(
    "schedule_marks",
    metadata,
    sa.Column("plan", sa.String(100), primary_key=True),
    sa.Column("line", sa.Text, nullable=False),  # cron line and time zone: a change begins anew
    sa.Column("seen_until", UtcDateTime, nullable=False),
    sa.Column("missed", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("missed_at", UtcDateTime),  # the last instant that was missed
    sa.Column("missed_why", sa.Text, nullable=False, server_default=""),
)

# Where workers of other machines join a run that is under way; the row goes with the run's end.
run_joins = sa.Table(
    "run_joins",
    metadata,
    sa.Column("run_id", sa.String(32), sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("host", sa.String(256), nullable=False),
    sa.Column("port", sa.Integer, nullable=False),
    sa.Column("token", sa.String(64), nullable=False),
)

run_progress = sa.Table(
    "run_progress",
    metadata,
    sa.Column("run_id", sa.String(32), sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("body", sa.JSON, nullable=False),
)

reference_sets = sa.Table(
    "reference_sets",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("model", sa.String(256), nullable=False, index=True),
    sa.Column("version", sa.String(256), nullable=False),  # "": for every version that has none of its own
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("numeric", sa.JSON, nullable=False),
    sa.Column("categorical", sa.JSON, nullable=False),
    sa.Column("source", sa.JSON, nullable=False),  # {"upload": media type} or {"from": ..., "to": ...}
    sa.Column("untyped", sa.JSON, nullable=False, server_default="[]"),  # features without a single value
)

# What was done to a version's reference; the newest row of a version says which one is in force.
reference_changes = sa.Table(
    "reference_changes",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("model", sa.String(256), nullable=False),
    sa.Column("version", sa.String(256), nullable=False),
    sa.Column("reference_id", sa.String(32), nullable=False),
    sa.Column("action", sa.String(16), nullable=False),  # put | promote | rollback
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("by", sa.String(64), nullable=False),  # id of the API key; "": access was open
    # What a rollback of this row goes back to.
    sa.Column("before", sa.BigInteger().with_variant(sa.Integer, "sqlite")),
    sa.Index(None, "model", "version", "id"),
)

# What each feature of a model version is, by the first rows that told it.
feature_types = sa.Table(
    "feature_types",
    metadata,
    sa.Column("model", sa.String(256), primary_key=True),
    sa.Column("version", sa.String(256), primary_key=True),
    sa.Column("feature", sa.String(256), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("since", UtcDateTime, nullable=False),
)

# Rows refused because a feature came with another type, counted by the minute.
type_refusals = sa.Table(
    "type_refusals",
    metadata,
    sa.Column("model", sa.String(256), primary_key=True),
    sa.Column("version", sa.String(256), primary_key=True),
    sa.Column("feature", sa.String(256), primary_key=True),
    sa.Column("sent", sa.String(16), primary_key=True),
    sa.Column("at", UtcDateTime, primary_key=True),
    sa.Column("rows", sa.BigInteger, nullable=False),
)

# What was concluded: drift, slo, performance, quality, recommendation, capacity.
findings = sa.Table(
    "findings",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("model", sa.String(256), nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("run_id", sa.String(32)),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Index(None, "model", "kind", "at"),
)

# Requests per second of every ten minutes of a day (core/day_rates.py): NaN where nothing was heard.
arrival_days = sa.Table(
    "arrival_days",
    metadata,
    sa.Column("model", sa.String(256), primary_key=True),
    sa.Column("day", UtcDateTime, primary_key=True, index=True),
    sa.Column("rates", sa.LargeBinary, nullable=False),
)

# The highest load of one replica in every ten minutes of a day under which the objectives held.
carried_days = sa.Table(
    "carried_days",
    metadata,
    sa.Column("model", sa.String(256), primary_key=True),
    sa.Column("version", sa.String(256), primary_key=True),
    sa.Column("day", UtcDateTime, primary_key=True, index=True),
    sa.Column("rates", sa.LargeBinary, nullable=False),
)

alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("fingerprint", sa.String(64), primary_key=True),
    sa.Column("status", sa.String(16), nullable=False, index=True),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
)

# Messages on their way out. A row is written in the transaction that changes the alert.
outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("key", sa.String(128), nullable=False, unique=True),
    sa.Column("channel", sa.String(100), nullable=False),
    sa.Column("fingerprint", sa.String(64), nullable=False, index=True),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("next_at", UtcDateTime, nullable=False),  # not before; while claimed: when the claim lapses
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("state", sa.String(16), nullable=False, server_default="pending"),  # pending | sent | given_up
    sa.Column("ended_at", UtcDateTime),
    sa.Column("last_error", sa.Text),
    sa.Index(None, "state", "next_at"),
)

drift_reports = sa.Table(
    "drift_reports",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("model", sa.String(256), nullable=False, index=True),
    sa.Column("status", sa.String(16), nullable=False),  # queued | running | ready | failed
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("window_start", UtcDateTime, nullable=False),
    sa.Column("window_end", UtcDateTime, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("html", sa.LargeBinary),  # gzip
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("scope", sa.String(16), nullable=False),
    sa.Column("model", sa.String(256)),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("revoked_at", UtcDateTime),
)
