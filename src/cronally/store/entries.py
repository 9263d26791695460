"""What a plan owes the ledger becomes its rows.

Invariant: a row that is there stays, but for what was sent while the clock was ahead, and for a range of excluded fire
times that goes on. The caller holds the row locks of the cron jobs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Connection, Insert, Text, literal, null, select
from sqlalchemy.dialects import postgresql, sqlite

from cronally import spread
from cronally.firing import Kind, Reason, State
from cronally.plan import Entry
from cronally.store import batches, tables
from cronally.store.lengthening import lengthen
from cronally.store.types import Id


@dataclass(frozen=True, slots=True)
class Advance:
    """What a tick decided for a cron job: rows for the ledger, and where it goes on."""

    cronjob_id: str
    account_id: str
    entries: Sequence[Entry]
    next_fire_at: int | None
    """None: the cron job is completed."""
    window: int = 0
    """In which what is pending starts, in microseconds."""


def insert_entries(connection: Connection, now: int, advances: Sequence[Advance]) -> int:
    """Write the rows of these cron jobs; return how many were written."""
    excluded = [(one.cronjob_id, one.entries[0]) for one in advances if _begins_excluded(one)]
    lengthened = lengthen(connection, now, excluded)
    rows = [
        _row(advance, entry, now)
        for advance in advances
        for entry in (advance.entries[1:] if advance.cronjob_id in lengthened else advance.entries)
    ]
    if rows:
        connection.execute(_insert_firings(connection.dialect.name), batches.encode(rows))
    return len(rows) + len(lengthened)


def _begins_excluded(advance: Advance) -> bool:
    return bool(advance.entries) and advance.entries[0].reason == Reason.EXCLUDED


def _row(advance: Advance, entry: Entry, now: int) -> tuple[Any, ...]:
    pending = entry.state is State.PENDING
    place_at = None
    if pending and advance.window:
        at = entry.scheduled_at
        place_at = at + spread.place(advance.cronjob_id, at, advance.window)
    return (
        advance.cronjob_id,
        entry.scheduled_at,
        advance.account_id,
        entry.state,
        entry.reason,
        entry.until_at,
        entry.count,
        # Due since it may start: the oldest is claimed first.
        (entry.scheduled_at if place_at is None else place_at) if pending else None,
        now,
        None if pending else now,
        place_at,
        entry.cause,
    )


@cache
def _insert_firings(dialect: str) -> Insert:
    batch = batches.table(
        dialect,
        {
            "cronjob_id": Id(),
            "scheduled_at": BigInteger(),
            "account_id": Id(),
            "state": Text(),
            "reason": Text(),
            "until_at": BigInteger(),
            "count": BigInteger(),
            "due_at": BigInteger(),
            "created_at": BigInteger(),
            "finished_at": BigInteger(),
            "place_at": BigInteger(),
            "cause": Text(),
        },
    )
    names = [column.name for column in batch.c]
    # SQLite's grammar needs a WHERE before ON CONFLICT, or it reads the ON as that of a join.
    source = select(*batch.c, literal(Kind.SCHEDULED.value).label("kind")).where(literal(1) == literal(1))
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    statement = insert(tables.firing).from_select([*names, "kind"], source)
    changed = {name: statement.excluded[name] for name in names if name not in ("cronjob_id", "scheduled_at")}
    # A row that is there stays, but for what was sent while the clock was ahead: its fire time has come now.
    return statement.on_conflict_do_update(
        index_elements=["cronjob_id", "scheduled_at", "kind"],
        set_=changed
        | {"lost_leases": 0, "refusals": 0}
        | dict.fromkeys(
            ("sent_at", "duration", "message_id", "behind_at", "owed_at", *tables.DISCARDED), null()
        ),
        where=tables.firing.c.reason == Reason.CLOCK_AHEAD,
    )
