"""Manual firings: how many are open, what they send of their own, and which idempotency key made which.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_ID = sa.Text().with_variant(postgresql.UUID(as_uuid=False), "postgresql")


def upgrade() -> None:
    op.add_column("idempotency_key", sa.Column("scheduled_at", sa.BigInteger()))
    open_manual = sa.text("kind = 'manual' AND due_at IS NOT NULL")
    op.create_index(
        "ix_firing_manual",
        "firing",
        ["account_id", "cronjob_id"],
        sqlite_where=open_manual,
        postgresql_where=open_manual,
    )
    op.create_table(
        "firing_message",
        sa.Column("firing_id", _ID, nullable=False),
        sa.Column("cronjob_id", _ID, nullable=False),
        sa.Column("scheduled_at", sa.BigInteger(), nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("firing_id", name="pk_firing_message"),
    )
    op.create_index("ix_firing_message_key", "firing_message", ["cronjob_id", "scheduled_at"], unique=True)
    op.create_index("ix_firing_message_size", "firing_message", ["account_id", "size"])
