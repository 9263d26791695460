"""Accounts that are to have another address.

Revision ID: 0036
Revises: 0035
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cronally.store.types import Id

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "email_change",
        sa.Column("account_id", Id(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", key, nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("confirmed_at", sa.BigInteger()),
        sa.Column("agreed_at", sa.BigInteger()),
        sa.Column("applies_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("account_id"),
    )
    op.create_index("ix_email_change_asked_at", "email_change", ["asked_at"])
