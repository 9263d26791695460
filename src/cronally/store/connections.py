"""A tenant's connections: credentials that cron jobs share.

Invariant: every verb of a tenant takes the account and touches no other's rows. Who makes, changes or deletes a
connection, or lets a cron job use another one, has locked the account: so no cron job uses a connection that there is
not. What is sealed comes out of `get_secret` alone, and of a claim. `find_public` alone is for everybody.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    Text,
    Update,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from cronally import wire
from cronally.instants import MINUTE
from cronally.store import tables
from cronally.store.rows import Rows
from cronally.store.types import Id

USE_NOTED: Final = MINUTE
"""How often at most the use of a connection is written. Microseconds."""

# SQL of a claim. Of a cron job `c` without a connection a join finds nothing, and looks at no row.
JOINED: Final = """
    LEFT JOIN connection k ON k.connection_id = c.connection_id
    LEFT JOIN connection_previous p ON p.connection_id = k.connection_id AND p.until > :now
"""
SIZE: Final = (
    "CASE WHEN c.connection_id IS NULL THEN 0"
    " ELSE coalesce((SELECT z.size FROM connection z WHERE z.connection_id = c.connection_id), 0) END"
)
"""Bytes of the connection of a cron job `c`: each of its firings that is claimed brings them along."""
_PROBE: Final = "CASE WHEN k.unhealthy_since IS NOT NULL THEN coalesce(CAST(k.probe AS TEXT), '') END"
HELD_SQLITE: Final = (
    f"k.connection_id, k.kind, k.parameters, hex(k.secret), hex(p.secret), k.version, {_PROBE}"
)
HELD_POSTGRES: Final = (
    f"CAST(k.connection_id AS TEXT), k.kind, k.parameters, k.secret, p.secret, k.version, {_PROBE}"
)


@dataclass(frozen=True, slots=True)
class StoredConnection:
    """A connection's row without its secrets. The names are those of the table's columns."""

    connection_id: str
    account_id: str
    name: str
    kind: str
    parameters: str
    """JSON: what may be shown of it."""
    version: int
    created_at: int
    updated_at: int
    updated_by: str
    last_used_at: int | None = None
    unhealthy_since: int | None = None
    unhealthy_detail: str | None = None
    probe_at: int | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a connection stands among others."""

    used_by: int = 0
    """How many cron jobs use it."""
    previous_until: int | None = None
    """Until when its former secrets go on."""


_table: Final = tables.connection
_previous: Final = tables.connection_previous
_cronjob: Final = tables.cronjob
_COLUMNS: Final = tuple(_table.c[name] for name in StoredConnection.__dataclass_fields__)
_LIMIT: Final = bindparam("limit", type_=Integer())
_OF: Final = _table.c.account_id == bindparam("account", type_=Id())
_BY_ID: Final = _table.c.connection_id == bindparam("own_id", type_=Id())
_GET: Final = select(*_COLUMNS).where(_OF, _BY_ID)
_NAMED: Final = select(*_COLUMNS).where(_OF, _table.c.name == bindparam("named", type_=Text()))
_LIST: Final = Rows(
    select(*_COLUMNS)
    .where(_OF, _table.c.name > bindparam("after", type_=Text()))
    .order_by(_table.c.name)
    .limit(_LIMIT)
)
_OF_USE: Final = ("last_used_at", "unhealthy_since", "unhealthy_detail", "probe_at")
"""What its use writes, and no change of it."""
_IDS: Final = bindparam("ids", type_=Id(), expanding=True)
_NAMES: Final = Rows(
    select(_table.c.connection_id, _table.c.name, _table.c.unhealthy_since)
    .where(_OF, _table.c.connection_id.in_(_IDS))
    .limit(_LIMIT)
)
_COUNT: Final = select(func.count()).select_from(_table).where(_OF)
_BYTES: Final = select(func.coalesce(func.sum(_table.c.size), 0)).where(_OF)
_USES: Final = Rows(
    select(_cronjob.c.connection_id, func.count())
    .where(_cronjob.c.connection_id.in_(_IDS))
    .group_by(_cronjob.c.connection_id)
    .limit(_LIMIT)
)
_UNTIL: Final = Rows(
    select(_previous.c.connection_id, _previous.c.until)
    .where(_previous.c.connection_id.in_(_IDS), _previous.c.until > bindparam("now", type_=BigInteger()))
    .limit(_LIMIT)
)
_USERS: Final = Rows(
    select(_cronjob.c.cronjob_id, _cronjob.c.name)
    .where(
        _cronjob.c.connection_id == bindparam("own_id", type_=Id()),
        _cronjob.c.account_id == bindparam("account", type_=Id()),
    )
    .order_by(_cronjob.c.created_at, _cronjob.c.cronjob_id)
    .limit(_LIMIT)
)
_PUBLIC: Final = (
    select(_table.c.parameters, _previous.c.until)
    .select_from(_table)
    .outerjoin(
        _previous,
        (_previous.c.connection_id == _table.c.connection_id)
        & (_previous.c.until > bindparam("now", type_=BigInteger())),
    )
    .where(_BY_ID)
)
_SECRET: Final = select(_table.c.secret).where(_OF, _BY_ID)


