"""Firings that tell of one that has failed: which one each is for.

Revision ID: 0023
Revises: 0022
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cronally.store.types import Id

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "dead_letter",
        sa.Column("cronjob_id", Id(), nullable=False),
        sa.Column("scheduled_at", sa.BigInteger(), nullable=False),
        sa.Column("account_id", Id(), nullable=False),
        sa.Column("of_cronjob_id", Id(), nullable=False),
        sa.Column("of_scheduled_at", sa.BigInteger(), nullable=False),
        sa.Column("of_kind", key, nullable=False),
        sa.Column("of_lease_no", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("cronjob_id", "scheduled_at"),
    )
    op.create_index(
        "ix_dead_letter_of",
        "dead_letter",
        ["of_cronjob_id", "of_scheduled_at", "of_kind", "of_lease_no"],
        unique=True,
    )
