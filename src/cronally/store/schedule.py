"""Due cron jobs become ledger rows, and `next_fire_at` advances, in the caller's one transaction.

Invariant: a transaction that writes rows for a cron job holds its row lock, and moves `next_fire_at` exactly as far as
it wrote. The ledger's primary key is the second lock.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    Text,
    Update,
    bindparam,
    case,
    func,
    null,
    select,
    text,
    tuple_,
    update,
)

from cronally import cronjob, errors
from cronally import plan as planning
from cronally.clock import zones
from cronally.firing import Kind, Reason, State
from cronally.plan import Entry, Schedule
from cronally.store import batches, calendars, happenings, tables, versions
from cronally.store.entries import Advance as Advance
from cronally.store.entries import insert_entries
from cronally.store.happenings import Happening, What
from cronally.store.timekeeper import BOUND
from cronally.store.types import Id

SETTLED_ROWS: Final = planning.ROWS_PER_TICK
"""Where a change stops for others to get in between: it writes no more at a time than a tick does of a cron job."""

CALENDARS: Final = 100
"""So many calendars one claim reads: together they hold 2.5 MB at most, and are parsed in a tenth of a second."""

SKIPPED_ROWS: Final = 500
"""Of what is pending, so much is skipped in one transaction."""


@dataclass(frozen=True, slots=True)
class DueCronjob:
    """A cron job whose next fire time has come."""

    cronjob_id: str
    account_id: str
    settled_at: int
    """What was suppressed until then is in the ledger."""
    schedule: Schedule
    window: int = 0
    """In which its firings start, in microseconds. Not of the schedule: places are each cron job's own."""


_COLUMNS: Final = """
    CAST(cronjob_id AS TEXT), CAST(account_id AS TEXT), settled_at, created_at, cron, timezone, policies, next_fire_at,
    fired
"""
_DUE_SQLITE: Final = text(
    f"""
    SELECT json_group_array(json_array({_COLUMNS}))
    FROM (SELECT * FROM cronjob WHERE next_fire_at >= :since AND next_fire_at < :until
          ORDER BY next_fire_at, turn LIMIT :limit)
    """  # noqa: S608 - constants
)
_DUE_POSTGRES: Final = text(
    f"""
    SELECT {_COLUMNS}
    FROM cronjob WHERE next_fire_at >= :since AND next_fire_at < :until
    ORDER BY next_fire_at, turn LIMIT :limit FOR UPDATE SKIP LOCKED
    """  # noqa: S608 - constants
)
_OWED: Final = text(
    f"SELECT {_COLUMNS} FROM cronjob WHERE cronjob_id = :cronjob_id AND next_fire_at IS NOT NULL"  # noqa: S608
).bindparams(bindparam("cronjob_id", type_=Id()))


def claim_due_cronjobs(connection: Connection, since: int, until: int, limit: int) -> list[DueCronjob]:
    """Up to `limit` cron jobs that are due in [since, until), earliest first, locked until the transaction ends.

    No more than exclude `CALENDARS` together: the others are due still. Of those that are due at one instant, the first
    of each account come before the second: who has a thousand does not go before who has one.
    """
    parameters = {"since": since, "until": until, "limit": limit}
    if connection.dialect.name == "sqlite":
        rows = json.loads(connection.execute(_DUE_SQLITE, parameters).scalar_one())
    else:
        rows = connection.execute(_DUE_POSTGRES, parameters).all()
    return _due(connection, rows[: calendars.count_within(_users(rows), CALENDARS)])


def _users(rows: Sequence[Sequence[Any]]) -> list[tuple[str, str]]:
    """The account and the policies of each row."""
    return [(row[1], row[6]) for row in rows]


def _due(connection: Connection, rows: Sequence[Sequence[Any]]) -> list[DueCronjob]:
    """Cron jobs of the rows, with what they exclude: their calendars are there, for who changes them holds the lock."""
    dates = calendars.read_dates(connection, _users(rows))
    return [_with(row, dates.get(row[1], {})) for row in rows]


def _with(row: Sequence[Any], dates: Mapping[str, str]) -> DueCronjob:
    cronjob_id, account_id, settled_at, created_at, cron, timezone, policies, next_fire_at, fired = row
    schedule = Schedule.of(cronjob_id, created_at, cron, timezone, policies, next_fire_at, fired, dates)
    return DueCronjob(cronjob_id, account_id, settled_at, schedule, cronjob.read_policies(policies).window)


