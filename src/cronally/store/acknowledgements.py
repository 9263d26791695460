"""Acknowledgements of firings: begun where a firing is recorded as delivered, changed by what receivers say, and by
time.

Invariant: whoever writes a row holds the row lock of its firing, so what a record, a receiver and the end of the time
make of it come one after the other; each is a pure step of `acknowledgement`. A row speaks of the delivery whose
`attempts_before` the firing has: one of another is a replayed firing's, and nobody waits for it.

Locks are taken in this order: the cron job, its firing, what waits for that firing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, Delete, Integer, ScalarSelect, and_, bindparam, delete, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert
from sqlalchemy.types import TypeEngine

from cronally import acknowledgement as rules
from cronally import failpoints
from cronally.acknowledgement import Ack, Acknowledgement
from cronally.cronjob import Policies
from cronally.firing import Key, State, firing_id
from cronally.store import batches, happenings, tables
from cronally.store.claims import Record
from cronally.store.happenings import Happening, What
from cronally.store.rows import Rows
from cronally.store.types import Id

_table: Final = tables.acknowledgement
_firing: Final = tables.firing
_NAMES: Final = tuple(each.name for each in fields(Acknowledgement))
_LIMIT: Final = bindparam("limit", type_=Integer())
BODIES_KEPT: Final = 1000
"""Of one account, 10 KiB each at most."""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of the acknowledgement of a firing."""

    key: Key
    account_id: str
    before: Acknowledgement | None
    """None: there was none, or one of a delivery before a replay."""
    after: Acknowledgement


def write(connection: Connection, changes: Sequence[Change]) -> None:
    """Write acknowledgements as they are now. Every change of one passes here, and none passes twice."""
    rows = [
        (*one.key, one.account_id, *(getattr(one.after, name) for name in _NAMES))
        for one in changes
        if one.after != one.before
    ]
    if rows:
        connection.execute(_upsert(connection.dialect.name), batches.encode(rows))
        happenings.add(connection, filter(None, map(_happening, changes)))
        failpoints.reach("acknowledge.before_commit")


_TOLD: Final = {Ack.OVERDUE: What.OVERDUE, Ack.FAILED: What.ACK_FAILED}


def _happening(change: Change) -> Happening | None:
    """What alerts go by; None for what is well, and for what was so before."""
    after, what = change.after, _TOLD.get(change.after.ack)
    if what is None or (change.before is not None and change.before.ack is after.ack):
        return None
    at = after.overdue_at if what is What.OVERDUE else after.ended_at
    cronjob_id, scheduled_at, _ = change.key
    return Happening(change.account_id, cronjob_id, what, scheduled_at, scheduled_at if at is None else at)


@cache
def _upsert(dialect: str) -> PostgresInsert | SqliteInsert:
    columns: dict[str, TypeEngine[Any]] = {**batches.KEY, "account_id": Id()}
    columns |= {name: _table.c[name].type for name in _NAMES}
    batch = batches.table(dialect, columns)
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    # SQLite's grammar needs a WHERE before ON CONFLICT.
    row = insert(_table).from_select(list(columns), select(*batch.c).where(batch.c.within >= 0))
    return row.on_conflict_do_update(
        index_elements=list(batches.KEY), set_={name: row.excluded[name] for name in _NAMES}
    )


# A firing is delivered


def begin(connection: Connection, records: Sequence[Record]) -> None:
    """Wait for the acknowledgement of what these records say to be delivered, where it is asked for.

    Called in the transaction that has written the records; one that found its lease taken has changed nothing, and one
    that is written once more finds what it began.
    """
    delivered = {
        (*record.claim.key, record.claim.lease_no): record
        for record in records
        if record.state is State.DELIVERED and record.claim.policies.ack_within
    }
    if not delivered:
        return
    parameters = {**batches.encode(delivered), "limit": len(delivered)}
    changes = []
    for row in _delivered(connection.dialect.name).read(connection, parameters):
        record = delivered[row[0], row[1], row[2], row[3]]
        before = current(row[4:], record.claim.attempts_before)
        if before is not None and before.delivered_at == record.finished_at:
            continue  # it is written once more
        began = before or new(record.claim.attempts_before, record.claim.policies)
        sent_at, finished_at = record.sent_at or 0, record.finished_at or 0
        after = rules.after_delivery(began, sent_at, finished_at)
        changes.append(Change(record.claim.key, record.claim.account_id, before, after))
    write(connection, changes)


def new(attempts_before: int, policies: Policies) -> Acknowledgement:
    """That of a firing which nobody has said anything of."""
    return Acknowledgement(
        attempts_before=attempts_before,
        first_before=attempts_before,
        within=policies.ack_within,
        min_duration=policies.min_duration,
    )


def current(values: Sequence[Any], attempts_before: int) -> Acknowledgement | None:
    """The acknowledgement that a firing has, of the values of its row; None where nobody waits for that."""
    found = None if values[0] is None else _read(values)
    return None if found is None or found.attempts_before != attempts_before else found


def _read(values: Sequence[Any]) -> Acknowledgement:
    return Acknowledgement(Ack(values[0]), *values[1:])


