"""Channels, alerts, and what becomes of each with each.

Revision ID: 0034
Revises: 0033
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cronally.store.types import Id

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "channel",
        sa.Column("channel_id", Id(), nullable=False),
        sa.Column("account_id", Id(), nullable=False),
        sa.Column("name", _KEY, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary()),
        sa.Column("connection_id", Id()),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_by", _KEY, nullable=False),
        sa.Column("confirmed_at", sa.BigInteger()),
        sa.Column("token_digest", _KEY),
        sa.Column("token_until", sa.BigInteger()),
        sa.Column("delivered_at", sa.BigInteger()),
        sa.Column("unhealthy_since", sa.BigInteger()),
        sa.Column("unhealthy_detail", sa.Text()),
        sa.ForeignKeyConstraint(["account_id"], ["account.account_id"], name=op.f("fk_channel_account_id")),
        sa.ForeignKeyConstraint(
            ["connection_id"], ["connection.connection_id"], name=op.f("fk_channel_connection_id")
        ),
        sa.PrimaryKeyConstraint("channel_id", name=op.f("pk_channel")),
        sa.CheckConstraint(
            "(token_digest IS NULL) = (token_until IS NULL)", name=op.f("ck_channel_a_token_ends")
        ),
    )
    op.create_index("ix_channel_name", "channel", ["account_id", "name"], unique=True)
    _partial("ix_channel_token_digest", "channel", ["token_digest"], "token_digest IS NOT NULL")
    _partial("ix_channel_connection", "channel", ["connection_id"], "connection_id IS NOT NULL")
    op.create_table(
        "alert",
        sa.Column("alert_id", Id(), nullable=False),
        sa.Column("account_id", Id(), nullable=False),
        sa.Column("condition", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("lines", sa.Text(), nullable=False),
        sa.Column("affected", sa.Text(), nullable=False),
        sa.Column("affected_total", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("counted_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(["account_id"], ["account.account_id"], name=op.f("fk_alert_account_id")),
        sa.PrimaryKeyConstraint("alert_id", name=op.f("pk_alert")),
    )
    op.create_index("ix_alert_listed", "alert", ["account_id", "created_at", "alert_id"])
    _partial("ix_alert_counted", "alert", ["account_id", "counted_at"], "counted_at IS NOT NULL")
    op.create_table(
        "alert_delivery",
        sa.Column("alert_id", Id(), nullable=False),
        sa.Column("channel_id", Id(), nullable=False),
        sa.Column("account_id", Id(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("detail", sa.Text()),
        sa.Column("due_at", sa.BigInteger()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lost_leases", sa.Integer(), nullable=False),
        sa.Column("lease_no", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(
            ["alert_id"], ["alert.alert_id"], name=op.f("fk_alert_delivery_alert_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("alert_id", "channel_id", name=op.f("pk_alert_delivery")),
        sa.CheckConstraint(
            "(due_at IS NOT NULL) = (state IN ('pending', 'sending'))",
            name=op.f("ck_alert_delivery_due_is_open"),
        ),
        sa.CheckConstraint(
            "(due_at IS NULL) = (finished_at IS NOT NULL)",
            name=op.f("ck_alert_delivery_finished_is_not_due"),
        ),
    )
    _partial("ix_alert_delivery_due", "alert_delivery", ["account_id", "due_at"], "due_at IS NOT NULL")
    op.create_index("ix_alert_delivery_channel", "alert_delivery", ["channel_id"])
    op.create_table(
        "mail_count",
        sa.Column("counted", _KEY, nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("counted", "day", name=op.f("pk_mail_count")),
    )


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
