"""How cron jobs stand that are not well: a row for each, written with the outcome of the firing that says so.

Invariant: only what was recorded counts, once, in the order in which it was recorded; of one transaction in the order
in which it ended. Where a batch delivers everything in time and all its cron jobs are well, nothing is written, and
nothing is locked. Else one statement locks, in the order of the keys, every row that the transaction writes: no two
nodes wait for each other. What alerts go by is added behind that, under the same locks.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Delete,
    Insert,
    Integer,
    Text,
    Update,
    and_,
    bindparam,
    case,
    delete,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeEngine

from cronally.cronjob import State as CronjobState
from cronally.firing import State, lateness
from cronally.standing import SAYING, Health, Standing, health_by, standing_after
from cronally.store import batches, happenings, tables
from cronally.store.claims import Record
from cronally.store.happenings import Happening, What
from cronally.store.rows import Rows
from cronally.store.types import Id

_table: Final = tables.standing


def record_standings(
    connection: Connection, records: Sequence[Record], written: int, known: Collection[str]
) -> None:
    """Write how the cron jobs stand whose firings have just been recorded.

    :param written: how many of the records found their lease: the others changed no firing, and say nothing
    :param known: which of their cron jobs have a row
    """
    ended = [record for record in records if record.state in SAYING]
    if written < len(records) and ended:
        ended = _recorded(connection, ended) if written else []
    if not ended:
        return
    said = [health_by(record.state, _owed_since(record), record.finished_at or 0) for record in ended]
    if known or said.count(Health.OK) < len(said):
        _write(connection, _fold(zip(ended, said, strict=True)), known)
        unwell = {
            one.claim.cronjob_id for one, health in zip(ended, said, strict=True) if health != Health.OK
        }
        happenings.add(connection, _happened(ended, unwell.union(known)))


def _owed_since(record: Record) -> int:
    """From when on a firing was owed: what was held back, or is sent again, on purpose is not late for that."""
    claim = record.claim
    return claim.due_since if claim.owed_at is None else claim.owed_at


def _fold(said: Iterable[tuple[Record, Health]]) -> dict[str, tuple[Standing | None, bool]]:
    """How cron jobs stand by what these say alone, and whether what was before is over."""
    folded: dict[str, tuple[Standing | None, bool]] = {}
    for record, health in sorted(said, key=lambda one: (one[0].finished_at or 0, one[0].claim.key)):
        cronjob_id = record.claim.cronjob_id
        before, over = folded.get(cronjob_id, (None, False))
        after = standing_after(before, health, record.claim.scheduled_at)
        over = over or after is None or (before is not None and after.in_a_row == 1)
        folded[cronjob_id] = (after, over)
    return folded


def _happened(ended: Sequence[Record], of: Collection[str]) -> list[Happening]:
    """What alerts go by: how the firings of these cron jobs ended."""
    told = [one for one in ended if one.claim.cronjob_id in of]
    told.sort(key=lambda one: (one.finished_at or 0, one.claim.key))
    return [
        Happening(
            one.claim.account_id,
            one.claim.cronjob_id,
            What.FAILED if one.state is State.FAILED else What.DELIVERED,
            one.claim.scheduled_at,
            one.finished_at or 0,
            late_by=max(lateness(_owed_since(one), one.finished_at or 0), 0),
            reason=one.reason,
        )
        for one in told
    ]


def _write(
    connection: Connection, folded: Mapping[str, tuple[Standing | None, bool]], known: Collection[str]
) -> None:
    """Write the rows of those that are not well, and delete those of the others.

    :param known: which of them have a row, as far as that is committed
    """
    dialect = connection.dialect.name
    rows: list[tuple[str, str, int, int]] = []
    well, anew = [], []
    for cronjob_id, (standing, over) in folded.items():
        if standing is None:
            if cronjob_id in known:
                # It is written like the others, and so locked in its turn, before it is deleted.
                well.append((cronjob_id,))
                rows.append((cronjob_id, Health.OK, 0, 0))
            continue
        if over:
            anew.append((cronjob_id,))
        rows.append((cronjob_id, standing.health, standing.since, standing.in_a_row * (-1 if over else 1)))
    if rows:
        connection.execute(_add(dialect), batches.encode(rows))
    if anew:
        connection.execute(_settle(dialect), batches.encode(anew))
    if well:
        connection.execute(_forget(dialect), batches.encode(well))


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


# On every recorder's way, and so no more than this: no statement is put together, and no row is gone through.
_KNOWN_SQLITE: Final = text(
    "SELECT json_group_array(cronjob_id) FROM json_each(:ids) ids CROSS JOIN standing ON cronjob_id = ids.value"
)
KNOWN_POSTGRES: Final = text(
    f"""
    (SELECT array_agg(CAST(cronjob_id AS TEXT)) FROM standing WHERE cronjob_id = ANY (ARRAY(
        SELECT CAST(value ->> 0 AS uuid) FROM jsonb_array_elements(CAST(:{batches.ROWS} AS jsonb)))))
    """  # noqa: S608 - constants
).bindparams(bindparam(batches.ROWS, type_=Text()))
"""SQL: the cron jobs of a batch that have a row, or NULL for none; a column of what writes the batch."""


def list_known(connection: Connection, cronjob_ids: Sequence[str]) -> set[str]:
    """Which of these cron jobs have a row; on SQLite."""
    found = connection.execute(_KNOWN_SQLITE, {"ids": json.dumps(cronjob_ids)}).scalar_one()
    return set(json.loads(found))


@cache
def _forget(dialect: str) -> Delete:
    batch = batches.table(dialect, {"cronjob_id": Id()})
    return delete(_table).where(_table.c.cronjob_id.in_(select(batch.c.cronjob_id)))


@cache
def _settle(dialect: str) -> Update:
    """Make the numbers of rows that had none before them positive."""
    batch = batches.table(dialect, {"cronjob_id": Id()})
    of_these = _table.c.cronjob_id.in_(select(batch.c.cronjob_id))
    return update(_table).where(of_these).values(in_a_row=func.abs(_table.c.in_a_row))


@cache
def _add(dialect: str) -> Insert:
    """Add rows to those that are there: what ended as before makes the row longer, unless its number is negative."""
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
    goes_on = and_(_table.c.health == new.health, new.in_a_row > 0)
    return statement.on_conflict_do_update(
        index_elements=["cronjob_id"],
        set_={
            "health": new.health,
            "since": case((goes_on, _table.c.since), else_=new.since),
            "in_a_row": func.abs(new.in_a_row) + case((goes_on, _table.c.in_a_row), else_=0),
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
    names = {**batches.LEASE, "state": Text()}
    batch = batches.table(dialect, names)
    firing = tables.firing
    return Rows(
        select(*(firing.c[name] for name in batches.KEY))
        .join(batch, batches.same(firing, batch, names))
        .limit(bindparam("limit", type_=Integer()))
    )
