"""Acknowledgements of firings, and the key of their URLs.

Revision ID: 0033
Revises: 0032
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cronally.store.types import Id

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "acknowledgement",
        sa.Column("cronjob_id", Id(), nullable=False),
        sa.Column("scheduled_at", sa.BigInteger(), nullable=False),
        sa.Column("kind", key, nullable=False),
        sa.Column("account_id", Id(), nullable=False),
        sa.Column("ack", sa.Text(), nullable=False),
        sa.Column("attempts_before", sa.Integer(), nullable=False),
        sa.Column("first_before", sa.Integer(), nullable=False),
        sa.Column("within", sa.BigInteger(), nullable=False),
        sa.Column("min_duration", sa.BigInteger(), nullable=False),
        sa.Column("retries", sa.Integer(), nullable=False),
        sa.Column("deadline_at", sa.BigInteger()),
        sa.Column("sent_at", sa.BigInteger()),
        sa.Column("delivered_at", sa.BigInteger()),
        sa.Column("started_at", sa.BigInteger()),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("overdue_at", sa.BigInteger()),
        sa.Column("exit_code", sa.Integer()),
        sa.PrimaryKeyConstraint("cronjob_id", "scheduled_at", "kind"),
        sa.CheckConstraint(
            "(deadline_at IS NOT NULL) = (ack IN ('waiting', 'started'))",
            name=op.f("ck_acknowledgement_open_has_deadline"),
        ),
    )
    open_ = sa.text("deadline_at IS NOT NULL")
    op.create_index(
        "ix_acknowledgement_open",
        "acknowledgement",
        ["deadline_at"],
        sqlite_where=open_,
        postgresql_where=open_,
    )
    op.create_table(
        "acknowledgement_body",
        sa.Column("firing_id", Id(), primary_key=True),
        sa.Column("account_id", Id(), nullable=False),
        sa.Column("cronjob_id", Id(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("cut", sa.Integer(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
    )
    op.create_index("ix_acknowledgement_body_received", "acknowledgement_body", ["account_id", "received_at"])
    op.create_index("ix_acknowledgement_body_cronjob", "acknowledgement_body", ["cronjob_id"])
    op.create_table(
        "token_key",
        sa.Column("token_key", key, primary_key=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
    )
