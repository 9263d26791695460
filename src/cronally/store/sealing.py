"""Sealed columns as a whole: the check value that guards a start, what `rekey` goes through, and what is to be sealed.

Invariant: the store never opens a secret; it reads and replaces sealed bytes. A replacement happens only where the
bytes are still those that were read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from cronally.cronjob import State
from cronally.store import tables

SEALED: Final = (
    "api_key",
    "cronjob",
    "firing_message",
    "answer",
    "connection",
    "connection_previous",
    "channel",
)
"""The tables with a sealed `secret` that belongs to the row of its primary key."""
CHECK = "check"
SEAL_DESTINATIONS = "seal_destinations"
"""The chore that the migration 0002 leaves: to seal what older versions stored in the clear."""


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A sealed secret and the place it belongs to."""

    account_id: str
    table: str
    row_id: str
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StoredDestination:
    """Where a cron job's firings go, as it is stored."""

    cronjob_id: str
    account_id: str
    state: str
    target: str
    destination: str = field(repr=False)
    """JSON. Not in a repr: it may hold what an older version stored in the clear."""
    secret: bytes | None = field(repr=False)

    @property
    def deleted(self) -> bool:
        """Whether nothing is sent there any more."""
        return self.state == State.DELETED


def get_sealing_check(connection: Connection) -> bytes | None:
    """The sealed check value of this database, or None in a new one."""
    return connection.execute(select(tables.sealing_check.c.sealed)).scalar()


def insert_sealing_check(connection: Connection, sealed: bytes) -> bytes:
    """Keep a check value unless there is one; return the one that counts."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    connection.execute(
        insert(tables.sealing_check)
        .values(sealing_check=CHECK, sealed=sealed)
        .on_conflict_do_nothing(index_elements=["sealing_check"])
    )
    stands: bytes = connection.execute(select(tables.sealing_check.c.sealed)).scalar_one()
    return stands


def update_sealing_check(connection: Connection, sealed: bytes) -> None:
    """Replace the check value: it is sealed with another key now."""
    connection.execute(update(tables.sealing_check).values(sealed=sealed))


def list_sealed_secrets(connection: Connection, table: str, after: str, limit: int) -> list[SealedSecret]:
    """Sealed secrets of one of `SEALED` in the order of their rows' ids, from the one after `after`."""
    source = tables.metadata.tables[table]
    row_id = next(iter(source.primary_key.columns))
    rows = connection.execute(
        select(source.c.account_id, row_id, source.c.secret)
        .where(row_id > after, source.c.secret.is_not(None))
        .order_by(row_id)
        .limit(limit)
    ).all()
    return [SealedSecret(row[0], table, row[1], row[2]) for row in rows]


def replace_sealed_secrets(connection: Connection, replaced: Iterable[tuple[SealedSecret, bytes]]) -> int:
    """Put new sealed bytes where the old ones still stand; return how many were replaced."""
    count = 0
    for old, sealed in replaced:
        table = tables.metadata.tables[old.table]
        row_id = next(iter(table.primary_key.columns))
        count += connection.execute(
            update(table).where(row_id == old.row_id, table.c.secret == old.sealed).values(secret=sealed)
        ).rowcount
    return count


def has_chore(connection: Connection, chore: str) -> bool:
    """Whether a migration left something to do, which no server has done yet."""
    return (
        connection.execute(select(tables.chore.c.chore).where(tables.chore.c.chore == chore)).first()
        is not None
    )


def delete_chore(connection: Connection, chore: str) -> None:
    """Note that it is done."""
    connection.execute(delete(tables.chore).where(tables.chore.c.chore == chore))


_destination: Final = tables.cronjob.c
_STORED: Final = select(*(_destination[name] for name in StoredDestination.__dataclass_fields__))


def list_destinations(connection: Connection, after: str, limit: int) -> list[StoredDestination]:
    """Where cron jobs go, deleted ones too, in the order of their ids, from the one after `after`."""
    listing = _STORED.where(_destination.cronjob_id > after).order_by(_destination.cronjob_id).limit(limit)
    return [StoredDestination(*row) for row in connection.execute(listing)]


def replace_destination(
    connection: Connection, old: StoredDestination, destination: str, secret: bytes | None
) -> bool:
    """Put a destination and a sealed secret where the old ones still stand; return whether they did.

    The version stays: what the cron job does is the same.
    """
    added = len(destination.encode()) - len(old.destination.encode())
    replaced = connection.execute(
        update(tables.cronjob)
        .where(
            _destination.cronjob_id == old.cronjob_id,
            _destination.destination == old.destination,
            _destination.secret.is_not_distinct_from(old.secret),
        )
        .values(destination=destination, secret=secret, size=_destination.size + added)
    )
    return replaced.rowcount > 0
