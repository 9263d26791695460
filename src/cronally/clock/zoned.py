"""When an expression fires in a zone: the fire times of its timetable there.

Invariant: fire times are instants, strictly ascending, at most one at each. Between two changes of the offset they
are the civil times that match; around a change `dst` decides. No call takes a millisecond: changes that no
fire time is near are stepped over, not walked through.
"""

from __future__ import annotations

from datetime import date
from typing import Final, NamedTuple

from cronally.clock.dst import LONGEST_GAP, LONGEST_OVERLAP, DstGap, DstOverlap
from cronally.clock.tzif import FOREVER, LISTED_UNTIL, Change, Span, Zone
from cronally.cron.days import EPOCH, FIRST_YEAR, is_leap
from cronally.cron.expression import Expression
from cronally.instants import MAX_INSTANT, MIN_INSTANT, SECOND

_DAY: Final = 86_400
_CYCLE_YEARS: Final = 400
_ALL_KINDS: Final = 42 * 366 * _DAY
"""In so long a time every kind of year comes whole: of fourteen, by the weekday of its first day and by its length."""
_STEPS: Final = 40  # as far as a guess at the n-th fire time is corrected one by one


class Stretch(NamedTuple):
    """What fires in one span: the civil times that match in [low, high), and those moved out of a gap before it."""

    low: int
    high: int
    offset: int
    jump: int
    """Where the gap ended, the start of the span."""
    moved_until: int
    """Moved fire times lie in [jump, moved_until); `jump` when none are moved."""
    before: int
    """The offset before the jump."""


