"""What a timetable will do, said beforehand: its fire times, and at each what a change of the clock made of it.

Invariant: the fire times are those of `Timetable.next`, none more and none less. Whatever a change of the clock
moves, doubles or suppresses is named once, with its reason: what is suppressed stands in its place between
the fire times, all that one change suppresses in one entry.

Instants are microseconds since 1970 UTC; local times are ISO 8601, with the offset where they exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from cronally.clock.dst import LONGEST_GAP, LONGEST_OVERLAP, DstGap, DstOverlap
from cronally.clock.timetable import Timetable
from cronally.clock.tzif import Change, Zone
from cronally.cron import Expression
from cronally.cron.days import EPOCH as EPOCH_DAY
from cronally.cron.days import FIRST_YEAR
from cronally.firing import Reason
from cronally.instants import DAY, MAX_INSTANT, MIN_INSTANT, SECOND, to_datetime


class Mark(StrEnum):
    """What a change of the clock made of a fire time."""

    MOVED = "moved"
    """Its local time does not exist on that day, and it fires at another."""
    DOUBLED = "doubled"
    """Its local time comes for the second time, and it fires again."""
    SUPPRESSED = "suppressed"
    """It does not fire."""


@dataclass(frozen=True, slots=True)
class FireTime:
    """One fire time."""

    scheduled_at: int
    local: str
    """With the offset: `2026-03-08T03:00:00-04:00`."""
    mark: Mark | None = None
    reason: Reason | None = None
    instead_of: str | None = None
    """Moved: the local time, which does not exist, that it was to fire at; the first of `count`."""
    count: int = 1
    """Moved: so many fire times became this one."""


@dataclass(frozen=True, slots=True)
class Suppressed:
    """Fire times, side by side, that one change of the clock suppresses."""

    scheduled_at: int
    """When the first would fire. In a gap, where no local time is an instant: when the clock jumped."""
    until_at: int
    """When the last would fire."""
    local: str
    """The local time of the first; with the offset where it exists."""
    until_local: str
    count: int
    reason: Reason
    mark: Mark = Mark.SUPPRESSED


@dataclass(frozen=True, slots=True)
class NoFireTime:
    """An instant at which nothing was to fire, and what is on both sides of it."""

    previous: int | None
    next: int | None


def preview(timetable: Timetable, after: int) -> Iterator[FireTime | Suppressed]:
    """The fire times strictly after an instant, and what is suppressed between them, in order, as long as asked."""
    changes = _Changes(timetable)
    while True:
        following = timetable.next(after)
        yield from changes.suppressed(after, changes.end if following is None else following)
        if following is None:
            return
        yield changes.fire_time(following)
        after = following


def suppressed(timetable: Timetable, after: int, until: int) -> Iterator[Suppressed]:
    """What changes of the clock suppress in (after, until], in order: what a ledger has to say of them.

    An entry is given where its `scheduled_at` lies in the range. Left out is what no policy decided: a wildcard
    job has no fire times at minutes that do not exist. An entry may share its instant with a fire time.
    """
    for entry in _Changes(timetable).suppressed(after, until):
        if entry.reason is not Reason.REAL_MINUTES:
            yield entry


def explain(timetable: Timetable, instant: int) -> FireTime | Suppressed | NoFireTime:
    """What a timetable has at an instant, to the second: a fire time, one that was suppressed, or nothing."""
    instant -= instant % SECOND
    changes = _Changes(timetable)
    if timetable.matches(instant):
        return changes.fire_time(instant)
    for entry in changes.suppressed(instant - 2 * DAY, instant):
        if entry.scheduled_at <= instant <= entry.until_at and changes.would_fire(instant):
            return entry
    return NoFireTime(timetable.previous(instant), timetable.next(instant))


def held_back(timetable: Timetable, instant: int, reason: str) -> int | None:
    """When what a repeated hour suppresses at an instant fires: the other instant with its local time.

    None where the reason is another one.
    """
    second = instant // SECOND
    span = timetable.zone.span(second)
    if reason == Reason.DST_OVERLAP_FIRST and span.before > span.offset:
        return (second - (span.before - span.offset)) * SECOND
    if reason == Reason.DST_OVERLAP_LAST and span.offset > span.then:
        return (second + (span.offset - span.then)) * SECOND
    return None


def jumped_over(timetable: Timetable, instant: int) -> tuple[str, FireTime | Suppressed] | None:
    """For an instant just after a gap: its local time by the clock before, and what the gap made of it.

    None where the expression does not name that local time: whoever asks about 02:30 in winter time on the day of the
    jump means the fire time that does not exist.
    """
    second = instant // SECOND
    span, expression = timetable.zone.span(second), timetable.expression
    local = second + span.before
    if not 0 < second - span.start < span.offset - span.before or not isinstance(expression, Expression):
        return None
    if expression.civil_at_or_after(local) != local:
        return None
    made = explain(timetable, span.start * SECOND)
    return None if isinstance(made, NoFireTime) or made.mark is None else (_civil(local), made)


def local_time(zone: Zone, instant: int) -> str:
    """The local time at an instant, to the second, with the offset."""
    second = instant // SECOND
    return _local(second, zone.span(second).offset)


class _Changes:
    """What changes of the clock make of the fire times of one timetable."""

    def __init__(self, timetable: Timetable) -> None:
        self.timetable = timetable
        self.zone = timetable.zone
        expression = timetable.expression
        # No change of a clock touches an interval.
        self.expression = expression if isinstance(expression, Expression) else None
        gap, overlap = timetable.chosen
        wildcard = self.expression is not None and self.expression.wildcard
        self._gap_by_default = wildcard and gap is None
        self._overlap_by_default = wildcard and overlap is None

    @property
    def end(self) -> int:
        """No fire time is later, nor one that is suppressed."""
        if self.expression is not None and (years := self.expression.days.years) is not None:
            january = date(FIRST_YEAR + years.bit_length(), 1, 1).toordinal() - EPOCH_DAY
            return min((january + 2) * DAY, MAX_INSTANT)
        return MAX_INSTANT

    def fire_time(self, instant: int) -> FireTime:
        second = instant // SECOND
        span = self.zone.span(second)
        plain = FireTime(instant, _local(second, span.offset))
        if self.expression is None or span.before == span.offset:
            return plain
        length = span.offset - span.before
        since = second - span.start
        if length > 0:
            gap = Change(span.start, span.before, span.offset)
            return self._moved(self.expression, plain, gap, since) or plain
        if since >= -length:
            return plain
        if -length > LONGEST_OVERLAP:
            return FireTime(instant, plain.local, Mark.DOUBLED, Reason.NEW_CLOCK)
        if self.timetable.dst_overlap is not DstOverlap.BOTH:
            return plain
        reason = Reason.REAL_MINUTES if self._overlap_by_default else Reason.DST_OVERLAP_BOTH
        return FireTime(instant, plain.local, Mark.DOUBLED, reason)

    def _moved(self, expression: Expression, plain: FireTime, gap: Change, since: int) -> FireTime | None:
        length = gap.offset - gap.before
        if length > LONGEST_GAP or since >= length:
            return None
        start, stop = gap.at + gap.before, gap.at + gap.offset
        if self.timetable.dst_gap is DstGap.SHIFT:
            start += since
            stop = start + 1
        elif self.timetable.dst_gap is DstGap.SKIP or since > 0:
            return None
        count = expression.civil_count(start, stop)
        first = expression.civil_at_or_after(start)
        if count == 0 or first is None:
            return None
        reason = (
            Reason.DST_GAP_SHIFT if self.timetable.dst_gap is DstGap.SHIFT else Reason.DST_GAP_RUN_AT_JUMP
        )
        return FireTime(plain.scheduled_at, plain.local, Mark.MOVED, reason, _civil(first), count)

    def suppressed(self, after: int, until: int) -> Iterator[Suppressed]:
        """The entries that begin in (after, until]."""
        if self.expression is None:
            return
        after, until = max(after, MIN_INSTANT - 1), min(until, self.end)
        # An entry stands at most a day before or after the change that makes it.
        for change in self.zone.changes((after - DAY) // SECOND, (until + DAY) // SECOND):
            entry = self._at(self.expression, change)
            if entry is not None and after < entry.scheduled_at <= until:
                yield entry

    def _at(self, expression: Expression, change: Change) -> Suppressed | None:
        at, before, offset = change
        if before < offset:
            if offset - before > LONGEST_GAP:
                reason = Reason.REAL_MINUTES if self._gap_by_default else Reason.NEW_CLOCK
            elif self.timetable.dst_gap is DstGap.SKIP:
                reason = Reason.REAL_MINUTES if self._gap_by_default else Reason.DST_GAP_SKIP
            else:
                return None
            return _entry(expression, at + before, at + offset, None, at, reason)
        if before - offset > LONGEST_OVERLAP or self.timetable.dst_overlap is DstOverlap.BOTH:
            return None
        if self.timetable.dst_overlap is DstOverlap.FIRST:
            return _entry(expression, at + offset, at + before, offset, at, Reason.DST_OVERLAP_FIRST)
        return _entry(expression, at + offset, at + before, before, at, Reason.DST_OVERLAP_LAST)

    def would_fire(self, instant: int) -> bool:
        """Whether an instant that some entry spans is one that it suppresses."""
        if self.expression is None:
            return False
        second = instant // SECOND
        span = self.zone.span(second)
        if second == span.start and span.before < span.offset:
            return True
        return self.expression.civil_at_or_after(second + span.offset) == second + span.offset


def _entry(
    expression: Expression, start: int, stop: int, offset: int | None, jump: int, reason: Reason
) -> Suppressed | None:
    """What is suppressed of the local times in [start, stop); `offset`: by which they are instants."""
    count = expression.civil_count(start, stop)
    first, last = expression.civil_at_or_after(start), expression.civil_at_or_before(stop - 1)
    if count == 0 or first is None or last is None:
        return None
    if offset is None:
        return Suppressed(jump * SECOND, jump * SECOND, _civil(first), _civil(last), count, reason)
    first, last = first - offset, last - offset
    return Suppressed(
        first * SECOND, last * SECOND, _local(first, offset), _local(last, offset), count, reason
    )


def _civil(second: int) -> str:
    """A civil second that does not exist."""
    return to_datetime(second * SECOND).replace(tzinfo=None).isoformat()


def _local(second: int, offset: int) -> str:
    """The local time at an instant, in seconds."""
    minutes, seconds = divmod(abs(offset), 60)
    shown = f"{'-' if offset < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"
    return _civil(second + offset) + shown + (f":{seconds:02}" if seconds else "")
