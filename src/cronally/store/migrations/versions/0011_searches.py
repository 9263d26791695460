"""Find what failed or was missed among millions of firings, and deleted cron jobs by their names.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    undelivered = sa.text("state IN ('failed', 'missed')")
    op.create_index(
        "ix_firing_undelivered",
        "firing",
        ["account_id", "scheduled_at"],
        sqlite_where=undelivered,
        postgresql_where=undelivered,
    )
    deleted = sa.text("state = 'deleted'")
    op.create_index(
        "ix_cronjob_deleted",
        "cronjob",
        ["account_id", "name"],
        sqlite_where=deleted,
        postgresql_where=deleted,
    )
