"""Manual firings: the rows of the ledger that were asked for, and what they send in place of their cron job's message.

Invariant: who inserts one holds the row lock of its cron job and of its account, so what was counted holds. A message
is sealed, and its row is gone once the firing has ended: the transaction that finishes the firing deletes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import BigInteger, Connection, Integer, bindparam, delete, exists, func, insert, select, text

from cronally.firing import Kind, State, firing_id
from cronally.store import tables
from cronally.store.timekeeper import BOUND
from cronally.store.types import Id


@dataclass(frozen=True, slots=True)
class OwnMessage:
    """What a firing sends in place of its cron job's message."""

    sealed: bytes = field(repr=False)
    size: int
    """Bytes that it counts for."""


_MESSAGE: Final = """(SELECT {column} FROM firing_message m
    WHERE m.cronjob_id = {firing}.cronjob_id AND m.scheduled_at = {firing}.scheduled_at)"""


def message_of(firing: str, column: str) -> str:
    """SQL: a column of the message of its own that a firing has, NULL where it has none. Only manual ones are asked.

    :param firing: the alias of its row
    :param column: of `m`
    """
    own = _MESSAGE.format(column=column, firing=firing)
    return f"CASE WHEN {firing}.kind = '{Kind.MANUAL}' THEN {own} END"


_firing: Final = tables.firing
_message: Final = tables.firing_message
_OF_CRONJOB: Final = _firing.c.cronjob_id == bindparam("cronjob_id", type_=Id())
_LIMIT: Final = bindparam("limit", type_=Integer())
_SENT_LATER: Final = select(func.max(_firing.c.scheduled_at)).where(
    _OF_CRONJOB,
    _firing.c.scheduled_at >= bindparam("now", type_=BigInteger()),
    _firing.c.scheduled_at <= bindparam("until", type_=BigInteger()),
    _firing.c.lease_no > 0,
)
_FIRE_TIMES: Final = (
    select(_firing.c.scheduled_at)
    .where(
        _OF_CRONJOB,
        _firing.c.scheduled_at >= bindparam("since", type_=BigInteger()),
        _firing.c.kind == Kind.MANUAL,
    )
    .order_by(_firing.c.scheduled_at)
    .limit(_LIMIT)
)


def not_before(connection: Connection, cronjob_id: str, now: int) -> int:
    """The first instant from `now` on that comes after all that was sent of a cron job.

    Who waited for the cron job's lock has an older `now` than what was sent meanwhile.
    """
    parameters = {"cronjob_id": cronjob_id, "now": now, "until": now + BOUND}
    last: int | None = connection.execute(_SENT_LATER, parameters).scalar()
    return now if last is None else last + 1


def first_free(connection: Connection, cronjob_id: str, at: int, limit: int) -> int:
    """The first instant from `at` on that no manual firing of a cron job has.

    :param limit: how many manual firings it may have from there on
    """
    for taken in list_fire_times(connection, cronjob_id, at, limit):
        if taken > at:
            break
        at += 1
    return at


def list_fire_times(connection: Connection, cronjob_id: str, since: int, limit: int) -> list[int]:
    """The fire times of up to `limit` manual firings of a cron job from an instant on, first first."""
    parameters = {"cronjob_id": cronjob_id, "since": since, "limit": limit}
    return list(connection.execute(_FIRE_TIMES, parameters).scalars())


# As in the partial index.
_OPEN: Final = (
    _firing.c.account_id == bindparam("account_id", type_=Id()),
    text("kind = 'manual' AND due_at IS NOT NULL"),
)
_COUNT: Final = select(func.count()).select_from(
    select(_firing.c.kind).where(*_OPEN).limit(_LIMIT).subquery()
)
_COUNT_OF_CRONJOB: Final = select(func.count()).select_from(
    select(_firing.c.kind).where(*_OPEN, _OF_CRONJOB).limit(_LIMIT).subquery()
)


def count_open(connection: Connection, account_id: str, cronjob_id: str | None, limit: int) -> int:
    """How many manual firings of an account, or of one of its cron jobs, are not finished; counted up to `limit`."""
    parameters = {"account_id": account_id, "limit": limit}
    if cronjob_id is None:
        return int(connection.execute(_COUNT, parameters).scalar_one())
    return int(connection.execute(_COUNT_OF_CRONJOB, {**parameters, "cronjob_id": cronjob_id}).scalar_one())


def insert_manual_firing(
    connection: Connection,
    account_id: str,
    cronjob_id: str,
    scheduled_at: int,
    now: int,
    message: OwnMessage | None,
) -> None:
    """Add a manual firing, due at its fire time, with the message of its own if it has one."""
    connection.execute(
        insert(_firing).values(
            cronjob_id=cronjob_id,
            scheduled_at=scheduled_at,
            kind=Kind.MANUAL,
            account_id=account_id,
            state=State.PENDING,
            due_at=scheduled_at,
            created_at=now,
            own_message=int(message is not None),
        )
    )
    if message is not None:
        connection.execute(
            insert(_message).values(
                firing_id=firing_id(cronjob_id, scheduled_at, Kind.MANUAL),
                cronjob_id=cronjob_id,
                scheduled_at=scheduled_at,
                account_id=account_id,
                secret=message.sealed,
                size=message.size,
            )
        )


_BYTES: Final = select(func.coalesce(func.sum(_message.c.size), 0)).where(
    _message.c.account_id == bindparam("account_id", type_=Id())
)
_ERASE: Final = delete(_message).where(
    _message.c.firing_id.in_(bindparam("firing_ids", type_=Id(), expanding=True)),
    # Not of one that another worker has by now.
    ~exists().where(
        _firing.c.cronjob_id == _message.c.cronjob_id,
        _firing.c.scheduled_at == _message.c.scheduled_at,
        _firing.c.kind == Kind.MANUAL,
        _firing.c.due_at.is_not(None),
    ),
)
_ERASE_OF: Final = delete(_message).where(_message.c.cronjob_id == bindparam("of", type_=Id()))


def count_bytes(connection: Connection, account_id: str) -> int:
    """How many bytes the messages of open firings of an account count for."""
    return int(connection.execute(_BYTES, {"account_id": account_id}).scalar_one())


def erase_messages(connection: Connection, firing_ids: Sequence[str]) -> None:
    """Delete the messages of those of these firings that have ended."""
    connection.execute(_ERASE, {"firing_ids": firing_ids})


def erase_messages_of(connection: Connection, cronjob_id: str) -> None:
    """Delete the messages of all firings of a cron job, which is deleted: what is pending of it is not sent."""
    connection.execute(_ERASE_OF, {"of": cronjob_id})
