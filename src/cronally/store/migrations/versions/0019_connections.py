"""Connections: credentials that many cron jobs share.

Revision ID: 0019
Revises: 0018
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_ID = sa.Text().with_variant(postgresql.UUID(as_uuid=False), "postgresql")
_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "connection",
        sa.Column("connection_id", _ID, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("name", _KEY, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary()),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_by", _KEY, nullable=False),
        sa.Column("last_used_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.account_id"], name=op.f("fk_connection_account_id")
        ),
        sa.PrimaryKeyConstraint("connection_id", name=op.f("pk_connection")),
    )
    op.create_index("ix_connection_name", "connection", ["account_id", "name"], unique=True)
    op.create_table(
        "connection_previous",
        sa.Column("connection_id", _ID, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["connection.connection_id"],
            name=op.f("fk_connection_previous_connection_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("connection_id", name=op.f("pk_connection_previous")),
    )
    op.create_index(op.f("ix_connection_previous_until"), "connection_previous", ["until"])
    # SQLite adds a foreign key with its column; to add it apart would copy the table.
    op.execute(
        f"ALTER TABLE cronjob ADD COLUMN connection_id {_type()}"
        " CONSTRAINT fk_cronjob_connection_id REFERENCES connection (connection_id)"
    )
    where = "connection_id IS NOT NULL"
    op.create_index(
        "ix_cronjob_connection",
        "cronjob",
        ["connection_id"],
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )


def _type() -> str:
    return "UUID" if op.get_bind().dialect.name == "postgresql" else "TEXT"
