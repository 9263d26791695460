"""The fire times of a timetable, with what changes of the clock do to them.

Invariant: the fire times are exactly those of `Timetable.next`. Each fire time that a change of the clock moves,
doubles or suppresses is named once, with the mark and the reason that `dst.decide` gives. All that one change
suppresses is one entry, in its place between the fire times; of several expressions, all between two fire times, and
nothing at which another one of them fires.

Instants are microseconds since 1970 UTC; local times are ISO 8601, with the offset where they exist.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from cronally.clock.dst import Decision, Mark, decide
from cronally.clock.timetable import SingleTimetable, Timetable
from cronally.clock.tzif import Change, Zone
from cronally.cron import Expression, Interval
from cronally.cron.days import EPOCH as EPOCH_DAY
from cronally.cron.days import FIRST_YEAR
from cronally.firing import Reason
from cronally.instants import DAY, MAX_INSTANT, SECOND, to_datetime

_SECONDS_A_STEP: Final = 100
"""Of those that a change suppresses of several expressions, so many cost a step."""


@dataclass(frozen=True, slots=True)
class FireTime:
    """One fire time."""

    scheduled_at: int
    local: str
    """With the offset: `2026-03-08T03:00:00-04:00`."""
    mark: Mark | None = None
    reason: Reason | None = None
    instead_of: str | None = None
    """Moved: the local time named by the expression, which does not exist; the first of `count`."""
    count: int = 1
    """Moved: how many fire times became this one."""


@dataclass(frozen=True, slots=True)
class Suppressed:
    """The fire times that one change of the clock suppresses."""

    scheduled_at: int
    """When the first would fire. In a gap, where no local time is an instant: when the clock jumped."""
    until_at: int
    """When the last would fire."""
    local: str
    """The local time of the first; with the offset where it exists."""
    until_local: str
    count: int
    reason: Reason
    in_gap: bool
    """A gap skips them: no instant has their local times."""
    mark: Mark = Mark.SUPPRESSED


@dataclass(frozen=True, slots=True)
class NoFireTime:
    """An instant that is not a fire time, and the fire times around it."""

    previous: int | None
    next: int | None


class Steps:
    """The steps that a search may take: one for each fire time, and one for each change of the clock that it looks at.

    What it costs besides goes with these: a fire time is searched for in no more spans than there are changes, and in
    each month up to the last year at most once in the whole search. So the same question always ends at the same place.
    """

    def __init__(self, most: int) -> None:
        self.taken = 0
        self.until: int | None = None
        """Set when they are used up: all up to this instant was found."""
        self._most = most

    def take(self, until: int) -> bool:
        """Take a step, if one is left.

        :param until: all up to this instant was found
        """
        if self.taken >= self._most:
            self.until = until
            return False
        self.taken += 1
        return True


def preview(timetable: Timetable, after: int, steps: Steps | None = None) -> Iterator[FireTime | Suppressed]:
    """The fire times strictly after an instant, and what is suppressed between them, in order, one by one.

    :param steps: end when these are used up; None: only with the last fire time
    """
    changes = _Changes(timetable)
    while steps is None or steps.take(after):
        following = timetable.next(after)
        yield from changes.suppressed(after, changes.end if following is None else following, steps)
        if following is None or (steps is not None and steps.until is not None):
            return
        yield changes.fire_time(following)
        after = following


def suppressed(timetable: Timetable, after: int, until: int) -> Iterator[Suppressed]:
    """What changes of the clock suppress in (after, until], in order, as the ledger records it.

    What is suppressed of a repeated hour is cut to the range. What a gap skips is in the range where the jump is.
    Entries that no policy decided are left out: a wildcard job has no fire times at minutes that do not exist. An entry
    may have the same instant as a fire time.
    """
    for entry in _Changes(timetable).suppressed_within(after, until):
        if entry.reason is not Reason.REAL_MINUTES:
            yield entry


def explain(timetable: Timetable, instant: int) -> FireTime | Suppressed | NoFireTime:
    """What a timetable has at an instant, to the second: a fire time, one that was suppressed, or nothing."""
    instant -= instant % SECOND
    changes = _Changes(timetable)
    if timetable.matches(instant):
        return changes.fire_time(instant)
    for entry in changes.suppressed_around(instant):
        if entry.scheduled_at <= instant <= entry.until_at and changes.suppresses(instant):
            return entry
    return NoFireTime(timetable.previous(instant), timetable.next(instant))


def held_back(timetable: Timetable, instant: int, reason: str) -> int | None:
    """The other instant with the same local time: when a fire time that is suppressed in an overlap fires instead.

    :param reason: why it is suppressed. None is returned for other reasons than `FIRST` and `LAST`.
    """
    second = instant // SECOND
    span = timetable.zone.span(second)
    other = None
    if reason == Reason.DST_OVERLAP_FIRST and span.before > span.offset:
        other = (second - (span.before - span.offset)) * SECOND
    if reason == Reason.DST_OVERLAP_LAST and span.offset > span.then:
        other = (second + (span.offset - span.then)) * SECOND
    return other if other is not None and timetable.first <= other <= timetable.last else None


def jumped_over(timetable: Timetable, instant: int) -> tuple[str, FireTime | Suppressed] | None:
    """For an instant just after a gap: its local time by the offset before, and what the gap does to that fire time.

    A question about 02:30 in winter time, on the day on which the clock skips 02:30, means the fire time that does not
    exist. None where no expression names that local time.
    """
    second = instant // SECOND
    span = timetable.zone.span(second)
    local = second + span.before
    if not 0 < second - span.start < span.offset - span.before:
        return None
    naming = next((one for one in timetable.members if _names(one.expression, local)), None)
    if naming is None:
        return None
    made = explain(naming, span.start * SECOND)
    return None if isinstance(made, NoFireTime) or made.mark is None else (_civil(local), made)


def local_time(zone: Zone, instant: int) -> str:
    """The local time at an instant, to the second, with the offset."""
    second = instant // SECOND
    return _local(second, zone.span(second).offset)


class _Changes:
    """What changes of the clock do to the fire times of one timetable."""

    def __init__(self, timetable: Timetable) -> None:
        self._timetable = timetable
        self.zone = timetable.zone
        # No change of a clock touches an interval.
        self._touched = [one for one in timetable.members if isinstance(one.expression, Expression)]

    @property
    def end(self) -> int:
        """No fire time is later, nor one that is suppressed."""
        return min(max(_end(member) for member in self._timetable.members), self._timetable.last)

    def fire_time(self, instant: int) -> FireTime:
        """The fire time at an instant, with what the last change of the clock did to it."""
        members = self._timetable.members
        if len(members) == 1:
            return self._fire_time(members[0], instant)
        found = [self._fire_time(member, instant) for member in members if member.matches(instant)]
        moved = [one for one in found if one.mark is Mark.MOVED]
        if not moved:
            return next((one for one in found if one.mark is not None), found[0])
        # Several expressions may stand for one local time; each counts.
        first = min(moved, key=lambda one: one.instead_of or "")
        return replace(first, count=sum(one.count for one in moved))

    def _fire_time(self, member: SingleTimetable, instant: int) -> FireTime:
        second, expression = instant // SECOND, member.expression
        span = self.zone.span(second)
        local = _local(second, span.offset)
        if not isinstance(expression, Expression) or span.before == span.offset:
            return FireTime(instant, local)
        decision = decide(Change(span.start, span.before, span.offset), member.policy)
        if decision.mark is Mark.DOUBLED and second < decision.doubled_until:
            return FireTime(instant, local, Mark.DOUBLED, decision.reason)
        if second < decision.moved_until:
            start, stop = decision.sources(second, second + 1)
            first, count = expression.civil_at_or_after(start), expression.civil_count(start, stop)
            if count and first is not None:
                return FireTime(instant, local, Mark.MOVED, decision.reason, _civil(first), count)
        return FireTime(instant, local)

    def suppressed(self, after: int, until: int, steps: Steps | None = None) -> Iterator[Suppressed]:
        """The entries that begin in (after, until], as far as the steps go."""
        for entry in self._around(after, until, steps=steps):
            if after < entry.scheduled_at <= until:
                yield entry

    def suppressed_around(self, instant: int) -> Iterator[Suppressed]:
        """The entries that may hold an instant at which nothing fires."""
        after, until = instant - 2 * DAY, instant
        if len(self._timetable.members) > 1:
            # What several suppress is looked for between two fire times.
            before, following = self._timetable.previous(instant), self._timetable.next(instant)
            after = after if before is None else max(after, before)
            until += 2 * DAY if following is None else min(2 * DAY, following - instant)
        yield from self.suppressed(after, until)

    def suppressed_within(self, after: int, until: int) -> Iterator[Suppressed]:
        """What of the entries lies in (after, until]."""
        for entry in self._around(after, until, clipped=True):
            if after < entry.scheduled_at and entry.until_at <= until:
                yield entry

    def _around(
        self, after: int, until: int, *, clipped: bool = False, steps: Steps | None = None
    ) -> Iterator[Suppressed]:
        """The entries of the changes in (after, until] and a day around; clipped to that range where they can be.

        Those of several expressions always are.
        """
        if not self._touched:
            return
        lowest, highest = self._timetable.first, min(self._timetable.last, self.end)
        after, until = max(after, lowest - 1), min(until, highest)
        clipped = clipped or len(self._timetable.members) > 1
        for change in self.zone.changes((after - DAY) // SECOND, (until + DAY) // SECOND):
            # No entry begins a day before its change.
            found_until = max(after, change.at * SECOND - DAY)
            if steps is not None and not steps.take(found_until):
                return
            for decision, expressions in self._decided(change):
                start, stop, offset = decision.start, decision.stop, decision.suppressed_offset
                if offset is None and not lowest < change.at * SECOND <= highest:
                    continue
                if offset is not None:
                    low, high = (after + 1, until) if clipped else (lowest, highest)
                    start = max(start, -(-low // SECOND) + offset)
                    stop = min(stop, high // SECOND + 1 + offset)
                if start >= stop:
                    continue
                if len(self._timetable.members) == 1:
                    entry = _entry(expressions[0], decision, start, stop)
                    entries = iter(() if entry is None else (entry,))
                else:
                    entries = self._entries_of_several(expressions, decision, start, stop, found_until, steps)
                entry = next(entries, None)
                if entry is not None:
                    yield entry
                    yield from entries
                    break
            if steps is not None and steps.until is not None:
                return

    def _decided(self, change: Change) -> list[tuple[Decision, list[Expression]]]:
        """The decisions that suppress something at a change, each with its expressions; those of a policy first."""
        found: dict[Decision, list[Expression]] = {}
        for member in self._touched:
            decision = decide(change, member.policy)
            if decision.mark is Mark.SUPPRESSED and isinstance(member.expression, Expression):
                found.setdefault(decision, []).append(member.expression)
        return sorted(found.items(), key=lambda one: one[0].reason is Reason.REAL_MINUTES)

    def _entries_of_several(
        self,
        expressions: Sequence[Expression],
        decision: Decision,
        start: int,
        stop: int,
        found_until: int,
        steps: Steps | None,
    ) -> Iterator[Suppressed]:
        """What a decision suppresses of several expressions in the civil seconds [start, stop).

        :param found_until: all up to this instant was found
        """
        offset = decision.suppressed_offset
        run: list[int] = []  # the first civil second, the last, how many
        following: int | None = None
        for number, civil in enumerate(_merged(expressions, start, stop), 1):
            if steps is not None and number % _SECONDS_A_STEP == 0 and not steps.take(found_until):
                return
            if offset is not None:
                instant = (civil - offset) * SECOND
                if run and following is not None and following <= instant:
                    yield _made(decision, *run)
                    run = []
                following = self._timetable.next(instant - 1)
                if following == instant:
                    continue
            run = [run[0], civil, run[2] + 1] if run else [civil, civil, 1]
        if run:
            yield _made(decision, *run)

    def suppresses(self, instant: int) -> bool:
        """Whether an instant that some entry spans is one that it suppresses."""
        second = instant // SECOND
        span = self.zone.span(second)
        if self._touched and second == span.start and span.before < span.offset:
            return True
        return any(_names(one.expression, second + span.offset) for one in self._touched)


def _end(member: SingleTimetable) -> int:
    """No fire time of an expression is later, nor one that is suppressed."""
    expression = member.expression
    if isinstance(expression, Expression) and (years := expression.days.years) is not None:
        january = date(FIRST_YEAR + years.bit_length(), 1, 1).toordinal() - EPOCH_DAY
        return min((january + 2) * DAY, MAX_INSTANT)
    return MAX_INSTANT


def _names(expression: Expression | Interval, civil: int) -> bool:
    return isinstance(expression, Expression) and expression.civil_at_or_after(civil) == civil


def _merged(expressions: Sequence[Expression], start: int, stop: int) -> Iterator[int]:
    """The civil seconds in [start, stop) that some of the expressions name, in order, each once."""
    found = [one.civil_at_or_after(start) for one in expressions]
    while (civil := min((one for one in found if one is not None), default=stop)) < stop:
        yield civil
        for n, one in enumerate(found):
            if one == civil:
                found[n] = expressions[n].civil_at_or_after(civil + 1)


def _entry(expression: Expression, decision: Decision, start: int, stop: int) -> Suppressed | None:
    """What a decision suppresses of the civil seconds in [start, stop); None for nothing."""
    first = expression.civil_at_or_after(start)
    if first is None or first >= stop:
        return None
    last = expression.civil_at_or_before(stop - 1)
    assert last is not None  # noqa: S101 - the first one at least
    return _made(decision, first, last, expression.civil_count(start, stop))


def _made(decision: Decision, first: int, last: int, count: int) -> Suppressed:
    """The entry for so many civil seconds from one to another."""
    offset = decision.suppressed_offset
    if offset is None:
        jump = decision.at * SECOND
        return Suppressed(jump, jump, _civil(first), _civil(last), count, decision.reason, True)
    first, last = first - offset, last - offset
    local, until_local = _local(first, offset), _local(last, offset)
    return Suppressed(first * SECOND, last * SECOND, local, until_local, count, decision.reason, False)


def _civil(second: int) -> str:
    """A civil second that does not exist."""
    return to_datetime(second * SECOND).replace(tzinfo=None).isoformat()


def _local(second: int, offset: int) -> str:
    """The local time at an instant, in seconds."""
    minutes, seconds = divmod(abs(offset), 60)
    shown = f"{'-' if offset < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"
    return _civil(second + offset) + shown + (f":{seconds:02}" if seconds else "")
