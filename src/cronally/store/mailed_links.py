"""Links that were sent by mail: kept until they are used, or over.

Invariant: who takes a link has it alone: it is deleted by the statement that finds it, so of two who use it at one
instant, on two nodes, one finds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import BigInteger, Connection, Integer, bindparam, delete, insert, select, text

from cronally.instants import DAY, MINUTE
from cronally.store import tables


@dataclass(frozen=True, slots=True)
class MailedLink:
    """A link. The names are those of the table's columns."""

    digest: str
    """Of its token."""
    purpose: str
    email: str
    email_key: str
    """The address without case."""
    account_id: str | None
    """The account that it is for, if it is for one."""
    created_at: int
    until_at: int


_table: Final = tables.mailed_link
_COLUMNS: Final = tuple(_table.c[name] for name in MailedLink.__dataclass_fields__)
_INSERT: Final = insert(_table)
_TAKE: Final = (
    delete(_table)
    .where(
        _table.c.digest == bindparam("of"),
        _table.c.until_at > bindparam("now", type_=BigInteger()),
        # What a clock that was ahead has written would hold for too long.
        _table.c.created_at <= bindparam("latest", type_=BigInteger()),
    )
    .returning(*_COLUMNS)
)
_ENDED: Final = delete(_table).where(
    _table.c.digest.in_(
        select(_table.c.digest)
        .where(_table.c.until_at <= bindparam("now", type_=BigInteger()))
        .order_by(_table.c.until_at)
        .limit(bindparam("limit", type_=Integer()))
    )
)
_UNCOUNT: Final = text(
    "UPDATE mail_count SET count = count - 1 WHERE counted = :counted AND day = :day AND count > 0"
)


def insert_link(connection: Connection, link: MailedLink) -> None:
    """Add a link."""
    connection.execute(_INSERT, {name: getattr(link, name) for name in MailedLink.__dataclass_fields__})


def take_link(connection: Connection, digest: str, now: int) -> MailedLink | None:
    """The link with this token, which is used now; None for one that is used, over, or was never there."""
    row = connection.execute(_TAKE, {"of": digest, "now": now, "latest": now + MINUTE}).one_or_none()
    return None if row is None else MailedLink(*row)


def delete_same(connection: Connection, link: MailedLink) -> None:
    """Delete all links for the same purpose to the same address: what one of them was for is done."""
    same = (_table.c.email_key == link.email_key, _table.c.purpose == link.purpose)
    connection.execute(delete(_table).where(*same))


def delete_ended(connection: Connection, now: int, limit: int) -> int:
    """Delete up to `limit` links that are over; return how many."""
    return connection.execute(_ENDED, {"now": now, "limit": limit}).rowcount


def uncount_mail(connection: Connection, counted: str, counted_at: int) -> None:
    """Take back what `mail_counts.count_mail` counted: the mail was not sent."""
    connection.execute(_UNCOUNT, {"counted": counted, "day": counted_at - counted_at % DAY})
