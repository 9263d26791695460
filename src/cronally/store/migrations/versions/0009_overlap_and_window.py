"""When a firing starts in the window of its cron job, and because of which one it was skipped.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("firing", sa.Column("place_at", sa.BigInteger(), nullable=True))
    op.add_column("firing", sa.Column("behind_at", sa.BigInteger(), nullable=True))
