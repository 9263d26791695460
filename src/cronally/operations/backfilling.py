"""Backfill: the fire times of a range of the past become firings, at a pace, as far as they were not delivered.

Invariant: under the cron job's row lock. A fire time has one row before and after; what is delivered, failed or on its
way is not touched. Nothing is made that a tick is to write yet, nor from before the ledger is kept: what retention has
deleted may have been delivered. A part that is done again finds what it made, and makes nothing twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final

from sqlalchemy import Connection

from cronally import errors
from cronally.clock.timetable import Timetable
from cronally.contract.bulk import DRY_RUN
from cronally.contract.firings import NEWEST
from cronally.contract.operations import Operation as OperationAnswer
from cronally.contract.reading import Reading, refusal
from cronally.contract.replays import MOST, SHOWN, Backfill, BackfillTrial
from cronally.cronjob import State, Timed
from cronally.fairness import out_of_turn
from cronally.firing import Kind
from cronally.firing import State as FiringState
from cronally.instants import MINUTE, format_duration, format_iso, to_datetime
from cronally.operations.background import Part, Running, Trouble
from cronally.operations.caller import Caller
from cronally.operations.existing import existing
from cronally.operations.frozen import Unfrozen
from cronally.operations.pacing import Pacer, interval_of
from cronally.operations.parts import change_untold
from cronally.operations.repeats import check_key
from cronally.operations.tracking import Tracking, operation_answer
from cronally.past import Stretch, part
from cronally.store import Signal, Store, accounts, calendars, cronjobs, pauses, reopening, versions
from cronally.store.cronjobs import Cronjob
from cronally.store.reopening import Rest, Row
from cronally.targets.target import Target

ACTION: Final = "backfill"
LOOKED: Final = 200
"""So many fire times one transaction looks at."""
_REVIVED: Final = frozenset({FiringState.MISSED, FiringState.SKIPPED})
_UNREADABLE: Final = "This server cannot read the schedule: {}."


@dataclass(frozen=True, slots=True)
class Schedule(Timed):
    """By what the fire times are: a version of the cron job."""

    cron: str
    timezone: str
    policies: str


@dataclass(frozen=True, slots=True)
class _Cursor:
    """Where a backfill stands."""

    after: int | None
    """The last fire time that was gone through."""
    next_due: int
    """When the next firing may be due."""

    @classmethod
    def read(cls, text: str | None, began: int) -> _Cursor:
        return cls(None, began) if text is None else cls(*json.loads(text))

    def written(self) -> str:
        return json.dumps([self.after, self.next_due])


@dataclass(slots=True)
class _Counts:
    """What stands in the ledger for the fire times of a range."""

    fire_times: int = 0
    to_insert: int = 0
    to_revive: int = 0
    delivered: int = 0
    failed: int = 0
    on_the_way: int = 0

    def add(self, row: Row | None) -> bool:
        """Count a fire time; whether it would be made up for."""
        self.fire_times += 1
        if row is None:
            self.to_insert += 1
        elif row.state in _REVIVED:
            self.to_revive += 1
        elif row.state == FiringState.DELIVERED:
            self.delivered += 1
        elif row.state == FiringState.FAILED:
            self.failed += 1
        else:
            self.on_the_way += 1
        return row is None or row.state in _REVIVED


class Backfills:
    """Makes up for fire times of the cron jobs of one store."""

    def __init__(
        self, store: Store, tracking: Tracking, targets: Mapping[str, Target], retention: int
    ) -> None:
        """
        :param retention: how long the ledger is kept, in microseconds
        """
        self._store = store
        self._tracking = tracking
        self._targets = targets
        self._retention = retention

    async def ask(
        self,
        caller: Caller,
        cronjob_id: str,
        reading: Reading[Backfill],
        *,
        idempotency_key: str | None = None,
    ) -> OperationAnswer | BackfillTrial:
        """Begin to make up for the fire times of a range; with `dry_run`, say what would become of each.

        Raises InvalidRequest, also for more than `MOST` of them; NotFound for a cron job that is deleted; Conflict
        for one that is frozen; RateLimited while too many operations run.
        """
        now = await self._store.clock()
        check_key(reading, idempotency_key)
        self._check_range(reading, now)
        read = partial(_read, account_id=caller.account_id, cronjob_id=cronjob_id, reading=reading)
        job, chosen = await self._store.transact(read)
        reading.raise_complaints()
        unfrozen = Unfrozen(self._targets, now)
        await self._store.transact(lambda connection: unfrozen.check(connection, job, Kind.SCHEDULED))
        # What is as old as the ledger is kept when it is asked for is older when it is read.
        first = max(reading.values["from"], now - self._retention)
        # What is owed is the tick's.
        last = min(reading.values.get("to", now), _covered_until(job, now))
        newest_first = reading.values.get("order") == NEWEST
        stretch = await self._store.transact(
            lambda connection: _stretch(connection, job, chosen, first, last, newest_first)
        )
        times = await self._fire_times(stretch)
        counts, shown = await self._count(cronjob_id, times)
        if reading.values.get(DRY_RUN):
            firsts = tuple([to_datetime(at) for at in shown])
            return BackfillTrial(**{name: getattr(counts, name) for name in _Counts.__slots__}, first=firsts)
        sent = {
            "filters": {"cronjob_id": cronjob_id},
            "parameters": reading.as_json(reading.known.keys() - {DRY_RUN}),
        }
        operation, _ = await self._tracking.start(
            caller,
            ACTION,
            {
                **sent,
                "first": first,
                "last": last,
                "newest_first": newest_first,
                "schedule": [chosen.cron, chosen.timezone, chosen.policies],
            },
            now=now,
            total=counts.to_insert + counts.to_revive,
            idempotency_key=idempotency_key,
            sent=sent,
        )
        return operation_answer(operation)

    def _check_range(self, reading: Reading[Backfill], now: int) -> None:
        """Complain of a range that is none, or not of the past that the ledger is kept for."""
        first, last = reading.values.get("from"), reading.values.get("to", now)
        future = {name for name in ("from", "to") if reading.values.get(name, now) > now}
        for name in future:
            reading.complain(name, ValueError("lies in the future; give an instant of the past"))
        if not future and first is not None and first > last:
            reading.complain("to", ValueError("is before from; give a later one"))
        if first is not None and first < now - self._retention - MINUTE:
            kept = format_duration(self._retention)
            reading.complain("from", ValueError(f"is more than {kept} ago, for which the ledger is kept"))

    async def _fire_times(self, stretch: Stretch) -> list[int]:
        """The fire times of a range. Raises InvalidRequest for too many."""
        found: list[int] = []
        following = stretch.after(None)
        while some := list(islice(following, LOOKED)):
            found += some
            if len(found) > MOST:
                raise refusal("from", f"begins a range with more than {MOST:,} fire times{_told(stretch)}")
            async with out_of_turn():
                pass
        return found

    async def _count(self, cronjob_id: str, times: Sequence[int]) -> tuple[_Counts, list[int]]:
        """What stands in the ledger for fire times, and the first of those that would be made up for."""
        counts, shown = _Counts(), list[int]()
        for start in range(0, len(times), LOOKED):
            some = times[start : start + LOOKED]
            look = partial(reopening.list_covering, cronjob_id=cronjob_id, times=some)
            rows = await self._store.transact(look)
            shown += [at for at in some if counts.add(rows.get(at))][: SHOWN - len(shown)]
            async with out_of_turn():
                pass
        return counts, shown

    async def part(self, running: Running, limit: int) -> Part:
        """Make up for the fire times that are next, as far as the pace lets them be due soon."""
        now = await self._store.clock()
        done = await change_untold(self._store, partial(self._part, running=running, limit=limit, now=now))
        if done.done:
            await self._store.announce(Signal.FIRINGS)
        return done

    def _part(self, connection: Connection, running: Running, limit: int, now: int) -> Part:
        sent, at = running.parameters, _Cursor.read(running.cursor, running.created_at)
        cronjob_id = sent["filters"]["cronjob_id"]
        job = cronjobs.lock_cronjob(connection, running.account_id, cronjob_id)
        if job is None or job.state == State.DELETED:
            return _ended(at, "The cron job was deleted.", cronjob_id)
        job = pauses.settle_now(connection, job, now)
        if job.state == State.PAUSED and job.settled_at < now:
            return _ended(at, _UNREADABLE.format("what the cron job skips now is not known"), cronjob_id)
        try:
            Unfrozen(self._targets, now).check(connection, job, Kind.SCHEDULED)
            chosen = Schedule(*sent["schedule"])
            stretch = _stretch(connection, job, chosen, sent["first"], sent["last"], sent["newest_first"])
        except (errors.InvalidRequest, errors.Conflict) as problem:
            return _ended(at, problem.message, cronjob_id)
        paced_at = accounts.lock_pace(connection, running.account_id, now)
        pacer = Pacer(now, interval_of(sent["parameters"]), at.next_due, paced_at)
        making = _Making(connection, job, chosen, pacer, since=at.next_due)
        times = list(islice(stretch.after(at.after), LOOKED + 1))
        for place, time in enumerate(times[:LOOKED]):
            if time < now - self._retention:
                making.fail(time, "is older than the ledger is kept now")
            elif time <= _covered_until(job, now) and not making.make(time, limit):
                times = times[: place + 1]
                break
        else:
            place = len(times[:LOOKED])
        accounts.record_pace(connection, running.account_id, pacer.paced_at)
        over = place == len(times)
        last = times[place - 1] if place else at.after
        following = _Cursor(last, pacer.next_due).written()
        wait = None if over else pacer.wait
        return Part(following, making.done, len(making.troubles), over, making.troubles, wait)


class _Making:
    """What one part makes up for."""

    def __init__(
        self, connection: Connection, job: Cronjob, chosen: Schedule, pacer: Pacer, *, since: int
    ) -> None:
        """
        :param since: what is owed from this instant on was made by this part, before it was done again
        """
        self._connection = connection
        self._job = job
        self._chosen = chosen
        self._pacer = pacer
        self._since = since
        self._made = 0
        self._history: list[Timetable] | None = None
        self.done = 0
        self.troubles: list[Trouble] = []

    def make(self, at: int, limit: int) -> bool:
        """Let a fire time fire, if it is not delivered, failed or on its way; False if that must wait."""
        row = reopening.list_covering(self._connection, self._job.cronjob_id, [at]).get(at)
        if row is not None and row.is_held:
            return True  # nobody has to wait for the end of a freeze, and most are held as what ticks wrote
        if row is not None and row.owed_at is not None and self._pacer.has_made(row.owed_at, self._since):
            self._pacer.pass_by(row.owed_at)
            self.done += 1
            return True
        if row is not None and row.state not in _REVIVED:
            return True
        if self._pacer.is_full or self._made >= limit:
            return False
        if row is None:
            due = self._pacer.take()
            now = self._pacer.now
            reopening.insert_owed(self._connection, self._job.account_id, self._job.cronjob_id, at, due, now)
        elif row.until_at is None:
            reopening.reopen(self._connection, row, self._pacer.take())
        elif not self._part(row, at):
            self.fail(
                at, "stands in a row with others, and by no version that is kept is it known with which"
            )
            return True
        self._made += 1
        self.done += 1
        return True

    def fail(self, at: int, why: str) -> None:
        """Say why a fire time cannot be made up for."""
        job = self._job
        self.troubles.append(Trouble(f"The fire time {format_iso(at)} {why}.", job.cronjob_id, job.name))

    def _part(self, row: Row, at: int) -> bool:
        """Let a fire time out of the range row that it stands in."""
        sides = part(self._timetables(), row.scheduled_at, row.last, row.count, at)
        if sides is None:
            return False
        before = behind = None
        if sides.last_before is not None:
            before = Rest(row.scheduled_at, sides.last_before, sides.before)
        if sides.first_behind is not None:
            behind = Rest(sides.first_behind, row.last, sides.behind)
        due = self._pacer.take()
        reopening.part_row(self._connection, row, at, before, behind, due, self._pacer.now)
        return True

    def _timetables(self) -> list[Timetable]:
        """What may have written a row: the version that is asked for, and all that are kept."""
        if self._history is None:
            kept = versions.list_versions(self._connection, self._job.cronjob_id)
            found: dict[Timetable, None] = {}
            for timed in (self._chosen, *reversed(kept)):
                try:
                    found[_timetable(self._job, timed)] = None
                except errors.InvalidRequest:
                    continue
            self._history = list(found)
        return self._history


def _read(
    connection: Connection, account_id: str, cronjob_id: str, reading: Reading[Backfill]
) -> tuple[Cronjob, Schedule]:
    """The cron job, and the version of it that is asked for."""
    job = existing(connection, account_id, cronjob_id)
    chosen: Timed = job
    if (wanted := reading.values.get("version")) is not None and wanted != job.version:
        kept = versions.list_versions(connection, cronjob_id)
        found = next((one for one in kept if one.version == wanted), None)
        if found is None:
            span = f"{kept[0].version} to {job.version}" if kept else f"{job.version} alone"
            reading.complain("version", ValueError(f"is not kept of this cron job; there is {span}"))
        chosen = found or job
    return job, Schedule(chosen.cron, chosen.timezone, chosen.policies)


def _stretch(
    connection: Connection, job: Cronjob, chosen: Schedule, first: int, last: int, newest_first: bool
) -> Stretch:
    """The fire times of a range by a version of a cron job. Raises InvalidRequest."""
    times = _timetable(job, chosen)
    exclusion = calendars.read_exclusion(connection, job.account_id, chosen.policies)
    try:
        excluded = None if exclusion is None else exclusion.within(times.zone)
    except ValueError as problem:
        raise errors.InvalidRequest(_UNREADABLE.format(problem)) from None
    return Stretch(times, excluded, first, last, newest_first)


def _timetable(job: Cronjob, chosen: Timed) -> Timetable:
    """Raises InvalidRequest for one that this server cannot read."""
    try:
        return chosen.timing.timetable(job.cronjob_id, job.created_at)
    except (errors.InvalidExpression, ValueError) as problem:
        raise errors.InvalidRequest(_UNREADABLE.format(problem)) from None


def _covered_until(job: Cronjob, now: int) -> int:
    """The last instant that the ledger covers of a cron job; of one that stands still, once that is settled."""
    return now if job.next_fire_at is None else min(now, job.next_fire_at - 1)


def _told(stretch: Stretch) -> str:
    """How many fire times a range has, where that costs little, and what to do."""
    more = ""
    if stretch.last - stretch.first <= stretch.times.countable:
        more = f": {stretch.times.count(stretch.first - 1, stretch.last):,}"
    return f"{more}; give a shorter one"


def _ended(at: _Cursor, problem: str, cronjob_id: str) -> Part:
    return Part(at.written(), 0, 1, over=True, problems=(Trouble(problem, cronjob_id),))
