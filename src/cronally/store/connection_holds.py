"""The firings that unhealthy connections hold: kept back, one of them woken to try, and let go when all is well.

Invariant: a held firing is pending, with the reason `connection_unhealthy` and the connection's id as its cause, and
due once it is too old. Who holds a firing has the row of its connection locked, so nothing is held by one that is well.
What is let go is due one after the other, however much it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    Text,
    Update,
    bindparam,
    case,
    null,
    select,
    text,
    tuple_,
    update,
)

from cronally.firing import Key, Reason, State
from cronally.instants import SECOND
from cronally.store import batches, tables
from cronally.store.claims import Claim
from cronally.store.types import Id

APART: Final = SECOND // 10
"""Between two of the held firings that are let go."""
RELEASED_ROWS: Final = 100
"""Of what is held, so much is let go in one transaction."""
AHEAD: Final = 10 * SECOND
"""So far ahead they are made due at most, before more of them are."""
LOOKED: Final = 1000
"""Of what a connection holds, so much is looked at for the next probe."""
AT_ONCE: Final = 20
"""Connections that one transaction goes through."""
FREED_ROWS: Final = 500
"""Of what a cron job has held, so much is let go in one transaction."""

_table: Final = tables.connection
_firing: Final = tables.firing
_NOW: Final = bindparam("now", type_=BigInteger())
_LIMIT: Final = bindparam("limit", type_=Integer())
_THIS: Final = _table.c.connection_id == bindparam("of", type_=Id())
_HEALTHY: Final = _table.c.unhealthy_since.is_(None)
_KEYS: Final = tuple(_firing.c[name] for name in batches.KEY)
_PENDING: Final = _firing.c.state == State.PENDING
# As in the partial index.
_IS_HELD: Final = text("reason = 'connection_unhealthy' AND due_at IS NOT NULL")
_HELD_BY: Final = (_firing.c.cause == bindparam("cause", type_=Text()), _IS_HELD)


def record_held(connection: Connection, claims: Iterable[Claim], refused: int = 0) -> None:
    """Say by which connections, locked by this transaction, firings are held that it has recorded so.

    :param refused: 1 if an attempt of each was refused, which is none of those that the cron job's retries allow
    """
    rows = [(*claim.key, claim.lease_no, claim.connection_id, refused) for claim in claims]
    if rows:
        connection.execute(_hold(connection.dialect.name), batches.encode(rows))


@cache
def _hold(dialect: str) -> Update:
    batch = batches.table(dialect, {**batches.LEASE, "cause": Text(), "refused": Integer()})
    same = batches.same(_firing, batch, batches.LEASE)
    before = _firing.c.attempts_before + batch.c.refused
    return update(_firing).where(same, _PENDING).values(cause=batch.c.cause, attempts_before=before)


def send_again(connection: Connection, refused: Iterable[tuple[Claim, int]]) -> int:
    """Make due at an instant what was refused, though its connection is well, and recorded as held; how many are."""
    rows = [(*claim.key, claim.lease_no, at) for claim, at in refused]
    if not rows:
        return 0
    return connection.execute(_again(connection.dialect.name), batches.encode(rows)).rowcount


@cache
def _again(dialect: str) -> Update:
    batch = batches.table(dialect, {**batches.LEASE, "due_at": BigInteger()})
    same = batches.same(_firing, batch, batches.LEASE)
    return (
        update(_firing)
        .where(same, _PENDING)
        .values(due_at=batch.c.due_at, refusals=0, reason=Reason.TARGET_UNAUTHORIZED.value)
    )


_held: Final = (
    select(*_KEYS).where(*_HELD_BY, _PENDING).order_by(_firing.c.scheduled_at).limit(_LIMIT).subquery()
)
_EARLIEST: Final = select(_held).order_by(_held.c.scheduled_at, _held.c.cronjob_id, _held.c.kind).limit(1)
_NEXT: Final = (
    select(_held)
    .order_by(
        case((_held.c.cronjob_id > bindparam("probed", type_=Id()), 0), else_=1),
        _held.c.cronjob_id,
        _held.c.scheduled_at,
    )
    .limit(1)
)
_BY_KEY: Final = (
    _firing.c.cronjob_id == bindparam("cronjob", type_=Id()),
    _firing.c.scheduled_at == bindparam("at", type_=BigInteger()),
    _firing.c.kind == bindparam("of_kind", type_=Text()),
)
_WAKE: Final = (
    update(_firing)
    .where(
        tuple_(*_KEYS).in_(
            select(*_KEYS).where(*_BY_KEY, _IS_HELD, _PENDING).with_for_update(skip_locked=True)
        )
    )
    .values(due_at=_NOW)
)


def wake_one(connection: Connection, connection_id: str, probed: str | None, now: int) -> Key | None:
    """Make one of the firings due that a connection holds; return its key, None if there is none to be had.

    :param probed: the cron job of the last one that tried it: the next is of another, where there is one
    """
    looked = {"cause": connection_id, "limit": LOOKED}
    if probed is None:
        row = connection.execute(_EARLIEST, looked).first()
    else:
        row = connection.execute(_NEXT, {**looked, "probed": probed}).first()
    if row is None:
        return None
    key = {"cronjob": row.cronjob_id, "at": row.scheduled_at, "of_kind": row.kind}
    woken = connection.execute(_WAKE, {**key, "now": now}).rowcount
    return (row.cronjob_id, row.scheduled_at, row.kind) if woken else None


_RELEASING: Final = (
    select(_table.c.connection_id)
    .where(_table.c.release_at.is_not(None), _HEALTHY)
    .order_by(_table.c.release_at)
    .limit(_LIMIT)
)
_TO_RELEASE: Final = (
    select(_table.c.release_at)
    .where(_THIS, _table.c.release_at.is_not(None), _HEALTHY)
    .with_for_update(key_share=True, skip_locked=True)
)
_FIRST_HELD: Final = (
    select(*_KEYS)
    .where(*_HELD_BY, _PENDING)
    .order_by(_firing.c.scheduled_at, _firing.c.cronjob_id, _firing.c.kind)
    .limit(_LIMIT)
    # A row that is locked is being claimed, or ends.
    .with_for_update(skip_locked=True)
)
_RELEASED: Final = update(_table).where(_THIS).values(release_at=bindparam("until", type_=BigInteger()))


def release_left(connection: Connection, now: int) -> int:
    """Let go more of what connections of all accounts hold that are well again; return how much."""
    left = connection.execute(_RELEASING, {"limit": AT_ONCE}).scalars().all()
    return sum(release(connection, connection_id, now) for connection_id in left)


def release(connection: Connection, connection_id: str, now: int) -> int:
    """Make due some of what a connection holds that is well, the earliest first, `APART` from each other."""
    until: int | None = connection.execute(_TO_RELEASE, {"of": connection_id}).scalar()
    if until is None:
        return 0
    if until > now + AHEAD:
        if until <= now + AHEAD + RELEASED_ROWS * APART:
            return 0
        until = now  # a clock that was ahead wrote it
    keys = connection.execute(_FIRST_HELD, {"cause": connection_id, "limit": RELEASED_ROWS}).all()
    begin = max(until, now)
    rows = [(*key, begin + place * APART) for place, key in enumerate(keys)]
    if rows:
        connection.execute(_let_go(connection.dialect.name), batches.encode(rows))
    connection.execute(_RELEASED, {"of": connection_id, "until": begin + len(rows) * APART if rows else None})
    return len(rows)


@cache
def _let_go(dialect: str) -> Update:
    batch = batches.table(dialect, {**batches.KEY, "due_at": BigInteger()})
    same = batches.same(_firing, batch, batches.KEY)
    return (
        update(_firing)
        .where(same, _PENDING)
        .values(due_at=batch.c.due_at, refusals=0, reason=null(), cause=null())
    )


_FREE: Final = (
    update(_firing)
    .where(
        tuple_(*_KEYS).in_(
            select(*_KEYS)
            .where(
                _firing.c.cronjob_id == bindparam("cronjob", type_=Id()),
                _PENDING,
                _firing.c.reason == Reason.CONNECTION_UNHEALTHY,
            )
            .order_by(_firing.c.scheduled_at.desc())
            .limit(_LIMIT)
            .with_for_update(skip_locked=True)
        )
    )
    .values(due_at=_NOW, refusals=0, reason=null(), cause=null())
)


def free(connection: Connection, cronjob_id: str, now: int) -> bool:
    """Make due what is held of a cron job that uses another connection; False if there may be more."""
    parameters = {"cronjob": cronjob_id, "now": now, "limit": FREED_ROWS}
    return connection.execute(_FREE, parameters).rowcount < FREED_ROWS
