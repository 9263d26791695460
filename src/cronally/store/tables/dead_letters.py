"""Which firing tells of which: of one that has failed, to the cron job that its own, or its account, names for that."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, Integer, PrimaryKeyConstraint, Table, Text

from cronally.store.tables.columns import INSTANT, KEY, metadata
from cronally.store.types import Id

dead_letter: Final = Table(
    "dead_letter",
    metadata,
    # The firing of the kind `dead_letter`: the row is deleted with it.
    Column("cronjob_id", Id, nullable=False),
    Column("scheduled_at", INSTANT, nullable=False),
    Column("account_id", Id, nullable=False),
    # The firing that has failed, and under which lease: sent again it may fail again.
    Column("of_cronjob_id", Id, nullable=False),
    Column("of_scheduled_at", INSTANT, nullable=False),
    Column("of_kind", KEY, nullable=False),
    Column("of_lease_no", Integer, nullable=False),
    # Why it failed: its own row says no more once it is sent again.
    Column("reason", Text, nullable=False),
    # Bytes that what is told of it takes, about.
    Column("size", Integer, nullable=False),
    PrimaryKeyConstraint("cronjob_id", "scheduled_at"),
)
Index(
    "ix_dead_letter_of",
    dead_letter.c.of_cronjob_id,
    dead_letter.c.of_scheduled_at,
    dead_letter.c.of_kind,
    dead_letter.c.of_lease_no,
    unique=True,
)
