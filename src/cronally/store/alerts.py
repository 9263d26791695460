"""The ledger of alerts: what an account is told, and a row for each channel that it goes to.

Invariant: an alert is written once, whoever writes it again, in the transaction of whatever it tells of. Of an account
`alert.PER_MINUTE` a minute are sent, about, as two nodes may count at once; of the others one alert says that they are
not. What becomes of an alert makes no alert.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    bindparam,
    delete,
    func,
    literal,
    select,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert

from cronally.alert import PER_MINUTE, STORM, Affected, Alert, Event, Reason, State, storm_of
from cronally.instants import MINUTE
from cronally.store import tables
from cronally.store.types import Id

_alert: Final = tables.alert
_delivery: Final = tables.alert_delivery
_channel: Final = tables.channel
_UNCOUNTED: Final = frozenset({Event.TEST})
COLUMNS: Final = tuple(_alert.c[name] for name in Alert.__dataclass_fields__)
"""Those that `read_alert` takes."""

_COUNT: Final = select(func.count()).select_from(
    select(_alert.c.alert_id)
    .where(
        _alert.c.account_id == bindparam("account", type_=Id()),
        _alert.c.counted_at > bindparam("since", type_=BigInteger()),
        # What a clock that was ahead has written keeps nothing from being sent.
        _alert.c.counted_at <= bindparam("until", type_=BigInteger()),
    )
    .limit(bindparam("limit", type_=Integer()))
    .subquery()
)
_CHANNELS: Final = (
    select(_channel.c.channel_id, _channel.c.name, _channel.c.kind, _channel.c.confirmed_at)
    .where(
        _channel.c.account_id == bindparam("account", type_=Id()),
        _channel.c.channel_id.in_(bindparam("ids", type_=Id(), expanding=True)),
    )
    .order_by(_channel.c.channel_id)
)


def insert_alert(connection: Connection, alert: Alert, channel_ids: Collection[str]) -> None:
    """Write an alert, to be sent to channels of its account; one that is there already stays as it is.

    One that goes to no channel stands in the ledger alone. Ids of channels that the account does not have are left out.
    """
    channels = _channels(connection, alert.account_id, channel_ids)
    counts = bool(channels) and alert.event not in _UNCOUNTED and alert.condition != STORM
    cut = counts and _sent_lately(connection, alert) >= PER_MINUTE
    if not _insert(connection, alert, alert.created_at if counts and not cut else None):
        return
    _insert_deliveries(connection, alert, channels, cut=cut)
    if cut:
        storm = storm_of(alert)
        _insert(connection, storm, None)
        # Another channel than those that were told before hears of it too.
        _insert_deliveries(connection, storm, channels, cut=False)


def read_alert(row: Any) -> Alert:
    """The alert of a row with `COLUMNS`."""
    values = dict(zip(Alert.__dataclass_fields__, row, strict=True))
    values["event"] = Event(values["event"])
    values["lines"] = tuple(json.loads(values["lines"]))
    values["affected"] = tuple(Affected(*one) for one in json.loads(values["affected"]))
    return Alert(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which alerts are listed: those for which all of it holds."""

    condition: str | None = None
    event: str | None = None
    state: str | None = None
    """With one of its channels."""
    channel_id: str | None = None
    since: int | None = None
    until: int | None = None


