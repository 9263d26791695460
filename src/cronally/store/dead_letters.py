"""Firings that tell of one that has failed: written with the failure, for the cron job that is named for it.

Invariant: in the transaction in which a firing becomes `failed` it gets one such firing, if its cron job, or else its
account, names another for that; by the lease under which it failed there is never a second one. What tells of a failure
and fails itself is told of by none, so every failure costs one firing at most, and nothing goes round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Insert, Integer, bindparam, insert, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeEngine

from cronally.cronjob import NOT_TOLD, read_policies
from cronally.cronjob import State as CronjobState
from cronally.firing import Key, Kind, State
from cronally.store import accounts, batches, tables
from cronally.store.claims import Claim, Record
from cronally.store.rows import Rows
from cronally.store.types import Id

TRIES: Final = 20
"""So often fire times are looked for that no other transaction takes: each time some of what is left gets one."""
LOOKED_AT: Final = 5000
"""Fire times that are taken, of one cron job: so many are read at once."""
TOLD_BYTES: Final = 16 * 1024
"""That what is told of a firing counts for beside the parameters of its cron job: its attempts, about."""

_table: Final = tables.dead_letter
_job: Final = tables.cronjob
_LIMIT: Final = bindparam("limit", type_=Integer())


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
        and record.claim.policies.dead_letter != NOT_TOLD
    }
    telling = _telling(connection, [record.claim for record in failed.values()]) if failed else {}
    told = [key for key, record in failed.items() if record.claim.key in telling]
    if not told:
        return 0
    found = _untold(connection.dialect.name).read(connection, {**batches.encode(told), "limit": len(told)})
    wanted = [failed[row[0], row[1], row[2], row[3]] for row in found]
    jobs = {telling[record.claim.key] for record in wanted}
    open_ = {
        (row[0], row[1]) for row in _OPEN.read(connection, {"cronjob_ids": sorted(jobs), "limit": len(jobs)})
    }
    rows = [
        _Row(cronjob_id, record.finished_at or 0, record)
        for record in wanted
        if (cronjob_id := telling[record.claim.key], record.claim.account_id) in open_
    ]
    return _insert(connection, rows)


def _telling(connection: Connection, claims: Sequence[Claim]) -> dict[Key, str]:
    """Of each that somebody is to tell of: the id of that cron job, its own or its account's."""
    accounts_ = {claim.account_id for claim in claims if claim.policies.dead_letter is None}
    defaults = accounts.list_dead_letters(connection, accounts_) if accounts_ else {}
    meant = {claim.key: claim.policies.dead_letter or defaults.get(claim.account_id) for claim in claims}
    # The one that tells of all others does not tell of itself.
    return {key: cronjob_id for key, cronjob_id in meant.items() if cronjob_id not in (None, key[0])}


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
        *(_table.c[f"of_{name}"] == batch.c[name] for name in batches.LEASE)
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


_NAMING: Final = select(_job.c.policies).where(
    _job.c.account_id == bindparam("of_account", type_=Id()),
    text("state <> 'deleted'"),
    _job.c.policies.contains('"dead_letter":', autoescape=True),
)


def list_named(connection: Connection, account_id: str) -> set[str]:
    """The ids of the cron jobs that others of the account, or the account itself, name."""
    found = connection.execute(_NAMING, {"of_account": account_id}).scalars()
    named = {read_policies(policies).dead_letter for policies in found}
    named.update(accounts.list_dead_letters(connection, [account_id]).values())
    return {one for one in named if one not in (None, NOT_TOLD)}
