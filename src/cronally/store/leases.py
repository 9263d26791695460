"""Due firings, leased for a bounded time: which accounts have some, and those that a claim takes.

Invariant: a row changes hands only through `claim_firings`, which raises `lease_no`. One whose lease ended is claimable
like any other that is due, without a rescuer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, text

from cronally.firing import WAITS, Kind, Reason
from cronally.store import connections, former, freezes, manual
from cronally.store.claims import Claim
from cronally.store.told import list_told, size_of
from cronally.store.types import Id

CLAIM_BYTES: Final = 128 * 1024
"""Of one account in one claim, about: the firing that passes it is the last."""
LITTLE_BYTES: Final = 8 * 1024
"""Of one account in one claim that it gets whatever others have to send."""
LARGE_BYTES: Final = 512 * 1024
"""Of all accounts beyond that in one claim, about: the firing that passes it is the last, and those of the next
accounts wait for the next claim."""

# The index is named, or left without a rival: with the one that lists the whole ledger the scan would read finished
# rows.
# And the accounts must come in order with the LIMIT ending the scan: a join may reorder, a scalar subquery may not.
_ACCOUNTS_SQLITE: Final = text(
    """
    WITH RECURSIVE open(account_id) AS (
        SELECT min(account_id) FROM firing INDEXED BY ix_firing_due
        WHERE due_at IS NOT NULL AND account_id > :after
        UNION ALL
        SELECT (SELECT min(f.account_id) FROM firing f INDEXED BY ix_firing_due
                WHERE f.due_at IS NOT NULL AND f.account_id > open.account_id)
        FROM open WHERE open.account_id IS NOT NULL
    )
    SELECT account_id,
        (SELECT count(*) FROM (SELECT 1 FROM firing d INDEXED BY ix_firing_due
                               WHERE d.account_id = open.account_id AND d.due_at <= :now LIMIT :counted)) AS due
    FROM open
    WHERE account_id IS NOT NULL
      AND (SELECT min(g.due_at) FROM firing g WHERE g.account_id = open.account_id AND g.due_at IS NOT NULL) <= :now
    LIMIT :limit
    """
)
_ACCOUNTS_POSTGRES: Final = text(
    """
    WITH RECURSIVE open(account_id, due_at) AS (
        (SELECT account_id, due_at FROM firing
         WHERE due_at IS NOT NULL AND account_id > :after
         ORDER BY account_id, due_at LIMIT 1)
        UNION ALL
        SELECT following.account_id, following.due_at FROM open CROSS JOIN LATERAL (
            SELECT f.account_id, f.due_at FROM firing f
            WHERE f.due_at IS NOT NULL AND f.account_id > open.account_id
            ORDER BY f.account_id, f.due_at LIMIT 1) following
    )
    SELECT CAST(account_id AS TEXT) AS account_id,
        (SELECT count(*) FROM (SELECT FROM firing d WHERE d.account_id = open.account_id AND d.due_at <= :now
                               LIMIT :counted) d) AS due
    FROM open WHERE due_at <= :now LIMIT :limit
    """
).bindparams(bindparam("after", type_=Id()))


def accounts_with_due(
    connection: Connection, now: int, after: str, limit: int, counted: int = 1
) -> dict[str, int]:
    """Up to `limit` accounts that have due firings, in key order from the one after `after`.

    And how many each has, counted up to `counted`. A loose scan: its cost goes with the number of accounts that have
    open firings, not with the firings.
    """
    parameters = {"now": now, "after": after, "limit": limit, "counted": counted}
    statement = _ACCOUNTS_SQLITE if connection.dialect.name == "sqlite" else _ACCOUNTS_POSTGRES
    return {row.account_id: row.due for row in connection.execute(statement, parameters)}


def _size(firing: str) -> str:
    """Bytes of a firing: its cron job's and its connection's, and of what it tells of another one, of a message of its
    own or of a version."""
    own = f"coalesce({manual.message_of(firing, 'm.size')}, 0) + coalesce({size_of(firing)}, 0)"
    return f"{own} + {former.size_then(firing)} + {connections.SIZE} + c.size"


_DUE_SQLITE: Final = text(
    f"""
    SELECT json_group_array(json_array(turn, id, size)) FROM (
        SELECT a.key AS turn, f.rowid AS id,
               (SELECT {_size("f")} FROM cronjob c WHERE c.cronjob_id = f.cronjob_id) AS size
        FROM json_each(:accounts) a CROSS JOIN firing f
        WHERE f.rowid IN (SELECT g.rowid FROM firing g
                          WHERE g.account_id = a.value AND g.due_at <= :now
                          ORDER BY g.due_at LIMIT :most)
        ORDER BY turn, f.due_at, id)
    """  # noqa: S608 - constants
)
"""The limit of a subquery may not depend on the row outside it: of each account as many as any has to get."""
_WAITS: Final = ", ".join(f"'{reason}'" for reason in sorted(WAITS))
"""The reasons that a lease takes away: a firing on its way waits for nothing."""
_LEASE: Final = f"""
    state = 'sending', due_at = :leased_until, attempt = f.attempt + 1, lease_no = f.lease_no + 1,
    lost_leases = f.lost_leases + CASE WHEN f.state = 'sending' THEN 1 ELSE 0 END,
    reason = CASE WHEN f.reason IN ({_WAITS}) THEN NULL ELSE f.reason END,
    cause = CASE WHEN f.reason IN ('{Reason.FROZEN}', '{Reason.CONNECTION_UNHEALTHY}') THEN NULL ELSE f.cause END
