"""What becomes of an alert with each of its channels: claimed under a lease, sent, recorded.

Invariant: a claim is part of one transaction, its expiry is part of the next claim's condition, and `lease_no` is the
fence: what is recorded is recorded under the lease that it was claimed with. What is claimed is claimed by account, in
turns, so one account's backlog keeps no other waiting. A record changes no alert and makes none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Integer, Text, bindparam, select, update

from cronally.alert import Alert, Reason, State
from cronally.store import alerts, channels, tables
from cronally.store.types import Id

MAIL: Final = "email"
"""The kind whose deliveries have places of their own: one server takes them all."""
ACCOUNTS: Final = 64
"""That one claim asks, at most."""

_table: Final = tables.alert_delivery
_alert: Final = tables.alert
_channel: Final = tables.channel
_connection: Final = tables.connection
_NOW: Final = bindparam("now", type_=BigInteger())
_DUE: Final = (_table.c.due_at.is_not(None), _table.c.due_at <= _NOW)


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that is a worker's for as long as its lease lasts, with all that it needs."""

    alert: Alert
    channel_id: str
    account_id: str
    kind: str
    state: str
    attempts: int
    """With this one."""
    lost_leases: int
    lease_no: int
    created_at: int
    confirmed_at: int | None
    parameters: str | None
    """JSON; None where the channel is deleted."""
    secret: bytes | None = field(repr=False)
    connection_id: str | None = None
    connection_kind: str | None = None
    connection_parameters: str | None = None
    connection_secret: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Record:
    """What became of a claim."""

    claim: Claim
    state: State
    reason: Reason | None = None
    detail: str | None = None
    due_at: int | None = None
    """When it is tried again."""
    attempts: int = 0
    says: bool = True
    """Whether it says something of its channel."""


def _kinds(mail: bool) -> Any:
    return _table.c.kind == MAIL if mail else _table.c.kind != MAIL


_NEXT_ACCOUNT: Final = {
    mail: select(_table.c.account_id)
    .where(*_DUE, _table.c.account_id > bindparam("after", type_=Id()), _kinds(mail))
    .order_by(_table.c.account_id)
    .limit(1)
    for mail in (True, False)
}
_OF: Final = (
    "channel_id",
    "account_id",
    "kind",
    "state",
    "attempts",
    "lost_leases",
    "lease_no",
    "created_at",
)
_HELD: Final = (_channel.c.confirmed_at, _channel.c.parameters, _channel.c.secret)
_CONNECTED: Final = (
    _connection.c.connection_id,
    _connection.c.kind,
    _connection.c.parameters,
    _connection.c.secret,
)
_DELIVERIES: Final = {
    mail: select(*alerts.COLUMNS, *(_table.c[name] for name in _OF), *_HELD, *_CONNECTED)
    .join(_alert, _alert.c.alert_id == _table.c.alert_id)
    .outerjoin(_channel, _channel.c.channel_id == _table.c.channel_id)
    .outerjoin(_connection, _connection.c.connection_id == _channel.c.connection_id)
    .where(*_DUE, _table.c.account_id == bindparam("account", type_=Id()), _kinds(mail))
    .order_by(_table.c.due_at, _table.c.alert_id)
    .limit(bindparam("limit", type_=Integer()))
    .with_for_update(skip_locked=True, of=_table)
    for mail in (True, False)
}
_CLAIM: Final = (
    update(_table)
    .where(
        _table.c.alert_id == bindparam("of_alert", type_=Id()),
        _table.c.channel_id == bindparam("of_channel", type_=Id()),
        _table.c.lease_no == bindparam("lease", type_=Integer()),
    )
    .values(
        state=str(State.SENDING),
        due_at=bindparam("until", type_=BigInteger()),
        lease_no=_table.c.lease_no + 1,
        attempts=_table.c.attempts + 1,
        lost_leases=bindparam("lost", type_=Integer()),
    )
)


