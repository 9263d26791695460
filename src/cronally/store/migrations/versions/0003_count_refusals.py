"""Count the attempts on the short schedule apart from the others.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # What is between two attempts begins the short schedule anew: it is not known how its attempts ended.
    op.add_column("firing", sa.Column("refusals", sa.Integer(), server_default=sa.text("0"), nullable=False))
