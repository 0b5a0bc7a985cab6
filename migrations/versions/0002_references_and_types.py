"""References that are promoted and rolled back; the types of features, and rows refused for another.

Revision 0002, after 0001. Of the references that are there, the newest of each version stays in force.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("reference_sets", sa.Column("untyped", sa.JSON(), server_default="[]", nullable=False))
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "reference_changes",
        sa.Column("id", number, nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("version", sa.String(length=256), nullable=False),
        sa.Column("reference_id", sa.String(length=32), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("before", number, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reference_changes")),
    )
    op.create_index(op.f("ix_reference_changes_model_version_id"), "reference_changes", ["model", "version", "id"])
    op.create_table(
        "feature_types",
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("version", sa.String(length=256), nullable=False),
        sa.Column("feature", sa.String(length=256), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("model", "version", "feature", name=op.f("pk_feature_types")),
    )
    op.create_table(
        "type_refusals",
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("version", sa.String(length=256), nullable=False),
        sa.Column("feature", sa.String(length=256), nullable=False),
        sa.Column("sent", sa.String(length=16), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("model", "version", "feature", "sent", "at", name=op.f("pk_type_refusals")),
    )
    _bring_into_force(op.get_bind())


def _bring_into_force(connection: sa.Connection) -> None:
    sets = sa.table("reference_sets", *map(sa.column, ("id", "model", "version", "created_at")))
    changes = sa.table(
        "reference_changes",
        *map(sa.column, ("id", "model", "version", "reference_id", "action", "at", "by", "before")),
    )
    before: dict[tuple[str, str], int] = {}
    rows = connection.execute(sa.select(sets).order_by(sets.c.created_at, sets.c.id)).all()
    for number, row in enumerate(rows, start=1):
        name = (row.model, row.version)
        connection.execute(
            changes.insert().values(
                model=row.model,
                version=row.version,
                reference_id=row.id,
                action="put",
                at=row.created_at,
                by="",
                before=before.get(name),
            )
        )
        before[name] = number  # a new table counts from 1
