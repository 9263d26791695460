"""The ledger's open rows: claimed for a bounded time, sent, recorded.

Invariant: a row changes hands only through `claim_firings`, which raises `lease_no`; a worker records with the number
that it claimed with, so one that lost its lease changes nothing. A row whose lease ended is claimable like any
other that is due, without a rescuer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Integer, Text, Update, bindparam, case, func, text, update

from cronally.clock.zones import UTC
from cronally.contract.order import is_fifo, takes_turns
from cronally.cronjob import Policies, read_policies
from cronally.firing import WAITS, Key, Kind, Reason, State, firing_id
from cronally.store import batches, connections, dead_letters, former, manual, order, standings, tables
from cronally.store.answers import Answer, record_answers
from cronally.store.attempts import ATTEMPTS_KEPT, record_attempts
from cronally.store.told import Told, list_told, size_of
from cronally.store.types import Id


@dataclass(frozen=True, slots=True)
class Claim:
    """A firing under lease, with what is needed to send it: as its cron job stands now, or stood in a version."""

    cronjob_id: str
    scheduled_at: int
    kind: str
    account_id: str
    attempt: int
    """The number of the attempt that this claim is for, from 1."""
    lease_no: int
    lost_leases: int
    created_at: int
    cronjob_state: str
    version: int
    """That it is sent as."""
    name: str
    target: str
    destination: str
    """JSON of the target's public parameters; an empty text where those of the version are not kept."""
    secret: bytes | None = field(repr=False)
    size: int
    """Bytes of the cron job, its message among them, and of a message of its own."""
    stored_policies: str = "{}"
    """JSON of the cron job's policies."""
    refusals: int = 0
    """Attempts so far on the short schedule."""
    message: bytes | None = field(default=None, repr=False)
    """What it sends in place of its cron job's message, sealed; None if nothing."""
    place_at: int | None = None
    """When it starts in the window that its cron job had; None for its fire time."""
    owed_at: int | None = None
    """From when on its age counts, where the ledger says so."""
    attempts_before: int = 0
    """How many attempts it had when it was last replayed."""
    destination_now: str | None = None
    """JSON of the public parameters that the cron job has now, where the firing is sent as a version."""
    target_then: str | None = None
    """The target that the version had; None where that is not kept."""
    timezone: str = UTC
    """The IANA name of its cron job's time zone, as it was in the version that it is sent as."""
    only_early: bool = False
    """Whether all attempts before were made while the clock was ahead: at its time it has not been attempted."""
    connection_id: str | None = None
    """The connection that its cron job uses."""
    connection_kind: str | None = None
    connection_parameters: str | None = None
    """JSON of what may be shown of the connection."""
    connection_secret: bytes | None = field(default=None, repr=False)
    connection_previous: bytes | None = field(default=None, repr=False)
    """Its former secrets while they go on; sealed, both."""
    connection_version: int | None = None
    connection_probe: str | None = None
    """Of one that is unhealthy: the id of the firing that is to try it, an empty text for none; else None."""
    told: Told | None = field(default=None, repr=False)
    """What one that tells of a failure is to tell; None where that is not kept."""

    @property
    def key(self) -> Key:
        """Which row of the ledger it is."""
        return (self.cronjob_id, self.scheduled_at, self.kind)

    @property
    def firing_id(self) -> str:
        """Its id."""
        return firing_id(*self.key)

    @property
    def policies(self) -> Policies:
        """The cron job's policies as they are now."""
        return read_policies(self.stored_policies)

    @property
    def due_since(self) -> int:
        """From when on it may start: how late it is counts from here."""
        return self.scheduled_at if self.place_at is None else self.place_at

    @property
    def ordered(self) -> bool:
        """Whether it is sent after the earlier ones of its cron job, and before the later ones: as a version, too."""
        if takes_turns(self.stored_policies, self.destination):
            return True
        return self.destination_now is not None and is_fifo(self.destination_now)


@dataclass(frozen=True, slots=True)
class Record:
    """How a claim ended."""

    claim: Claim
    state: State
    reason: Reason | None = None
    attempt_reason: Reason | None = None
    """Why the attempt did not deliver, where the firing ends for another reason."""
    due_at: int | None = None
    """When it may be attempted again; set if and only if `state` is pending."""
    attempt: int | None = None
    """How many attempts may have reached the target; the claim's own number unless it burned none."""
    refusals: int | None = None
    """How many were on the short schedule; as before if None."""
    sent_at: int | None = None
    duration: int | None = None
    """Microseconds."""
    finished_at: int | None = None
    message_id: str | None = None
    outcome: str | None = None
    """The name of an outcome that did not deliver, to be kept as an attempt."""
    detail: str | None = None
    """What the target said; set if and only if `outcome` is."""
    answer: Answer | None = None
    """What is kept of what it answered."""


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


