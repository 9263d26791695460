"""Acknowledgements whose time is over: each is overdue, or its firing is delivered once more.

Invariant: as of `acknowledgements`. It waits for no lock, so any number of nodes may do this at the same time. Due is
`deadline_at <= now`, by a partial index of what is open: it costs what is due, whatever the ledger holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Integer, Select, bindparam, func, select, text

from cronally import acknowledgement as rules
from cronally.acknowledgement import Ack
from cronally.cronjob import Overlap, read_policies
from cronally.cronjob import State as CronjobState
from cronally.firing import Key, Reason, State
from cronally.store import acknowledgements, batches, order, reopening, tables
from cronally.store.rows import Rows
from cronally.store.types import Id

_table: Final = tables.acknowledgement
_firing: Final = tables.firing
_cronjob: Final = tables.cronjob
_LIMIT: Final = bindparam("limit", type_=Integer())


@dataclass(frozen=True, slots=True)
class Due:
    """What the end of their time has made of acknowledgements."""

    overdue: int = 0
    again: int = 0
    """Firings that are delivered once more."""
    freed: int = 0
    """Firings that became due, or may be skipped no more, because another one is not waited for any more."""
    more: bool = False
    """Whether there may be more of them at once."""


_DUE: Final = Rows(
    select(_table.c.cronjob_id, _table.c.scheduled_at, _table.c.kind)
    .where(text("deadline_at IS NOT NULL"), _table.c.deadline_at <= bindparam("now", type_=BigInteger()))
    .order_by(_table.c.deadline_at)
    .limit(_LIMIT)
)
_LOCK_CRONJOBS: Final = (
    select(_cronjob.c.cronjob_id, _cronjob.c.policies, _cronjob.c.state)
    .where(_cronjob.c.cronjob_id.in_(bindparam("ids", type_=Id(), expanding=True)))
    .order_by(_cronjob.c.cronjob_id)
    .with_for_update(key_share=True, skip_locked=True)
)
_NEXT: Final = select(func.min(_table.c.deadline_at)).where(text("deadline_at IS NOT NULL"))


def next_deadline(connection: Connection) -> int | None:
    """When the first acknowledgement is to be looked at, an instant; None if none is open."""
    return connection.execute(_NEXT).scalar()


def end_time(connection: Connection, now: int, limit: int) -> Due:
    """Look at up to `limit` acknowledgements whose time is over at `now`: each is overdue, or delivered once more.

    What another transaction holds is passed by, and found again by the next call.
    """
    due = [(row[0], row[1], row[2]) for row in _DUE.read(connection, {"now": now, "limit": limit})]
    if not due:
        return Due()
    ids = sorted({key[0] for key in due})
    jobs = {row.cronjob_id: row for row in connection.execute(_LOCK_CRONJOBS, {"ids": ids})}
    keys = [key for key in due if key[0] in jobs]
    if not keys:
        return Due()
    dialect = connection.dialect.name
    changes, again, gone = list[acknowledgements.Change](), 0, list[Key]()
    # A statement of its own: what is read next is as those left it who had the locks before.
    locked = [tuple(row) for row in connection.execute(_lock_firings(dialect), batches.encode(keys))]
    for row in connection.execute(_open(dialect), batches.encode(locked)).all() if locked else ():
        key, job = (row[0], row[1], row[2]), jobs[row[0]]
        before = acknowledgements.current(row[8:-1], row.firing_before)
        if before is None:
            gone.append(key)  # it was replayed meanwhile
            continue
        if before.deadline_at is None or before.deadline_at > now:
            continue
        policies = read_policies(job.policies)
        may_retry = (
            row.state == State.DELIVERED
            and before.retries < policies.ack_retry
            and job.state != CronjobState.DELETED
            and not row.own_message
        )
        after = rules.after_deadline(
            before, now, is_on_its_way=row.due_at is not None, attempts=row.attempt, may_retry=may_retry
        )
        if after.retries > before.retries:
            firing = reopening.get_row(connection, *key)
            assert firing is not None  # noqa: S101 - it is locked
            reopening.reopen(connection, firing, now, firing.sent_as, because=Reason.UNACKNOWLEDGED)
            again += 1
        changes.append(acknowledgements.Change(key, row.account_id, before, after))
    acknowledgements.write(connection, changes)
    if gone:
        acknowledgements.delete_acknowledgements(connection, gone, bodies=False)
    over = [one for one in changes if one.after.ack is Ack.OVERDUE]
    queued = [one.key for one in over if read_policies(jobs[one.key[0]].policies).overlap == Overlap.QUEUE]
    freed = order.free_next(connection, queued) if queued else 0
    return Due(len(over), again, freed, more=len(due) == limit and bool(changes or gone))


@cache
def _lock_firings(dialect: str) -> Select[Any]:
    batch = batches.table(dialect, batches.KEY)
    keys = select(*(_firing.c[name] for name in batches.KEY))
    joined = keys.join(batch, batches.same(_firing, batch, batches.KEY))
    return joined.with_for_update(of=_firing, skip_locked=True)


@cache
def _open(dialect: str) -> Select[Any]:
    batch = batches.table(dialect, batches.KEY)
    row = select(
        *(_firing.c[name] for name in batches.KEY),
        _firing.c.account_id,
        _firing.c.state,
        _firing.c.due_at,
        _firing.c.attempt,
        _firing.c.own_message,
        *acknowledgements.ROW,
        _firing.c.attempts_before.label("firing_before"),
    )
    joined = row.join(batch, batches.same(_firing, batch, batches.KEY))
    return joined.join(_table, acknowledgements.OF_FIRING)
