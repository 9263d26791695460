"""How cron jobs stand that are not well, and an index of what was not delivered.

A cron job that fails while the server is updated has a row from its next firing on.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_ID = sa.Text().with_variant(postgresql.UUID(as_uuid=False), "postgresql")


def upgrade() -> None:
    op.create_table(
        "standing",
        sa.Column("cronjob_id", _ID, nullable=False),
        sa.Column("health", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("in_a_row", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cronjob_id"], ["cronjob.cronjob_id"], name="fk_standing_cronjob_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("cronjob_id", name="pk_standing"),
    )
    undelivered = sa.text("state = 'failed' OR state = 'missed' OR state = 'skipped'")
    op.create_index(
        "ix_firing_undelivered_of",
        "firing",
        ["cronjob_id", "scheduled_at", "state", "count"],
        sqlite_where=undelivered,
        postgresql_where=undelivered,
    )
