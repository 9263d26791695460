"""Connections whose credentials are refused: marked, tried again, and well again.

Invariant: while a connection is unhealthy only the firing that is its `probe` is sent with it, one in each time that
`probe_at` ends. Who marks it, takes its probe or lets go what it holds has its row locked, and who holds a firing has
it shared: so nothing is held by one that is well. A claim waits for no lock. What it holds: `connection_holds`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import BigInteger, Connection, Integer, Text, bindparam, case, null, or_, select, update

from cronally.audit_chain import Entry
from cronally.firing import Reason, State, firing_id
from cronally.instants import HOUR, MINUTE, format_iso
from cronally.store import audit_states, connection_holds, happenings, tables
from cronally.store.claims import Claim, Record
from cronally.store.happenings import Happening, What
from cronally.store.types import Id

FIRST: Final = MINUTE
LONGEST: Final = HOUR
"""Between two probes, at first and after many; each doubles it. Microseconds."""

_table: Final = tables.connection
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


_GIVE_BACK: Final = (
    update(_table)
    .where(_THIS, _UNHEALTHY, _table.c.probe.is_(None))
    .values(
        probe=bindparam("firing", type_=Id()),
        probe_at=bindparam("until", type_=BigInteger()),
        probes=case((_table.c.probes > 0, _table.c.probes - 1), else_=0),
    )
)


def record_outcomes(connection: Connection, records: Sequence[Record], told: list[Entry]) -> int:
    """Mark the connections whose credentials were refused, and those as well again whose probe was delivered; a probe
    that was not sent, as it had to wait for something else, is the one that tries them when it is due again.

    In the transaction that records the firings, after that. What was sent with the secrets of before a change says
    nothing. Returns how many firings became due.

    :param told: gets what the audit log is to tell of it, when all else of the transaction is done
    """
    refused: defaultdict[str, list[Record]] = defaultdict(list)
    delivered: defaultdict[str, list[Record]] = defaultdict(list)
    unsent: dict[str, Record] = {}
    for record in records:
        claim = record.claim
        if claim.connection_id is None:
            continue
        if record.reason is Reason.CONNECTION_UNHEALTHY and record.outcome is not None:
            refused[claim.connection_id].append(record)
        elif claim.connection_probe is not None and record.state is State.DELIVERED:
            delivered[claim.connection_id].append(record)
        elif (
            claim.connection_probe == claim.firing_id and record.outcome is None and record.due_at is not None
        ):
            unsent[claim.connection_id] = record
    if not refused and not delivered and not unsent:
        return 0
    found = connection.execute(_LOCK, {"ids": sorted({*refused, *delivered, *unsent})}).all()
    standing = {row.connection_id: (row.version, row.unhealthy_since) for row in found}
    for connection_id, record in unsent.items():
        given = {"of": connection_id, "firing": record.claim.firing_id, "until": record.due_at}
        connection.execute(_GIVE_BACK, given)
    held: list[Claim] = []
    again: list[tuple[Claim, int]] = []
    freed = 0
    for connection_id in sorted(refused.keys() | delivered.keys()):
        version, since = standing.get(connection_id, (None, None))
        saying = [one for one in refused[connection_id] if one.claim.connection_version == version]
        good = [one for one in delivered[connection_id] if one.claim.connection_version == version]
        if since is None and saying:
            first = min(saying, key=_ended)
            since = _ended(first)
            values = {"of": connection_id, "at": since, "detail": first.detail, "until": since + FIRST}
            connection.execute(_MARK, values)
            account_id, reason = first.claim.account_id, Reason.CONNECTION_UNHEALTHY
            told.append(audit_states.of_connection(account_id, connection_id, since, None, format_iso(since)))
            held_now = Happening(account_id, connection_id, What.HELD, since, since, reason=reason)
            happenings.add(connection, [held_now])
        elif since is not None and any((one.sent_at or 0) >= since for one in good):
            account_id, well_at = good[0].claim.account_id, max(map(_ended, good))
            told.append(
                audit_states.of_connection(account_id, connection_id, well_at, format_iso(since), None)
            )
            since = None
            freed += _recover(connection, connection_id, max(map(_ended, good)))
        if since is None:
            again += [(one.claim, _ended(one)) for one in refused[connection_id]]
        else:
            held += [one.claim for one in refused[connection_id]]
    connection_holds.record_held(connection, held, refused=1)
    return freed + connection_holds.send_again(connection, again)


def _ended(record: Record) -> int:
    return (record.sent_at or 0) + (record.duration or 0)


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


# What is tried, and well again


_WAITING: Final = (
    select(_table.c.connection_id)
    .where(_UNHEALTHY, _table.c.probe_at.is_not(None), _DUE)
    .order_by(_table.c.probe_at)
    .limit(_LIMIT)
)
_TO_PROBE: Final = (
    select(_table.c.probed).where(_THIS, _UNHEALTHY, _DUE).with_for_update(key_share=True, skip_locked=True)
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
    key = connection_holds.wake_one(connection, connection_id, found.probed, now)
    if key is None:
        return 0
    connection.execute(_CHOOSE, {"of": connection_id, "firing": firing_id(*key)})
    return 1


def wake_due(connection: Connection, now: int) -> int:
    """Do so for the connections of all accounts whose time it is, some of them; return how many firings are due."""
    due = connection.execute(_WAITING, {**_when(now), "limit": connection_holds.AT_ONCE}).scalars().all()
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


def _recover(connection: Connection, connection_id: str, now: int) -> int:
    """Mark a connection as well, whose row this transaction has locked, and let go the first that it holds."""
    values = {**_HEALTHY, "release_at": now}
    connection.execute(update(_table).where(_table.c.connection_id == connection_id).values(values))
    return connection_holds.release(connection, connection_id, now)


def _when(now: int) -> dict[str, int]:
    return {"now": now, "latest": now + 2 * LONGEST}