def claim(
    connection: Connection,
    now: int,
    until: int,
    *,
    after: str,
    mail: bool,
    places: int,
    per_account: int,
    busy: Mapping[str, int],
) -> tuple[list[Claim], str]:
    """Claim deliveries that are due, those of each account in turn; return them, and the last account that was asked.

    :param until: when their lease ends
    :param after: the account whose turn was last
    :param mail: whether those by mail are claimed, or all others
    :param places: how many at most
    :param per_account: how many of one account at once, those that `busy` counts included
    """
    claims: list[Claim] = []
    account, wrapped = after, False
    for _ in range(ACCOUNTS):
        if len(claims) >= places:
            break
        found = connection.execute(_NEXT_ACCOUNT[mail], {"now": now, "after": account}).scalar()
        if found is None:
            if wrapped or not after:
                break
            account, wrapped = "", True
            continue
        if wrapped and found > after:
            break
        account = found
        room = min(per_account - busy.get(found, 0), places - len(claims))
        if room > 0:
            claims += _claim_of(connection, found, now, until, mail=mail, limit=room)
    return claims, account


def _claim_of(
    connection: Connection, account_id: str, now: int, until: int, *, mail: bool, limit: int
) -> list[Claim]:
    rows = connection.execute(_DELIVERIES[mail], {"now": now, "account": account_id, "limit": limit}).all()
    claims = []
    for row in rows:
        split = len(alerts.COLUMNS)
        alert, own, rest = (
            alerts.read_alert(row[:split]),
            row[split : split + len(_OF)],
            row[split + len(_OF) :],
        )
        values = dict(zip(_OF, own, strict=True))
        # A lease that ended without a record: whoever had it is gone.
        lost = values["lost_leases"] + 1 if values["state"] == State.SENDING else 0
        given = {"of_alert": alert.alert_id, "of_channel": values["channel_id"], "lease": values["lease_no"]}
        connection.execute(_CLAIM, {**given, "until": until, "lost": lost})
        values |= {
            "attempts": values["attempts"] + 1,
            "lease_no": values["lease_no"] + 1,
            "lost_leases": lost,
        }
        claims.append(Claim(alert, **values, **dict(zip(_NAMES, rest, strict=True))))
    return claims


_NAMES: Final = (
    "confirmed_at",
    "parameters",
    "secret",
    "connection_id",
    "connection_kind",
    "connection_parameters",
    "connection_secret",
)
_RECORD: Final = (
    update(_table)
    .where(
        _table.c.alert_id == bindparam("of_alert", type_=Id()),
        _table.c.channel_id == bindparam("of_channel", type_=Id()),
        _table.c.lease_no == bindparam("lease", type_=Integer()),
        _table.c.state == str(State.SENDING),
    )
    .values(
        state=bindparam("to", type_=Text()),
        reason=bindparam("why", type_=Text()),
        detail=bindparam("said", type_=Text()),
        due_at=bindparam("due", type_=BigInteger()),
        attempts=bindparam("tried", type_=Integer()),
        finished_at=bindparam("finished", type_=BigInteger()),
        lost_leases=0,
    )
)


def record(connection: Connection, one: Record, now: int) -> bool:
    """Write what became of a claim, and what that says of its channel; False if its lease is another's by now."""
    written = connection.execute(
        _RECORD,
        {
            "of_alert": one.claim.alert.alert_id,
            "of_channel": one.claim.channel_id,
            "lease": one.claim.lease_no,
            "to": str(one.state),
            "why": None if one.reason is None else str(one.reason),
            "said": one.detail,
            "due": one.due_at,
            "tried": one.attempts,
            "finished": now if one.due_at is None else None,
        },
    ).rowcount
    if written and one.says:
        failure = None if one.state is State.DELIVERED else one.detail or str(one.reason)
        channels.record_result(connection, one.claim.account_id, one.claim.channel_id, now, failure)
    return bool(written)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of an alert with a channel, as it is shown. The names are those of the table's columns."""

    alert_id: str
    channel_id: str
    name: str
    kind: str
    state: str
    reason: str | None
    detail: str | None
    due_at: int | None
    attempts: int
    finished_at: int | None


def list_deliveries(connection: Connection, account_id: str, alert_ids: Collection[str]) -> list[Delivery]:
    """The deliveries of alerts of the account, by name of the channel.

    :param alert_ids: as many as a page has, at most
    """
    columns = [_table.c[name] for name in Delivery.__dataclass_fields__]
    found = (
        select(*columns)
        .where(_table.c.account_id == account_id, _table.c.alert_id.in_(sorted(alert_ids)))
        .order_by(_table.c.name, _table.c.channel_id)
    )
    return [Delivery(*row) for row in connection.execute(found)]