"""
# Of a lease. Who revives a firing that was sent early forgets when that was.
_ONLY_EARLY: Final = "f.attempt > 1 AND f.sent_at IS NULL AND f.lost_leases = 0"
_OWN_SQLITE: Final = manual.message_of("f", "hex(m.secret)")
_SENT: Final = f"coalesce(f.sent_as, c.version), c.name, c.target, {former.destination_then('f')}"
_NOW: Final = "CASE WHEN f.sent_as IS NOT NULL THEN c.destination END"
_SENT_BEFORE: Final = f"{_NOW}, {former.target_then('f')}, {former.timezone_then('f')}"
_LEASE_SQLITE: Final = text(
    f"UPDATE firing AS f SET {_LEASE} WHERE rowid IN (SELECT value FROM json_each(:rowids))"  # noqa: S608 - constants
)
_READ_SQLITE: Final = text(
    f"""
    SELECT json_group_array(json_array(
        f.cronjob_id, f.scheduled_at, f.kind, f.account_id, f.attempt, f.lease_no, f.lost_leases, f.created_at,
        c.state, {_SENT}, hex(c.secret), {_size("f")}, c.policies, f.refusals, {_OWN_SQLITE}, f.place_at, f.owed_at,
        f.attempts_before, {_SENT_BEFORE}, {_ONLY_EARLY}, {connections.HELD_SQLITE},
        {freezes.are_in_force("f.account_id")}))
    FROM json_each(:rowids) r CROSS JOIN firing f ON f.rowid = r.value JOIN cronjob c ON c.cronjob_id = f.cronjob_id
    {connections.JOINED}
    """  # noqa: S608 - constants
)
_CLAIM_POSTGRES: Final = text(
    f"""
    WITH due AS (
        SELECT sized.* FROM (
            SELECT turn, CAST(take ->> 0 AS uuid) AS account_id, CAST(take ->> 1 AS integer) AS most,
                   {freezes.are_in_force("CAST(take ->> 0 AS uuid)")} AS freezes
            FROM jsonb_array_elements(CAST(:takes AS jsonb)) WITH ORDINALITY t(take, turn)) a
        CROSS JOIN LATERAL (
            SELECT a.turn, a.freezes, locked.*, {_size("locked")} AS size,
                   sum({_size("locked")})
                       OVER (ORDER BY locked.due_at, locked.cronjob_id, locked.kind ROWS UNBOUNDED PRECEDING) AS own
            FROM (
                SELECT g.cronjob_id, g.scheduled_at, g.kind, g.due_at, g.sent_as FROM firing g
                WHERE g.account_id = a.account_id AND g.due_at <= :now
                ORDER BY g.due_at LIMIT a.most FOR UPDATE SKIP LOCKED) locked
            JOIN cronjob c ON c.cronjob_id = locked.cronjob_id) sized
        WHERE sized.own - sized.size < :bytes
    ), picked AS (
        SELECT * FROM (
            SELECT *, sum(large) OVER (ORDER BY turn, due_at, cronjob_id, kind ROWS UNBOUNDED PRECEDING) - large
                   AS before
            FROM (SELECT *, CASE WHEN own > :little THEN size ELSE 0 END AS large FROM due) marked) counted
        WHERE own <= :little OR before < :large
    ), claimed AS (
        UPDATE firing f SET {_LEASE}
        FROM picked p
        WHERE f.cronjob_id = p.cronjob_id AND f.scheduled_at = p.scheduled_at AND f.kind = p.kind
        RETURNING f.*, p.freezes
    )
    SELECT CAST(f.cronjob_id AS TEXT), f.scheduled_at, f.kind, CAST(f.account_id AS TEXT), f.attempt, f.lease_no,
           f.lost_leases, f.created_at, c.state, {_SENT}, c.secret, {_size("f")}, c.policies, f.refusals,
           {manual.message_of("f", "m.secret")}, f.place_at, f.owed_at, f.attempts_before, {_SENT_BEFORE},
           {_ONLY_EARLY}, {connections.HELD_POSTGRES}, f.freezes
    FROM claimed f JOIN cronjob c ON c.cronjob_id = f.cronjob_id
    {connections.JOINED}
    """  # noqa: S608 - constants
)

_FIELDS: Final = Claim._fields
_SEALED: Final = [
    _FIELDS.index(name) for name in ("secret", "message", "connection_secret", "connection_previous")
]
_FLAGS: Final = [_FIELDS.index(name) for name in ("only_early", "freezes")]


def claim_firings(
    connection: Connection, now: int, leased_until: int, takes: Mapping[str, int]
) -> list[Claim]:
    """Lease due firings until `leased_until`: of each account so many at most, the longest due first.

    And of each no more once its cron jobs have `CLAIM_BYTES` together, for what is claimed is read as a whole; of all
    no more once what they have beyond `LITTLE_BYTES` each is `LARGE_BYTES`. The accounts are served in their order.
    """
    if connection.dialect.name == "sqlite":
        rows = _claim_sqlite(connection, now, leased_until, takes)
    else:
        parameters = {
            "takes": json.dumps(list(takes.items())),
            "now": now,
            "leased_until": leased_until,
            "bytes": CLAIM_BYTES,
            "little": LITTLE_BYTES,
            "large": LARGE_BYTES,
        }
        rows = connection.execute(_CLAIM_POSTGRES, parameters).all()
    return _with_told(connection, [Claim(*row) for row in rows])


def _claim_sqlite(
    connection: Connection, now: int, leased_until: int, takes: Mapping[str, int]
) -> Sequence[Sequence[Any]]:
    """Select, then update: SQLite has one writer, and it is this transaction."""
    most = max(takes.values(), default=0)
    parameters = {"accounts": json.dumps(list(takes)), "now": now, "most": most}
    due = json.loads(connection.execute(_DUE_SQLITE, parameters).scalar_one())
    rowids = json.dumps(_picked(due, list(takes.values())))
    connection.execute(_LEASE_SQLITE, {"leased_until": leased_until, "rowids": rowids})
    packed = connection.execute(_READ_SQLITE, {"rowids": rowids, "now": now}).scalar_one()
    rows: list[list[Any]] = json.loads(packed)
    for row in rows:
        for place in _SEALED:
            row[place] = bytes.fromhex(row[place]) if row[place] else None
        for place in _FLAGS:
            row[place] = bool(row[place])
    return rows


def _picked(due: Iterable[tuple[int, int, int]], takes: Sequence[int]) -> list[int]:
    """Of due firings those that a claim takes, as PostgreSQL picks them: SQLite's windows cost three times as much.

    :param due: the account's place in turn, the row and the bytes of each, in turn, the longest due first
    :param takes: how many of each account at most
    """
    picked: list[int] = []
    turn, place, own, large = -1, 0, 0, 0
    for of, row, size in due:
        if of != turn:
            turn, place, own = of, 0, 0
        before, place, own = own, place + 1, own + size
        if place > takes[turn] or before >= CLAIM_BYTES:
            continue
        if own > LITTLE_BYTES:
            large += size
            if large - size >= LARGE_BYTES:
                continue
        picked.append(row)
    return picked


def _with_told(connection: Connection, claims: list[Claim]) -> list[Claim]:
    """The claims, with what those are to tell that tell of a failure."""
    telling = [claim.key for claim in claims if claim.kind == Kind.DEAD_LETTER]
    if not telling:
        return claims
    told = list_told(connection, telling)
    return [claim._replace(told=told[claim.key]) if claim.key in told else claim for claim in claims]
