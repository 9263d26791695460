"""Replay as it was: what versions sent, and as which version a firing is sent.

Revision ID: 0018
Revises: 0017
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("firing", sa.Column("sent_as", sa.Integer()))
    op.add_column("cronjob_version", sa.Column("target", sa.Text()))
    op.add_column("cronjob_version", sa.Column("size", sa.BigInteger()))
    op.add_column("cronjob_version", sa.Column("destination", sa.Text()))
    # What the current version sends is known; what earlier ones sent is not.
    op.execute(
        "UPDATE cronjob_version SET target = (SELECT c.target FROM cronjob c"
        " WHERE c.cronjob_id = cronjob_version.cronjob_id AND c.version = cronjob_version.version"
        " AND c.state <> 'deleted')"
    )