def get_connection(connection: Connection, account_id: str, meant: str) -> StoredConnection | None:
    """The account's connection with this id, or of this name."""
    if wire.UUID.fullmatch(meant):  # which is no name
        row = connection.execute(_GET, {"account": account_id, "own_id": meant}).one_or_none()
    else:
        row = connection.execute(_NAMED, {"account": account_id, "named": meant}).one_or_none()
    return None if row is None else StoredConnection(*row)


def list_connections(
    connection: Connection, account_id: str, after: str, limit: int
) -> list[StoredConnection]:
    """The account's connections by name, at most `limit` from the one after the name `after`."""
    parameters = {"account": account_id, "after": after, "limit": limit}
    return [StoredConnection(*row) for row in _LIST.read(connection, parameters)]


def names_of(
    connection: Connection, account_id: str, connection_ids: Collection[str]
) -> dict[str, tuple[str, int | None]]:
    """The names of connections of the account, by id, and since when each is unhealthy, if it is.

    :param connection_ids: as many as a page of cron jobs has, at most
    """
    if not connection_ids:
        return {}
    parameters = {"account": account_id, "ids": sorted(connection_ids), "limit": len(connection_ids)}
    return {row[0]: (row[1], row[2]) for row in _NAMES.read(connection, parameters)}


def read_standings(
    connection: Connection, several: Sequence[StoredConnection], now: int
) -> dict[str, Standing]:
    """How each of these connections of one account stands, by id.

    :param several: as many as a page has, at most
    """
    if not several:
        return {}
    parameters = {"ids": [one.connection_id for one in several], "limit": len(several), "now": now}
    uses = {row[0]: row[1] for row in _USES.read(connection, parameters)}
    until = {row[0]: row[1] for row in _UNTIL.read(connection, parameters)}
    return {
        one.connection_id: Standing(uses.get(one.connection_id, 0), until.get(one.connection_id))
        for one in several
    }


def count_connections(connection: Connection, account_id: str) -> int:
    """How many connections the account has."""
    return int(connection.execute(_COUNT, {"account": account_id}).scalar_one())


def count_bytes(connection: Connection, account_id: str) -> int:
    """How many bytes the account's connections hold."""
    return int(connection.execute(_BYTES, {"account": account_id}).scalar_one())


def list_users(
    connection: Connection, account_id: str, connection_id: str, limit: int
) -> list[tuple[str, str]]:
    """Id and name of up to `limit` cron jobs that use a connection of the account, the oldest first."""
    parameters = {"account": account_id, "own_id": connection_id, "limit": limit}
    return [(row[0], row[1]) for row in _USERS.read(connection, parameters)]


def get_secret(connection: Connection, account_id: str, connection_id: str) -> bytes | None:
    """What is sealed of a connection of the account; None if nothing is."""
    parameters = {"account": account_id, "own_id": connection_id}
    sealed: bytes | None = connection.execute(_SECRET, parameters).scalar_one_or_none()
    return sealed


