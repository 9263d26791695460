"""A tenant's cron jobs: inserted, read, listed, changed.

Invariant: every verb takes the account and touches no other's rows. A sealed secret comes out of `get_secret` alone;
a deleted cron job keeps its row, without its secret, for as long as the ledger speaks of it. `size` is written with
every row, so that what an account stores is counted by an index.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    Update,
    bindparam,
    insert,
    select,
    text,
    union_all,
    update,
)

from cronally.cronjob import Counted
from cronally.store import conditions, tables, versions
from cronally.store.rows import Rows
from cronally.store.types import Id

NO_TAGS: Final = "[]"


@dataclass(frozen=True, slots=True)
class Cronjob(Counted):
    """A cron job's row. The names are those of the table's columns."""

    cronjob_id: str
    account_id: str
    name: str
    cron: str
    timezone: str
    """An IANA name."""
    policies: str
    """A JSON object, as `cronally.cronjob.read_policies` reads it."""
    state: str
    state_reason: str | None
    version: int
    created_at: int
    updated_at: int
    settled_at: int
    """Until then the ledger has everything, what was suppressed too: a change of when it fires settles first."""
    updated_by: str | None
    """The API key that changed it last; None: the server itself."""
    next_fire_at: int | None
    tzdata: str
    """The version of the zone data by which `next_fire_at` was computed."""
    target: str
    destination: str
    """JSON of the target's public parameters."""
    purge_at: int | None = None
    """From when on it need not be kept; set if and only if it is deleted."""
    paused_at: int | None = None
    """Since when its owner has it paused."""
    paused_until: int | None = None
    """When it resumes by itself."""
    paused_by: str | None = None
    """The API key that paused it."""
    paused_note: str | None = None
    wake_at: int | None = None
    """When the scheduler must look at it, though it has no next fire time."""
    fired: int = 0
    """How many of its fire times were handed to its target. The tick alone counts: no change writes it."""
    tags: str = NO_TAGS
    """JSON of a sorted list."""
    connection_id: str | None = None
    """Whose credentials it is sent with; None: its own, or none."""

    @property
    def size(self) -> int:
        """Bytes of what a tenant sent."""
        tags = self.tags.removeprefix("[").removesuffix("]")
        return sum(
            len(text.encode()) for text in (self.name, self.cron, self.policies, self.destination, tags)
        )


_PAUSES: Final = '"pause_after":"'
_table: Final = tables.cronjob
_COLUMNS: Final[tuple[ColumnElement[Any], ...]] = tuple(
    _table.c[name] for name in Cronjob.__dataclass_fields__
)
_GET: Final = select(*_COLUMNS).where(
    _table.c.account_id == bindparam("account_id"), _table.c.cronjob_id == bindparam("cronjob_id")
)
_NAMES: Final = Rows(
    select(_table.c.cronjob_id, _table.c.name)
    .where(
        _table.c.account_id == bindparam("account_id"),
        _table.c.cronjob_id.in_(bindparam("cronjob_ids", type_=Id(), expanding=True)),
    )
    .limit(bindparam("limit", type_=Integer()))
)
_OF_NAME: Final = select(_table.c.cronjob_id).where(
    _table.c.account_id == bindparam("account_id"), _table.c.name == bindparam("name")
)
# Apart, each by the index that it is in; the states are written as there.
_NAMED: Final = Rows(
    union_all(
        _OF_NAME.where(text("state <> 'deleted'")),
        _OF_NAME.where(text("state = 'deleted'")),
    ).limit(bindparam("limit", type_=Integer()))
)
_LISTED: Final = Rows(
    select(*_COLUMNS)
    .where(
        _table.c.account_id == bindparam("account_id"),
        _table.c.cronjob_id.in_(bindparam("cronjob_ids", type_=Id(), expanding=True)),
        text("state <> 'deleted'"),
    )
    .limit(bindparam("limit", type_=Integer()))
)
_SIZES: Final = Rows(
    select(_table.c.cronjob_id, _table.c.size)
    .where(
        _table.c.account_id == bindparam("account_id"),
        _table.c.cronjob_id.in_(bindparam("cronjob_ids", type_=Id(), expanding=True)),
    )
    .limit(bindparam("limit", type_=Integer()))
)
# Against the tick and other changes, but not against what only points at the row.
_LOCK: Final = _GET.with_for_update(key_share=True)


def insert_cronjob(connection: Connection, cronjob: Cronjob, secret: bytes | None, turn: int = 0) -> None:
    """Add a cron job to its account.

    :param secret: sealed; None for a target without secrets
    :param turn: how many others the account has
    """
    connection.execute(insert(_table), {**_values(cronjob), "secret": secret, "turn": turn})
    versions.record_versions(connection, [cronjob.cronjob_id])
    _watch(connection, cronjob)


