"""The tags of cron jobs.

Revision ID: 0014
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("cronjob", sa.Column("tags", sa.Text(), server_default=sa.text("'[]'"), nullable=False))
