"""Who paused a cron job, since and until when, and why; when the scheduler looks at it again.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    for table in ("cronjob", "cronjob_version"):
        op.add_column(table, sa.Column("paused_at", sa.BigInteger(), nullable=True))
        op.add_column(table, sa.Column("paused_until", sa.BigInteger(), nullable=True))
        op.add_column(table, sa.Column("paused_by", _KEY, nullable=True))
        op.add_column(table, sa.Column("paused_note", sa.Text(), nullable=True))
    op.add_column("cronjob", sa.Column("wake_at", sa.BigInteger(), nullable=True))
    waiting = sa.text("wake_at IS NOT NULL")
    op.create_index(
        "ix_cronjob_wake_at", "cronjob", ["wake_at"], sqlite_where=waiting, postgresql_where=waiting
    )
