"""Replay and backfill: from which attempt on retries are counted, what cannot be sent again, and how many go a minute.

Revision ID: 0017
Revises: 0016
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    none = sa.text("0")
    op.add_column("firing", sa.Column("attempts_before", sa.Integer(), nullable=False, server_default=none))
    op.add_column("firing", sa.Column("own_message", sa.Integer(), nullable=False, server_default=none))
    op.add_column("account", sa.Column("paced_at", sa.BigInteger()))
    # As far as that is known: the messages of those that have ended are erased.
    op.execute(
        "UPDATE firing SET own_message = 1 WHERE kind = 'manual' AND due_at IS NOT NULL AND EXISTS ("
        "SELECT 1 FROM firing_message m WHERE m.cronjob_id = firing.cronjob_id"
        " AND m.scheduled_at = firing.scheduled_at)"
    )
