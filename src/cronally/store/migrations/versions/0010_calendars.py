"""Calendars, whose dates cron jobs exclude, and what a firing is skipped by.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_ID = sa.Text().with_variant(postgresql.UUID(as_uuid=False), "postgresql")
_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("firing", sa.Column("cause", sa.Text(), nullable=True))
    op.create_table(
        "calendar",
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("name", _KEY, nullable=False),
        sa.Column("dates", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.account_id"], name="fk_calendar_account_id"),
        sa.PrimaryKeyConstraint("account_id", "name", name="pk_calendar"),
    )
