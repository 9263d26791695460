"""Which versions of the zone data nodes came with, and which is the newest.

Invariant: a version is recorded before a node that has it computes a next fire time, so a node that reads the
newest one knows whether another node has newer data.
"""

from __future__ import annotations

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from cronally.store import tables

_table = tables.tzdata
_NEWEST = select(func.max(_table.c.version))


def record_version(connection: Connection, version: str, now: int) -> None:
    """Say that a node has a version of the zone data."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    connection.execute(insert(_table).values(version=version, seen_at=now).on_conflict_do_nothing())


def newest_version(connection: Connection) -> str | None:
    """The newest version that any node ever had; None before the first one said so."""
    return connection.execute(_NEWEST).scalar()


def is_unapplied(connection: Connection, version: str) -> bool:
    """Whether next fire times may be left that another version computed."""
    found = select(_table.c.version).where(_table.c.version == version, _table.c.applied_at.is_(None))
    return connection.execute(found).first() is not None


def record_applied(connection: Connection, version: str, now: int) -> None:
    """Say that every next fire time was looked at by a version."""
    connection.execute(update(_table).where(_table.c.version == version).values(applied_at=now))