def _watch(connection: Connection, cronjob: Cronjob) -> None:
    """See to it that the failures of a cron job are noted that is to be paused for them."""
    if _PAUSES in cronjob.policies:
        conditions.ensure_watch(connection, cronjob.account_id)


def get_cronjob(connection: Connection, account_id: str, cronjob_id: str) -> Cronjob | None:
    """The account's cron job, deleted or not."""
    return _one(connection, _GET, account_id, cronjob_id)


def lock_cronjob(connection: Connection, account_id: str, cronjob_id: str) -> Cronjob | None:
    """The account's cron job, deleted or not; no other transaction ticks or changes it until the transaction ends."""
    return _one(connection, _LOCK, account_id, cronjob_id)


def list_cronjobs(connection: Connection, account_id: str, cronjob_ids: Sequence[str]) -> list[Cronjob]:
    """Those cron jobs of the account that are not deleted, in the order of their ids here.

    :param cronjob_ids: as many as a page has, at most
    """
    if not cronjob_ids:
        return []
    parameters = {"account_id": account_id, "cronjob_ids": list(cronjob_ids), "limit": len(cronjob_ids)}
    found = {row[0]: Cronjob(*row) for row in _LISTED.read(connection, parameters)}
    return [found[cronjob_id] for cronjob_id in cronjob_ids if cronjob_id in found]


def sizes_of(connection: Connection, account_id: str, cronjob_ids: Sequence[str]) -> dict[str, int]:
    """How many bytes cron jobs of the account hold now, by id.

    :param cronjob_ids: as many as a page has, at most
    """
    parameters = {"account_id": account_id, "cronjob_ids": list(cronjob_ids), "limit": len(cronjob_ids)}
    return {row[0]: row[1] for row in _SIZES.read(connection, parameters)}


def names_of(connection: Connection, account_id: str, cronjob_ids: Collection[str]) -> dict[str, str]:
    """The names of cron jobs of the account, by id, deleted or not.

    :param cronjob_ids: as many as a page of firings has, at most
    """
    parameters = {"account_id": account_id, "cronjob_ids": sorted(cronjob_ids), "limit": len(cronjob_ids)}
    return {row[0]: row[1] for row in _NAMES.read(connection, parameters)} if cronjob_ids else {}


def list_named(connection: Connection, account_id: str, name: str, limit: int) -> list[str]:
    """The ids of cron jobs of the account with exactly this name, deleted or not."""
    parameters = {"account_id": account_id, "name": name, "limit": limit}
    return [row[0] for row in _NAMED.read(connection, parameters)]


def update_cronjob(connection: Connection, cronjob: Cronjob) -> None:
    """Write a cron job with a new version over its row; its secret stays. The caller holds its row lock."""
    values = _values(cronjob)
    del values["fired"]
    connection.execute(_update(cronjob).values(values))
    versions.record_versions(connection, [cronjob.cronjob_id])
    _watch(connection, cronjob)


def confirm_next_fire_at(connection: Connection, cronjob: Cronjob, tzdata: str) -> None:
    """Say that a next fire time is right by another version of the zone data. The caller holds the row lock."""
    connection.execute(_update(cronjob).values(tzdata=tzdata))


def get_secret(connection: Connection, cronjob: Cronjob) -> bytes | None:
    """What is sealed of a cron job; None if nothing is."""
    chosen = (_table.c.account_id == cronjob.account_id, _table.c.cronjob_id == cronjob.cronjob_id)
    return connection.execute(select(_table.c.secret).where(*chosen)).scalar_one_or_none()


def replace_secret(connection: Connection, cronjob: Cronjob, secret: bytes | None) -> None:
    """Put another sealed secret in a cron job's row, or none. The caller holds its row lock."""
    connection.execute(_update(cronjob).values(secret=secret))


def _update(cronjob: Cronjob) -> Update:
    return update(_table).where(
        _table.c.account_id == cronjob.account_id, _table.c.cronjob_id == cronjob.cronjob_id
    )


def _values(cronjob: Cronjob) -> dict[str, Any]:
    return {name: getattr(cronjob, name) for name in Cronjob.__dataclass_fields__} | {"size": cronjob.size}


def _one(connection: Connection, statement: Select[Any], account_id: str, cronjob_id: str) -> Cronjob | None:
    row = connection.execute(statement, {"account_id": account_id, "cronjob_id": cronjob_id}).one_or_none()
    return None if row is None else Cronjob(*row)
