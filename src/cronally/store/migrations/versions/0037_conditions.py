"""Alerts: the rules, what happened that they go by, and the conditions that stand.

Revision ID: 0037
Revises: 0036
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cronally.store.types import Id

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "rule",
        sa.Column("rule_id", Id(), nullable=False),
        sa.Column("account_id", Id(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("value", sa.Text()),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_by", _KEY, nullable=False),
        sa.PrimaryKeyConstraint("rule_id"),
        sa.ForeignKeyConstraint(["account_id"], ["account.account_id"]),
        sa.CheckConstraint(
            "(value IS NULL) = (scope = 'account')", name=op.f("ck_rule_account_has_no_value")
        ),
    )
    op.create_index("ix_rule_listed", "rule", ["account_id", "created_at", "rule_id"])
    op.create_table(
        "watch",
        sa.Column("account_id", Id(), nullable=False),
        sa.Column("due_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("account_id"),
        sa.ForeignKeyConstraint(["account_id"], ["account.account_id"]),
    )
    _partial("watch_due", "watch", ["due_at"], "due_at IS NOT NULL")
    op.create_table(
        "happening",
        sa.Column("happening_id", _SERIAL, nullable=False, autoincrement=True),
        sa.Column("account_id", Id(), nullable=False),
        sa.Column("subject", Id(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("late_by", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.PrimaryKeyConstraint("happening_id"),
    )
    op.create_index("ix_happening_next", "happening", ["account_id", "happening_id"])
    op.create_table(
        "condition",
        sa.Column("subject", Id(), nullable=False),
        sa.Column("name", _KEY, nullable=False),
        sa.Column("account_id", Id(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("due_at", sa.BigInteger()),
        sa.Column("look_at", sa.BigInteger(), nullable=False),
        sa.Column("cause", _KEY, nullable=False),
        sa.Column("rule_id", Id()),
        sa.PrimaryKeyConstraint("subject", "name"),
        sa.ForeignKeyConstraint(["account_id"], ["account.account_id"]),
    )
    _partial("condition_due", "condition", ["account_id", "due_at"], "due_at IS NOT NULL")
    op.create_index("ix_condition_look", "condition", ["account_id", "look_at"])
    op.create_table(
        "told",
        sa.Column("account_id", Id(), nullable=False),
        sa.Column("told_of", _KEY, nullable=False),
        sa.Column("told_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "told_of"),
        sa.ForeignKeyConstraint(["account_id"], ["account.account_id"]),
    )
    op.create_table(
        "outage",
        sa.Column("began_at", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.Column("noted_after", _KEY),
        sa.PrimaryKeyConstraint("began_at"),
    )
    _partial("outage_noted", "outage", ["began_at"], "noted_after IS NOT NULL")


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(
        f"ix_{name}", table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
    )