def record_advances(connection: Connection, now: int, advances: Iterable[Advance]) -> int:
    """Write the rows and move the cron jobs on, or complete them; return how many rows the ledger got."""
    advances = list(advances)
    written = write_rows(connection, now, advances)
    completed = [advance.cronjob_id for advance in advances if advance.next_fire_at is None]
    if completed:
        _complete(connection, completed, now)
    return written


def write_rows(connection: Connection, now: int, advances: Sequence[Advance]) -> int:
    """Write the rows, set the next fire times and count what fires; return how many rows were written. The caller says
    what state that is.
    """
    written = insert_entries(connection, now, advances)
    moved = [
        (
            advance.cronjob_id,
            advance.next_fire_at,
            sum(entry.state is State.PENDING for entry in advance.entries),
        )
        for advance in advances
    ]
    if moved:
        connection.execute(
            _move_cronjobs(connection.dialect.name), {**batches.encode(moved), "tzdata": zones.version()}
        )
    missed = [
        Happening(
            one.account_id, one.cronjob_id, What.MISSED, entry.scheduled_at, now, entry.count, 0, entry.reason
        )
        for one in advances
        for entry in one.entries
        if entry.state is State.MISSED
    ]
    if missed:
        happenings.add(connection, missed)
    return written


def next_due(connection: Connection) -> tuple[int | None, int | None]:
    """The earliest next fire time of all cron jobs, and the earliest instant to look at one that has none."""
    row = connection.execute(_NEXT_DUE).one()
    return row[0], row[1]


_NEXT_DUE: Final = select(
    *(
        select(func.min(column)).where(column.is_not(None)).scalar_subquery()
        for column in (tables.cronjob.c.next_fire_at, tables.cronjob.c.wake_at)
    )
)


def set_aside(connection: Connection, due: DueCronjob, now: int, problem: Exception) -> None:
    """Pause a cron job that cannot be planned, and show its owner why.

    The fire time that it is due for is skipped; no later one is known.
    """
    entry = Entry(due.schedule.next_fire_at, State.SKIPPED, Reason.SET_ASIDE)
    write_rows(connection, now, [Advance(due.cronjob_id, due.account_id, [entry], None)])
    connection.execute(
        update(tables.cronjob)
        .where(tables.cronjob.c.cronjob_id == due.cronjob_id)
        .values(
            state=cronjob.State.PAUSED,
            state_reason=cannot_be_scheduled(problem),
            next_fire_at=None,
            updated_at=now,
            updated_by=null(),
            version=tables.cronjob.c.version + 1,
        )
    )
    versions.record_versions(connection, [due.cronjob_id])
    note_set_aside(connection, due.account_id, due.cronjob_id, now)


def note_set_aside(connection: Connection, account_id: str, cronjob_id: str, now: int) -> None:
    """Let alerts know of a cron job that is set aside. The caller holds its row lock."""
    set_aside = Happening(account_id, cronjob_id, What.PAUSED, now, now, reason=Reason.SET_ASIDE)
    happenings.add(connection, [set_aside])


def cannot_be_scheduled(problem: Exception) -> str:
    """Why a cron job is set aside."""
    return f"Cannot be scheduled: {problem}"


def record_settled(connection: Connection, cronjob_id: str, now: int) -> bool:
    """Write what `plan.settle` says before a cron job changes, or set it aside if it is due and cannot be planned.

    After `SETTLED_ROWS` it goes no further; False if more is owed: the caller ends its transaction, so that others get
    in between, and settles again in the next one.

    The caller holds the cron job's row lock, reads the row after this (it may have moved on, be completed or be set
    aside), and sets `settled_at` to `now` once all is settled.
    """
    job = _owed(connection, cronjob_id)
    if job is None:
        return True
    plans = planning.settle(job.schedule, now, since=job.settled_at)
    rows = 0
    while True:
        try:
            plan = next(plans, None)
        except (errors.InvalidExpression, ValueError) as problem:
            if job.schedule.next_fire_at <= now:
                set_aside(connection, job, now, problem)
            return True
        if plan is None:
            return True
        advance = Advance(job.cronjob_id, job.account_id, plan.entries, plan.next_fire_at, job.window)
        rows += record_advances(connection, now, [advance])
        if rows >= SETTLED_ROWS and plan.next_fire_at is not None and plan.next_fire_at <= now:
            return False


