"""What rules go by of cron jobs and connections: their names, their tags, how they stand.

Invariant: every verb takes the account, and reads no other's rows. None of them locks a row.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Integer, bindparam, func, select

from cronally.acknowledgement import Ack
from cronally.cronjob import State
from cronally.firing import State as FiringState
from cronally.store import tables
from cronally.store.types import Id


@dataclass(frozen=True, slots=True)
class Subject:
    """A cron job, as far as alerts go by it. The names are those of the table's columns."""

    cronjob_id: str
    name: str
    tags: str
    """JSON."""
    state: str
    state_reason: str | None
    paused_at: int | None
    paused_by: str | None
    target: str
    destination: str
    policies: str
    connection_id: str | None
    timezone: str


_job: Final = tables.cronjob
_SUBJECT: Final = tuple(_job.c[name] for name in Subject.__dataclass_fields__)
_connection: Final = tables.connection


def read_subjects(
    connection: Connection, account_id: str, cronjob_ids: Collection[str]
) -> dict[str, Subject]:
    """Those of the account's cron jobs that are not deleted, by id."""
    if not cronjob_ids:
        return {}
    parameters = {"account": account_id, "ids": sorted(cronjob_ids)}
    return {row[0]: Subject(*row) for row in connection.execute(_SUBJECTS, parameters)}


_LIVE: Final = (_job.c.account_id == bindparam("account", type_=Id()), _job.c.state != State.DELETED)
_SUBJECTS: Final = select(*_SUBJECT).where(
    *_LIVE, _job.c.cronjob_id.in_(bindparam("ids", type_=Id(), expanding=True))
)
_USERS: Final = (
    select(*_SUBJECT)
    .where(*_LIVE, _job.c.connection_id == bindparam("used", type_=Id()))
    .order_by(_job.c.cronjob_id)
    .limit(bindparam("limit", type_=Integer()))
)


def list_users(connection: Connection, account_id: str, connection_id: str, limit: int) -> list[Subject]:
    """The first of the cron jobs that use a connection."""
    parameters = {"account": account_id, "used": connection_id, "limit": limit}
    return [Subject(*row) for row in connection.execute(_USERS, parameters)]


def count_users(connection: Connection, account_id: str, connection_id: str) -> int:
    """How many cron jobs use a connection."""
    of_it = (_job.c.account_id == account_id, _job.c.connection_id == connection_id)
    count: int = connection.execute(
        select(func.count()).select_from(_job).where(*of_it, _job.c.state != State.DELETED)
    ).scalar_one()
    return count


def read_connections(
    connection: Connection, account_id: str, connection_ids: Collection[str]
) -> dict[str, tuple[str, bool]]:
    """The name of each of these connections of an account, and whether its credentials are refused."""
    if not connection_ids:
        return {}
    rows = connection.execute(
        select(_connection.c.connection_id, _connection.c.name, _connection.c.unhealthy_since).where(
            _connection.c.account_id == account_id,
            _connection.c.connection_id.in_(sorted(connection_ids)),
        )
    )
    return {row[0]: (row[1], row[2] is not None) for row in rows}


_firing: Final = tables.firing
LAST_FIRINGS: Final = 20
"""So many of a cron job's are looked through for one that was delivered."""


def was_delivered(connection: Connection, cronjob_id: str, since: int) -> bool:
    """Whether one of the last firings of a cron job was delivered, at this instant or later."""
    rows = connection.execute(_LAST, {"of": cronjob_id, "limit": LAST_FIRINGS})
    return any(row.state == FiringState.DELIVERED and (row.finished_at or 0) >= since for row in rows)


_LAST: Final = (
    select(_firing.c.state, _firing.c.finished_at)
    .where(_firing.c.cronjob_id == bindparam("of", type_=Id()))
    .order_by(_firing.c.scheduled_at.desc())
    .limit(bindparam("limit", type_=Integer()))
)


def was_acknowledged(connection: Connection, cronjob_id: str, since: int) -> bool:
    """Whether one of the last firings of a cron job was acknowledged, at this instant or later."""
    rows = connection.execute(_LAST_ACKS, {"of": cronjob_id, "limit": LAST_FIRINGS})
    return any(row.ack == Ack.ACKNOWLEDGED and (row.ended_at or 0) >= since for row in rows)


_ack: Final = tables.acknowledgement
_LAST_ACKS: Final = (
    select(_ack.c.ack, _ack.c.ended_at)
    .where(_ack.c.cronjob_id == bindparam("of", type_=Id()))
    .order_by(_ack.c.scheduled_at.desc())
    .limit(bindparam("limit", type_=Integer()))
)
