"""Until when the ledger has everything of a cron job.

Before, every change settled: it was as long as until the last one.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "cronjob", sa.Column("settled_at", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    )
    op.execute("UPDATE cronjob SET settled_at = updated_at")
