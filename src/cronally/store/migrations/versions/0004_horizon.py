"""How far into time the ledger was written.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "horizon",
        sa.Column("horizon_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("latest_at", sa.BigInteger(), nullable=False),
        sa.Column("steady_since", sa.BigInteger(), nullable=False),
        sa.Column("early_since", sa.BigInteger(), nullable=True),
        sa.Column("early_after", _KEY, nullable=True),
        sa.PrimaryKeyConstraint("horizon_id", name=op.f("pk_horizon")),
    )
