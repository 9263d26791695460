"""A cron job's part in time: which ledger rows are owed until an instant, and when it fires next.

Invariant: the rows of a plan cover every fire time from the cron job's `next_fire_at` up to, not including, the
plan's `next_fire_at`, each exactly once. A plan never looks at a fire time later than `now`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cronally import cron, errors, firing
from cronally.instants import MINUTE


class State(StrEnum):
    """Where a cron job stands. Only an active one has a `next_fire_at`."""

    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    DELETED = "deleted"


class CatchUp(StrEnum):
    """What happens to fire times that nobody was awake for (older than `ON_TIME`, younger than the grace)."""

    LATEST = "latest"
    """The last of them fires, unless a fire time that is still on time does."""
    ALL = "all"
    SKIP = "skip"


class Missed(StrEnum):
    """Why a fire time was given up without an attempt."""

    GRACE = "misfire_grace"
    """It was older than the cron job's misfire grace when somebody was awake again."""
    LATEST = "catch_up=latest"
    """A later fire time fired instead."""
    SKIP = "catch_up=skip"


ON_TIME: Final = MINUTE
"""Fire times up to this old are always all fired: a slow tick is no outage. Microseconds."""

ROWS_PER_TICK: Final = 100
"""At most so many rows of one cron job in one tick; the next tick goes on."""

RANGE_LIMIT: Final = 2_000_000_000
"""At most so many fire times in one range row, what its 32-bit count holds: 3,800 years of minutes."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """What planning needs to know of a cron job."""

    cron: str
    catch_up: str
    misfire_grace: int
    """Microseconds."""
    next_fire_at: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A row that the ledger is to get: one fire time that is owed, or a range that is given up."""

    scheduled_at: int
    state: firing.State = firing.State.PENDING
    reason: str | None = None
    until_at: int | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """What one tick writes for one cron job."""

    entries: tuple[Entry, ...]
    next_fire_at: int | None


def plan(schedule: Schedule, now: int, *, on_time: int = ON_TIME, limit: int = ROWS_PER_TICK) -> Plan:
    """The rows that are owed until `now`, at most `limit` of them, oldest first.

    Fire times older than the misfire grace are missed; older than `on_time` they follow `catch_up`; the rest fire.
    Where `limit` cuts it short, the plan's `next_fire_at` is not later than `now`: plan again from there.
    Raises `errors.InvalidExpression` for an expression that this version cannot read.
    """
    expression = cron.expression(schedule.cron)
    fresh = now - on_time
    useful = min(now - schedule.misfire_grace, fresh)
    entries: list[Entry] = []
    at: int | None = schedule.next_fire_at

    if at is not None and at < useful:
        at = _give_up(entries, expression, at, useful, Missed.GRACE)
    if at is not None and at < fresh and len(entries) < limit:
        match CatchUp(schedule.catch_up):
            case CatchUp.ALL:
                pass
            case CatchUp.SKIP:
                at = _give_up(entries, expression, at, fresh, Missed.SKIP)
            case CatchUp.LATEST:
                last = expression.previous(now + 1)
                if last is not None and last > at:
                    at = _give_up(entries, expression, at, min(last, fresh), Missed.LATEST)
    while at is not None and at <= now and len(entries) < limit:
        entries.append(Entry(at))
        at = expression.next(at)
    return Plan(tuple(entries), at)


def skip(schedule: Schedule, now: int, reason: str) -> Entry | None:
    """One row that says that everything owed until `now` is skipped, or None when nothing is.

    Of an expression that this version cannot read, the fire time that is stored is owed, and no other is known.
    """
    if schedule.next_fire_at > now:
        return None
    try:
        expression = cron.expression(schedule.cron)
    except errors.InvalidExpression:
        return Entry(schedule.next_fire_at, firing.State.SKIPPED, reason)
    entries: list[Entry] = []
    _give_up(entries, expression, schedule.next_fire_at, now + 1, reason, firing.State.SKIPPED)
    return entries[0]


def _give_up(
    entries: list[Entry],
    expression: cron.Expression,
    first: int,
    before: int,
    reason: str,
    state: firing.State = firing.State.MISSED,
) -> int | None:
    """Add one row for the fire times from `first` on that are earlier than `before`; return the next one."""
    # A stored next fire time is owed even if the expression, read by a newer version, does not hold it.
    count, last = expression.count(first, before - 1, RANGE_LIMIT)
    entries.append(Entry(first, state, reason, last, 1 + count))
    return expression.next(first if last is None else last)
