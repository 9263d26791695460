"""Leave it to the first server that starts, which has the sealing keys, to seal what destinations hold in the clear.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "chore",
        sa.Column("chore", _KEY, nullable=False),
        sa.PrimaryKeyConstraint("chore", name=op.f("pk_chore")),
    )
    op.execute("INSERT INTO chore (chore) SELECT 'seal_destinations' WHERE EXISTS (SELECT 1 FROM cronjob)")
