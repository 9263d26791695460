"""Hosts that accounts prove to be their own.

Revision ID: 0024
Revises: 0023
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cronally.store.types import Id

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "host_proof",
        sa.Column("account_id", Id(), nullable=False),
        sa.Column("host", key, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("looked_at", sa.BigInteger()),
        sa.Column("detail", sa.Text()),
        sa.Column("proven_until", sa.BigInteger()),
        sa.Column("look_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("account_id", "host"),
        sa.ForeignKeyConstraint(["account_id"], ["account.account_id"]),
        sa.CheckConstraint(
            "(proven_until IS NULL) = (look_at IS NULL)",
            name=op.f("ck_host_proof_what_is_proven_is_looked_at"),
        ),
    )
    proven = sa.text("look_at IS NOT NULL")
    for name, columns in (("look_at", ["look_at"]), ("proven", ["account_id", "host"])):
        op.create_index(
            f"ix_host_proof_{name}", "host_proof", columns, sqlite_where=proven, postgresql_where=proven
        )