def list_alerts(
    connection: Connection, account_id: str, wanted: Wanted, after: tuple[int, str] | None, limit: int
) -> list[Alert]:
    """The account's alerts, the newest first.

    :param after: instant and id of the last one that was listed
    """
    conditions: list[ColumnElement[bool]] = [_alert.c.account_id == account_id]
    for column, value in ((_alert.c.condition, wanted.condition), (_alert.c.event, wanted.event)):
        if value is not None:
            conditions.append(column == value)
    if wanted.since is not None:
        conditions.append(_alert.c.created_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(_alert.c.created_at < wanted.until)
    if wanted.state is not None or wanted.channel_id is not None:
        of = select(_delivery.c.alert_id).where(_delivery.c.alert_id == _alert.c.alert_id)
        if wanted.state is not None:
            of = of.where(_delivery.c.state == wanted.state)
        if wanted.channel_id is not None:
            of = of.where(_delivery.c.channel_id == wanted.channel_id)
        conditions.append(of.exists())
    if after is not None:
        conditions.append(tuple_(_alert.c.created_at, _alert.c.alert_id) < tuple_(*_position(after)))
    order = (_alert.c.created_at.desc(), _alert.c.alert_id.desc())
    found = select(*COLUMNS).where(*conditions).order_by(*order).limit(limit)
    return [read_alert(row) for row in connection.execute(found)]


def _position(after: tuple[int, str]) -> tuple[Any, Any]:
    return literal(after[0], BigInteger()), literal(after[1], Id())


def get_alert(connection: Connection, account_id: str, alert_id: str) -> Alert | None:
    """An alert of the account."""
    found = select(*COLUMNS).where(_alert.c.account_id == account_id, _alert.c.alert_id == alert_id)
    row = connection.execute(found).one_or_none()
    return None if row is None else read_alert(row)


def count_tests(connection: Connection, account_id: str, since: int, limit: int) -> int:
    """How many tests of channels the account has asked for since an instant; no more than `limit`."""
    found = (
        select(_alert.c.alert_id)
        .where(
            _alert.c.account_id == account_id,
            _alert.c.created_at > since,
            _alert.c.event == str(Event.TEST),
        )
        .limit(limit)
    )
    return int(connection.execute(select(func.count()).select_from(found.subquery())).scalar_one())


def delete_alerts(connection: Connection, account_id: str, before: int, limit: int) -> int:
    """Delete up to `limit` alerts of an account from before an instant, none of whose deliveries is open."""
    is_open = select(_delivery.c.alert_id).where(
        _delivery.c.alert_id == _alert.c.alert_id, _delivery.c.due_at.is_not(None)
    )
    old = (
        select(_alert.c.alert_id)
        .where(_alert.c.account_id == account_id, _alert.c.created_at < before, ~is_open.exists())
        .order_by(_alert.c.created_at)
        .limit(limit)
    )
    return connection.execute(delete(_alert).where(_alert.c.alert_id.in_(old))).rowcount


def _channels(connection: Connection, account_id: str, channel_ids: Collection[str]) -> list[Any]:
    if not channel_ids:
        return []
    parameters = {"account": account_id, "ids": sorted(set(channel_ids))}
    return list(connection.execute(_CHANNELS, parameters))


def _sent_lately(connection: Connection, alert: Alert) -> int:
    """How many alerts of the account were to be sent in the minute before this one; no more than matter."""
    window = {"since": alert.created_at - MINUTE, "until": alert.created_at + MINUTE}
    parameters = {"account": alert.account_id, "limit": PER_MINUTE, **window}
    return int(connection.execute(_COUNT, parameters).scalar_one())


def _insert(connection: Connection, alert: Alert, counted_at: int | None) -> bool:
    """Write an alert without its deliveries; whether it was not there."""
    values = {name: getattr(alert, name) for name in Alert.__dataclass_fields__}
    values |= {
        "event": str(alert.event),
        "lines": _encode(list(alert.lines)),
        "affected": _encode([[one.cronjob_id, one.name] for one in alert.affected]),
        "counted_at": counted_at,
    }
    return connection.execute(_insert_new(connection.dialect.name, _alert.name), values).first() is not None


def _insert_deliveries(connection: Connection, alert: Alert, channels: Collection[Any], *, cut: bool) -> None:
    for channel_id, name, kind, confirmed_at in channels:
        reason = Reason.NOT_CONFIRMED if confirmed_at is None else Reason.STORM if cut else None
        at = alert.created_at
        values = {
            "alert_id": alert.alert_id,
            "channel_id": channel_id,
            "account_id": alert.account_id,
            "kind": kind,
            "name": name,
            "state": str(State.PENDING if reason is None else State.SKIPPED),
            "reason": None if reason is None else str(reason),
            "due_at": at if reason is None else None,
            "attempts": 0,
            "lost_leases": 0,
            "lease_no": 0,
            "created_at": at,
            "finished_at": None if reason is None else at,
        }
        connection.execute(_insert_new(connection.dialect.name, _delivery.name), values)


@cache
def _insert_new(dialect: str, table: str) -> ReturningInsert[Any]:
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    into = tables.metadata.tables[table]
    return insert(into).on_conflict_do_nothing().returning(into.c.alert_id)


def _encode(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