def find_public(connection: Connection, connection_id: str, now: int) -> tuple[str, bool] | None:
    """What may be shown of a connection, whoever has it, and whether its former secrets go on."""
    row = connection.execute(_PUBLIC, {"own_id": connection_id, "now": now}).one_or_none()
    return None if row is None else (row[0], row[1] is not None)


def insert_connection(connection: Connection, stored: StoredConnection, secret: bytes | None) -> None:
    """Add a connection. The caller has locked the account.

    :param secret: sealed
    """
    connection.execute(insert(_table).values(_values(stored, secret)))


def replace_connection(connection: Connection, stored: StoredConnection, secret: bytes | None) -> None:
    """Write a connection over its row. The caller has locked the account.

    :param secret: sealed
    """
    values = _values(stored, secret)
    for name in _OF_USE:
        del values[name]
    connection.execute(_one(stored).values(values))


def keep_previous(connection: Connection, stored: StoredConnection, secret: bytes, until: int) -> None:
    """Let former secrets of a connection go on beside those that it has. The caller has locked the account.

    :param secret: sealed
    """
    forget_previous(connection, stored.account_id, stored.connection_id)
    connection.execute(
        insert(_previous).values(
            connection_id=stored.connection_id, account_id=stored.account_id, secret=secret, until=until
        )
    )


def forget_previous(connection: Connection, account_id: str, connection_id: str) -> None:
    """End the former secrets of a connection. The caller has locked the account."""
    own = (_previous.c.account_id == account_id, _previous.c.connection_id == connection_id)
    connection.execute(delete(_previous).where(*own))


def delete_connection(connection: Connection, stored: StoredConnection) -> None:
    """Delete a connection with all its secrets. The caller has locked the account, and no cron job uses it."""
    forget_previous(connection, stored.account_id, stored.connection_id)
    own = (_table.c.account_id == stored.account_id, _table.c.connection_id == stored.connection_id)
    connection.execute(delete(_table).where(*own))


def erase_ended(connection: Connection, now: int) -> int:
    """Erase the former secrets of all connections whose time is over; return how many."""
    return connection.execute(delete(_previous).where(_previous.c.until <= now)).rowcount


def record_uses(connection: Connection, uses: Mapping[str, int]) -> None:
    """Say when connections were used, each at most once in `USE_NOTED`.

    One that somebody changes right now is left out: a firing's record waits for nobody.

    :param uses: the instant by the connection's id
    """
    statement = _note(connection.dialect.name)
    for connection_id, at in sorted(uses.items()):
        connection.execute(statement, {"used": connection_id, "at": at, "before": at - USE_NOTED})


@cache
def _note(dialect: str) -> Update:
    noted = func.coalesce(_table.c.last_used_at, 0) <= bindparam("before", type_=BigInteger())
    chosen = select(_table.c.connection_id).where(
        _table.c.connection_id == bindparam("used", type_=Id()), noted
    )
    if dialect != "sqlite":
        chosen = chosen.with_for_update(skip_locked=True, key_share=True)
    return (
        update(_table)
        .where(_table.c.connection_id.in_(chosen))
        .values(last_used_at=bindparam("at", type_=BigInteger()))
    )


def chosen_by() -> Any:
    """The condition of a list of cron jobs: those that use the connection with the id, or of the name, `connection`."""
    meant = bindparam("connection", type_=Text())
    return _cronjob.c.connection_id.in_(
        select(_table.c.connection_id).where(
            _table.c.account_id == bindparam("account_id"),
            (_table.c.name == meant) | (_table.c.connection_id == bindparam("connection_id", type_=Id())),
        )
    )


def _one(stored: StoredConnection) -> Update:
    return update(_table).where(
        _table.c.account_id == stored.account_id, _table.c.connection_id == stored.connection_id
    )


def _values(stored: StoredConnection, secret: bytes | None) -> dict[str, Any]:
    size = len(stored.name.encode()) + len(stored.parameters.encode()) + len(secret or b"")
    values = {name: getattr(stored, name) for name in StoredConnection.__dataclass_fields__}
    return values | {"secret": secret, "size": size}
