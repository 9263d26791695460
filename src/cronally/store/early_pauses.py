"""Pauses that were settled or ended while the clock was ahead: put right once it is back.

Invariant: a pause that ended by itself before its time goes on until its time; what it skipped before the clock came
back stays skipped, and what is still to come is written when it has come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from sqlalchemy import BigInteger, Connection, bindparam, case, select, update

from cronally import plan as planning
from cronally.cronjob import State
from cronally.firing import Reason
from cronally.firing import State as FiringState
from cronally.plan import Schedule
from cronally.store import cronjobs, pauses, schedule, tables, versions
from cronally.store.cronjobs import Cronjob
from cronally.store.early import Across, Candidate
from cronally.store.schedule import Advance
from cronally.store.types import Id
from cronally.store.versions import PAUSE, Version

_table: Final = tables.cronjob
_version: Final = tables.cronjob_version
_IDS: Final = bindparam("cronjob_ids", type_=Id(), expanding=True)
_SINCE: Final = bindparam("since", type_=BigInteger())
_NOW: Final = bindparam("now", type_=BigInteger())
_NEXT_LOOK: Final = _NOW + pauses.SETTLED_EVERY
_PUT_BACK: Final = (
    update(_table)
    .where(_table.c.cronjob_id.in_(_IDS), _table.c.paused_at.is_not(None))
    .values(
        paused_at=case((_table.c.paused_at > _NOW, _NOW), else_=_table.c.paused_at),
        settled_at=case((_table.c.settled_at > _SINCE, _SINCE), else_=_table.c.settled_at),
        wake_at=case((_table.c.wake_at > _NEXT_LOOK, _NEXT_LOOK), else_=_table.c.wake_at),
    )
)
_ENDED: Final = (
    select(_version.c.cronjob_id)
    .where(_version.c.cronjob_id.in_(_IDS), _version.c.paused_until > _NOW)
    .distinct()
)


def put_back(
    connection: Connection,
    candidates: Sequence[Candidate],
    ranges: Mapping[str, Across],
    since: int,
    now: int,
) -> set[str]:
    """Put the pauses of these cron jobs right, whose row locks the caller holds; return which are paused again.

    :param ranges: of cron jobs of which a range reached beyond `since` that a pause had skipped, or that stand still by
        now. It is deleted, and its part until `since` is written anew.
    """
    for one in candidates:
        begun = ranges.get(one.cronjob_id)
        if begun is not None:
            _write_again(connection, one, begun, since, now)
    ids = [one.cronjob_id for one in candidates]
    awake = {one.cronjob_id: one for one in candidates if one.state in (State.ACTIVE, State.COMPLETED)}
    again = set()
    for (cronjob_id,) in connection.execute(_ENDED, {"cronjob_ids": list(awake), "now": now}).all():
        ended = _ended_early(versions.list_versions(connection, cronjob_id), now)
        job = cronjobs.get_cronjob(connection, awake[cronjob_id].account_id, cronjob_id)
        if ended is not None and job is not None:
            _pause_again(connection, job, ended, now)
            again.add(cronjob_id)
    connection.execute(_PUT_BACK, {"cronjob_ids": ids, "since": since, "now": now})
    return again


def _write_again(connection: Connection, one: Candidate, begun: Across, since: int, now: int) -> None:
    first, reason = begun.scheduled_at, Reason(begun.reason)
    owed = Schedule.of(one.cronjob_id, one.created_at, one.cron, one.timezone, one.policies, first, one.fired)
    entries = [
        replace(entry, state=FiringState(begun.state), cause=begun.cause) if entry.reason is reason else entry
        for entry in planning.skip(owed, since, reason, since=first - 1)
    ]
    advance = Advance(one.cronjob_id, one.account_id, entries, one.next_fire_at)
    schedule.write_rows(connection, now, [advance])


def _ended_early(history: Sequence[Version], now: int) -> Version | None:
    """The last pause, if it ended by itself after `now`."""
    paused = [place for place, one in enumerate(history) if one.paused_at is not None]
    if not paused or paused[-1] + 1 == len(history):
        return None
    last, after = history[paused[-1]], history[paused[-1] + 1]
    itself = after.changed_by is None and after.changed_at == last.paused_until
    return last if itself and last.paused_until is not None and last.paused_until > now else None


def _pause_again(connection: Connection, job: Cronjob, ended: Version, now: int) -> None:
    again = replace(
        job,
        **{name: getattr(ended, name) for name in PAUSE},
        state=State.PAUSED,
        state_reason=ended.state_reason,
        next_fire_at=None,
        wake_at=ended.paused_until,
        version=job.version + 1,
        updated_at=now,
        updated_by=None,
    )
    cronjobs.update_cronjob(connection, again)
