"""Nonces of signed requests: each is used once, on all nodes.

Invariant: whether a nonce is new is decided by the primary key, in the one statement that also keeps it. What is kept
is a digest of 16 bytes, so a row is as long as any other. An account has no more of them than it may ask requests in
the time for which they are kept.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from sqlalchemy import (
    BigInteger,
    Connection,
    LargeBinary,
    TextClause,
    bindparam,
    delete,
    select,
    text,
    tuple_,
)

from cronally.instants import MINUTE
from cronally.store import tables
from cronally.store.types import Id

KEPT: Final = 15 * MINUTE
"""How much longer a nonce is kept than its request could be accepted: a clock that is ahead may come back.
Microseconds."""


def insert_nonce(connection: Connection, account_id: str, nonce: bytes, expires_at: int) -> bool:
    """Keep a nonce; False when it was used before. One statement, for `Store.note`.

    :param nonce: 16 bytes
    :param expires_at: the instant until which its request could be accepted
    """
    parameters = {"account_id": account_id, "nonce": nonce, "expires_at": expires_at}
    return connection.execute(_insert(connection.dialect.name), parameters).rowcount == 1


@cache
def _insert(dialect: str) -> TextClause:
    # `WHERE` is needed by the grammar of SQLite before ON CONFLICT; on PostgreSQL it is where the setting is made that
    # lets the commit be answered before it is on the disk. What the request changes is on the disk only after that.
    lazily = "set_config('synchronous_commit', 'off', true) = 'off'" if dialect == "postgresql" else "true"
    return text(
        "INSERT INTO nonce (account_id, nonce, expires_at) SELECT :account_id, :nonce, :expires_at"
        f" WHERE {lazily} ON CONFLICT (account_id, nonce) DO NOTHING"
    ).bindparams(
        bindparam("account_id", type_=Id()),
        bindparam("nonce", type_=LargeBinary()),
        bindparam("expires_at", type_=BigInteger()),
    )


_table: Final = tables.nonce
_KEY: Final = (_table.c.account_id, _table.c.nonce)
_OLD: Final = (
    select(*_KEY)
    .where(_table.c.expires_at < bindparam("until"))
    .order_by(_table.c.expires_at)
    .limit(bindparam("limit"))
)
_DELETE: Final = delete(_table).where(tuple_(*_KEY).in_(_OLD))


def delete_nonces(connection: Connection, until: int, limit: int) -> int:
    """Delete up to `limit` nonces whose requests could not be accepted any more at an instant."""
    return connection.execute(_DELETE, {"until": until, "limit": limit}).rowcount
