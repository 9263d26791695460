"""API keys: names, scopes, restrictions and replacement; which operations belong to keys that are restricted.

Revision ID: 0031
Revises: 0030
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("account", sa.Column("secret_hidden_at", sa.BigInteger()))
    op.add_column("operation", sa.Column("within", sa.Text()))
    # What is there was made by a sign-up, and may do all that there is.
    columns: tuple[sa.Column[Any], ...] = (
        sa.Column("name", sa.Text(), nullable=False, server_default="sign-up"),
        sa.Column("scopes", sa.Text(), nullable=False, server_default='["read","write","run","keys"]'),
        sa.Column("tags", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("networks", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("by_signup", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("created_by", key),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("last_used_at", sa.BigInteger()),
        sa.Column("replaced_by", key),
    )
    for column in columns:
        op.add_column("api_key", column)
    with op.batch_alter_table("api_key") as table:
        for column in columns:
            if column.server_default is not None:
                table.alter_column(column.name, existing_type=column.type, server_default=None)
        table.alter_column("secret", existing_type=sa.LargeBinary(), nullable=True)
    op.execute("UPDATE api_key SET secret = NULL WHERE revoked_at IS NOT NULL")
