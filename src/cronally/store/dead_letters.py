"""Firings that tell of one that has failed: written with the failure, and sent by the cron job that is named for it.

Invariant: in the transaction in which a firing becomes `failed` it gets one such firing, if its cron job names another
for that; by the lease under which it failed there is never a second one. What tells of a failure and fails itself is
told of by none, so every failure costs one firing at most, and nothing goes round. What is told is read when it is
sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Delete,
    Insert,
    Integer,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeEngine

from cronally.clock.zones import UTC
from cronally.cronjob import State as CronjobState
from cronally.cronjob import read_policies
from cronally.firing import Key, Kind, State
from cronally.store import batches, former, tables
from cronally.store.attempts import ATTEMPTS_KEPT
from cronally.store.ledger import Firing
from cronally.store.rows import Rows
from cronally.store.types import Id

if TYPE_CHECKING:
    from cronally.store.firings import Claim, Record

TRIES: Final = 20
"""So often fire times are looked for that no other transaction takes: each time some of what is left gets one."""
LOOKED_AT: Final = 5000
"""Fire times that are taken, of one cron job: so many are read at once."""
MOST_LINKS: Final = 10_000
"""More than the firings of a page have: each may have failed several times."""
TOLD_BYTES: Final = 16 * 1024
"""That what is told of a firing counts for beside the parameters of its cron job: its attempts, about."""

_table: Final = tables.dead_letter
_job: Final = tables.cronjob
_LIMIT: Final = bindparam("limit", type_=Integer())
_OF: Final = ("of_cronjob_id", "of_scheduled_at", "of_kind", "of_lease_no")


def size_of(firing: str) -> str:
    """SQL: bytes of what a firing tells of another one; NULL for one that tells of none.

    :param firing: the alias of its row
    """
    return f"""CASE WHEN {firing}.kind = '{Kind.DEAD_LETTER}' THEN (
        SELECT d.size FROM dead_letter d
        WHERE d.cronjob_id = {firing}.cronjob_id AND d.scheduled_at = {firing}.scheduled_at) END"""  # noqa: S608


def tell_of_failures(connection: Connection, records: Sequence[Record]) -> int:
    """Add the firings that tell of what these records say to have failed; how many those are.

    Called in the transaction that has written the records. One that found its lease taken has changed nothing, and one
    that is written once more, as its commit was not heard of, has its firing.
    """
    failed = {
        (*record.claim.key, record.claim.lease_no): record
        for record in records
        if record.state is State.FAILED
        and record.claim.kind != Kind.DEAD_LETTER
        and record.claim.policies.dead_letter is not None
    }
    if not failed:
        return 0
    parameters = {**batches.encode(failed), "limit": len(failed)}
    found = _untold(connection.dialect.name).read(connection, parameters)
    wanted = [failed[row[0], row[1], row[2], row[3]] for row in found]
    jobs = {str(record.claim.policies.dead_letter) for record in wanted}
    open_ = {
        (row[0], row[1]) for row in _OPEN.read(connection, {"cronjob_ids": sorted(jobs), "limit": len(jobs)})
    }
    rows = [
        _Row(str(claim.policies.dead_letter), record.finished_at or 0, record)
        for record in wanted
        if (claim := record.claim) and (claim.policies.dead_letter, claim.account_id) in open_
    ]
    return _insert(connection, rows)


@dataclass(slots=True)
class _Row:
    """A firing that is to be added."""

    cronjob_id: str
    at: int
    """The first instant that it may have as its fire time."""
    record: Record


def _insert(connection: Connection, rows: list[_Row]) -> int:
    """Add firings, each with a fire time of its own."""
    total, left = len(rows), rows
    # In the order of their keys: two nodes that write for the same cron job do not wait for each other in a circle.
    left.sort(key=lambda row: (row.cronjob_id, row.at, row.record.claim.key))
    for _ in range(TRIES):
        if not left:
            return total
        _choose_times(connection, left)
        values = [_values(row) for row in left]
        taken = {
            (row.cronjob_id, row.scheduled_at)
            for row in connection.execute(_link(connection.dialect.name), batches.encode(values))
        }
        added = [row for row in left if (row.cronjob_id, row.at) in taken]
        if added:
            connection.execute(insert(tables.firing), [_firing_values(row) for row in added])
        left = [row for row in left if (row.cronjob_id, row.at) not in taken]
        for row in left:
            row.at += 1
    if left:
        # The whole is not written: whoever records does it again, each by itself.
        raise RuntimeError(f"no fire times were found for {len(left)} firings that tell of a failure")
    return total


def _choose_times(connection: Connection, rows: Sequence[_Row]) -> None:
    """Give each the first fire time that is free from the one on that it has."""
    used: dict[str, set[int]] = {}
    for row in rows:
        if row.cronjob_id not in used:
            of_it = [other.at for other in rows if other.cronjob_id == row.cronjob_id]
            parameters = {"of": row.cronjob_id, "since": min(of_it), "until": max(of_it) + len(of_it)}
            parameters["limit"] = LOOKED_AT
            used[row.cronjob_id] = set(connection.execute(_TAKEN, parameters).scalars())
        while row.at in used[row.cronjob_id]:
            row.at += 1
        used[row.cronjob_id].add(row.at)


def _values(row: _Row) -> tuple[Any, ...]:
    """A row of the table, in the order of its columns."""
    claim = row.record.claim
    of = (*claim.key, claim.lease_no)
    return (row.cronjob_id, row.at, claim.account_id, *of, row.record.reason or "", claim.size + TOLD_BYTES)


def _firing_values(row: _Row) -> dict[str, Any]:
    return {
        "cronjob_id": row.cronjob_id,
        "scheduled_at": row.at,
        "kind": Kind.DEAD_LETTER,
        "account_id": row.record.claim.account_id,
        "state": State.PENDING,
        "due_at": row.at,
        "created_at": row.at,
    }


_TAKEN: Final = (
    select(_table.c.scheduled_at)
    .where(
        _table.c.cronjob_id == bindparam("of", type_=Id()),
        _table.c.scheduled_at >= bindparam("since", type_=BigInteger()),
        _table.c.scheduled_at <= bindparam("until", type_=BigInteger()),
    )
    .order_by(_table.c.scheduled_at)
    .limit(_LIMIT)
)
_OPEN: Final = Rows(
    select(_job.c.cronjob_id, _job.c.account_id)
    .where(
        _job.c.cronjob_id.in_(bindparam("cronjob_ids", type_=Id(), expanding=True)),
        _job.c.state != CronjobState.DELETED,
    )
    .limit(_LIMIT)
)


@cache
def _untold(dialect: str) -> Rows:
    """Of firings by key and lease: those that have failed under it and that no firing tells of."""
    batch = batches.table(dialect, batches.LEASE)
    firing = tables.firing
    told = select(_table.c.of_kind).where(
        *(_table.c[of] == batch.c[name] for of, name in zip(_OF, batches.LEASE, strict=True))
    )
    return Rows(
        select(*(firing.c[name] for name in batches.LEASE))
        .join(batch, batches.same(firing, batch, batches.LEASE))
        .where(firing.c.state == State.FAILED, ~told.correlate(batch).exists())
        .limit(_LIMIT)
    )


@cache
def _link(dialect: str) -> Insert:
    columns: dict[str, TypeEngine[Any]] = {column.name: column.type for column in _table.c}
    batch = batches.table(dialect, columns)
    dialect_insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    source = select(*batch.c).order_by(batch.c.cronjob_id, batch.c.scheduled_at)
    statement = dialect_insert(_table).from_select(list(columns), source.where(batch.c.size >= 0))
    return statement.on_conflict_do_nothing().returning(_table.c.cronjob_id, _table.c.scheduled_at)


@dataclass(frozen=True, slots=True)
class Try:
    """An attempt of a firing that has failed. The names are those of the table's columns."""

    attempt: int
    started_at: int
    duration: int
    """Microseconds."""
    outcome: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Told:
    """What is to be told of a firing that has failed."""

    key: Key
    reason: str
    """Why it failed."""
    name: str | None
    """Of its cron job; None where that is not kept."""
    target: str | None
    """Where it was sent to; None where that is not kept."""
    destination: str
    """JSON of the public parameters that it was sent by; an empty text where they are not kept."""
    timezone: str
    attempt: int
    """How many attempts it had."""
    own_message: bool
    """Whether it sent a message of its own, which is erased when it ends."""
    attempts: tuple[Try, ...] = field(default=(), repr=False)