ROW: Final = tuple(_table.c[name] for name in _NAMES)
"""What an `Acknowledgement` is made of, in its order."""
IS_CURRENT: Final = _table.c.attempts_before == _firing.c.attempts_before
"""Whether an acknowledgement is of the last delivery of its firing."""
OF_FIRING: Final = and_(*(_table.c[name] == _firing.c[name] for name in batches.KEY))


@cache
def _delivered(dialect: str) -> Rows:
    """Of firings by key and lease: those that were delivered under it, and their acknowledgements."""
    batch = batches.table(dialect, batches.LEASE)
    found = select(*(_firing.c[name] for name in batches.LEASE), *ROW)
    joined = found.join(batch, batches.same(_firing, batch, batches.LEASE)).outerjoin(_table, OF_FIRING)
    return Rows(joined.where(_firing.c.state == State.DELIVERED).limit(_LIMIT))


# They are read, and deleted


@dataclass(frozen=True, slots=True)
class Body:
    """What a receiver sent with its last word, sealed."""

    received_at: int
    cut: bool
    """Whether there was more of it."""
    secret: bytes = field(repr=False)


_body: Final = tables.acknowledgement_body


def own() -> ScalarSelect[Any]:
    """Where the acknowledgement of a row of `firing` stands, in a query of those."""
    return select(_table.c.ack).where(OF_FIRING, IS_CURRENT).correlate(_firing).scalar_subquery()


@cache
def _of_firings(dialect: str) -> Rows:
    batch = batches.table(dialect, batches.KEY)
    found = select(*(_firing.c[name] for name in batches.KEY), *ROW)
    joined = found.join(batch, batches.same(_firing, batch, batches.KEY)).join(_table, OF_FIRING)
    account = _firing.c.account_id == bindparam("of_account", type_=Id())
    return Rows(joined.where(account, IS_CURRENT).limit(_LIMIT))


def list_acknowledgements(
    connection: Connection, account_id: str, keys: Sequence[Key]
) -> dict[Key, Acknowledgement]:
    """The acknowledgements of those of these firings of the account that have one.

    :param keys: as many as a page has, at most
    """
    if not keys:
        return {}
    parameters = {**batches.encode(keys), "of_account": account_id, "limit": len(keys)}
    rows = _of_firings(connection.dialect.name).read(connection, parameters)
    return {(row[0], row[1], row[2]): _read(row[3:]) for row in rows}


_BODIES: Final = select(_body.c.firing_id, *(_body.c[each.name] for each in fields(Body))).where(
    _body.c.account_id == bindparam("of_account", type_=Id()),
    _body.c.firing_id.in_(bindparam("ids", type_=Id(), expanding=True)),
)


def list_bodies(connection: Connection, account_id: str, ids: Sequence[str]) -> dict[str, Body]:
    """What receivers sent of these firings of the account, by their ids, as far as it is kept.

    :param ids: as many as a page with attempts has, at most
    """
    if not ids:
        return {}
    rows = connection.execute(_BODIES, {"of_account": account_id, "ids": list(ids)})
    return {row.firing_id: Body(row.received_at, bool(row.cut), row.secret) for row in rows}


def record_body(connection: Connection, account_id: str, key: Key, body: Body) -> None:
    """Keep what a receiver sent, in place of what it sent before; of the account the newest `BODIES_KEPT`.

    The caller holds the row lock of the cron job, which is not deleted.
    """
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    values = {"received_at": body.received_at, "cut": int(body.cut), "secret": body.secret}
    new = insert(_body).values(firing_id=firing_id(*key), account_id=account_id, cronjob_id=key[0], **values)
    connection.execute(new.on_conflict_do_update(index_elements=["firing_id"], set_=values))
    connection.execute(_DELETE_OLD_BODIES, {"of_account": account_id, "kept": BODIES_KEPT})


_newest: Final = _body.alias("newest")
_DELETE_OLD_BODIES: Final = delete(_body).where(
    _body.c.account_id == bindparam("of_account", type_=Id()),
    _body.c.received_at
    < select(_newest.c.received_at)
    .where(_newest.c.account_id == bindparam("of_account", type_=Id()))
    .order_by(_newest.c.received_at.desc())
    .limit(1)
    .offset(bindparam("kept", type_=Integer()))
    .scalar_subquery(),
)
_DELETE_BODIES_OF: Final = delete(_body).where(_body.c.cronjob_id == bindparam("of", type_=Id()))


def erase_bodies_of(connection: Connection, cronjob_id: str) -> None:
    """Forget what receivers sent of firings of a cron job, which is deleted. The caller holds its row lock."""
    connection.execute(_DELETE_BODIES_OF, {"of": cronjob_id})


@cache
def _delete(dialect: str) -> Delete:
    batch = batches.table(dialect, batches.KEY)
    return delete(_table).where(tuple_(*(_table.c[name] for name in batches.KEY)).in_(select(*batch.c)))


_DELETE_BODIES: Final = delete(_body).where(
    _body.c.firing_id.in_(bindparam("ids", type_=Id(), expanding=True))
)


def delete_acknowledgements(connection: Connection, keys: Iterable[Key], *, bodies: bool = True) -> None:
    """Delete the acknowledgements of firings, and what receivers sent of them."""
    keys = list(keys)
    connection.execute(_delete(connection.dialect.name), batches.encode(keys))
    if bodies:
        connection.execute(_DELETE_BODIES, {"ids": [firing_id(*key) for key in keys]})
