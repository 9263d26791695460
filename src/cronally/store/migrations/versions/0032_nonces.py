"""Nonces of signed requests, and accounts that refuse signatures of version 1.

Revision ID: 0032
Revises: 0031
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cronally.store.types import Id

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "nonce",
        sa.Column("account_id", Id(), nullable=False),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "nonce"),
    )
    op.create_index("ix_nonce_expires_at", "nonce", ["expires_at"])
    op.add_column("account", sa.Column("signature_v1_refused_at", sa.BigInteger()))
