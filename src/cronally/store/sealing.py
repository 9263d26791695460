"""Sealed columns as a whole: the check value that guards a start, and what `rekey` goes through.

Invariant: the store never opens a secret; it reads and replaces sealed bytes. A replacement happens only where the
bytes are still those that were read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite

from cronally.store import tables

CHECK = "check"


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A sealed secret and the place it belongs to."""

    account_id: str
    table: str
    row_id: str
    sealed: bytes = field(repr=False)


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
    """Sealed secrets of `api_key` or `cronjob` in the order of their rows' ids, from the one after `after`."""
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
