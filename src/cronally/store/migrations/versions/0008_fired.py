"""How many fire times of a cron job were handed to its target: what `max_firings` bounds.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("cronjob", sa.Column("fired", sa.BigInteger(), nullable=False, server_default=sa.text("0")))
