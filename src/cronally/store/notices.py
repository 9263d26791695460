"""The notice of the operator to all who use the server: one at a time, until it is taken back or ends by itself."""

from __future__ import annotations

from typing import Final, NamedTuple

from sqlalchemy import BigInteger, Connection, bindparam, delete, insert, or_, select

from cronally.store import tables


class Notice(NamedTuple):
    """What is said."""

    text: str
    since: int
    until: int | None


_table: Final = tables.notice
_CURRENT: Final = select(_table.c.text, _table.c.since, _table.c.until).where(
    or_(_table.c.until.is_(None), _table.c.until > bindparam("now", type_=BigInteger()))
)


def get_notice(connection: Connection, now: int) -> Notice | None:
    """What stands now. One statement, for `Store.read`."""
    row = connection.execute(_CURRENT, {"now": now}).first()
    return None if row is None else Notice(*row)


def replace_notice(connection: Connection, notice: Notice | None) -> None:
    """Say this instead of what was said; None: nothing."""
    connection.execute(delete(_table))
    if notice is not None:
        connection.execute(insert(_table).values(notice_id=1, **notice._asdict()))
