"""Links that are sent by mail, and which accounts have shown that their address is theirs.

Revision ID: 0035
Revises: 0034
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cronally.store.types import Id

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("account", sa.Column("email_confirmed_at", sa.BigInteger()))
    op.create_table(
        "mailed_link",
        sa.Column("digest", key, nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", key, nullable=False),
        sa.Column("account_id", Id()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("until_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("ix_mailed_link_email_key", "mailed_link", ["email_key"])
    op.create_index("ix_mailed_link_until_at", "mailed_link", ["until_at"])
