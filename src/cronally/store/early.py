"""Rows that were written while the clock was ahead: put right once it is back.

Invariant: a firing that was sent early keeps its row, its id, its lease numbers and its attempts, and is marked
(`Reason.CLOCK_AHEAD`); what was not sent is forgotten, and its row is written again when its fire time comes. No
firing is made due before its fire time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Insert,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal,
    null,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from cronally.clock import zones
from cronally.cronjob import Counted, State
from cronally.firing import CLOCK_CHANGES, Kind, Reason
from cronally.firing import State as FiringState
from cronally.instants import MINUTE
from cronally.store import tables, versions
from cronally.store.timekeeper import BOUND
from cronally.store.types import Id

DETAIL: Final = "Sent before its fire time: the server's clock was ahead."
LEASE: Final = MINUTE
"""How long a lease that was written early may still last. Whoever holds it has had half a minute already."""

_cronjob: Final = tables.cronjob
_firing: Final = tables.firing


@dataclass(frozen=True, slots=True)
class Candidate(Counted):
    """A cron job that may have been moved on too far. The names are those of the table's columns."""

    cronjob_id: str
    account_id: str
    state: str
    cron: str
    timezone: str
    policies: str
    created_at: int
    settled_at: int
    next_fire_at: int | None
    fired: int


class Across(NamedTuple):
    """A range that reached beyond the return of the clock."""

    scheduled_at: int
    """Where it began."""
    state: str
    reason: str
    cause: str | None