class ZonedTimes:
    """The fire times of one expression in one zone, by one policy. Seconds since 1970."""

    __slots__ = ("_plain", "dst_gap", "dst_overlap", "expression", "zone")

    def __init__(self, expression: Expression, zone: Zone, gap: DstGap, overlap: DstOverlap) -> None:
        self.expression = expression
        self.zone = zone
        self.dst_gap = gap
        self.dst_overlap = overlap
        # The part of the span asked for last in which nothing needs a decision: from, until, offset.
        self._plain = (0, 0, 0)

    def at_or_after(self, second: int) -> int | None:
        """The first fire time from an instant on."""
        low, high, offset = self._plain
        if low <= second < high:
            civil = self.expression.civil_at_or_after(second + offset)
            if civil is not None and civil - offset < high:
                return civil - offset
        whole = False  # nothing in a whole span has fired
        # What no kind of year lets fire never fires: a change of the clock suppresses all that it names.
        horizon = max(second, self.zone.listed_until) + _ALL_KINDS
        while True:
            span = self.zone.span(second)
            stretch = self._stretch(span)
            found, civil = self._first_in(stretch, second)
            if found is not None:
                return found
            if span.stop == FOREVER or (whole and civil is None):
                return None
            if second > horizon and self.expression.days.years is None:
                return None
            second = span.stop
            if whole and civil is not None:
                # Nothing fires between here and near the next civil time that matches.
                second = max(second, civil - stretch.offset - 2 * _DAY)
            whole = True

    def at_or_before(self, second: int) -> int | None:
        """The last fire time up to an instant."""
        low, high, offset = self._plain
        if low <= second < high:
            civil = self.expression.civil_at_or_before(second + offset)
            if civil is not None and civil - offset >= low:
                return civil - offset
        whole = False
        horizon = second - _ALL_KINDS
        while True:
            span = self.zone.span(second)
            stretch = self._stretch(span)
            found, civil = self._last_in(stretch, second)
            if found is not None:
                return found
            if span.start == -FOREVER or (whole and civil is None):
                return None
            second = span.start - 1
            if self.zone.listed_until < second < horizon and self.expression.days.years is None:
                # Before that, only years of the list may have other changes.
                second, whole = self.zone.listed_until, False
                continue
            if whole and civil is not None:
                second = min(second, civil - stretch.offset + 2 * _DAY)
            whole = True

    def count(self, start: int, stop: int) -> int:
        """How many fire times lie in [start, stop)."""
        first = self.zone.span(start)
        if stop <= first.stop:
            return self._count_in(first, start, stop)
        last = self.zone.span(stop - 1)
        total = self._count_in(first, start, first.stop) + self._count_in(last, last.start, stop)
        if first.stop < last.start:
            opening = Change(first.stop, first.offset, first.then)
            closing = Change(last.start, last.before, last.offset)
            total += self.expression.civil_count(opening.at + opening.offset, closing.at + closing.before)
            total += (
                self._begins(opening) + self._ends(closing) + self._changed_between(opening.at, closing.at)
            )
        return total

    def nth(self, start: int, n: int) -> int | None:
        """The fire time after `n` others from an instant on."""
        span = self.zone.span(start)
        civil, off = start + span.offset, n
        # Changes of the clock make few fire times more or less: a guess without them is near, and soon right.
        guess, missing = start, n
        for _ in range(8):
            guess = max(self.expression.civil_nth(civil, max(off, 0)) - span.offset, start)
            missing = n - self.count(start, guess)
            if abs(missing) <= _STEPS:
                break
            off += missing
        found = self.at_or_after(guess)
        while found is not None and missing:
            found = self.at_or_after(found + 1) if missing > 0 else self.at_or_before(found - 1)
            missing += -1 if missing > 0 else 1
        return found

    # One span

    def _stretch(self, span: Span) -> Stretch:
        start, stop, offset, before, then = span
        low, high, moved_until = start, stop, start
        change = offset - before
        if 0 < change <= LONGEST_GAP:
            if self.dst_gap is DstGap.RUN_AT_JUMP:
                moved_until = start + 1
            elif self.dst_gap is DstGap.SHIFT:
                moved_until = start + change
        elif -LONGEST_OVERLAP <= change < 0 and self.dst_overlap is DstOverlap.FIRST:
            low = start - change
        if 0 < offset - then <= LONGEST_OVERLAP and self.dst_overlap is DstOverlap.LAST:
            high = stop - (offset - then)
        self._plain = (max(low, moved_until), high, offset)
        return Stretch(low, high, offset, start, moved_until, before)

    def _first_in(self, stretch: Stretch, second: int) -> tuple[int | None, int | None]:
        """The first fire time of a stretch from an instant on, and the first civil time that matches."""
        low, high, offset, jump, moved_until, before = stretch
        civil = self.expression.civil_at_or_after(max(second, low) + offset)
        found = None if civil is None or civil - offset >= high else civil - offset
        if second < moved_until:
            moved_from = second if self.dst_gap is DstGap.SHIFT else jump
            moved = self.expression.civil_at_or_after(max(moved_from, jump) + before)
            if moved is not None and moved < jump + offset and second <= (at := self._moved(moved, stretch)):
                found = at if found is None else min(found, at)
        return found, civil

    def _last_in(self, stretch: Stretch, second: int) -> tuple[int | None, int | None]:
        low, high, offset, jump, moved_until, before = stretch
        civil = self.expression.civil_at_or_before(min(second, high - 1) + offset)
        found = None if civil is None or civil - offset < low else civil - offset
        if jump < moved_until and second >= jump:
            shifts = self.dst_gap is DstGap.SHIFT
            last = min(second, moved_until - 1) + before if shifts else jump + offset - 1
            moved = self.expression.civil_at_or_before(last)
            if moved is not None and moved >= jump + before:
                at = self._moved(moved, stretch)
                found = at if found is None else max(found, at)
        return found, civil

    def _moved(self, civil: int, stretch: Stretch) -> int:
        """Where a civil time of the gap fires."""
        return civil - stretch.before if self.dst_gap is DstGap.SHIFT else stretch.jump

    def _count_in(self, span: Span, start: int, stop: int) -> int:
        """How many fire times lie in [start, stop), which a span holds."""
        low, high, offset, _, _, _ = self._stretch(span)
        first, last = max(start, low), min(stop, high)
        total = self.expression.civil_count(first + offset, last + offset) if first < last else 0
        if span.before < offset:
            total += self._moved_in(Change(span.start, span.before, offset), start, stop)
        return total

    # One change

    def _begins(self, change: Change) -> int:
        """By how much the span after a change has more fire times than its civil times."""
        at, before, offset = change
        if before < offset:
            return self._moved_in(change, at, at + offset - before)
        if before - offset <= LONGEST_OVERLAP and self.dst_overlap is DstOverlap.FIRST:
            return -self.expression.civil_count(at + offset, at + before)
        return 0

    def _ends(self, change: Change) -> int:
        """By how much the span before a change has more fire times than its civil times."""
        at, before, offset = change
        if 0 < before - offset <= LONGEST_OVERLAP and self.dst_overlap is DstOverlap.LAST:
            return -self.expression.civil_count(at + offset, at + before)
        return 0

    def _changed(self, change: Change) -> int:
        """By how much a change makes fire times more than the civil times that pass."""
        at, before, offset = change
        if before < offset:
            skipped = self.expression.civil_count(at + before, at + offset)
            return self._moved_in(change, at, at + offset - before) - skipped if skipped else 0
        if before - offset <= LONGEST_OVERLAP and self.dst_overlap is not DstOverlap.BOTH:
            return 0
        return self.expression.civil_count(at + offset, at + before)

    def _moved_in(self, change: Change, start: int, stop: int) -> int:
        """How many instants in [start, stop) fire for the gap alone."""
        at, before, offset = change
        length = offset - before
        if length > LONGEST_GAP or self.dst_gap is DstGap.SKIP:
            return 0
        if self.dst_gap is DstGap.RUN_AT_JUMP:
            fires = start <= at < stop and self.expression.civil_count(at + before, at + offset)
            return 1 if fires and not self.expression.civil_count(at + offset, at + offset + 1) else 0
        first, last = max(start, at), min(stop, at + length)
        if first >= last:
            return 0
        return self.expression.civil_count_alone(first + before, last + before, length)

    def _changed_between(self, start: int, stop: int) -> int:
        """The sum of `_changed` over the changes with start < t < stop."""
        years = self.expression.days.years
        if years is not None:
            stop = min(stop, _january(FIRST_YEAR + years.bit_length()) + 2 * _DAY)
        listed = _january(LISTED_UNTIL + 1)
        whole = range(LISTED_UNTIL + 1, date.fromordinal(max(stop, 0) // _DAY + EPOCH).year)
        if years is not None or start >= listed or len(whole) < 20:
            return sum(self._changed(change) for change in self.zone.changes(start, stop))
        total = sum(self._changed(change) for change in self.zone.changes(start, listed))
        total += sum(self._changed(change) for change in self.zone.changes(_january(whole.stop) - 1, stop))
        # By the rule of a zone a year's changes depend on its kind, and there are fourteen kinds.
        kinds: dict[tuple[int, bool], int] = {}
        cycles, rest = divmod(len(whole), _CYCLE_YEARS)
        for index, year in enumerate(whole[:_CYCLE_YEARS]):
            january = _january(year)
            kind = (january // _DAY % 7, is_leap(year))
            if kind not in kinds:
                changes = self.zone.changes(january - 1, _january(year + 1))
                kinds[kind] = sum(self._changed(change) for change in changes)
            total += kinds[kind] * (cycles + (index < rest))
        return total


def _january(year: int) -> int:
    """The start of a year in UTC."""
    return (date(year, 1, 1).toordinal() - EPOCH) * _DAY


def first_second(after: int) -> int:
    """The first second at which something may fire that is strictly later than an instant in microseconds."""
    return after // SECOND + 1 if after >= MIN_INSTANT else MIN_INSTANT // SECOND


def last_second(before: int) -> int:
    """The last second at which something may fire that is strictly earlier than an instant in microseconds."""
    return min(before - 1, MAX_INSTANT) // SECOND
