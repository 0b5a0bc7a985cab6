"""Arrivals and carried load by the day, ten minutes a step.

Revision 0005, after 0004.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "arrival_days",
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("day", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rates", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("model", "day", name=op.f("pk_arrival_days")),
    )
    op.create_index(op.f("ix_arrival_days_day"), "arrival_days", ["day"])
    op.create_table(
        "carried_days",
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("version", sa.String(length=256), nullable=False),
        sa.Column("day", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rates", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("model", "version", "day", name=op.f("pk_carried_days")),
    )
    op.create_index(op.f("ix_carried_days_day"), "carried_days", ["day"])


def downgrade() -> None:
    op.drop_table("carried_days")
    op.drop_table("arrival_days")
