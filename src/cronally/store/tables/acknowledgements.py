"""Acknowledgements: what receivers say of firings, and what they send with it.

Invariant: a firing of a cron job without `ack_within` has no row. Whoever writes a row holds the row lock of its
firing. `deadline_at` is the one column that says when a row must be looked at again.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from cronally.store.tables.columns import INSTANT, KEY, metadata, partial_index
from cronally.store.types import Id

acknowledgement: Final = Table(
    "acknowledgement",
    metadata,
    # The names are those of `acknowledgement.Acknowledgement`, which says what each is.
    Column("cronjob_id", Id, nullable=False),
    Column("scheduled_at", INSTANT, nullable=False),
    Column("kind", KEY, nullable=False),
    Column("account_id", Id, nullable=False),
    Column("ack", Text, nullable=False),
    Column("attempts_before", Integer, nullable=False),
    Column("first_before", Integer, nullable=False),
    Column("within", BigInteger, nullable=False),
    Column("min_duration", BigInteger, nullable=False),
    Column("retries", Integer, nullable=False),
    Column("deadline_at", INSTANT),
    Column("sent_at", INSTANT),
    Column("delivered_at", INSTANT),
    Column("started_at", INSTANT),
    Column("ended_at", INSTANT),
    Column("overdue_at", INSTANT),
    Column("exit_code", Integer),
    PrimaryKeyConstraint("cronjob_id", "scheduled_at", "kind"),
    CheckConstraint("(deadline_at IS NOT NULL) = (ack IN ('waiting', 'started'))", name="open_has_deadline"),
)
partial_index("ix_acknowledgement_open", "deadline_at IS NOT NULL", acknowledgement.c.deadline_at)

acknowledgement_body: Final = Table(
    "acknowledgement_body",
    metadata,
    # The last thing that a receiver sent with a word about a firing; of an account the newest are kept.
    Column("firing_id", Id, primary_key=True),
    Column("account_id", Id, nullable=False),
    Column("cronjob_id", Id, nullable=False),
    Column("received_at", INSTANT, nullable=False),
    # 1 where there was more of it.
    Column("cut", Integer, nullable=False),
    # Sealed: it may hold anything.
    Column("secret", LargeBinary, nullable=False),
)
Index(
    "ix_acknowledgement_body_received", acknowledgement_body.c.account_id, acknowledgement_body.c.received_at
)
Index("ix_acknowledgement_body_cronjob", acknowledgement_body.c.cronjob_id)
