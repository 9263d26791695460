"""From when on a firing is owed that was held back, or is sent again long after its fire time.

Revision ID: 0015
Revises: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("firing", sa.Column("owed_at", sa.BigInteger()))
