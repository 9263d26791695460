"""Accounts: the cron job that tells of what has failed of those that name none.

Revision ID: 0027
Revises: 0024
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cronally.store.types import Id

revision = "0027"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("account", sa.Column("dead_letter", Id()))
