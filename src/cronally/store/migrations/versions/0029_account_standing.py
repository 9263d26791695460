"""Accounts: suspended, deleted, and with limits of their own.

Revision ID: 0029
Revises: 0028
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name, kind in (
        ("stopped", sa.Text()),
        ("suspended_at", sa.BigInteger()),
        ("suspended_note", sa.Text()),
        ("deleted_at", sa.BigInteger()),
        ("purge_at", sa.BigInteger()),
        ("limits", sa.Text()),
    ):
        op.add_column("account", sa.Column(name, kind))
    for name, column in (("stopped", "account_id"), ("purge_at", "purge_at"), ("limits", "account_id")):
        there = sa.text(f"{name} IS NOT NULL")
        op.create_index(f"ix_account_{name}", "account", [column], sqlite_where=there, postgresql_where=there)
