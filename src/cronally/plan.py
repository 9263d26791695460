"""A cron job's part in time: which ledger rows are owed until an instant, and when it fires next.

Invariant: the rows of a plan cover every fire time from the cron job's `next_fire_at` up to, not including, the
plan's `next_fire_at`, each exactly once, and what changes of the clock suppress there and since the fire time before;
they do not overlap. A plan never looks at a fire time later than `now`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from types import MappingProxyType
from typing import Final

from cronally import errors, firing
from cronally.clock.exclusion import Excluded, Exclusion
from cronally.clock.preview import Suppressed, suppressed
from cronally.clock.timetable import Timetable, needs
from cronally.cronjob import CatchUp, Timing, read_policies
from cronally.firing import Reason
from cronally.instants import MIN_INSTANT, MINUTE

ON_TIME: Final = MINUTE
"""Fire times up to this old are always all fired: a slow tick is no outage. Microseconds."""

ROWS_PER_TICK: Final = 100
"""At most so many rows of one cron job in one tick; the next tick goes on."""

_NO_CALENDARS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Schedule:
    """What planning needs to know of a cron job. Equal ones have the same plan."""

    timing: Timing
    catch_up: str
    misfire_grace: int
    """Microseconds."""
    next_fire_at: int
    key: str | None = None
    """The id of the cron job, where the expression spreads by it."""
    anchor: int | None = None
    """The creation of the cron job, where the expression counts from it."""
    rest: int | None = None
    """How many more fire times `max_firings` lets fire; None for a cron job without one."""
    exclusion: Exclusion | None = None

    @classmethod
    def of(
        cls,
        cronjob_id: str,
        created_at: int,
        cron: str,
        timezone: str,
        policies: str,
        next_fire_at: int,
        fired: int,
        calendars: Mapping[str, str] = _NO_CALENDARS,
    ) -> Schedule:
        """The schedule of one cron job, with its id and its creation only where the expression needs them.

        :param policies: JSON, as it is stored
        :param calendars: the dates of those that it excludes, by name; what it skips anyhow needs none
        """
        needs_key, needs_anchor = needs(cron)
        chosen = read_policies(policies)
        return cls(
            Timing.of(cron, timezone, chosen),
            chosen.catch_up,
            chosen.misfire_grace,
            next_fire_at,
            cronjob_id if needs_key else None,
            created_at if needs_anchor and chosen.starts_at is None else None,
            None if chosen.max_firings is None else chosen.max_firings - fired,
            Exclusion.of(chosen.exclude, calendars),
        )

    @property
    def timetable(self) -> Timetable:
        """Raises InvalidExpression for an expression, ValueError for a zone or a policy."""
        return self.timing.timetable(self.key, self.anchor)


@dataclass(frozen=True, slots=True)
class Entry:
    """A row that the ledger is to get: one fire time that is owed, or a range that is given up or suppressed."""

    scheduled_at: int
    state: firing.State = firing.State.PENDING
    reason: Reason | None = None
    until_at: int | None = None
    count: int = 1
    cause: str | None = None
    """What excludes it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one tick writes for one cron job."""

    entries: tuple[Entry, ...]
    next_fire_at: int | None
    """None: nothing is left to fire; the cron job is completed."""


def plan(
    schedule: Schedule,
    now: int,
    *,
    since: int = MIN_INSTANT - 1,
    on_time: int = ON_TIME,
    limit: int = ROWS_PER_TICK,
) -> Plan:
    """The rows that are owed until `now`, oldest first.

    Fire times older than the misfire grace are missed; older than `on_time` they follow `catch_up`; the rest fire. What
    is excluded is skipped, however old it is.
    At `limit` it goes no further than to the next fire time, nor where counting more of what is given up would cost too
    much (`Timetable.countable`). Where that cuts it short, the plan's `next_fire_at` is not later than `now`: plan
    again from there. With the last firing that `max_firings` lets it have, the cron job is completed.

    :param since: until when the ledger has what was suppressed

    Raises `errors.InvalidExpression` for an expression that this version cannot read, ValueError for a zone, a policy
    or a calendar that there is not.
    """
    times = schedule.timetable
    if schedule.rest is not None and schedule.rest <= 0:
        return Plan((), None)
    excluded = None if schedule.exclusion is None else schedule.exclusion.within(times.zone)
    fresh = now - on_time
    useful = min(now - schedule.misfire_grace, fresh)
    rows = _Rows(times, list(islice(_suppressed(schedule, since, now), limit)), limit, excluded, now)
    at: int | None = schedule.next_fire_at
    fired = 0

    if at is not None and at < useful:
        at = rows.give_up(at, useful, Reason.MISFIRE_GRACE)
    if at is not None and at < fresh and not rows.full:
        match CatchUp(schedule.catch_up):
            case CatchUp.ALL:
                pass
            case CatchUp.SKIP:
                at = rows.give_up(at, fresh, Reason.CATCH_UP_SKIP)
            case CatchUp.LATEST:
                last = times.previous(now + 1)
                if excluded is not None:
                    last = excluded.last_included(times, now + 1, at)
                if last is not None and last > at:
                    at = rows.give_up(at, min(last, fresh), Reason.CATCH_UP_LATEST)
    while at is not None and at <= now and not rows.full:
        segment = None if excluded is None else excluded.segment(at)
        if segment is not None and segment.cause is not None:
            at = rows.give_up(at, min(segment.until, now + 1), Reason.EXCLUDED)
            continue
        rows.add_suppressed(at)
        rows.entries.append(Entry(at))
        fired += 1
        at = None if fired == schedule.rest else times.next(at)
    return Plan(tuple(rows.entries), at)


def suppressed_until_a_change(plan: Plan, schedule: Schedule, changed_at: int) -> bool:
    """Whether a plan begins with what was suppressed when the cron job was another one.

    :param schedule: the plan's
    :param changed_at: when the cron job was last changed
    """
    return bool(plan.entries) and plan.entries[0].scheduled_at < min(schedule.next_fire_at, changed_at + 1)


def skip(schedule: Schedule, now: int, reason: Reason, *, since: int = MIN_INSTANT - 1) -> list[Entry]:
    """Rows that say that everything owed until `now` is skipped, and what was suppressed between.

    Of an expression that this version cannot read, the fire time that is stored is owed, and no other is known.
    """
    try:
        times = schedule.timetable
    except (errors.InvalidExpression, ValueError):
        if schedule.next_fire_at > now:
            return []
        return [Entry(schedule.next_fire_at, firing.State.SKIPPED, reason)]
    rows = _Rows(times, list(_suppressed(schedule, since, now)), None)
    if schedule.next_fire_at <= now:
        rows.give_up(schedule.next_fire_at, now + 1, reason, firing.State.SKIPPED)
    rows.add_suppressed(now + 1)
    return rows.entries


def settle(schedule: Schedule, now: int, *, since: int = MIN_INSTANT - 1) -> Iterator[Plan]:
    """The plans that bring the ledger up to `now` before a cron job changes, in order: what ticks would write.

    Each holds at most `ROWS_PER_TICK` rows. The caller sets `settled_at` of the cron job to `now`.

    Raises `errors.InvalidExpression` for an expression that this version cannot read, ValueError for a zone or policy.
    """
    following: int | None = schedule.next_fire_at
    while following is not None and following <= now:
        made = plan(schedule, now, since=since)
        yield made
        following = made.next_fire_at
        if following is not None:
            fired = sum(entry.state is firing.State.PENDING for entry in made.entries)
            rest = None if schedule.rest is None else schedule.rest - fired
            schedule = replace(schedule, next_fire_at=following, rest=rest)
    if following is None:
        return
    passed = tuple(_suppressed(schedule, since, now))
    if passed:
        yield Plan(passed, following)


class _Rows:
    """The rows of a plan while it is made."""

    def __init__(
        self,
        times: Timetable,
        suppressed: list[Entry],
        limit: int | None,
        excluded: Excluded | None = None,
        now: int = MIN_INSTANT,
    ) -> None:
        """
        :param suppressed: in order; as many as `limit` says if there are more
        :param now: what is excluded is skipped until then
        """
        self.entries: list[Entry] = []
        self._times = times
        self._suppressed = suppressed[::-1]
        self._limit = limit
        self._counted = False  # as much as may be counted at once
        self._excluded = excluded
        self._now = now

    @property
    def full(self) -> bool:
        return self._limit is not None and (self._counted or len(self.entries) >= self._limit)

    def add_suppressed(self, before: int) -> None:
        while self._suppressed and self._suppressed[-1].scheduled_at < before:
            self.entries.append(self._suppressed.pop())

    def give_up(
        self, first: int, before: int, reason: Reason, state: firing.State = firing.State.MISSED
    ) -> int | None:
        """Add rows for the fire times from `first` on that are earlier than `before`; return the next one.

        One row, but for what is suppressed between, which parts it, for what is excluded, which has its own rows, and
        where counting it costs too much.
        """
        at: int | None = first
        while at is not None and at < before and not self.full:
            self.add_suppressed(at)
            stop, cause = before, None
            if self._excluded is not None:
                until, cause = self._excluded.segment(at)
                # It does not matter how old what is excluded is.
                stop = min(until, before if cause is None else self._now + 1)
            if self._suppressed:
                stop = min(stop, self._suppressed[-1].scheduled_at)
            if stop - at > self._times.countable:
                stop, self._counted = at + self._times.countable, True
            # A stored next fire time is owed even if the expression, read by a newer version, does not hold it.
            count = self._times.count(at, stop - 1)
            last = self._times.previous(stop) if count else None
            if cause is None:
                self.entries.append(Entry(at, state, reason, last, 1 + count))
            else:
                self.entries.append(Entry(at, firing.State.SKIPPED, Reason.EXCLUDED, last, 1 + count, cause))
            at = self._times.next(at if last is None else last)
        return at


# What is suppressed


def _suppressed(schedule: Schedule, since: int, now: int) -> Iterator[Entry]:
    """What changes of the clock suppress from the fire time before the next one until `now`, but after `since`."""
    times = schedule.timetable
    if times.zone.is_fixed or times.follows_real_minutes:
        return
    before = times.previous(schedule.next_fire_at)
    after = since if before is None else max(before, since)
    for found in suppressed(times, after, now):
        yield _entry(found)


def _entry(found: Suppressed) -> Entry:
    """The row for what one change of the clock suppresses."""
    first, last = found.scheduled_at, found.until_at
    if found.in_gap:
        # What a gap skips has no instant of its own. Its row stands in the last microsecond before the jump, where
        # nothing ever fires: at the jump itself something may.
        first = last = first - 1
    return Entry(first, firing.State.SKIPPED, found.reason, last if found.count > 1 else None, found.count)