def _never_negative(count: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((count < 0, 0), else_=count)


_CANDIDATES: Final = (
    select(*(_cronjob.c[name] for name in Candidate.__dataclass_fields__))
    .where(_cronjob.c.cronjob_id > bindparam("after", type_=Id()))
    .order_by(_cronjob.c.cronjob_id)
    .limit(bindparam("limit"))
    # Against the tick and changes, but not against what only points at the row.
    .with_for_update(key_share=True)
)
_SINCE: Final = bindparam("since", type_=BigInteger())
_NOW: Final = bindparam("now", type_=BigInteger())
_OF_THESE: Final = _firing.c.cronjob_id.in_(bindparam("cronjob_ids", type_=Id(), expanding=True))
_EARLY: Final = and_(_OF_THESE, _firing.c.kind == Kind.SCHEDULED, _firing.c.scheduled_at > _SINCE)
_FOR_ANOTHER: Final = (Reason.OVERLAP, Reason.QUEUE_FULL)
_AT_THE_CLAIM: Final = (Reason.FROZEN, Reason.SUSPENDED, Reason.ACCOUNT_DELETED)
# What time made of it: owed, given up, suppressed, excluded, or skipped by a pause, a freeze or an earlier one.
_SKIPPED_BY_TIME: Final = {
    *CLOCK_CHANGES,
    Reason.PAUSED,
    Reason.EXCLUDED,
    *_AT_THE_CLAIM,
    *_FOR_ANOTHER,
}
_BY_TIME: Final = or_(
    _firing.c.state.in_([FiringState.PENDING, FiringState.MISSED]),
    and_(_firing.c.state == FiringState.SKIPPED, _firing.c.reason.in_(sorted(_SKIPPED_BY_TIME))),
)
_UNSENT: Final = and_(_firing.c.lease_no == 0, _BY_TIME)
_LAST: Final = (
    select(func.max(_firing.c.scheduled_at))
    .where(
        _firing.c.cronjob_id == _cronjob.c.cronjob_id,
        _firing.c.kind == Kind.SCHEDULED,
        _firing.c.scheduled_at <= _SINCE,
    )
    .scalar_subquery()
)
_last: Final = (
    select(_cronjob.c.cronjob_id, _LAST.label("scheduled_at"))
    .where(_cronjob.c.cronjob_id.in_(bindparam("cronjob_ids", type_=Id(), expanding=True)))
    .subquery()
)
# Rows of one cron job do not overlap: only the last one that begins before can reach beyond.
_ACROSS: Final = select(
    *(_firing.c[name] for name in ("cronjob_id", "scheduled_at", "state", "reason", "cause"))
).where(
    _firing.c.cronjob_id == _last.c.cronjob_id,
    _firing.c.scheduled_at == _last.c.scheduled_at,
    _firing.c.kind == Kind.SCHEDULED,
    _firing.c.until_at > _SINCE,
    _BY_TIME,
)
_FORGET: Final = delete(_firing).where(_EARLY, _UNSENT)
_THIS_ONE: Final = and_(
    _firing.c.cronjob_id == bindparam("of", type_=Id()),
    _firing.c.scheduled_at == bindparam("at", type_=BigInteger()),
    _firing.c.kind == Kind.SCHEDULED,
)
_FORGET_ONE: Final = delete(_firing).where(_THIS_ONE, _firing.c.lease_no == 0)
_UNMARKED: Final = _firing.c.reason.is_distinct_from(Reason.CLOCK_AHEAD)
_marked: Final = update(_firing).values(
    state=FiringState.SKIPPED,
    reason=Reason.CLOCK_AHEAD,
    cause=null(),
    until_at=null(),
    count=1,
    due_at=null(),
    finished_at=_NOW,
    lost_leases=0,
)
# Open, or given up after it was sent early once before.
_MARK_OTHERS: Final = _marked.where(_EARLY, or_(_firing.c.due_at.is_not(None), _BY_TIME))
_MARK_ONE: Final = _marked.where(_THIS_ONE)
_MARK: Final = (
    update(_firing)
    .where(_EARLY, _firing.c.state.in_([FiringState.DELIVERED, FiringState.FAILED]), _UNMARKED)
    .values(reason=Reason.CLOCK_AHEAD)
)
# What a tick handed over to a target too early, and will again, though it did not go for another one. A row that a tick
# wrote as given up ended when it was made; one that waited too long for its first attempt ended later.
_HANDED_OVER: Final = and_(
    _EARLY,
    _UNMARKED,
    or_(
        _firing.c.due_at.is_not(None),
        _firing.c.state.in_([FiringState.DELIVERED, FiringState.FAILED]),
        _firing.c.reason.in_(_AT_THE_CLAIM),
        and_(_firing.c.state == FiringState.MISSED, _firing.c.finished_at > _firing.c.created_at),
        and_(_firing.c.state == FiringState.SKIPPED, _firing.c.reason.in_(_FOR_ANOTHER)),
    ),
)
_counted: Final = (
    select(_firing.c.cronjob_id, func.count().label("count"))
    .where(_HANDED_OVER)
    .group_by(_firing.c.cronjob_id)
    .subquery()
)
_UNCOUNT: Final = (
    update(_cronjob)
    .where(_cronjob.c.cronjob_id == _counted.c.cronjob_id)
    .values(fired=_never_negative(_cronjob.c.fired - _counted.c["count"]))
    .returning(_cronjob.c.cronjob_id, _cronjob.c.fired)
)
_CHANGED_EARLY: Final = and_(
    _cronjob.c.cronjob_id.in_(bindparam("cronjob_ids", type_=Id(), expanding=True)),
    or_(_cronjob.c.updated_at > _NOW, _cronjob.c.created_at > _NOW),
)


def _no_later(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((column > _NOW, _NOW), else_=column)


_CHANGED_NOW: Final = (
    update(_cronjob)
    .where(_CHANGED_EARLY)
    .values(
        created_at=_no_later(_cronjob.c.created_at),
        updated_at=_no_later(_cronjob.c.updated_at),
        settled_at=_no_later(_cronjob.c.settled_at),
        purge_at=case(
            (_cronjob.c.updated_at > _NOW, _cronjob.c.purge_at - _cronjob.c.updated_at + _NOW),
            else_=_cronjob.c.purge_at,
        ),
    )
)
_version: Final = tables.cronjob_version
_VERSIONS_NOW: Final = (
    update(_version)
    .where(
        _version.c.cronjob_id.in_(bindparam("cronjob_ids", type_=Id(), expanding=True)),
        _version.c.changed_at > _NOW,
    )
    .values(changed_at=_NOW)
)
# What waits for a retry, or for a lease to end, by a clock that was ahead; and what was asked for at once then. What
# was asked for at an instant waits for it, what has a place in a window for that. The index is named: see `firings`.
_NO_LATER: Final = """CASE WHEN state = 'sending' THEN CAST(:leased_until AS BIGINT)
    WHEN place_at > CAST(:now AS BIGINT) THEN place_at ELSE CAST(:now AS BIGINT) END"""
_OPEN: Final = f"""
    SET due_at = {_NO_LATER}
    WHERE due_at IS NOT NULL AND due_at > {_NO_LATER}
      AND (scheduled_at <= CAST(:now AS BIGINT)
           OR kind <> 'scheduled'
              AND (state = 'sending' OR scheduled_at - created_at <= CAST(:at_once AS BIGINT)))
"""
_OPEN_SQLITE: Final = text(f"UPDATE firing INDEXED BY ix_firing_due {_OPEN}")
_OPEN_POSTGRES: Final = text(f"UPDATE firing {_OPEN}")
_operation: Final = tables.operation
_LEASED_UNTIL: Final = bindparam("leased_until", type_=BigInteger())
# Those that went on while the clock was ahead are behind no others for it.
_OPERATIONS_NOW: Final = (
    update(_operation)
    .where(
        text("state = 'running'"),
        or_(_operation.c.leased_until > _LEASED_UNTIL, _operation.c.updated_at > _NOW),
    )
    .values(
        leased_until=case((_operation.c.leased_until > _LEASED_UNTIL, _NOW), else_=_operation.c.leased_until),
        updated_at=_no_later(_operation.c.updated_at),
    )
)


def bring_forward(connection: Connection, now: int) -> None:
    """Let nothing wait that a clock ahead of `now` made wait, and forget what else it said of the future."""
    statement = _OPEN_SQLITE if connection.dialect.name == "sqlite" else _OPEN_POSTGRES
    connection.execute(statement, {"now": now, "leased_until": now + LEASE, "at_once": BOUND})
    connection.execute(_OPERATIONS_NOW, {"now": now, "leased_until": now + LEASE})
    key, signup, beat = tables.idempotency_key, tables.signup, tables.heartbeat
    connection.execute(update(key).where(key.c.created_at > now).values(created_at=now))
    connection.execute(delete(signup).where(signup.c.minute > now))
    # A link that would hold for too long.
    connection.execute(delete(tables.mailed_link).where(tables.mailed_link.c.created_at > now))
    # A node that lives writes it anew; one that does not would seem to tick until then.
    connection.execute(delete(beat).where(beat.c.beat_at > now))


def lock_candidates(connection: Connection, after: str, limit: int) -> list[Candidate]:
    """Cron jobs in the order of their ids from the one after `after`, locked until the transaction ends."""
    rows = connection.execute(_CANDIDATES, {"after": after, "limit": limit})
    return [Candidate(*row) for row in rows]


def uncount(connection: Connection, candidates: Sequence[Candidate], since: int) -> list[Candidate]:
    """Count what was handed over too early as not fired yet, before it is forgotten or marked; return them so."""
    ids = [one.cronjob_id for one in candidates]
    rows = connection.execute(_UNCOUNT, {"cronjob_ids": ids, "since": since})
    fired = {row[0]: row[1] for row in rows}
    return [replace(one, fired=fired.get(one.cronjob_id, one.fired)) for one in candidates]


def forget_unsent(
    connection: Connection, cronjob_ids: Sequence[str], since: int, now: int
) -> dict[str, Across]:
    """Delete the rows of fire times after `since` of these cron jobs that were never sent.

    And ranges that reach beyond it: return that of each cron job that had one.
    """
    parameters = {"cronjob_ids": cronjob_ids, "since": since}
    connection.execute(_FORGET, parameters)
    across = {row[0]: Across(*row[1:]) for row in connection.execute(_ACROSS, parameters)}
    if across:
        keys = [{"of": of, "at": one.scheduled_at, "now": now} for of, one in across.items()]
        connection.execute(_FORGET_ONE, keys)
        connection.execute(_MARK_ONE, keys)
    return across


def mark_sent(connection: Connection, cronjob_ids: Sequence[str], since: int, now: int) -> int:
    """Mark the firings of fire times after `since` of these cron jobs that were sent; return how many.

    One that is being sent counts as sent: what its worker records later is ignored.
    """
    parameters = {"cronjob_ids": cronjob_ids, "since": since, "now": now}
    connection.execute(_keep_attempts(connection.dialect.name), parameters)
    marked = connection.execute(_MARK, parameters).rowcount
    return marked + connection.execute(_MARK_OTHERS, parameters).rowcount


def _keep_attempts(dialect: str) -> Insert:
    """The attempts that delivered early: the row itself has room for the one that will."""
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    columns = {
        **{name: _firing.c[name] for name in ("cronjob_id", "scheduled_at", "kind", "lease_no", "attempt")},
        "started_at": func.coalesce(_firing.c.sent_at, _firing.c.created_at),
        "duration": func.coalesce(_firing.c.duration, 0),
        "version": func.coalesce(_firing.c.version, 1),
        "outcome": literal("delivered"),
        "reason": literal(Reason.CLOCK_AHEAD.value),
        "detail": literal(DETAIL),
    }
    delivered = select(*columns.values()).where(_EARLY, _firing.c.state == FiringState.DELIVERED, _UNMARKED)
    return insert(tables.attempt).from_select(list(columns), delivered).on_conflict_do_nothing()


def date_back(connection: Connection, cronjob_ids: Sequence[str], now: int) -> None:
    """Let cron jobs that were made or changed after `now` have been made or changed now."""
    parameters = {"cronjob_ids": cronjob_ids, "now": now}
    connection.execute(_CHANGED_NOW, parameters)
    connection.execute(_VERSIONS_NOW, parameters)


def move_back(connection: Connection, candidate: Candidate, next_fire_at: int, now: int) -> None:
    """Set the next fire time of a cron job that was moved on too far; one that was completed is active again."""
    values: dict[str, Any] = {"next_fire_at": next_fire_at, "tzdata": zones.version()}
    if candidate.state == State.COMPLETED:
        values |= {
            "state": State.ACTIVE,
            "updated_at": now,
            "updated_by": null(),
            "version": _cronjob.c.version + 1,
        }
    connection.execute(update(_cronjob).where(_cronjob.c.cronjob_id == candidate.cronjob_id).values(**values))
    if candidate.state == State.COMPLETED:
        versions.record_versions(connection, [candidate.cronjob_id])
