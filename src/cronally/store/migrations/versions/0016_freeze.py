"""Freezes: everything that a selector names stands still until an instant.

Revision ID: 0016
Revises: 0015
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_ID = sa.Text().with_variant(postgresql.UUID(as_uuid=False), "postgresql")
_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "freeze",
        sa.Column("freeze_id", _ID, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("selector", sa.Text(), nullable=False),
        sa.Column("value", sa.Text()),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("note", sa.Text()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("created_by", _KEY, nullable=False),
        sa.Column("lifted_at", sa.BigInteger()),
        sa.Column("lifted_by", _KEY),
        sa.CheckConstraint(
            "(value IS NULL) = (selector = 'account')", name=op.f("ck_freeze_account_has_no_value")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["account.account_id"], name=op.f("fk_freeze_account_id")),
        sa.PrimaryKeyConstraint("freeze_id", name=op.f("pk_freeze")),
    )
    _partial_index("ix_freeze_in_force", "freeze", ["account_id", "until"], "lifted_at IS NULL")
    _partial_index("ix_freeze_lifted", "freeze", ["until"], "lifted_at IS NOT NULL")
    op.create_index("ix_freeze_listed", "freeze", ["account_id", "created_at", "freeze_id"])
    _partial_index(
        "ix_firing_held",
        "firing",
        ["cause", "cronjob_id", "scheduled_at"],
        "reason = 'frozen' AND due_at IS NOT NULL",
    )


def _partial_index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