CLAIM_BYTES: Final = 128 * 1024
"""Of one account in one claim, about: the firing that passes it is the last."""
LITTLE_BYTES: Final = 8 * 1024
"""Of one account in one claim that it gets whatever others have to send."""
LARGE_BYTES: Final = 512 * 1024
"""Of all accounts beyond that in one claim, about: the firing that passes it is the last, and those of the next
accounts wait for the next claim."""


def _size(firing: str) -> str:
    """Bytes of a firing: its cron job's, and of what it tells of another one, of a message of its own or of
    a version."""
    own = f"coalesce({manual.message_of(firing, 'm.size')}, 0) + coalesce({size_of(firing)}, 0)"
    return f"{own} + {former.size_then(firing)} + c.size"


_PICK_SQLITE: Final = text(
    f"""
    SELECT json_group_array(id) FROM (
        SELECT id, own, sum(large) OVER turns - large AS before FROM (
            SELECT *, CASE WHEN own > :little THEN size ELSE 0 END AS large FROM (
                SELECT *, sum(size) OVER earlier AS own, row_number() OVER earlier AS place FROM (
                    SELECT a.key AS turn, json_extract(a.value, '$[1]') AS take, f.rowid AS id, f.due_at,
                           (SELECT {_size("f")} FROM cronjob c WHERE c.cronjob_id = f.cronjob_id) AS size
                    FROM json_each(:takes) a CROSS JOIN firing f
                    WHERE f.rowid IN (SELECT g.rowid FROM firing g
                                      WHERE g.account_id = json_extract(a.value, '$[0]') AND g.due_at <= :now
                                      ORDER BY g.due_at LIMIT :most))
                WINDOW earlier AS (PARTITION BY turn ORDER BY due_at, id ROWS UNBOUNDED PRECEDING))
            WHERE place <= take AND own - size < :bytes)
        WINDOW turns AS (ORDER BY turn, due_at, id ROWS UNBOUNDED PRECEDING))
    WHERE own <= :little OR before < :large
    """  # noqa: S608 - constants
)
"""The limit of a subquery may not depend on the row outside it."""
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
        f.attempts_before, {_SENT_BEFORE}, {_ONLY_EARLY}, {connections.HELD_SQLITE}))
    FROM json_each(:rowids) r CROSS JOIN firing f ON f.rowid = r.value JOIN cronjob c ON c.cronjob_id = f.cronjob_id
    {connections.JOINED}
    """  # noqa: S608 - constants
)
_CLAIM_POSTGRES: Final = text(
    f"""
    WITH due AS (
        SELECT sized.* FROM jsonb_array_elements(CAST(:takes AS jsonb)) WITH ORDINALITY a(take, turn)
        CROSS JOIN LATERAL (
            SELECT a.turn, locked.*, {_size("locked")} AS size,
                   sum({_size("locked")})
                       OVER (ORDER BY locked.due_at, locked.cronjob_id, locked.kind ROWS UNBOUNDED PRECEDING) AS own
            FROM (
                SELECT g.cronjob_id, g.scheduled_at, g.kind, g.due_at, g.sent_as FROM firing g
                WHERE g.account_id = CAST(a.take ->> 0 AS uuid) AND g.due_at <= :now
                ORDER BY g.due_at LIMIT CAST(a.take ->> 1 AS integer) FOR UPDATE SKIP LOCKED) locked
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
        RETURNING f.*
    )
    SELECT CAST(f.cronjob_id AS TEXT), f.scheduled_at, f.kind, CAST(f.account_id AS TEXT), f.attempt, f.lease_no,
           f.lost_leases, f.created_at, c.state, {_SENT}, c.secret, {_size("f")}, c.policies, f.refusals,
           {manual.message_of("f", "m.secret")}, f.place_at, f.owed_at, f.attempts_before, {_SENT_BEFORE},
           {_ONLY_EARLY}, {connections.HELD_POSTGRES}
    FROM claimed f JOIN cronjob c ON c.cronjob_id = f.cronjob_id
    {connections.JOINED}
    """  # noqa: S608 - constants
)

_FIELDS: Final = list(Claim.__dataclass_fields__)
_SEALED: Final = [
    _FIELDS.index(name) for name in ("secret", "message", "connection_secret", "connection_previous")
]
_EARLY: Final = _FIELDS.index("only_early")


def claim_firings(
    connection: Connection, now: int, leased_until: int, takes: Mapping[str, int]
) -> list[Claim]:
    """Lease due firings until `leased_until`: of each account so many at most, the longest due first.

    And of each no more once its cron jobs have `CLAIM_BYTES` together, for what is claimed is read as a whole; of all
    no more once what they have beyond `LITTLE_BYTES` each is `LARGE_BYTES`. The accounts are served in their order.
    """
    parameters: dict[str, Any] = {
        "takes": json.dumps(list(takes.items())),
        "now": now,
        "bytes": CLAIM_BYTES,
        "little": LITTLE_BYTES,
        "large": LARGE_BYTES,
    }
    if connection.dialect.name != "sqlite":
        rows = connection.execute(_CLAIM_POSTGRES, {**parameters, "leased_until": leased_until}).all()
        return _with_told(connection, [Claim(*row) for row in rows])
    # Select, then update: SQLite has one writer, and it is this transaction.
    most = max(takes.values(), default=0)
    rowids = connection.execute(_PICK_SQLITE, {**parameters, "most": most}).scalar_one()
    connection.execute(_LEASE_SQLITE, {"leased_until": leased_until, "rowids": rowids})
    packed = json.loads(connection.execute(_READ_SQLITE, {"rowids": rowids, "now": now}).scalar_one())
    for row in packed:
        for place in _SEALED:
            row[place] = bytes.fromhex(row[place]) if row[place] else None
        row[_EARLY] = bool(row[_EARLY])
    return _with_told(connection, [Claim(*row) for row in packed])


def _with_told(connection: Connection, claims: list[Claim]) -> list[Claim]:
    """The claims, with what those are to tell that tell of a failure."""
    telling = [claim.key for claim in claims if claim.kind == Kind.DEAD_LETTER]
    if not telling:
        return claims
    told = list_told(connection, telling)
    return [replace(claim, told=told[claim.key]) if claim.key in told else claim for claim in claims]


def record_outcomes(connection: Connection, records: Sequence[Record]) -> int:
    """Write how claims ended, each only where its lease still holds; keep the attempts that did not deliver.

    Returns how many firings became due that had waited for one of these, or tell of it.
    """
    dialect = connection.dialect.name
    rows = []
    attempts = []
    answers = []
    ordered = []
    sent_own = []
    for record in records:
        claim = record.claim
        attempt = claim.attempt if record.attempt is None else record.attempt
        key = (*claim.key, claim.lease_no)
        if claim.ordered:
            ordered.append(record)
        if claim.message is not None and record.finished_at is not None:
            sent_own.append(claim.firing_id)
        rows.append(
            (
                *key,
                record.state,
                record.reason,
                record.due_at,
                attempt,
                claim.refusals if record.refusals is None else record.refusals,
                record.sent_at,
                record.duration,
                claim.version,
                record.finished_at,
                record.message_id,
            )
        )
        if record.answer is not None:
            began = record.sent_at or claim.scheduled_at
            answers.append((claim.key, claim.lease_no, claim.account_id, began, record.answer))
        if record.outcome is not None:
            attempts.append(
                (
                    *key,
                    attempt,
                    record.sent_at,
                    record.duration,
                    claim.version,
                    record.outcome,
                    record.attempt_reason or record.reason,
                    record.detail,
                )
            )
    if rows:
        written = connection.execute(_finish(dialect), batches.encode(rows)).rowcount
        standings.record_standings(connection, records, written)
    record_attempts(connection, attempts)
    if answers:
        record_answers(connection, answers, ATTEMPTS_KEPT)
    if sent_own:
        manual.erase_messages(connection, sent_own)
    telling = dead_letters.tell_of_failures(connection, records)
    finished = [record.claim.key for record in ordered if record.finished_at is not None]
    return telling + (order.free_next(connection, finished) if finished else 0)


@cache
def _finish(dialect: str) -> Update:
    batch = batches.table(
        dialect,
        {
            **batches.LEASE,
            "state": Text(),
            "reason": Text(),
            "due_at": BigInteger(),
            "attempt": Integer(),
            "refusals": Integer(),
            "sent_at": BigInteger(),
            "duration": BigInteger(),
            "version": Integer(),
            "finished_at": BigInteger(),
            "message_id": Text(),
        },
    )
    firing = tables.firing
    return (
        update(firing)
        .where(batches.same(firing, batch, batches.LEASE), firing.c.state == State.SENDING)
        .values(
            {column.name: column for column in batch.c if column.name not in batches.LEASE}
            # What was given back unsent was last sent by the attempt before, if by any.
            | {name: func.coalesce(batch.c[name], firing.c[name]) for name in ("sent_at", "duration")}
            | {"version": case((batch.c.sent_at.is_(None), firing.c.version), else_=batch.c.version)}
            | {"lost_leases": 0}
        )
    )
