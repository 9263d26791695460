"""Next fire times that another version of the zone data computed, computed anew.

Invariant: a cron job is recomputed under its row lock. What fell due is left to the tick: it was announced, and
fires. What lies ahead moves to where the new data have it, and the log and the cron job say so.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from sqlalchemy import Connection

from cronally import errors
from cronally.clock import zones
from cronally.clock.timetable import Timetable
from cronally.cronjob import State
from cronally.instants import HOUR, format_iso
from cronally.store import Store, cronjobs, schedule
from cronally.store.cronjobs import Cronjob

LOCKED: Final = 20
"""Cron jobs that one transaction locks: ticks pass over them for so long."""

LONGEST_MOVE: Final = 26 * HOUR
"""From the offset that is farthest west to the one that is farthest east. Microseconds."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Moved:
    """A cron job whose next fire time is another one now."""

    cronjob_id: str
    was: int
    now: int | None
    """None: nothing is left to fire."""


async def recompute(store: Store, keys: Sequence[tuple[str, str]], now: int) -> list[Moved]:
    """Compute the next fire times of cron jobs by this process's zone data, where another version did.

    :param keys: the account and the id of each
    """
    moved: list[Moved] = []
    for first in range(0, len(keys), LOCKED):
        moved += await store.transact(partial(_recompute, keys[first : first + LOCKED], now))
    for one in moved:
        _log.warning(
            "zone data moved a next fire time",
            extra={
                "cronjob_id": one.cronjob_id,
                "tzdata": zones.version(),
                "was": format_iso(one.was),
                "is": None if one.now is None else format_iso(one.now),
            },
        )
    return moved


def is_outdated(timezone: str, tzdata: str) -> bool:
    """Whether a next fire time may not be what this process's zone data say."""
    return timezone != zones.UTC and tzdata != zones.version()


def _recompute(keys: Sequence[tuple[str, str]], now: int, connection: Connection) -> list[Moved]:
    found = []
    for account_id, cronjob_id in keys:
        cronjob = cronjobs.lock_cronjob(connection, account_id, cronjob_id)
        if cronjob is None or not is_outdated(cronjob.timezone, cronjob.tzdata):
            continue
        moved = _move(connection, cronjob, now)
        if moved is not None:
            found.append(moved)
    return found


def _move(connection: Connection, cronjob: Cronjob, now: int) -> Moved | None:
    was = cronjob.next_fire_at
    if cronjob.state != State.ACTIVE or was is None or was <= now:
        return None
    covered = schedule.last_covered(connection, cronjob.cronjob_id, now)
    # A change that seems to lie in the future was made while a clock was ahead.
    since = max(min(cronjob.settled_at, now), covered or 0)
    try:
        times = cronjob.timing.timetable(cronjob.cronjob_id, cronjob.created_at)
        owed = times.next(since)
        following = _following(times, since, covered, was, now)
    except (errors.InvalidExpression, ValueError):
        # Such as of a zone that is no more. The scheduler sets it aside when it is due.
        _log.debug("a cron job cannot be recomputed", extra={"cronjob_id": cronjob.cronjob_id}, exc_info=True)
        return None
    if owed == following == was:
        cronjobs.confirm_next_fire_at(connection, cronjob, zones.version())
        return None
    # What was suppressed until now. From here on nothing is owed that only the new data have in the past.
    schedule.record_settled(connection, cronjob.cronjob_id, now)
    after = replace(
        cronjob,
        tzdata=zones.version(),
        next_fire_at=following,
        version=cronjob.version + 1,
        updated_at=now,
        settled_at=now,
        updated_by=None,
    )
    if following == was:
        cronjobs.update_cronjob(connection, after)
        return None
    moved_to = "to none: nothing is left to fire" if following is None else f"to {format_iso(following)}"
    after = replace(
        after,
        state=State.COMPLETED if following is None else State.ACTIVE,
        state_reason=f"tzdata {zones.version()} moved the next fire time from {format_iso(was)} {moved_to}.",
    )
    cronjobs.update_cronjob(connection, after)
    return Moved(cronjob.cronjob_id, was, following)


def _following(times: Timetable, since: int, covered: int | None, was: int, now: int) -> int | None:
    """Where a next fire time belongs that was announced for `was`.

    :param since: until when the ledger has everything, by the data before
    :param covered: the last fire time that the ledger has, if it has any
    """
    passed = times.previous(now + 1)
    # By these data it should have fired already, and is due at once; unless it is the last one, a little later.
    if (
        passed is not None
        and since < passed
        and was - passed < LONGEST_MOVE
        and (covered is None or was - passed < passed - covered)
    ):
        return passed
    return times.next(max(now, since))