def skip_owed(connection: Connection, cronjob_id: str, now: int, reason: Reason) -> bool:
    """Cover what fell due until `now` with `skipped` rows, and skip what is still pending, as `skip_pending` does.

    The caller holds the cron job's row lock. What is being sent may still go out within its lease.
    """
    job = _owed(connection, cronjob_id)
    if job is not None:
        entries = planning.skip(job.schedule, now, reason, since=job.settled_at)
        write_rows(connection, now, [Advance(job.cronjob_id, job.account_id, entries, None)])
    return skip_pending(connection, cronjob_id, now, reason)


def skip_pending(connection: Connection, cronjob_id: str, now: int, reason: Reason) -> bool:
    """Skip what is still pending of a cron job, up to `SKIPPED_ROWS` of it; False if there may be more."""
    values = {"of": cronjob_id, "why": reason, "now": now, "limit": SKIPPED_ROWS}
    return connection.execute(_SKIP_PENDING, values).rowcount < SKIPPED_ROWS


_KEY: Final = (tables.firing.c.cronjob_id, tables.firing.c.scheduled_at, tables.firing.c.kind)
_SKIP_PENDING: Final = (
    update(tables.firing)
    .where(
        # What is pending is new: the search begins with the last.
        tuple_(*_KEY).in_(
            select(*_KEY)
            .where(
                tables.firing.c.cronjob_id == bindparam("of", type_=Id()),
                tables.firing.c.state == State.PENDING,
            )
            .order_by(tables.firing.c.scheduled_at.desc())
            .limit(bindparam("limit", type_=Integer()))
        ),
        tables.firing.c.state == State.PENDING,
    )
    .values(
        state=State.SKIPPED,
        reason=bindparam("why", type_=Text()),
        cause=null(),
        due_at=null(),
        finished_at=bindparam("now", type_=BigInteger()),
    )
)


def last_covered(connection: Connection, cronjob_id: str, now: int) -> int | None:
    """The last fire time until `now` that the ledger covers, or None for a cron job that has none.

    Later rows are no cover: a clock that was ahead wrote them. The caller has found the cron job in its account.
    """
    return connection.execute(
        _LAST_COVERED, {"cronjob_id": cronjob_id, "covered_until": now + BOUND}
    ).scalar()


def select_last_covered(cronjob_id: ColumnElement[str]) -> Select[Any]:
    """The statement for `last_covered`, of one cron job by its id or of each row that has this column.

    Its parameter `covered_until` is an instant; a step back of the clock that is followed without a question later than
    now, or what fired just before the step would be looked for again.
    """
    firing = tables.firing
    until_at = func.coalesce(firing.c.until_at, firing.c.scheduled_at)
    return (
        select(case((until_at > _COVERED_UNTIL, _COVERED_UNTIL), else_=until_at))
        .where(
            firing.c.cronjob_id == cronjob_id,
            firing.c.kind == Kind.SCHEDULED,
            firing.c.scheduled_at <= _COVERED_UNTIL,
        )
        .order_by(firing.c.scheduled_at.desc())
        .limit(1)
    )


_COVERED_UNTIL: Final = bindparam("covered_until", type_=BigInteger())
_LAST_COVERED: Final = select_last_covered(bindparam("cronjob_id", type_=Id()))


def _owed(connection: Connection, cronjob_id: str) -> DueCronjob | None:
    """A cron job that is to fire, whether it is due or not."""
    row = connection.execute(_OWED, {"cronjob_id": cronjob_id}).one_or_none()
    return None if row is None else _due(connection, [row])[0]


@cache
def _move_cronjobs(dialect: str) -> Update:
    batch = batches.table(dialect, {"cronjob_id": Id(), "next_fire_at": BigInteger(), "fired": BigInteger()})
    return (
        update(tables.cronjob)
        .where(tables.cronjob.c.cronjob_id == batch.c.cronjob_id)
        .values(
            next_fire_at=batch.c.next_fire_at,
            fired=tables.cronjob.c.fired + batch.c.fired,
            tzdata=bindparam("tzdata"),
        )
    )


def _complete(connection: Connection, cronjob_ids: list[str], now: int) -> None:
    """Say of cron jobs that have no next fire time that they are completed."""
    table = tables.cronjob
    connection.execute(
        update(table)
        .where(table.c.cronjob_id.in_(cronjob_ids), table.c.state == cronjob.State.ACTIVE)
        .values(state=cronjob.State.COMPLETED, updated_at=now, updated_by=null(), version=table.c.version + 1)
    )
    versions.record_versions(connection, cronjob_ids)
