"""What servers write of themselves, for each other: that they run, how far they came, and with which keys.

Invariant: no row belongs to an account.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Integer, LargeBinary, PrimaryKeyConstraint, Table, Text

from cronally.store.tables.columns import INSTANT, KEY, metadata

heartbeat: Final = Table(
    "heartbeat",
    metadata,
    # One row a node and role: what `/readyz` shows the age of, and when any node ran.
    Column("node", KEY, nullable=False),
    Column("role", KEY, nullable=False),
    Column("started_at", INSTANT, nullable=False),
    Column("beat_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("node", "role"),
)

horizon: Final = Table(
    "horizon",
    metadata,
    # One row: how far into time the ledger was written, and since when that has gone on as time does.
    Column("horizon_id", Integer, primary_key=True, autoincrement=False),
    # The latest instant that a scheduler went by.
    Column("latest_at", INSTANT, nullable=False),
    # When that last leapt, forward or back: nothing is deleted for its age within a day of it.
    Column("steady_since", INSTANT, nullable=False),
    # Rows of fire times after this are marked as early when the clock has come back. The last cron job that was gone
    # through; NULL once all were.
    Column("early_since", INSTANT),
    Column("early_after", KEY),
)

tzdata: Final = Table(
    "tzdata",
    metadata,
    # Every version of the zone data that nodes came with. A scheduler with an older one than the newest stands still.
    Column("version", KEY, primary_key=True),
    Column("seen_at", INSTANT, nullable=False),
    # When every next fire time that another version had computed was computed anew.
    Column("applied_at", INSTANT),
)

chore: Final = Table(
    "chore",
    metadata,
    # What a migration left to the first server that starts, because it takes the sealing keys.
    Column("chore", KEY, primary_key=True),
)

sealing_check: Final = Table(
    "sealing_check",
    metadata,
    # A known text, sealed: a server whose keys cannot open it refuses to start.
    Column("sealing_check", KEY, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

notice: Final = Table(
    "notice",
    metadata,
    # One row, or none: what the operator has to tell all who use the server, and until when if it ends by itself.
    Column("notice_id", Integer, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),
    Column("since", INSTANT, nullable=False),
    Column("until", INSTANT),
)

token_key: Final = Table(
    "token_key",
    metadata,
    # What the tokens of acknowledgement URLs are made with, sealed; the first server that starts makes it.
    Column("token_key", KEY, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)
