"""Freezes: inserted, lifted, listed; which are in force, and the firings that they hold.

Invariant: a freeze is in force until its `until`, unless it is lifted, whatever the clock said when it was made. Who
holds firings for one has its row locked, and so has who lifts it: once it is lifted nothing new is held for it. A claim
waits for no such lock. A held firing is pending, with the reason `frozen` and the freeze's id as its cause, and due at
the end of the freeze. Every verb but those of the claim and of the janitor takes the account and touches no other's.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
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
    cast,
    delete,
    exists,
    func,
    insert,
    null,
    select,
    text,
    tuple_,
    update,
)

from cronally.contract.freezes import Selector
from cronally.contract.tags import ANY
from cronally.firing import Key, Kind, Reason, State
from cronally.store import batches, tables
from cronally.store.types import Id

RELEASED_ROWS: Final = 500
"""Of what a freeze holds, so much is let go in one transaction."""


@dataclass(frozen=True, slots=True)
class Freeze:
    """A freeze's row. The names are those of the table's columns."""

    freeze_id: str
    account_id: str
    selector: str
    value: str | None
    """The tag or the host."""
    rule: str
    note: str | None
    created_at: int
    until: int
    created_by: str
    lifted_at: int | None = None
    lifted_by: str | None = None

    def in_force(self, now: int) -> bool:
        """Whether it keeps firings from going."""
        return self.lifted_at is None and now < self.until

    def is_for(self, kind: str, tags: Collection[str], host: str | None) -> bool:
        """Whether it is for a firing of its account. What was asked for by hand is kept from a frozen host alone.

        :param tags: those of the cron job
        :param host: where it is sent to
        """
        if self.selector == Selector.HOST:
            return host is not None and host == self.value
        if kind == Kind.MANUAL:
            return False
        if self.selector == Selector.ACCOUNT:
            return True
        wanted = self.value or ""
        if wanted.endswith(ANY):
            return any(tag.startswith(wanted.removesuffix("*")) for tag in tags)
        return wanted in tags


_table: Final = tables.freeze
_firing: Final = tables.firing
_COLUMNS: Final = tuple(_table.c[name] for name in Freeze.__dataclass_fields__)
_NOW: Final = bindparam("now", type_=BigInteger())
_LIMIT: Final = bindparam("limit", type_=Integer())
_OF_ACCOUNT: Final = _table.c.account_id == bindparam("account", type_=Id())
_IN_FORCE: Final = (_table.c.lifted_at.is_(None), _table.c.until > _NOW)
# Of several the first that was made decides; the id is there for those of one instant.
_OLDEST_FIRST: Final = (_table.c.created_at, _table.c.freeze_id)
_GET: Final = select(*_COLUMNS).where(_OF_ACCOUNT, _table.c.freeze_id == bindparam("wanted_id", type_=Id()))
_LIST: Final = (
    select(*_COLUMNS)
    .where(_OF_ACCOUNT)
    .order_by(
        case((_table.c.lifted_at.is_(None) & (_table.c.until > _NOW), 0), else_=1),
        _table.c.created_at.desc(),
        _table.c.freeze_id.desc(),
    )
    .limit(_LIMIT)
)
_COUNT: Final = select(func.count()).select_from(_table).where(_OF_ACCOUNT, *_IN_FORCE)
_OF_ACCOUNTS: Final = (
    select(*_COLUMNS)
    .where(_table.c.account_id.in_(bindparam("accounts", type_=Id(), expanding=True)), *_IN_FORCE)
    .order_by(*_OLDEST_FIRST)
)


def are_in_force(account: str) -> str:
    """SQL: whether freezes of an account are in force at `:now`, or it stands still.

    :param account: SQL of its id
    """
    return f"""(EXISTS (SELECT 1 FROM "freeze" z
        WHERE z.account_id = {account} AND z.lifted_at IS NULL AND z.until > :now)
        OR EXISTS (SELECT 1 FROM account y WHERE y.account_id = {account} AND y.stopped IS NOT NULL))"""  # noqa: S608


def insert_freeze(connection: Connection, freeze: Freeze) -> None:
    """Add a freeze to its account. The caller has locked the account, and counted those in force."""
    connection.execute(insert(_table), {name: getattr(freeze, name) for name in Freeze.__dataclass_fields__})


def get_freeze(connection: Connection, account_id: str, freeze_id: str) -> Freeze | None:
    """The account's freeze."""
    row = connection.execute(_GET, {"account": account_id, "wanted_id": freeze_id}).one_or_none()
    return None if row is None else Freeze(*row)


