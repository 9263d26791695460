"""What cron jobs were: one row for each version of a cron job, append-only.

Invariant: `record_versions` runs in every transaction that raises a cron job's version, after the row is written. The
row that it adds holds what decided when the cron job fired from then on, until the row of the next version. No later
transaction alters that; what the version sent is added and forgotten by `former`. The oldest go first, so what is kept
of a cron job has no holes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Insert, Integer, Select, bindparam, delete, exists, select
from sqlalchemy.dialects import postgresql, sqlite

from cronally.cronjob import Timed
from cronally.store import tables


@dataclass(frozen=True, slots=True)
class Version(Timed):
    """What a cron job was from an instant on. The names are those of the table's columns."""

    version: int
    cron: str
    timezone: str
    policies: str
    state: str
    state_reason: str | None
    changed_at: int
    changed_by: str | None
    """The API key that changed it; None: the server itself."""
    paused_at: int | None = None
    paused_until: int | None = None
    paused_by: str | None = None
    paused_note: str | None = None


_table: Final = tables.cronjob_version
PAUSE: Final = ("paused_at", "paused_until", "paused_by", "paused_note")
"""The columns of a pause."""
SAME: Final = ("version", "cron", "timezone", "policies", "state", "state_reason", *PAUSE)
"""The columns that are copied from the cron job under the same name."""
_COPIED: Final = (*SAME, "target")


def record_versions(connection: Connection, cronjob_ids: Sequence[str]) -> None:
    """Keep what these cron jobs are now.

    A change of a cron job that completes while it is settled writes one version twice: the last one stands.
    """
    connection.execute(_record(connection.dialect.name), {"cronjob_ids": list(cronjob_ids)})


@cache
def _record(dialect: str) -> Insert:
    cronjob = tables.cronjob
    copied = select(
        cronjob.c.cronjob_id,
        *(cronjob.c[name] for name in _COPIED),
        cronjob.c.updated_at,
        cronjob.c.updated_by,
    ).where(cronjob.c.cronjob_id.in_(bindparam("cronjob_ids", expanding=True)))
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    names = (*_COPIED, "changed_at", "changed_by")
    statement = insert(_table).from_select(["cronjob_id", *names], copied)
    key = ("cronjob_id", "version")
    changed = {name: statement.excluded[name] for name in names if name not in key}
    return statement.on_conflict_do_update(index_elements=key, set_=changed)


_ALL: Final[Select[Any]] = (
    select(*(_table.c[name] for name in Version.__dataclass_fields__))
    .where(_table.c.cronjob_id == bindparam("cronjob_id"))
    .order_by(_table.c.version)
)


def list_versions(connection: Connection, cronjob_id: str) -> list[Version]:
    """What is kept of what a cron job was and is, oldest first: 100 at most. The account is the caller's to check."""
    return [Version(*row) for row in connection.execute(_ALL, {"cronjob_id": cronjob_id})]


def in_force(history: Sequence[Version], at: int) -> int | None:
    """The place of the version that counted at an instant; None if it is not kept or began later.

    A change at the very instant comes after it: what was owed then was owed by the version before. A clock that was set
    back lets a later version begin earlier: the last one that had begun is the one that counted. A pause that ends by
    itself ends before that instant: what is owed then fires.
    """
    places = range(len(history))
    begun = (
        place for place in reversed(places) if history[place].changed_at < at + _ended_itself(history, place)
    )
    return next(begun, None)


def _ended_itself(history: Sequence[Version], place: int) -> bool:
    """Whether a version began when the pause before it was to end."""
    return place > 0 and history[place - 1].paused_until == history[place].changed_at


_CHANGED_AT: Final = select(_table.c.changed_at).where(
    _table.c.cronjob_id == bindparam("cronjob_id"), _table.c.version == bindparam("version")
)
_FORGET: Final = delete(_table).where(
    _table.c.cronjob_id == bindparam("cronjob_id"), _table.c.version <= bindparam("version")
)


def get_changed_at(connection: Connection, cronjob_id: str, version: int) -> int | None:
    """When a version of a cron job began; None where that is not kept. The account is the caller's to check."""
    return connection.execute(_CHANGED_AT, {"cronjob_id": cronjob_id, "version": version}).scalar()


def forget_versions(connection: Connection, cronjob_id: str, version: int) -> None:
    """Delete the versions of a cron job up to this one. The caller holds its row lock."""
    connection.execute(_FORGET, {"cronjob_id": cronjob_id, "version": version})


_WALK: Final = (
    select(_table.c.cronjob_id)
    .where(_table.c.cronjob_id > bindparam("after"))
    .order_by(_table.c.cronjob_id, _table.c.version)
    .limit(bindparam("limit", type_=Integer()))
)
_newer: Final = _table.alias("newer")
_firing: Final = tables.firing
_DELETE: Final = delete(_table).where(
    _table.c.cronjob_id >= bindparam("first"),
    _table.c.cronjob_id <= bindparam("last"),
    exists().where(
        _newer.c.cronjob_id == _table.c.cronjob_id,
        _newer.c.version > _table.c.version,
        _newer.c.changed_at < bindparam("before", type_=BigInteger()),
        ~exists().where(
            _firing.c.cronjob_id == _newer.c.cronjob_id, _firing.c.scheduled_at <= _newer.c.changed_at
        ),
    ),
)


def delete_versions(connection: Connection, after: str, before: int, limit: int) -> tuple[str | None, int]:
    """Delete versions that the ledger no longer needs, of the cron jobs that follow `after` in the order of ids.

    A version is needed while it is the current one, while the next one began at `before` or later, and while the
    ledger has firings from before the next one.

    :param after: the id of the last cron job that was gone through, or ""
    :param limit: how many versions to look at, but all of the cron jobs among them
    :return: the id of the last cron job that was gone through now, None when there are no more; how many were deleted
    """
    found = list(connection.execute(_WALK, {"after": after, "limit": limit}).scalars())
    if not found:
        return None, 0
    parameters = {"first": found[0], "last": found[-1], "before": before}
    deleted = connection.execute(_DELETE, parameters).rowcount
    return (found[-1] if len(found) == limit else None), deleted
