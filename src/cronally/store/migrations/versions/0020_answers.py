"""Answers: what targets answered to attempts, as far as it is kept.

Revision ID: 0020
Revises: 0019
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_ID = sa.Text().with_variant(postgresql.UUID(as_uuid=False), "postgresql")
_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "answer",
        sa.Column("answer_id", _ID, nullable=False),
        sa.Column("cronjob_id", _ID, nullable=False),
        sa.Column("scheduled_at", sa.BigInteger(), nullable=False),
        sa.Column("kind", _KEY, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.BigInteger()) for name in ("dns", "connect", "tls")),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("first_byte", "whole")),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("answer_id", name=op.f("pk_answer")),
    )
    op.create_index("ix_answer_key", "answer", ["cronjob_id", "scheduled_at", "kind"])
    op.create_index("ix_answer_size", "answer", ["account_id", "started_at", "size"])
    op.create_table(
        "answer_count",
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_answer_count")),
    )
