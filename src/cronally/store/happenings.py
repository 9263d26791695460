"""What happened that alerts go by, written in the transaction in which it happened, and taken away once it was read.

Invariant: of one subject they are in the order in which they happened, for whoever adds one holds the row that says how
the subject stands. An account without a `watch` gets none. A firing that is delivered in time to a cron job that is
well is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Insert,
    Integer,
    Text,
    bindparam,
    delete,
    insert,
    literal,
    select,
    update,
)

from cronally.store import batches, tables
from cronally.store.rows import Rows
from cronally.store.types import Id


class What(StrEnum):
    """What happened."""

    DELIVERED = "delivered"
    FAILED = "failed"
    MISSED = "missed"
    OVERDUE = "overdue"
    """A firing was not acknowledged in time."""
    ACK_FAILED = "ack_failed"
    """A receiver said that the work of a firing failed."""
    PAUSED = "paused"
    """The server paused a cron job."""
    HELD = "held"
    """The credentials of a connection were refused."""
    DOWN = "down"
    """No server ran for a while."""


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened. The names are those of the table's columns."""

    account_id: str
    subject: str
    what: str
    since: int
    at: int
    count: int = 1
    late_by: int = 0
    reason: str | None = None


_table: Final = tables.happening
_watch: Final = tables.watch
_COLUMNS: Final = tuple(Happening.__dataclass_fields__)
_ACCOUNT: Final = bindparam("account", type_=Id())


def add(connection: Connection, happened: Iterable[Happening]) -> None:
    """Add what happened, in this order, as far as it happened to accounts that have a watch."""
    rows = [
        (place, one.account_id, one.subject, one.what, one.since, one.at, one.count, one.late_by, one.reason)
        for place, one in enumerate(happened)
    ]
    if rows:
        connection.execute(_add(connection.dialect.name), batches.encode(rows))


@cache
def _add(dialect: str) -> Insert:
    batch = batches.table(
        dialect,
        {
            "place": Integer(),
            "account_id": Id(),
            "subject": Id(),
            "what": Text(),
            "since": BigInteger(),
            "at": BigInteger(),
            "count": BigInteger(),
            "late_by": BigInteger(),
            "reason": Text(),
        },
    )
    watched = select(_watch.c.account_id).where(_watch.c.account_id == batch.c.account_id).exists()
    source = select(*(batch.c[name] for name in _COLUMNS)).where(watched).order_by(batch.c.place)
    return insert(_table).from_select(list(_COLUMNS), source)


_LIST: Final = Rows(
    select(_table.c.happening_id, *(_table.c[name] for name in _COLUMNS))
    .where(_table.c.account_id == _ACCOUNT)
    .order_by(_table.c.happening_id)
    .limit(bindparam("limit", type_=Integer()))
)
_NEXT: Final = (
    select(_table.c.account_id)
    .where(_table.c.account_id > bindparam("after", type_=Id()))
    .order_by(_table.c.account_id)
    .limit(1)
)
_FORGET: Final = delete(_table).where(
    _table.c.account_id == _ACCOUNT,
    _table.c.happening_id <= bindparam("until", type_=BigInteger()),
)


def next_account(connection: Connection, after: str) -> str | None:
    """The next account after one to which something happened; None after the last."""
    account: str | None = connection.execute(_NEXT, {"after": after}).scalar()
    return account


def list_happenings(
    connection: Connection, account_id: str, limit: int
) -> tuple[list[Happening], int | None]:
    """The first of what happened to an account, and the number of the last of these."""
    rows: Sequence[Sequence[object]] = _LIST.read(connection, {"account": account_id, "limit": limit})
    last = rows[-1][0] if rows else None
    return [Happening(*row[1:]) for row in rows], last  # type: ignore[arg-type, return-value]


def forget(connection: Connection, account_id: str, until: int) -> None:
    """Take away what happened to an account, up to this number. The caller holds its watch."""
    connection.execute(_FORGET, {"account": account_id, "until": until})


# A time in which no server ran


_outage: Final = tables.outage
_NOTED: Final = 500
"""Accounts for which one transaction notes that it happened."""


def note_outages(connection: Connection) -> bool:
    """Note for the next accounts that no server ran for a while, if that was so; return whether there may be more."""
    row = connection.execute(_UNNOTED).first()
    if row is None:
        return False
    last = connection.execute(_LAST_OF_NOTED, {"after": row.noted_after}).scalar()
    if last is not None:
        between = {"after": row.noted_after, "last": last}
        connection.execute(_NOTE, {**between, "ended": row.ended_at, "began": row.began_at})
    began = _outage.c.began_at == row.began_at
    connection.execute(update(_outage).where(began).values(noted_after=last))
    return True


_UNNOTED: Final = (
    select(_outage.c.began_at, _outage.c.ended_at, _outage.c.noted_after)
    .where(_outage.c.noted_after.is_not(None))
    .order_by(_outage.c.began_at)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_AFTER: Final = _watch.c.account_id > bindparam("after", type_=Id())
_noted: Final = (
    select(_watch.c.account_id).where(_AFTER).order_by(_watch.c.account_id).limit(_NOTED).subquery()
)
_LAST_OF_NOTED: Final = select(_noted.c.account_id).order_by(_noted.c.account_id.desc()).limit(1)
_NOTE: Final = insert(_table).from_select(
    list(_COLUMNS[:-1]),
    select(
        _watch.c.account_id,
        _watch.c.account_id,
        literal(What.DOWN.value),
        bindparam("began", type_=BigInteger()),
        bindparam("ended", type_=BigInteger()),
        literal(0),
        literal(0),
    ).where(_AFTER, _watch.c.account_id <= bindparam("last", type_=Id())),
)
