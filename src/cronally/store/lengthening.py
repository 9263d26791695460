"""Fire times that are excluded one after the other: the ledger has a range row for them, not a row each.

Invariant: a range grows only from one excluded fire time to the next, of one cause and one version of the cron job, and
over `LONGEST` at most. So a minutely cron job that stands still for a month leaves thirty rows, and what looks for the
firing in front of another (`order`, `overlap`) reads a few.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

from sqlalchemy import BigInteger, Connection, Text, Update, bindparam, func, select, update

from cronally.firing import Kind, Reason, State
from cronally.instants import DAY
from cronally.plan import Entry
from cronally.store import batches, tables
from cronally.store.types import Id

LONGEST: Final = DAY
"""From the first fire time of a range to one that it may still get. Who lists a time sees what falls into it."""


def lengthen(connection: Connection, now: int, found: Sequence[tuple[str, Entry]]) -> set[str]:
    """Add excluded fire times to the ranges that end just before them; return the cron jobs of which that was done.

    The caller holds the row locks of the cron jobs, and writes rows for the others.

    :param found: of each cron job the first excluded fire time, or range of them, that it is to get
    """
    if not found:
        return set()
    rows = [
        (cronjob_id, one.scheduled_at, one.until_at or one.scheduled_at, one.count, one.cause)
        for cronjob_id, one in found
    ]
    statement = _lengthen(connection.dialect.name)
    return set(connection.execute(statement, {**batches.encode(rows), "now": now}).scalars())


@cache
def _lengthen(dialect: str) -> Update:
    batch = batches.table(
        dialect,
        {
            "cronjob_id": Id(),
            "first": BigInteger(),
            "last": BigInteger(),
            "count": BigInteger(),
            "cause": Text(),
        },
    )
    firing, cronjob = tables.firing, tables.cronjob
    earlier = firing.alias()
    # What stands at the fire time itself was written by a clock that was ahead: no range may reach over it.
    nearest = (
        select(func.max(earlier.c.scheduled_at))
        .where(earlier.c.cronjob_id == batch.c.cronjob_id, earlier.c.scheduled_at <= batch.c.first)
        .scalar_subquery()
    )
    changed = select(cronjob.c.settled_at).where(cronjob.c.cronjob_id == batch.c.cronjob_id).scalar_subquery()
    return (
        update(firing)
        .where(
            firing.c.cronjob_id == batch.c.cronjob_id,
            firing.c.scheduled_at == nearest,
            firing.c.kind == Kind.SCHEDULED,
            firing.c.state == State.SKIPPED,
            firing.c.reason == Reason.EXCLUDED,
            firing.c.cause == batch.c.cause,
            firing.c.scheduled_at > batch.c.first - LONGEST,
            func.coalesce(firing.c.until_at, firing.c.scheduled_at) < batch.c.first,
            firing.c.created_at >= changed,
        )
        .values(
            until_at=batch.c.last,
            count=firing.c["count"] + batch.c["count"],
            finished_at=bindparam("now", type_=BigInteger()),
        )
        .returning(firing.c.cronjob_id)
    )
