"""Operations: work on many things in the background.

Revision ID: 0014
Revises: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_ID = sa.Text().with_variant(postgresql.UUID(as_uuid=False), "postgresql")
_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "operation",
        sa.Column("operation_id", _ID, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("created_by", _KEY, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("total", sa.Integer()),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("problems", sa.Text(), nullable=False),
        sa.Column("cursor", sa.Text()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger()),
        sa.Column("leased_until", sa.BigInteger(), nullable=False),
        sa.Column("lease_no", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "(finished_at IS NULL) = (state = 'running')", name=op.f("ck_operation_running_is_not_finished")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["account.account_id"], name=op.f("fk_operation_account_id")),
        sa.PrimaryKeyConstraint("operation_id", name=op.f("pk_operation")),
    )
    running = sa.text("state = 'running'")
    op.create_index(
        "ix_operation_running",
        "operation",
        ["leased_until"],
        sqlite_where=running,
        postgresql_where=running,
    )
    op.create_index("ix_operation_listed", "operation", ["account_id", "created_at", "operation_id"])