def with_told(connection: Connection, claims: list[Claim]) -> list[Claim]:
    """The claims, with what those are to tell that tell of a failure."""
    asked = [(claim.cronjob_id, claim.scheduled_at) for claim in claims if claim.kind == Kind.DEAD_LETTER]
    if not asked:
        return claims
    told = _read(connection, asked)
    return [
        replace(claim, told=told.get((claim.cronjob_id, claim.scheduled_at)))
        if claim.kind == Kind.DEAD_LETTER
        else claim
        for claim in claims
    ]


def _read(connection: Connection, asked: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Told]:
    """What these firings are to tell, by cron job and fire time."""
    dialect = connection.dialect.name
    rows = _told(dialect).read(connection, {**batches.encode(asked), "limit": len(asked)})
    keys = [(row[2], row[3], row[4]) for row in rows]
    tries: dict[Key, list[Try]] = {}
    parameters = {**batches.encode(keys), "limit": 2 * ATTEMPTS_KEPT * len(keys)}
    for row in _tries(dialect).read(connection, parameters) if keys else ():
        tries.setdefault((row[0], row[1], row[2]), []).append(Try(*row[3:]))
    told: dict[tuple[str, int], Told] = {}
    sent: dict[tuple[str, int], tuple[str | None, str]] = {}
    for row, key in zip(rows, keys, strict=True):
        reason, name, timezone, version, attempt, own_message, target, destination = row[5:]
        if target is None:
            if (key[0], version) not in sent:
                sent[key[0], version] = former.get_sent(connection, key[0], version) or (None, "")
            target, destination = sent[key[0], version]
        told[row[0], row[1]] = Told(
            key,
            reason,
            name,
            target,
            destination,
            timezone,
            attempt,
            bool(own_message),
            tuple(tries.get(key, ())[-ATTEMPTS_KEPT:]),
        )
    return told


