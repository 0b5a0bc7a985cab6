"""Runs that are made again, by whom they are run; how far each schedule has been dealt with, and what it missed.

Revision 0003, after 0002. Runs that are there keep their first attempt.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("retry_of", sa.String(length=32), nullable=True))
    op.add_column("runs", sa.Column("attempt", sa.Integer(), server_default="1", nullable=False))
    op.add_column("runs", sa.Column("worker", sa.String(length=256), nullable=True))
    op.create_index("uq_runs_retry_of", "runs", ["retry_of"], unique=True)
    op.create_table(
        "schedule_marks",
        sa.Column("plan", sa.String(length=100), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("seen_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("missed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("missed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("missed_why", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("plan", name=op.f("pk_schedule_marks")),
    )


def downgrade() -> None:
    op.drop_table("schedule_marks")
    op.drop_index("uq_runs_retry_of", table_name="runs")
    op.drop_column("runs", "worker")
    op.drop_column("runs", "attempt")
    op.drop_column("runs", "retry_of")
