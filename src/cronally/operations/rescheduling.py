"""What a change of a cron job does to when it fires: the old timetable is settled, and the new one takes over.

Invariant: under the cron job's row lock. What fell due or was suppressed before the change is in the ledger, by the old
timetable, before the new one takes over; the new next fire time is later than now and than every fire time until now
that the ledger covers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sqlalchemy import Connection

from cronally import errors
from cronally.clock import zones
from cronally.cronjob import State
from cronally.operations.existing import lock
from cronally.operations.timing_rules import TIMING
from cronally.store import pauses, schedule
from cronally.store.cronjobs import Cronjob

SCHEDULING: Final = TIMING | {"catch_up", "misfire_grace", "max_firings", "exclude"}
"""The parameters that decide when a cron job fires, and how often."""


def settle(connection: Connection, before: Cronjob, now: int) -> Cronjob | None:
    """Record what a cron job owes until now; None where that is more than one transaction takes: a part is recorded."""
    if not schedule.record_settled(connection, before.cronjob_id, now):
        return None
    locked = lock(connection, before.account_id, before.cronjob_id)
    return replace(pauses.settle(connection, locked, now, now), settled_at=now)


def reschedule(connection: Connection, before: Cronjob, after: Cronjob, now: int) -> Cronjob:
    """Let the timetable of `after` take over from what is settled.

    :param before: the cron job as `settle` left it
    """
    changed = (after.timing, after.exclude) != (before.timing, before.exclude)
    if before.paused_at is not None:
        # A new timetable is one that can be read.
        return replace(after, state_reason=None) if changed else after
    if before.state == State.PAUSED and not (before.state_reason is not None and changed):
        return after
    try:
        table = after.timing.timetable(after.cronjob_id, after.created_at)
    except (errors.InvalidExpression, ValueError):
        # Only what was not sent can be unreadable to this version: the scheduler sets it aside.
        return after
    # One that was set aside for its expression has another one now; one that was completed may have more to fire.
    covered = schedule.last_covered(connection, before.cronjob_id, now)
    next_fire_at = None if after.is_used_up else table.next(now if covered is None else max(now, covered))
    return replace(
        after,
        state=State.COMPLETED if next_fire_at is None else State.ACTIVE,
        state_reason=None,
        next_fire_at=next_fire_at,
        tzdata=zones.version(),
    )
