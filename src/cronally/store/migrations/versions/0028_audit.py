"""The audit logs of accounts.

Revision ID: 0028
Revises: 0027
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cronally.store.types import Id

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "audit",
        sa.Column("account_id", Id(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("action", key, nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text()),
        sa.Column("changes", sa.Text(), nullable=False),
        sa.Column("cronjob_id", Id()),
        sa.Column("api_key", key),
        sa.Column("address", sa.Text()),
        sa.Column("request_id", sa.Text()),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("previous", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "number"),
    )
    op.create_index("ix_audit_at", "audit", ["account_id", "at", "number"])
    concerned = sa.text("cronjob_id IS NOT NULL")
    op.create_index(
        "ix_audit_cronjob_id",
        "audit",
        ["account_id", "cronjob_id", "number"],
        sqlite_where=concerned,
        postgresql_where=concerned,
    )
    op.create_table(
        "audit_chain",
        sa.Column("account_id", Id(), primary_key=True),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("anchor_number", sa.BigInteger(), nullable=False),
        sa.Column("anchor", sa.Text(), nullable=False),
    )