def list_freezes(connection: Connection, account_id: str, now: int, limit: int) -> list[Freeze]:
    """The account's freezes, those in force first, then the newest; at most `limit`."""
    rows = connection.execute(_LIST, {"account": account_id, "now": now, "limit": limit})
    return [Freeze(*row) for row in rows]


def count_in_force(connection: Connection, account_id: str, now: int) -> int:
    """How many freezes of the account are in force."""
    count: int = connection.execute(_COUNT, {"account": account_id, "now": now}).scalar_one()
    return count


def list_in_force(connection: Connection, account_ids: Iterable[str], now: int) -> list[Freeze]:
    """The freezes of these accounts that are in force, the first that was made first."""
    parameters = {"accounts": list(account_ids), "now": now}
    return [Freeze(*row) for row in connection.execute(_OF_ACCOUNTS, parameters)]


def lift_freeze(
    connection: Connection, account_id: str, freeze_id: str, now: int, lifted_by: str
) -> Freeze | None:
    """End a freeze of the account, if it is in force; return it as it is then."""
    connection.execute(
        update(_table)
        .where(
            _table.c.account_id == account_id,
            _table.c.freeze_id == freeze_id,
            _table.c.lifted_at.is_(None),
            _table.c.until > now,
        )
        .values(lifted_at=now, lifted_by=lifted_by)
    )
    return get_freeze(connection, account_id, freeze_id)


# What a claim asks for


_STOPPED: Final = select(
    tables.account.c.account_id,
    tables.account.c.account_id,
    tables.account.c.stopped,
    null(),
    null(),
    null(),
    cast(null(), BigInteger()),
    cast(null(), BigInteger()),
    null(),
    cast(null(), BigInteger()),
    null(),
).where(
    tables.account.c.account_id.in_(bindparam("accounts", type_=Id(), expanding=True)),
    # As in the partial index.
    text("stopped IS NOT NULL"),
)
_KEEPING: Final = _OF_ACCOUNTS.order_by(None).union_all(_STOPPED).order_by(text("7"), text("1"))


def list_keeping(
    connection: Connection, account_ids: Iterable[str], now: int
) -> tuple[list[Freeze], dict[str, Reason]]:
    """What keeps firings of these accounts from going: the freezes in force, the first that was made first; and of the
    accounts that stand still, the reason.
    """
    parameters = {"accounts": list(account_ids), "now": now}
    in_force, stopped = [], {}
    for row in connection.execute(_KEEPING, parameters):
        if row[4] is None:
            stopped[row[1]] = Reason(row[2])
        else:
            in_force.append(Freeze(*row))
    return in_force, stopped


_LOCK: Final = (
    select(_table.c.freeze_id)
    .where(_table.c.freeze_id.in_(bindparam("freeze_ids", type_=Id(), expanding=True)), *_IN_FORCE)
    .order_by(_table.c.freeze_id)
    .with_for_update(key_share=True, skip_locked=True)
)
_TAGS: Final = select(tables.cronjob.c.cronjob_id, tables.cronjob.c.tags).where(
    tables.cronjob.c.cronjob_id.in_(bindparam("cronjob_ids", type_=Id(), expanding=True))
)
_KEYS: Final = tuple(_firing.c[name] for name in batches.KEY)
# As in the partial index.
_IS_HELD: Final = text("reason = 'frozen' AND due_at IS NOT NULL")
_PENDING: Final = _firing.c.state == State.PENDING
_HELD: Final = (
    select(*_KEYS)
    .where(
        _firing.c.cause == bindparam("freeze_id", type_=Text()),
        _IS_HELD,
        _firing.c.cronjob_id.in_(bindparam("cronjob_ids", type_=Id(), expanding=True)),
        _firing.c.kind == Kind.SCHEDULED,
        _firing.c.attempt == 0,
        _PENDING,
    )
    # Of one that somebody else has, that one decides: it ends, or is let go.
    .with_for_update(skip_locked=True)
)


def lock_in_force(connection: Connection, freeze_ids: Iterable[str], now: int) -> set[str]:
    """Lock those of these freezes that are in force still and that no other transaction has; return them."""
    rows = connection.execute(_LOCK, {"freeze_ids": sorted(freeze_ids), "now": now})
    return {row.freeze_id for row in rows}


def read_tags(connection: Connection, cronjob_ids: Collection[str]) -> dict[str, Collection[str]]:
    """The tags of cron jobs."""
    rows = connection.execute(_TAGS, {"cronjob_ids": sorted(cronjob_ids)}) if cronjob_ids else ()
    return {cronjob_id: json.loads(tags) for cronjob_id, tags in rows}


