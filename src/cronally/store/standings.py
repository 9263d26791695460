"""How cron jobs stand that are not well: a row for each, written with the outcome of the firing that says so.

Invariant: only what was recorded counts, once, in the order in which it was recorded; of one transaction in the order
in which it ended. Where a batch delivers everything in time and all its cron jobs are well, nothing is written. On
PostgreSQL the rows of a batch are locked in the order of their keys, so that two nodes do not wait for each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Delete,
    Insert,
    Integer,
    Text,
    and_,
    bindparam,
    case,
    delete,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeEngine

from cronally.cronjob import State as CronjobState
from cronally.standing import Health, Standing, health_by, says_health, standing_after
from cronally.store import batches, tables
from cronally.store.rows import Rows
from cronally.store.types import Id

if TYPE_CHECKING:
    from cronally.store.firings import Record

_table: Final = tables.standing


def record_standings(connection: Connection, records: Sequence[Record], written: int) -> None:
    """Write how the cron jobs stand whose firings have just been recorded.

    :param written: how many of the records found their lease: the others changed no firing, and say nothing
    """
    ended = [record for record in records if says_health(record.state)]
    if written < len(records) and ended:
        ended = _recorded(connection, ended) if written else []
    if not ended:
        return
    unwell = _locked(connection, {record.claim.cronjob_id for record in ended})
    said = [(record, _health(record)) for record in ended]
    if not unwell and all(health is Health.OK for _, health in said):
        return
    over, standings = _fold(said)
    dialect = connection.dialect.name
    if gone := over & unwell:
        connection.execute(_forget(dialect), _ids(gone))
    if standings:
        rows = [(cronjob_id, one.health, one.since, one.in_a_row) for cronjob_id, one in standings.items()]
        connection.execute(_add(dialect), batches.encode(rows))


def _health(record: Record) -> Health:
    return health_by(record.state, record.claim.scheduled_at, record.finished_at or 0)


def _fold(said: Iterable[tuple[Record, Health]]) -> tuple[set[str], dict[str, Standing]]:
    """Of which cron jobs the row of before is over, and how they stand by what these say alone."""
    over: set[str] = set()
    standings: dict[str, Standing | None] = {}
    for record, health in sorted(said, key=lambda one: (one[0].finished_at or 0, one[0].claim.key)):
        cronjob_id = record.claim.cronjob_id
        after = standing_after(standings.get(cronjob_id), health, record.claim.scheduled_at)
        if after is None or (after.in_a_row == 1 and cronjob_id in standings):
            over.add(cronjob_id)
        standings[cronjob_id] = after
    return over, {cronjob_id: one for cronjob_id, one in standings.items() if one is not None}


def list_standings(
    connection: Connection, account_id: str, cronjob_ids: Collection[str]
) -> dict[str, Standing]:
    """How those of an account's cron jobs stand that are not well, by id."""
    if not cronjob_ids:
        return {}
    parameters = {"account_id": account_id, "cronjob_ids": sorted(cronjob_ids), "limit": len(cronjob_ids)}
    return {row[0]: Standing(Health(row[1]), row[2], row[3]) for row in _LIST.read(connection, parameters)}


def forget_standing(connection: Connection, cronjob_id: str) -> None:
    """Forget how a cron job stands: it is deleted. The caller holds its row lock."""
    connection.execute(delete(_table).where(_table.c.cronjob_id == cronjob_id))


_LIST: Final = Rows(
    select(_table.c.cronjob_id, _table.c.health, _table.c.since, _table.c.in_a_row)
    .join(tables.cronjob, tables.cronjob.c.cronjob_id == _table.c.cronjob_id)
    .where(
        _table.c.cronjob_id.in_(bindparam("cronjob_ids", type_=Id(), expanding=True)),
        tables.cronjob.c.account_id == bindparam("account_id", type_=Id()),
    )
    .limit(bindparam("limit", type_=Integer()))
)


def _ids(cronjob_ids: Iterable[str]) -> dict[str, str]:
    return batches.encode((cronjob_id,) for cronjob_id in cronjob_ids)


def _locked(connection: Connection, cronjob_ids: Collection[str]) -> set[str]:
    """Which of these cron jobs have a row; it is locked until the transaction ends."""
    found = _having(connection.dialect.name).read(
        connection, {**_ids(cronjob_ids), "limit": len(cronjob_ids)}
    )
    return {row[0] for row in found}


@cache
def _having(dialect: str) -> Rows:
    batch = batches.table(dialect, {"cronjob_id": Id()})
    return Rows(
        select(_table.c.cronjob_id)
        .where(_table.c.cronjob_id.in_(select(batch.c.cronjob_id)))
        .order_by(_table.c.cronjob_id)
        .limit(bindparam("limit", type_=Integer()))
        .with_for_update()
    )


@cache
def _forget(dialect: str) -> Delete:
    batch = batches.table(dialect, {"cronjob_id": Id()})
    return delete(_table).where(_table.c.cronjob_id.in_(select(batch.c.cronjob_id)))


@cache
def _add(dialect: str) -> Insert:
    """Add rows to those that are there: what ended as before makes the row longer."""
    names: dict[str, TypeEngine[Any]] = {"cronjob_id": Id(), "health": Text()}
    names |= {"since": BigInteger(), "in_a_row": BigInteger()}
    batch = batches.table(dialect, names)
    job = tables.cronjob
    source = (
        select(*batch.c)
        .join(job, job.c.cronjob_id == batch.c.cronjob_id)
        # Who deletes a cron job has forgotten it; what was on its way ends afterwards.
        .where(job.c.state != CronjobState.DELETED)
        .order_by(batch.c.cronjob_id)
    )
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    statement = insert(_table).from_select(list(names), source)
    new = statement.excluded
    same = _table.c.health == new.health
    return statement.on_conflict_do_update(
        index_elements=["cronjob_id"],
        set_={
            "health": new.health,
            "since": case((same, _table.c.since), else_=new.since),
            "in_a_row": new.in_a_row + case((same, _table.c.in_a_row), else_=0),
        },
    )


def _recorded(connection: Connection, records: Sequence[Record]) -> list[Record]:
    """Which of these have just been recorded, of a batch that was in part.

    A batch that is written once more, as its commit was not heard of, changes nothing: it is never one of these.
    """
    rows = [(*record.claim.key, record.claim.lease_no, record.state) for record in records]
    limit = {"limit": len(rows)}
    found = {
        (row[0], row[1], row[2])
        for row in _ending(connection.dialect.name).read(connection, {**batches.encode(rows), **limit})
    }
    return [record for record in records if record.claim.key in found]


@cache
def _ending(dialect: str) -> Rows:
    names: dict[str, TypeEngine[Any]] = {"cronjob_id": Id(), "scheduled_at": BigInteger(), "kind": Text()}
    names |= {"lease_no": Integer(), "state": Text()}
    batch = batches.table(dialect, names)
    firing = tables.firing
    return Rows(
        select(firing.c.cronjob_id, firing.c.scheduled_at, firing.c.kind)
        .join(batch, and_(*(firing.c[name] == batch.c[name] for name in names)))
        .limit(bindparam("limit", type_=Integer()))
    )
