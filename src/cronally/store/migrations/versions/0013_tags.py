"""The tags of cron jobs.

Revision ID: 0013
Revises: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("cronjob", sa.Column("tags", sa.Text(), server_default=sa.text("'[]'"), nullable=False))
