"""Attempts that did not deliver: written beside the record of their firing, the last ones kept.

Invariant: a row is written in the transaction that records its firing, and never altered.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Delete, Insert, Integer, Text, delete, literal, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from cronally.store import batches, tables

ATTEMPTS_KEPT: Final = 20
"""Of a firing that fails for a day 185 attempts are made, all for the same few reasons: the last ones are kept."""


def record_attempts(connection: Connection, attempts: Sequence[Sequence[Any]]) -> None:
    """Write attempts, and delete those that they push out.

    :param attempts: each a row of the table, in the order of its columns
    """
    if not attempts:
        return
    dialect = connection.dialect.name
    connection.execute(_insert_attempts(dialect), batches.encode(attempts))
    spent = [attempt[: len(batches.LEASE)] for attempt in attempts if attempt[3] > ATTEMPTS_KEPT]
    if spent:
        connection.execute(_delete_attempts(dialect), batches.encode(spent))


@cache
def _insert_attempts(dialect: str) -> Insert:
    batch = batches.table(
        dialect,
        {
            **batches.LEASE,
            "attempt": Integer(),
            "started_at": BigInteger(),
            "duration": BigInteger(),
            "version": Integer(),
            "outcome": Text(),
            "reason": Text(),
            "detail": Text(),
        },
    )
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    return (
        insert(tables.attempt)
        .from_select([column.name for column in batch.c], select(*batch.c).where(literal(1) == literal(1)))
        .on_conflict_do_nothing()
    )


@cache
def _delete_attempts(dialect: str) -> Delete:
    # Each attempt pushes out the one that is so many leases older: by the primary key, one row each.
    batch = batches.table(dialect, batches.LEASE)
    key = tuple_(*(tables.attempt.c[name] for name in batches.LEASE))
    old = select(*(batch.c[name] for name in batches.KEY), batch.c.lease_no - ATTEMPTS_KEPT)
    return delete(tables.attempt).where(key.in_(old))
