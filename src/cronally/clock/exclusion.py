"""What a cron job excludes: which instants the dates are in its zone, on which it does not fire.

Invariant: a date is the time from its first instant in a zone until the first instant of the next date: where the clock
skips midnight, from the first instant that there is, and a date that a zone left out is empty. So dates follow one
another without a gap, whatever the clock does. Of several entries that hold a date, the first in sorted order is the
cause.

Nothing is made of a zone's dates but what is asked for: a calendar of a thousand ranges costs a few searches.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from cronally.clock.dates import Days, days_of, is_name
from cronally.clock.preview import local_time
from cronally.clock.timetable import Timetable
from cronally.clock.tzif import Zone
from cronally.firing import Reason
from cronally.instants import SECOND

_DAY: Final = 86_400
_NEAR: Final = 26 * 3600
"""No offset is as large. Seconds."""
_NEVER: Final = 1 << 62
"""An instant after all others."""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """What a cron job excludes, whatever its zone. Equal ones exclude the same."""

    rules: tuple[tuple[str, str | None], ...]
    """The entries in sorted order, each with its dates as they are stored; None for a calendar that there is not."""

    @classmethod
    def of(cls, entries: Collection[str] | None, calendars: Mapping[str, str]) -> Exclusion | None:
        """The exclusion of a cron job; None where it excludes nothing.

        :param entries: dates, ranges and names of calendars
        :param calendars: the dates of each of these, JSON, by its name
        """
        if not entries:
            return None
        return cls(
            tuple([(one, calendars.get(one) if is_name(one) else one) for one in sorted(set(entries))])
        )

    def within(self, zone: Zone) -> Excluded:
        """The same in a zone. Raises ValueError for a calendar that there is not, or dates that cannot be read."""
        rules = []
        for cause, dates in self.rules:
            if dates is None:
                raise ValueError(f'it excludes the calendar "{cause}", and the account has no such calendar')
            rules.append((cause, days_of(dates)))
        return Excluded(rules, zone)


class Segment(NamedTuple):
    """A stretch of time that is excluded for one cause, or not at all."""

    until: int
    """An instant, not included."""
    cause: str | None
    """The entry that excludes it; None: it is not excluded."""


class Excluded:
    """What a cron job excludes in its zone. Instants are microseconds since 1970 UTC."""

    def __init__(self, rules: Sequence[tuple[str, Days]], zone: Zone) -> None:
        self._rules = rules
        self._zone = zone
        # From when on the segment that was asked for last is known.
        self._known: tuple[int, Segment] = (0, Segment(0, None))

    def segment(self, at: int) -> Segment:
        """The stretch that an instant lies in, from there on."""
        since, known = self._known
        if since <= at < known.until:
            return known
        day = self._day(at)
        until, cause = _NEVER, None
        for name, (starts, stops) in self._rules:
            place = bisect_right(starts, day)
            if place and day < stops[place - 1]:
                until, cause = min(until, stops[place - 1]), name
                break
            if place < len(starts):
                until = min(until, starts[place])
        found = Segment(until if until == _NEVER else self._first(until), cause)
        self._known = at, found
        return found

    def cause(self, at: int) -> str | None:
        """The entry that excludes an instant; None if none does."""
        return self.segment(at).cause

    def last_included(self, times: Timetable, before: int, since: int) -> int | None:
        """The last fire time in [since, before) that is not excluded. A step for each range that it passes."""
        while (at := times.previous(before)) is not None and at >= since:
            held = self._range(at)
            if held is None:
                return at
            before = self._first(held[0])
        return None

    def first_included(self, times: Timetable, at: int | None, most: int) -> tuple[int | None, bool]:
        """The first fire time from `at` on, itself one, that is not excluded, and whether all were looked through.

        :param most: so many ranges are passed; with more of them nothing is found, and not all were looked through
        """
        for _ in range(most):
            held = None if at is None else self._range(at)
            if held is None:
                return at, True
            at = times.next(self._first(held[1]) - 1)
        return None, at is None

    def _range(self, at: int) -> tuple[int, int] | None:
        """The first day of a range that an instant lies in, and the day after its last; None if it lies in none."""
        day = self._day(at)
        for _, (starts, stops) in self._rules:
            place = bisect_right(starts, day)
            if place and day < stops[place - 1]:
                return starts[place - 1], stops[place - 1]
        return None

    def _day(self, at: int) -> int:
        """The date that an instant belongs to."""
        second = at // SECOND
        day = (second + self._zone.span(second).offset) // _DAY
        # A clock that is set back over midnight shows the date before once more, which has ended.
        while self._first(day + 1) <= at:
            day += 1
        return day

    def _first(self, day: int) -> int:
        """The first instant at which the local date is this one or a later one."""
        midnight = day * _DAY
        index = self._zone.index(midnight - _NEAR)
        while True:
            span = self._zone.span_at(index)
            second = max(span.start, midnight - span.offset)
            if second < span.stop:
                return second * SECOND
            index += 1


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Fire times that one entry excludes, as a preview shows them."""

    scheduled_at: int
    """The first."""
    until_at: int
    """The last."""
    local: str
    """The local time of the first, with the offset."""
    until_local: str
    count: int
    cause: str
    reason: Reason = Reason.EXCLUDED


def left_out(times: Timetable, first: int, segment: Segment) -> LeftOut:
    """What a segment excludes from one of its fire times on."""
    count = times.count(first, segment.until - 1)
    last = (times.previous(segment.until) if count else None) or first
    local, until_local = local_time(times.zone, first), local_time(times.zone, last)
    return LeftOut(first, last, local, until_local, 1 + count, segment.cause or "")
