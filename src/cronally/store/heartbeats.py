"""Heartbeats: which node ran in which role, and when last.

Invariant: a heartbeat says that a step of that role succeeded at that instant, never that it was only tried.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from cronally.role import Role
from cronally.store import tables, zonedata


@dataclass(frozen=True, slots=True)
class Health:
    """How the engine stands, over all nodes."""

    ticked_at: int | None
    """When any scheduler last ticked."""
    oldest_due_at: int | None
    """Since when the oldest open firing has been due; None when there is none."""
    tzdata: str | None
    """The newest version of the zone data that any node ever had."""


def record_heartbeat(connection: Connection, node: str, role: Role, started_at: int, now: int) -> None:
    """Record that `node` runs in `role` at `now`."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = insert(tables.heartbeat).values(node=node, role=role, started_at=started_at, beat_at=now)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["node", "role"], set_={"started_at": started_at, "beat_at": now}
        )
    )


def get_health(connection: Connection, role: Role = Role.SCHEDULER) -> Health:
    """The last tick, since when the oldest firing has been due, and the newest zone data."""
    beat = tables.heartbeat
    ticked_at = connection.execute(select(func.max(beat.c.beat_at)).where(beat.c.role == role)).scalar()
    due = tables.firing.c.due_at
    oldest = connection.execute(select(func.min(due)).where(due.is_not(None))).scalar()
    return Health(ticked_at, oldest, zonedata.newest_version(connection))


def list_beats(connection: Connection) -> dict[tuple[str, str], int]:
    """When each node was last seen, by node and role."""
    beat = tables.heartbeat.c
    rows = connection.execute(select(beat.node, beat.role, beat.beat_at))
    return {(row.node, row.role): row.beat_at for row in rows}


def delete_heartbeats(connection: Connection, before: int) -> int:
    """Forget nodes that last ran before an instant."""
    return connection.execute(delete(tables.heartbeat).where(tables.heartbeat.c.beat_at < before)).rowcount
