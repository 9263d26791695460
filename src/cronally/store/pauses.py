"""Cron jobs that stand still: what they skip, when the scheduler looks at them again, and how a pause ends.

Invariant: of a cron job that is paused, the ledger has every fire time until `settled_at`; those since are written as
`skipped` ranges once a day, and before anything of it changes. While its owner has it paused, `wake_at` is set. A pause
that ends by itself ends at its `paused_until`, whenever somebody looks: what is owed at that instant fires.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    Select,
    bindparam,
    func,
    select,
    update,
)

from cronally import plan as planning
from cronally.audit_chain import Entry as AuditEntry
from cronally.clock import zones
from cronally.cronjob import State
from cronally.firing import Kind, Reason
from cronally.instants import DAY
from cronally.plan import Entry, Schedule
from cronally.store import audit_states, cronjobs, schedule, tables
from cronally.store.audit import record_audit
from cronally.store.cronjobs import Cronjob
from cronally.store.schedule import Advance
from cronally.store.timekeeper import BOUND
from cronally.store.types import Id
from cronally.store.versions import PAUSE

SETTLED_EVERY: Final = DAY
"""How old what the ledger lacks of a paused cron job may become. Microseconds."""
NOT_PAUSED: Final[dict[str, Any]] = dict.fromkeys((*PAUSE, "wake_at"))
"""The columns of a cron job that its owner has not paused."""

_log = logging.getLogger(__name__)
_table: Final = tables.cronjob
_firing: Final = tables.firing


def pause(
    connection: Connection,
    before: Cronjob,
    now: int,
    *,
    until: int | None,
    note: str | None,
    changed_by: str | None,
) -> Cronjob:
    """Pause a cron job, or give one that is paused another end and another note; since when and by whom stay.

    The caller holds its row lock, and has settled it. One that the server set aside stays so beside.
    """
    wanted: dict[str, Any] = {"paused_until": until, "paused_note": note}
    settled_next = now + SETTLED_EVERY if before.wake_at is None else before.wake_at
    if before.paused_at is None:
        set_aside = before.state == State.PAUSED
        wanted |= {
            "state": State.PAUSED,
            "state_reason": before.state_reason if set_aside else None,
            "next_fire_at": None,
            "paused_at": now,
            "paused_by": changed_by,
            "settled_at": before.settled_at if set_aside else now,
        }
    after = replace(
        before,
        **wanted,
        wake_at=_first(until, settled_next),
        version=before.version + 1,
        updated_at=now,
        updated_by=changed_by,
    )
    cronjobs.update_cronjob(connection, after)
    return after


def resume(connection: Connection, before: Cronjob, now: int, *, changed_by: str | None) -> Cronjob:
    """Let a paused cron job fire again, from its first fire time after `now` on; what it owed until then is skipped.

    The caller holds its row lock. Raises InvalidExpression or ValueError where its schedule cannot be read.
    """
    entries, next_fire_at = _ending(before, _covered(connection, before, now), now)
    _write(connection, before, entries, now)
    return _record_end(connection, before, next_fire_at, now, changed_at=now, changed_by=changed_by)


def settle(connection: Connection, job: Cronjob, until: int, now: int) -> Cronjob:
    """Cover what fell due of a paused cron job until an instant; return it with `settled_at`, which the caller writes.

    The caller holds its row lock. Of one whose schedule cannot be read nothing is known: it comes back as it was.
    """
    if job.state != State.PAUSED:
        return job
    covered = _covered(connection, job, until)
    try:
        entries = _skipped(job, covered, until)
    except Exception:
        _log.warning(
            "the fire times of a paused cron job are not known",
            extra={"cronjob_id": job.cronjob_id},
            exc_info=True,
        )
        return job
    _write(connection, job, entries, now)
    return replace(job, settled_at=max(job.settled_at, until))


def look(connection: Connection, job: Cronjob, now: int) -> Cronjob:
    """End a pause whose `paused_until` has come; return the cron job as it is then. The caller holds its row lock.

    One whose schedule cannot be read any more is set aside.
    """
    until = job.paused_until
    if job.state != State.PAUSED or until is None or until > now:
        return job
    covered = _covered(connection, job, until - 1)
    try:
        entries, next_fire_at = _ending(job, covered, until - 1)
    except Exception as problem:
        _log.error("a cron job is set aside", extra={"cronjob_id": job.cronjob_id}, exc_info=problem)
        after = replace(
            job,
            **NOT_PAUSED,
            state_reason=schedule.cannot_be_scheduled(problem),
            version=job.version + 1,
            updated_at=now,
            updated_by=None,
        )
        cronjobs.update_cronjob(connection, after)
        schedule.note_set_aside(connection, job.account_id, job.cronjob_id, now)
        return after
    _write(connection, job, entries, now)
    return _record_end(connection, job, next_fire_at, until - 1, changed_at=until, changed_by=None)


def settle_now(connection: Connection, job: Cronjob, now: int) -> Cronjob:
    """Let the ledger have all that fell due of a cron job that stands still, whose pause may be over; the cron job as
    it is then. The caller holds its row lock.
    """
    settled = settle(connection, look(connection, job, now), now, now)
    if settled.state == State.PAUSED:
        moved = {"of": job.cronjob_id, "new_settled_at": settled.settled_at, "new_wake_at": settled.wake_at}
        connection.execute(_MOVE, moved)
    return settled


def wake(connection: Connection, now: int, limit: int) -> int:
    """Look at up to `limit` cron jobs whose `wake_at` has come: end their pause, or settle them; return how many."""
    keys = connection.execute(_WAKING, {"now": now, "limit": limit}).all()
    told: list[AuditEntry] = []
    for account_id, cronjob_id in keys:
        job = cronjobs.get_cronjob(connection, account_id, cronjob_id)
        if job is None:
            continue
        before, job = job, look(connection, job, now)
        if (before.state, before.paused_until) != (job.state, job.paused_until):
            state = (before.state, job.state, job.state_reason)
            told.append(audit_states.of_cronjob(account_id, cronjob_id, now, *state))
        if job.wake_at is None:
            continue
        settled = settle(connection, job, now, now)
        next_look = _first(job.paused_until, now + SETTLED_EVERY) if job.state == State.PAUSED else None
        moved = {"of": cronjob_id, "new_settled_at": settled.settled_at, "new_wake_at": next_look}
        connection.execute(_MOVE, moved)
    if told:
        record_audit(connection, *told)
    return len(keys)


_WAKING: Final = (
    select(_table.c.account_id, _table.c.cronjob_id)
    .where(_table.c.wake_at <= bindparam("now", type_=BigInteger()))
    .order_by(_table.c.wake_at)
    .limit(bindparam("limit", type_=Integer()))
    .with_for_update(skip_locked=True, key_share=True)
)
_MOVE: Final = (
    update(_table)
    .where(_table.c.cronjob_id == bindparam("of", type_=Id()))
    .values(
        settled_at=bindparam("new_settled_at", type_=BigInteger()),
        wake_at=bindparam("new_wake_at", type_=BigInteger()),
    )
)
_last: Final = func.coalesce(_firing.c.until_at, _firing.c.scheduled_at)
_COVERED: Final[Select[Any]] = (
    select(_last)
    .where(
        _firing.c.cronjob_id == bindparam("cronjob_id", type_=Id()),
        _firing.c.kind == Kind.SCHEDULED,
        _firing.c.scheduled_at <= bindparam("until", type_=BigInteger()),
        # What was sent while a clock was ahead covers nothing before it.
        _firing.c.reason.is_distinct_from(Reason.CLOCK_AHEAD),
    )
    .order_by(_firing.c.scheduled_at.desc())
    .limit(1)
)


def _first(until: int | None, at: int) -> int:
    return at if until is None else min(until, at)


def _covered(connection: Connection, job: Cronjob, until: int) -> int:
    """Until when the ledger has everything of a paused cron job."""
    covered = connection.execute(_COVERED, {"cronjob_id": job.cronjob_id, "until": until + BOUND}).scalar()
    return max(job.settled_at, covered or 0)


def _skipped(job: Cronjob, since: int, until: int) -> Sequence[Entry]:
    """Rows for what a paused cron job skipped after `since` until an instant. Raises what a timetable raises."""
    times = job.timing.timetable(job.cronjob_id, job.created_at)
    following = times.next(since)
    if following is None or since >= until or job.is_used_up:
        return ()
    # What the server set aside did not fire for that reason, whoever paused it beside.
    reason = Reason.PAUSED if job.state_reason is None else Reason.SET_ASIDE
    owed = Schedule.of(
        job.cronjob_id, job.created_at, job.cron, job.timezone, job.policies, following, job.fired
    )
    return planning.skip(owed, until, reason, since=since)


def _write(connection: Connection, job: Cronjob, entries: Sequence[Entry], now: int) -> None:
    if entries:
        schedule.write_rows(connection, now, [Advance(job.cronjob_id, job.account_id, entries, None)])


def _ending(job: Cronjob, since: int, after: int) -> tuple[Sequence[Entry], int | None]:
    """What a pause skips that ends after an instant, and the first fire time that it does not."""
    times = job.timing.timetable(job.cronjob_id, job.created_at)
    return _skipped(job, since, after), None if job.is_used_up else times.next(max(after, since))


def _record_end(
    connection: Connection,
    before: Cronjob,
    next_fire_at: int | None,
    after: int,
    *,
    changed_at: int,
    changed_by: str | None,
) -> Cronjob:
    resumed = replace(
        before,
        **NOT_PAUSED,
        state=State.COMPLETED if next_fire_at is None else State.ACTIVE,
        state_reason=None,
        next_fire_at=next_fire_at,
        tzdata=zones.version(),
        settled_at=max(before.settled_at, after),
        version=before.version + 1,
        updated_at=changed_at,
        updated_by=changed_by,
    )
    cronjobs.update_cronjob(connection, resumed)
    return resumed
