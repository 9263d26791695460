"""Outages: times in which no scheduler ran, noticed by the first that is back.

Invariant: an outage is one row, whichever of several nodes notices it first: all of them read the same last heartbeat.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from cronally.instants import DAY, MINUTE
from cronally.role import Role
from cronally.store import tables

LEAST: Final = 2 * MINUTE
"""What is shorter is no outage, but a new version that starts. Microseconds."""
KEPT: Final = 7 * DAY
AT_ONCE: Final = 10
"""So many are looked back at."""

_table: Final = tables.outage
_BEAT: Final = select(func.max(tables.heartbeat.c.beat_at)).where(tables.heartbeat.c.role == Role.SCHEDULER)


def note_outage(connection: Connection, now: int) -> bool:
    """Note that no scheduler ran until now, if that is so: before this node says that it does; return whether."""
    beat: int | None = connection.execute(_BEAT).scalar()
    if beat is None or now - beat < LEAST:
        return False
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = insert(_table).values(began_at=beat, ended_at=now, noted_after="")
    connection.execute(delete(_table).where(_table.c.ended_at < now - KEPT))
    return connection.execute(statement.on_conflict_do_nothing()).rowcount > 0


def list_outages(connection: Connection, now: int) -> list[tuple[int, int]]:
    """The last outages, each from when until when."""
    rows = connection.execute(
        select(_table.c.began_at, _table.c.ended_at)
        .where(_table.c.ended_at > now - DAY)
        .order_by(_table.c.began_at.desc())
        .limit(AT_ONCE)
    )
    return [(row[0], row[1]) for row in rows]