_ASKED: Final[dict[str, TypeEngine[Any]]] = {"cronjob_id": Id(), "scheduled_at": BigInteger()}


@cache
def _told(dialect: str) -> Rows:
    batch = batches.table(dialect, _ASKED)
    firing, version = tables.firing, tables.cronjob_version
    of = dict(zip(batches.KEY, _OF, strict=False))
    # What was never attempted would have been sent as its cron job is.
    sent_as = func.coalesce(firing.c.version, _job.c.version)
    is_current = and_(sent_as == _job.c.version, _job.c.state != CronjobState.DELETED)
    return Rows(
        select(
            *(_table.c[name] for name in (*_ASKED, *of.values(), "reason")),
            _job.c.name,
            func.coalesce(version.c.timezone, _job.c.timezone, UTC),
            sent_as,
            func.coalesce(firing.c.attempt, 0),
            func.coalesce(firing.c.own_message, 0),
            case((is_current, _job.c.target)),
            case((is_current, _job.c.destination)),
        )
        .join(batch, batches.same(_table, batch, _ASKED))
        .outerjoin(firing, and_(*(firing.c[name] == _table.c[of[name]] for name in batches.KEY)))
        .outerjoin(_job, _job.c.cronjob_id == _table.c.of_cronjob_id)
        .outerjoin(version, and_(version.c.cronjob_id == _job.c.cronjob_id, version.c.version == sent_as))
        .limit(_LIMIT)
    )


@cache
def _tries(dialect: str) -> Rows:
    batch = batches.table(dialect, batches.KEY)
    attempt = tables.attempt
    return Rows(
        select(*(attempt.c[name] for name in (*batches.KEY, *Try.__dataclass_fields__)))
        .join(batch, batches.same(attempt, batch, batches.KEY))
        .order_by(attempt.c.lease_no)
        .limit(_LIMIT)
    )


@dataclass(frozen=True, slots=True)
class Link:
    """A firing that tells of another one."""

    telling: Key
    of: Key
    of_lease_no: int


def list_links(connection: Connection, account_id: str, firings: Iterable[Firing]) -> list[Link]:
    """What tells of these firings of the account, and what these tell of, in the order in which they failed.

    :param firings: as many as a page has, at most
    """
    # What was sent once and has not failed was never told of.
    keys = [
        (firing.cronjob_id, firing.scheduled_at, firing.kind)
        for firing in firings
        if firing.kind == Kind.DEAD_LETTER or firing.state == State.FAILED or firing.lease_no > 1
    ]
    if not keys:
        return []
    parameters = {**batches.encode(keys), "of_account": account_id, "limit": MOST_LINKS}
    telling, told_by = _links(connection.dialect.name)
    rows = {tuple(row) for rows in (telling, told_by) for row in rows.read(connection, parameters)}
    return [
        Link((row[0], row[1], Kind.DEAD_LETTER), (row[2], row[3], row[4]), row[5])
        for row in sorted(rows, key=lambda row: (row[5], row[0], row[1]))
    ]


@cache
def _links(dialect: str) -> tuple[Rows, Rows]:
    """By what tells, and by what it tells of."""
    batch = batches.table(dialect, batches.KEY)
    columns = select(*(_table.c[name] for name in (*_ASKED, *_OF)))
    account = _table.c.account_id == bindparam("of_account", type_=Id())
    order = (_table.c.of_lease_no.desc(), _table.c.cronjob_id, _table.c.scheduled_at)
    told = dict(zip(batches.KEY, _OF, strict=False))
    own = and_(batch.c.kind == Kind.DEAD_LETTER.value, batches.same(_table, batch, _ASKED))
    of = and_(*(_table.c[told[name]] == batch.c[name] for name in batches.KEY))
    by_own, by_of = (
        Rows(columns.join(batch, condition).where(account).order_by(*order).limit(_LIMIT))
        for condition in (own, of)
    )
    return by_own, by_of


def delete_links(connection: Connection, keys: Iterable[Key]) -> None:
    """Delete what is kept of firings that are deleted and told of another one."""
    telling = [key for key in keys if key[2] == Kind.DEAD_LETTER]
    if telling:
        connection.execute(_delete(connection.dialect.name), batches.encode(telling))


@cache
def _delete(dialect: str) -> Delete:
    batch = batches.table(dialect, batches.KEY)
    same = tuple_(*(_table.c[name] for name in _ASKED))
    return delete(_table).where(same.in_(select(*(batch.c[name] for name in _ASKED))))


_NAMING: Final = select(_job.c.policies).where(
    _job.c.account_id == bindparam("of_account", type_=Id()),
    text("state <> 'deleted'"),
    _job.c.policies.contains('"dead_letter":', autoescape=True),
)


def list_named(connection: Connection, account_id: str) -> set[str]:
    """The ids of the cron jobs that others of the account name."""
    found = connection.execute(_NAMING, {"of_account": account_id}).scalars()
    return {named for policies in found if (named := read_policies(policies).dead_letter) is not None}
