"""How close to each other the fire times of several expressions come.

Invariant: what is found too close is found whatever day it falls on, and never overlooked; where the clock is not
changed, as with one expression. Two expressions of the calendar are looked at exactly, days and all. Of an interval
beside one of them the days are not looked at: it is too close if it would be on any day. The cost is bounded by the
calendar, not by what is asked for.

Seconds, if not said otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import gcd
from typing import Final, NamedTuple

from cronally.clock.timetable import IntervalTimetable, SingleTimetable, Timetable
from cronally.clock.tzif import Zone
from cronally.cron.expression import Expression, day_mask
from cronally.cron.interval import Interval
from cronally.instants import MAX_INSTANT, SECOND

_DAY: Final = 86_400


class TooClose(NamedTuple):
    """Two expressions with fire times that are too close to each other."""

    one: str
    other: str
    distance: int
    """Microseconds."""
    counted: bool
    """One of them alone is an interval: what it is counted from decides."""


def too_close(table: Timetable, least: int) -> TooClose | None:
    """The first two expressions of a timetable that come closer to each other than `least` microseconds.

    Each of them keeps that distance by itself. One instant at which both fire is one fire time.
    """
    width = -(-least // SECOND) - 1
    if width < 1:
        return None
    calendars = _Calendars(table.members, width)
    for one, other in combinations(range(len(table.members)), 2):
        first, second = table.members[one], table.members[other]
        match isinstance(first, IntervalTimetable), isinstance(second, IntervalTimetable):
            case True, True:
                found = _of_intervals(first, second)
            case False, False:
                found = calendars.distance(one, other)
            case True, False:
                found = _of_both(first, second, table.zone)
            case _:
                found = _of_both(second, first, table.zone)
        if found is not None and found <= width:
            counted = isinstance(first, IntervalTimetable) != isinstance(second, IntervalTimetable)
            return TooClose(str(first.expression), str(second.expression), found * SECOND, counted)
    return None


def _of_intervals(one: SingleTimetable, other: SingleTimetable) -> int | None:
    """The shortest distance that two intervals come to."""
    (first, period), (second, other_period) = _steps(one), _steps(other)
    common = gcd(period, other_period)
    apart = (second - first) % common
    return min(apart, common - apart) or common


def _of_both(interval: SingleTimetable, calendar: SingleTimetable, zone: Zone) -> int | None:
    """The shortest distance of an interval to an expression of the calendar, on whatever day."""
    first, period = _steps(interval)
    assert isinstance(calendar.expression, Expression)  # noqa: S101 - for the type checker
    common = gcd(period, _DAY)
    times = _residues(calendar.expression, common)
    offsets = {zone.span(first).offset, *(one.offset for one in zone.changes(first, MAX_INSTANT // SECOND))}
    found = common
    for offset in offsets:
        around = _turned(times, -(offset + first) % common, common) & ~1
        if around:
            found = min(found, _lowest(around), common - (around.bit_length() - 1))
    return found


def _steps(interval: SingleTimetable) -> tuple[int, int]:
    """When an interval fires first, were it not for the bounds of its cron job, and its period."""
    expression = interval.expression
    assert isinstance(interval, IntervalTimetable)  # noqa: S101 - for the type checker
    assert isinstance(expression, Interval)  # noqa: S101 - for the type checker
    period = expression.period // SECOND
    return interval.anchor // SECOND + period, period


def _residues(expression: Expression, modulus: int) -> int:
    """The seconds of a day that an expression names, modulo a number: bit n for n."""
    found = 0
    for second in _bits(expression.seconds):
        found |= 1 << second % modulus
    minutes = 0
    for minute in _bits(expression.minutes):
        minutes |= _turned(found, 60 * minute % modulus, modulus)
    hours = 0
    for hour in _bits(expression.hours):
        hours |= _turned(minutes, 3600 * hour % modulus, modulus)
    return hours


def _turned(mask: int, by: int, modulus: int) -> int:
    """A mask of so many bits turned to the left."""
    turned = mask << by
    return (turned | turned >> modulus) & (1 << modulus) - 1


class _Calendars:
    """The times and days of expressions of the calendar, each computed when it is asked for."""

    def __init__(self, members: Sequence[SingleTimetable], width: int) -> None:
        """
        :param width: distances up to this are looked for
        """
        self._expressions = [one.expression for one in members]
        self._width = width
        self._times: dict[int, int] = {}
        self._after: dict[int, int] = {}
        self._days: dict[int, int] = {}
        self._all_years = any(
            isinstance(one, Expression) and one.days.years is not None for one in self._expressions
        )

    def distance(self, one: int, other: int) -> int | None:
        """The distance of two that are too close, by their numbers; None where they are not."""
        found = [self._behind(one, other), self._behind(other, one)]
        return min((distance for distance in found if distance is not None), default=None)

    def _behind(self, one: int, other: int) -> int | None:
        """How soon after a fire time of `one` the `other` has one, if that is too soon."""
        times = self._times_of(other)
        for later in range((_DAY - 1 + self._width) // _DAY + 1):
            near = self._after_of(one) >> _DAY * later & times
            if near and self._days_of(one) & self._days_of(other) >> later:
                time = _lowest(near) + _DAY * later
                earlier = self._times_of(one) & (1 << time) - 1
                return time - (earlier.bit_length() - 1)
        return None

    def _expression(self, number: int) -> Expression:
        expression = self._expressions[number]
        assert isinstance(expression, Expression)  # noqa: S101 - for the type checker
        return expression

    def _times_of(self, number: int) -> int:
        if number not in self._times:
            one = self._expression(number)
            self._times[number] = day_mask(one.seconds, one.minutes, one.hours)
        return self._times[number]

    def _after_of(self, number: int) -> int:
        """The seconds that come too soon after one of its times."""
        if number not in self._after:
            self._after[number] = _spread(self._times_of(number) << 1, self._width)
        return self._after[number]

    def _days_of(self, number: int) -> int:
        if number not in self._days:
            self._days[number] = self._expression(number).days.calendar(self._all_years)
        return self._days[number]


def _spread(mask: int, width: int) -> int:
    """Each bit of a mask as so many bits, from it on."""
    done = 1
    while done < width:
        step = min(done, width - done)
        mask |= mask << step
        done += step
    return mask


def _bits(mask: int) -> list[int]:
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]


def _lowest(mask: int) -> int:
    """The number of the lowest bit that is set."""
    return (mask & -mask).bit_length() - 1
