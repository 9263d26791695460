"""Dead letters: of what has failed, when and by which API key it was discarded, and why.

Revision ID: 0021
Revises: 0020
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("firing", sa.Column("discarded_at", sa.BigInteger()))
    op.add_column("firing", sa.Column("discarded_by", key))
    op.add_column("firing", sa.Column("discarded_note", sa.Text()))
