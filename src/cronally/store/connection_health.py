"""Connections whose credentials are refused: marked, tried again, and well again; and the firings that they hold.

Invariant: while a connection is unhealthy only the firing that is its `probe` is sent with it, one in each time that
`probe_at` ends. Who marks it, takes its probe or lets go what it holds has its row locked, and who holds a firing has
it shared: so nothing is held by one that is well. A held firing is pending, with the reason `connection_unhealthy` and
the connection's id as its cause, and due once it is too old. A claim waits for no lock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    Text,
    Update,
    bindparam,
    case,
    null,
    or_,
    select,
    text,
    tuple_,
    update,
)

from cronally.firing import Reason, State, firing_id
from cronally.instants import HOUR, MINUTE, SECOND
from cronally.store import batches, tables
from cronally.store.claims import Claim, Record
from cronally.store.types import Id

FIRST: Final = MINUTE
LONGEST: Final = HOUR
"""Between two probes, at first and after many; each doubles it. Microseconds."""
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
_IDS: Final = _table.c.connection_id.in_(bindparam("ids", type_=Id(), expanding=True))
_THIS: Final = _table.c.connection_id == bindparam("of", type_=Id())
_UNHEALTHY: Final = _table.c.unhealthy_since.is_not(None)
# What a clock that was ahead has written keeps nothing waiting.
_DUE: Final = or_(_table.c.probe_at <= _NOW, _table.c.probe_at > bindparam("latest", type_=BigInteger()))
_HEALTHY: Final = {
    **dict.fromkeys(("unhealthy_since", "unhealthy_detail", "probe_at", "probe", "probed"), null()),
    "probes": 0,
}
_KEYS: Final = tuple(_firing.c[name] for name in batches.KEY)
_PENDING: Final = _firing.c.state == State.PENDING
# As in the partial index.
_IS_HELD: Final = text("reason = 'connection_unhealthy' AND due_at IS NOT NULL")
_HELD_BY: Final = (_firing.c.cause == bindparam("cause", type_=Text()), _IS_HELD)


# What came of firings


_LOCK: Final = (
    select(_table.c.connection_id, _table.c.version, _table.c.unhealthy_since)
    .where(_IDS)
    .order_by(_table.c.connection_id)
    .with_for_update(key_share=True)
)
_MARK: Final = (
    update(_table)
    .where(_THIS)
    .values(
        unhealthy_since=bindparam("at", type_=BigInteger()),
        unhealthy_detail=bindparam("detail", type_=Text()),
        probe_at=bindparam("until", type_=BigInteger()),
        probes=1,
    )
)


def record_outcomes(connection: Connection, records: Sequence[Record]) -> int:
    """Mark the connections whose credentials were refused, and those as well again whose probe was delivered.

    In the transaction that records the firings, after that. What was sent with the secrets of before a change says
    nothing. Returns how many firings became due.
    """
    refused: defaultdict[str, list[Record]] = defaultdict(list)
    delivered: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        claim = record.claim
        if claim.connection_id is None:
            continue
        if record.reason is Reason.CONNECTION_UNHEALTHY and record.outcome is not None:
            refused[claim.connection_id].append(record)
        elif claim.connection_probe is not None and record.state is State.DELIVERED:
            delivered[claim.connection_id].append(record)
    if not refused and not delivered:
        return 0
    found = connection.execute(_LOCK, {"ids": sorted({*refused, *delivered})}).all()
    standing = {row.connection_id: (row.version, row.unhealthy_since) for row in found}
    held, freed = [], 0
    for connection_id in sorted(refused.keys() | delivered.keys()):
        version, since = standing.get(connection_id, (None, None))
        saying = [one for one in refused[connection_id] if one.claim.connection_version == version]
        good = [one for one in delivered[connection_id] if one.claim.connection_version == version]
        if since is None and saying:
            first = min(saying, key=_ended)
            since = _ended(first)
            values = {"of": connection_id, "at": since, "detail": first.detail, "until": since + FIRST}
            connection.execute(_MARK, values)
        elif since is not None and any((one.sent_at or 0) >= since for one in good):
            since = None
            freed += _recover(connection, connection_id, max(map(_ended, good)))
        held += [(one, since is not None) for one in refused[connection_id]]
    if held:
        _write_held(
            connection, [(*_lease(one.claim), one.claim.connection_id, 1) for one, is_held in held if is_held]
        )
        again = [(*_lease(one.claim), _ended(one)) for one, is_held in held if not is_held]
        if again:
            freed += connection.execute(_again(connection.dialect.name), batches.encode(again)).rowcount
    return freed


def _ended(record: Record) -> int:
    return (record.sent_at or 0) + (record.duration or 0)


def _lease(claim: Claim) -> tuple[str, int, str, int]:
    return (*claim.key, claim.lease_no)


# What a claim asks for


_PROBE: Final = (
    select(_table.c.probes)
    .where(_THIS, _UNHEALTHY, _DUE, _table.c.probe == bindparam("firing", type_=Id()))
    .with_for_update(key_share=True, skip_locked=True)
)
_TAKE: Final = (
    update(_table)
    .where(_THIS)
    .values(
        probe=null(),
        probed=bindparam("cronjob", type_=Id()),
        probes=_table.c.probes + 1,
        probe_at=bindparam("until", type_=BigInteger()),
    )
)
_SHARE: Final = (
    select(_table.c.connection_id)
    .where(_IDS, _UNHEALTHY)
    .order_by(_table.c.connection_id)
    .with_for_update(read=True, skip_locked=True)
)


def take_probe(connection: Connection, claim: Claim, now: int, leased_until: int) -> bool:
    """Let a claim try its connection, if it is the one that may and it is time: no other may for a while.

    :param leased_until: by when it has ended
    """
    parameters = {"of": claim.connection_id, "firing": claim.firing_id, **_when(now)}
    probes: int | None = connection.execute(_PROBE, parameters).scalar()
    if probes is None:
        return False
    until = max(now + min(FIRST << min(probes, 32), LONGEST), leased_until)
    connection.execute(_TAKE, {"of": claim.connection_id, "cronjob": claim.cronjob_id, "until": until})
    return True


def lock_unhealthy(connection: Connection, connection_ids: Iterable[str]) -> set[str]:
    """Lock those of these connections that are unhealthy and that no other transaction changes; return them."""
    rows = connection.execute(_SHARE, {"ids": sorted(connection_ids)})
    return {row.connection_id for row in rows}


def record_held(connection: Connection, claims: Iterable[Claim]) -> None:
    """Say by which connections, locked by this transaction, firings are held that it has recorded so."""
    _write_held(connection, [(*_lease(claim), claim.connection_id, 0) for claim in claims])


def _write_held(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    if rows:
        connection.execute(_hold(connection.dialect.name), batches.encode(rows))


@cache
def _hold(dialect: str) -> Update:
    batch = batches.table(dialect, {**batches.LEASE, "cause": Text(), "refused": Integer()})
    same = batches.same(_firing, batch, batches.LEASE)
    # An attempt whose credentials were refused is none of those that the cron job's retries allow.
    before = _firing.c.attempts_before + batch.c.refused
    return update(_firing).where(same, _PENDING).values(cause=batch.c.cause, attempts_before=before)


@cache
def _again(dialect: str) -> Update:
    batch = batches.table(dialect, {**batches.LEASE, "due_at": BigInteger()})
    same = batches.same(_firing, batch, batches.LEASE)
    return (
        update(_firing)
        .where(same, _PENDING)
        .values(due_at=batch.c.due_at, refusals=0, reason=Reason.TARGET_UNAUTHORIZED.value)
    )


# What is tried, and let go


_WAITING: Final = (
    select(_table.c.connection_id)
    .where(_UNHEALTHY, _table.c.probe_at.is_not(None), _DUE)
    .order_by(_table.c.probe_at)
    .limit(_LIMIT)
)
_TO_PROBE: Final = (
    select(_table.c.probed).where(_THIS, _UNHEALTHY, _DUE).with_for_update(key_share=True, skip_locked=True)
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
_CHOOSE: Final = update(_table).where(_THIS).values(probe=bindparam("firing", type_=Id()))
_SOON: Final = (
    update(_table).where(_THIS, _UNHEALTHY).values(probe_at=_NOW, probes=0, probe=null(), probed=null())
)


def wake(connection: Connection, connection_id: str, now: int) -> int:
    """Make a firing due that tries an unhealthy connection, if it is time; return how many that are, 0 or 1.

    Of a connection that is refused again and again, it is one of another cron job each time: one of them may send to a
    place that refuses everybody.
    """
    found = connection.execute(_TO_PROBE, {"of": connection_id, **_when(now)}).first()
    if found is None:
        return 0
    looked = {"cause": connection_id, "limit": LOOKED}
    if found.probed is None:
        row = connection.execute(_EARLIEST, looked).first()
    else:
        row = connection.execute(_NEXT, {**looked, "probed": found.probed}).first()
    if row is None:
        return 0
    key = {"cronjob": row.cronjob_id, "at": row.scheduled_at, "of_kind": row.kind}
    woken = connection.execute(_WAKE, {**key, "now": now}).rowcount
    if woken:
        firing = firing_id(row.cronjob_id, row.scheduled_at, row.kind)
        connection.execute(_CHOOSE, {"of": connection_id, "firing": firing})
    return woken


def wake_due(connection: Connection, now: int) -> int:
    """Do so for the connections of all accounts whose time it is, some of them; return how many firings are due."""
    due = connection.execute(_WAITING, {**_when(now), "limit": AT_ONCE}).scalars().all()
    return sum(wake(connection, connection_id, now) for connection_id in due)


def try_soon(connection: Connection, connection_id: str, now: int) -> int:
    """Let a connection whose secrets were changed be tried at once. The caller has locked the account."""
    if not connection.execute(_SOON, {"of": connection_id, "now": now}).rowcount:
        return 0
    return wake(connection, connection_id, now)


def recover(connection: Connection, account_id: str, connection_id: str, version: int, now: int) -> int:
    """Mark an account's connection as well, if it is still as it was in a version; return how many firings are due."""
    accounts = (_table.c.account_id == account_id, _table.c.version == version)
    found = connection.execute(
        select(_table.c.connection_id)
        .where(_table.c.connection_id == connection_id, *accounts, _UNHEALTHY)
        .with_for_update(key_share=True)
    ).first()
    return 0 if found is None else _recover(connection, connection_id, now)


_RELEASING: Final = (
    select(_table.c.connection_id)
    .where(_table.c.release_at.is_not(None), ~_UNHEALTHY)
    .order_by(_table.c.release_at)
    .limit(_LIMIT)
)
_TO_RELEASE: Final = (
    select(_table.c.release_at)
    .where(_THIS, _table.c.release_at.is_not(None), ~_UNHEALTHY)
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


def _recover(connection: Connection, connection_id: str, now: int) -> int:
    """Mark a connection as well, whose row this transaction has locked, and let go the first that it holds."""
    values = {**_HEALTHY, "release_at": now}
    connection.execute(update(_table).where(_table.c.connection_id == connection_id).values(values))
    return _release(connection, connection_id, now)


def release_left(connection: Connection, now: int) -> int:
    """Let go more of what connections of all accounts hold that are well again; return how much."""
    left = connection.execute(_RELEASING, {"limit": AT_ONCE}).scalars().all()
    return sum(_release(connection, connection_id, now) for connection_id in left)


def _release(connection: Connection, connection_id: str, now: int) -> int:
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


def _when(now: int) -> dict[str, int]:
    return {"now": now, "latest": now + 2 * LONGEST}