def list_held(connection: Connection, freeze_id: str, cronjob_ids: Collection[str]) -> list[Key]:
    """The fire times of these cron jobs that a freeze holds and that were never attempted, locked."""
    parameters = {"freeze_id": freeze_id, "cronjob_ids": sorted(cronjob_ids)}
    return [(row[0], row[1], row[2]) for row in connection.execute(_HELD, parameters)]


def record_frozen(connection: Connection, frozen: Mapping[Key, tuple[str, int | None]]) -> None:
    """Say by which freezes firings that this transaction has recorded are held or skipped.

    :param frozen: with each the freeze's id; and from when on its age counts, if it is held
    """
    rows = [(*key, *said) for key, said in frozen.items()]
    connection.execute(_record(connection.dialect.name), batches.encode(rows))


def skip_held(connection: Connection, keys: Collection[Key], now: int) -> None:
    """Skip firings that a freeze holds, whose rows the caller has locked."""
    connection.execute(_skip(connection.dialect.name), {**batches.encode(list(keys)), "now": now})


@cache
def _record(dialect: str) -> Update:
    batch = batches.table(dialect, {**batches.KEY, "cause": Text(), "owed_at": BigInteger()})
    same = batches.same(_firing, batch, batches.KEY)
    owed_at = func.coalesce(batch.c.owed_at, _firing.c.owed_at)
    return update(_firing).where(same).values(cause=batch.c.cause, owed_at=owed_at)


@cache
def _skip(dialect: str) -> Update:
    batch = batches.table(dialect, batches.KEY)
    same = batches.same(_firing, batch, batches.KEY)
    return update(_firing).where(same, _PENDING).values(state=State.SKIPPED, due_at=null(), finished_at=_NOW)


# What is let go


_RELEASE: Final = (
    update(_firing)
    .where(
        # A row that is locked is being claimed, or ends.
        tuple_(*_KEYS).in_(
            select(*_KEYS)
            .where(_firing.c.cause == bindparam("freeze_id", type_=Text()), _IS_HELD, _PENDING)
            .limit(_LIMIT)
            .with_for_update(skip_locked=True)
        )
    )
    .values(due_at=_NOW, owed_at=_NOW, reason=null(), cause=null())
)
_HOLDING: Final = (
    select(_table.c.freeze_id)
    .where(
        _table.c.lifted_at.is_not(None),
        _table.c.until > _NOW,
        exists().where(_firing.c.cause == cast(_table.c.freeze_id, Text()), _IS_HELD),
    )
    .limit(1)
)


def release(connection: Connection, freeze_id: str, now: int) -> int:
    """Make due what a freeze that was lifted holds, up to `RELEASED_ROWS` of it; return how much."""
    return connection.execute(_RELEASE, {"freeze_id": freeze_id, "now": now, "limit": RELEASED_ROWS}).rowcount


def release_left(connection: Connection, now: int) -> int:
    """Make due what a freeze of any account still holds though it was lifted; return how much.

    Who lifted one had no time to end it.
    """
    freeze_id = connection.execute(_HOLDING, {"now": now}).scalar()
    return 0 if freeze_id is None else release(connection, freeze_id, now)


def delete_freezes(connection: Connection, account_id: str, before: int, limit: int) -> int:
    """Delete up to `limit` freezes of an account that ended before an instant."""
    ended = (
        select(_table.c.freeze_id)
        .where(
            _table.c.account_id == account_id,
            # Only one that was made before can have ended before.
            _table.c.created_at < before,
            func.coalesce(_table.c.lifted_at, _table.c.until) < before,
        )
        .order_by(_table.c.created_at)
        .limit(limit)
    )
    return connection.execute(delete(_table).where(_table.c.freeze_id.in_(ended))).rowcount


def forget_freezes(connection: Connection, account_id: str, now: int, keep: int) -> None:
    """Delete what has ended of an account, but for its newest `keep` freezes."""
    kept = (
        select(_table.c.freeze_id)
        .where(_table.c.account_id == account_id)
        .order_by(_table.c.created_at.desc(), _table.c.freeze_id.desc())
        .limit(keep)
    )
    ended = _table.c.lifted_at.is_not(None) | (_table.c.until <= now)
    connection.execute(
        delete(_table).where(_table.c.account_id == account_id, ended, _table.c.freeze_id.not_in(kept))
    )


def named(freezes: Sequence[Freeze], kind: str, tags: Collection[str], host: str | None) -> Freeze | None:
    """The first of these freezes that is for a firing."""
    return next((one for one in freezes if one.is_for(kind, tags, host)), None)
