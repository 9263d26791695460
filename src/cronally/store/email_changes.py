"""Changes of the address of an account: asked for, confirmed, agreed to, refused, and carried out.

Invariant: under the account's lock. An account gets another address only if that was confirmed, and if the old one has
agreed, was never confirmed, or was silent for `WAITS`. An address that another account has got meanwhile it does not
get.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Integer, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from cronally.alert import Alert, Event, alert_id
from cronally.instants import DAY
from cronally.store import accounts, alerts, channels, tables
from cronally.store.types import Id

LASTS: Final = DAY
"""How long the owner of the new address may take to confirm it."""
WAITS: Final = 7 * DAY
"""How long the old address may be silent."""
PURPOSES: Final = ("change", "agree", "refuse")
"""Of the links that belong to a change."""
CONDITION: Final = "email_change"
_ALL_CHANNELS: Final = 1000


@dataclass(frozen=True, slots=True)
class EmailChange:
    """A change. The names are those of the table's columns."""

    account_id: str
    email: str
    email_key: str
    asked_at: int
    confirmed_at: int | None = None
    agreed_at: int | None = None
    applies_at: int | None = None


_table: Final = tables.email_change
_link: Final = tables.mailed_link
_account: Final = tables.account
_COLUMNS: Final = tuple(_table.c[name] for name in EmailChange.__dataclass_fields__)
_NOW: Final = bindparam("now", type_=BigInteger())
_OF: Final = _table.c.account_id == bindparam("account", type_=Id())
_GET: Final = select(*_COLUMNS).where(_OF)
_DUE: Final = (
    select(_table.c.account_id)
    .where(_table.c.applies_at <= _NOW)
    .order_by(_table.c.account_id)
    .limit(bindparam("limit", type_=Integer()))
)
_LAPSED: Final = delete(_table).where(
    _table.c.confirmed_at.is_(None), _table.c.asked_at <= bindparam("before", type_=BigInteger())
)


def get_change(connection: Connection, account_id: str, now: int) -> EmailChange | None:
    """The change of an account that is under way."""
    row = connection.execute(_GET, {"account": account_id}).one_or_none()
    found = None if row is None else EmailChange(*row)
    return None if found is None or (found.confirmed_at is None and found.asked_at + LASTS <= now) else found


def put_change(connection: Connection, change: EmailChange) -> None:
    """Write a change, in place of any other of the account."""
    connection.execute(delete(_table).where(_OF), {"account": change.account_id})
    connection.execute(insert(_table), {name: getattr(change, name) for name in change.__slots__})


def end_change(connection: Connection, account_id: str) -> None:
    """There is no change of the account any more, and no link for one."""
    connection.execute(delete(_table).where(_OF), {"account": account_id})
    of_account = (_link.c.account_id == account_id, _link.c.purpose.in_(PURPOSES))
    connection.execute(delete(_link).where(*of_account))


def apply_change(connection: Connection, change: EmailChange, now: int) -> bool:
    """Give the account its new address, and tell it on all channels; False where another account has that address.

    The change is over in both cases.
    """
    end_change(connection, change.account_id)
    values: dict[str, Any] = {
        "email": change.email,
        "email_key": change.email_key,
        "email_confirmed_at": change.confirmed_at,
    }
    moved = update(_account).where(_account.c.account_id == change.account_id).values(values)
    savepoint = connection.begin_nested()
    try:
        connection.execute(moved)
    except IntegrityError:
        savepoint.rollback()
        return False
    savepoint.commit()
    tell(
        connection, change.account_id, "The account has another address", [f"It is {change.email} now."], now
    )
    return True


def apply_due(connection: Connection, now: int, limit: int) -> int:
    """Carry out changes whose old address was silent for long enough, and forget those that nobody confirmed."""
    due = connection.execute(_DUE, {"now": now, "limit": limit}).scalars().all()
    for account_id in due:
        accounts.lock_account(connection, account_id)
        change = get_change(connection, account_id, now)
        if change is not None and change.applies_at is not None and change.applies_at <= now:
            apply_change(connection, change, now)
    return len(due) + connection.execute(_LAPSED, {"before": now - LASTS}).rowcount


def tell(connection: Connection, account_id: str, title: str, lines: list[str], now: int) -> None:
    """Tell an account on all its channels what becomes of its address."""
    told = Alert(
        alert_id=alert_id(account_id, CONDITION, "account", title, Event.NOTICE, now),
        account_id=account_id,
        condition=CONDITION,
        event=Event.NOTICE,
        subject_kind="account",
        subject_id=account_id,
        title=title,
        lines=lines,
        created_at=now,
    )
    listed = channels.list_channels(connection, account_id, "", _ALL_CHANNELS)
    alerts.insert_alert(connection, told, [one.channel_id for one in listed])
