"""A tenant's channels: where its alerts go.

Invariant: every verb of a tenant takes the account and touches no other's rows. Who makes, changes or deletes a channel
has locked the account. A token confirms an address once; of it there is a digest alone. What is sealed comes out of
`get_secret`, and of a claim of an alert.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import BigInteger, Connection, Integer, Text, bindparam, delete, func, insert, select, update

from cronally import wire
from cronally.alert import Reason, State
from cronally.store import tables
from cronally.store.rows import Rows
from cronally.store.types import Id


@dataclass(frozen=True, slots=True)
class StoredChannel:
    """A channel's row without its secrets. The names are those of the table's columns."""

    channel_id: str
    account_id: str
    name: str
    kind: str
    parameters: str
    """JSON: what may be shown of it."""
    connection_id: str | None
    version: int
    created_at: int
    updated_at: int
    updated_by: str
    confirmed_at: int | None = None
    token_until: int | None = None
    delivered_at: int | None = None
    unhealthy_since: int | None = None
    unhealthy_detail: str | None = None


_table: Final = tables.channel
_delivery: Final = tables.alert_delivery
_COLUMNS: Final = tuple(_table.c[name] for name in StoredChannel.__dataclass_fields__)
_OF: Final = _table.c.account_id == bindparam("account", type_=Id())
_BY_ID: Final = _table.c.channel_id == bindparam("own_id", type_=Id())
_GET: Final = select(*_COLUMNS).where(_OF, _BY_ID)
_NAMED: Final = select(*_COLUMNS).where(_OF, _table.c.name == bindparam("named", type_=Text()))
_LIST: Final = Rows(
    select(*_COLUMNS)
    .where(_OF, _table.c.name > bindparam("after", type_=Text()))
    .order_by(_table.c.name)
    .limit(bindparam("limit", type_=Integer()))
)
_SECRET: Final = select(_table.c.secret).where(_OF, _BY_ID)
_COUNT: Final = select(func.count()).select_from(_table).where(_OF)
_USERS: Final = select(_table.c.name).where(_table.c.connection_id == bindparam("used", type_=Id()), _OF)
_OF_USE: Final = ("token_until", "delivered_at", "unhealthy_since", "unhealthy_detail")
"""What its use writes, and no change of it."""


def get_channel(connection: Connection, account_id: str, meant: str) -> StoredChannel | None:
    """The account's channel with this id, or of this name."""
    if wire.UUID.fullmatch(meant):  # which is no name
        row = connection.execute(_GET, {"account": account_id, "own_id": meant}).one_or_none()
    else:
        row = connection.execute(_NAMED, {"account": account_id, "named": meant}).one_or_none()
    return None if row is None else StoredChannel(*row)


def list_channels(connection: Connection, account_id: str, after: str, limit: int) -> list[StoredChannel]:
    """The account's channels by name, at most `limit` from the one after the name `after`."""
    parameters = {"account": account_id, "after": after, "limit": limit}
    return [StoredChannel(*row) for row in _LIST.read(connection, parameters)]


def count_channels(connection: Connection, account_id: str) -> int:
    """How many channels the account has."""
    return int(connection.execute(_COUNT, {"account": account_id}).scalar_one())


def list_using(connection: Connection, account_id: str, connection_id: str) -> list[str]:
    """The names of the account's channels that use a connection."""
    return sorted(connection.execute(_USERS, {"account": account_id, "used": connection_id}).scalars())


def get_secret(connection: Connection, account_id: str, channel_id: str) -> bytes | None:
    """What is sealed of a channel of the account; None if nothing is."""
    parameters = {"account": account_id, "own_id": channel_id}
    sealed: bytes | None = connection.execute(_SECRET, parameters).scalar_one_or_none()
    return sealed


def insert_channel(connection: Connection, stored: StoredChannel, secret: bytes | None) -> None:
    """Add a channel. The caller has locked the account.

    :param secret: sealed
    """
    connection.execute(insert(_table).values(_values(stored, secret)))


def replace_channel(connection: Connection, stored: StoredChannel, secret: bytes | None) -> None:
    """Write a channel over its row. The caller has locked the account.

    :param secret: sealed
    """
    values = {name: value for name, value in _values(stored, secret).items() if name not in _OF_USE}
    connection.execute(
        update(_table)
        .where(_table.c.account_id == stored.account_id, _table.c.channel_id == stored.channel_id)
        .values(values)
    )


def delete_channel(connection: Connection, stored: StoredChannel, now: int) -> None:
    """Delete a channel with its secrets, and skip what was to be sent to it. The caller has locked the account."""
    # In this order: a record takes the row of the delivery first, too.
    connection.execute(
        update(_delivery)
        .where(_delivery.c.channel_id == stored.channel_id, _delivery.c.state == State.PENDING)
        .values(state=str(State.SKIPPED), reason=str(Reason.CHANNEL_DELETED), due_at=None, finished_at=now)
    )
    connection.execute(
        delete(_table).where(
            _table.c.account_id == stored.account_id, _table.c.channel_id == stored.channel_id
        )
    )


def record_token(
    connection: Connection, stored: StoredChannel, digest: str | None, until: int | None
) -> None:
    """Give a channel the only token that confirms its address, or none. The caller has locked the account."""
    connection.execute(
        update(_table)
        .where(_table.c.account_id == stored.account_id, _table.c.channel_id == stored.channel_id)
        .values(token_digest=digest, token_until=until)
    )


_CONFIRM: Final = (
    update(_table)
    .where(
        _table.c.token_digest == bindparam("digest", type_=Text()),
        _table.c.token_until > bindparam("now", type_=BigInteger()),
    )
    .values(confirmed_at=bindparam("now", type_=BigInteger()), token_digest=None, token_until=None)
    .returning(_table.c.account_id, _table.c.channel_id, _table.c.name)
)


class ConfirmedChannel(NamedTuple):
    """A channel whose address was just confirmed."""

    account_id: str
    channel_id: str
    name: str


def confirm(connection: Connection, digest: str, now: int) -> ConfirmedChannel | None:
    """Confirm the address of the channel that a token was sent for, or return None for a token that is no more."""
    row = connection.execute(_CONFIRM, {"digest": digest, "now": now}).one_or_none()
    return None if row is None else ConfirmedChannel(*row)


def record_result(
    connection: Connection, account_id: str, channel_id: str, now: int, failure: str | None
) -> None:
    """Note that an alert reached a channel, or that it did not and why.

    :param failure: what was said
    """
    own = update(_table).where(_table.c.account_id == account_id, _table.c.channel_id == channel_id)
    if failure is None:
        connection.execute(own.values(delivered_at=now, unhealthy_since=None, unhealthy_detail=None))
        return
    connection.execute(
        own.values(unhealthy_since=func.coalesce(_table.c.unhealthy_since, now), unhealthy_detail=failure)
    )


def _values(stored: StoredChannel, secret: bytes | None) -> dict[str, Any]:
    values = {
        name: getattr(stored, name) for name in StoredChannel.__dataclass_fields__ if name != "token_until"
    }
    return values | {"secret": secret}
