"""Credential health: since when those of a connection are refused, when they are tried next, and what it holds.

Revision ID: 0022
Revises: 0021
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_ID = sa.Text().with_variant(sa.Uuid(as_uuid=False), "postgresql")


def upgrade() -> None:
    for column in (
        sa.Column("unhealthy_since", sa.BigInteger()),
        sa.Column("unhealthy_detail", sa.Text()),
        sa.Column("probe_at", sa.BigInteger()),
        sa.Column("probes", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("probe", _ID),
        sa.Column("probed", _ID),
        sa.Column("release_at", sa.BigInteger()),
    ):
        op.add_column("connection", column)
    for name, table, columns, where in (
        ("ix_connection_probe_at", "connection", ["probe_at"], "probe_at IS NOT NULL"),
        ("ix_connection_release_at", "connection", ["release_at"], "release_at IS NOT NULL"),
        (
            "ix_firing_unhealthy",
            "firing",
            ["cause", "scheduled_at", "cronjob_id"],
            "reason = 'connection_unhealthy' AND due_at IS NOT NULL",
        ),
    ):
        op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
