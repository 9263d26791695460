"""Expressions: when a cron job fires. The Unix dialect, decided as Debian's cron decides it.

Invariant: pure integer arithmetic over bit masks, in a bounded number of steps. Every parsed expression fires
again and again, at most 40 years apart (29 February on one weekday, over 2100), so nothing here needs a limit
on how far to look, and no call takes a millisecond, whatever the expression or the range.

Two levels. *Civil minutes* (of a clock on the wall, since 1970-01-01 00:00, no zone) carry the rule: the
`civil_*` methods. `next`, `previous` and `count` are that rule read in UTC. What a zone makes of a civil
minute that does not exist, or exists twice, depends on `wildcard`: the text decides, not the set of minutes.

Source of the rules: `entry.c` and `cron.c` of Debian's cron 3.0pl1. How the text is read: `crontext`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Final

from cronally import crontext
from cronally.instants import MAX_INSTANT, MIN_INSTANT, MINUTE

_EPOCH: Final = date(1970, 1, 1).toordinal()
_EPOCH_WEEKDAY: Final = 4  # a Thursday, counted from Sunday as cron does
_MINUTES_A_DAY: Final = 24 * 60
_CYCLE_YEARS: Final = 400
_CYCLE_DAYS: Final = 146_097  # whole weeks: after 400 years dates and weekdays repeat together

# Repeats the seven bits of a week over the 6 + 31 days that a month can need.
_WEEKS: Final = sum(1 << 7 * week for week in range(6))
# By month from 1: as many bits as the month has days. [0] in a common year, [1] in a leap year.
_LENGTHS: Final = tuple(
    tuple((1 << days) - 1 for days in (0, 31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31))
    for february in (28, 29)
)
_EVERY_MONTH: Final = 0b1_1111_1111_1110
_EVERY_WEEKDAY: Final = 0b111_1111
_EVERY_DAY: Final = (1 << 31) - 1


@dataclass(frozen=True, slots=True, repr=False)
class Expression:
    """One parsed expression. Two are equal when their texts are.

    Instants are microseconds since 1970 UTC; fire times are whole minutes between `MIN_INSTANT` and
    `MAX_INSTANT`, both included.
    """

    text: str
    """As given, with single spaces between the fields."""
    wildcard: bool = field(compare=False)
    """The text of minute or hour starts with `*`: such a job follows real minutes over a change of the clock.
    `0-59` fires at the same minutes as `*`, but is a fixed-time job."""
    minutes: int = field(compare=False)
    """Bit n: fires at minute n."""
    hours: int = field(compare=False)
    """Bit n: fires in hour n."""
    days_of_month: int = field(compare=False)
    """Bit n: day n + 1 of a month."""
    months: int = field(compare=False)
    """Bit n: month n, from 1."""
    weekdays: int = field(compare=False)
    """Bit n: weekday n, from Sunday = 0."""
    both: bool = field(compare=False)
    """The text of day-of-month or day-of-week starts with `*`: a day must match both. Else one is enough."""
    _every_day: bool = field(compare=False)
    _weeks: int = field(compare=False)
    _first: int = field(compare=False)
    _last: int = field(compare=False)

    @classmethod
    def parse(cls, text: str) -> Expression:
        """Read an expression. Raises InvalidExpression, which says what is wrong, where, and what to write.

        Refused as well: an expression that never fires, such as `0 0 31 2 *`.
        """
        read = crontext.read(text)
        # Sunday is 0 and 7.
        weekdays = (read.weekdays | read.weekdays >> 7) & _EVERY_WEEKDAY
        days_of_month = read.days_of_month >> 1
        every = (days_of_month == _EVERY_DAY, weekdays == _EVERY_WEEKDAY)
        minutes, hours = read.minutes, read.hours
        return cls(
            text=read.text,
            wildcard=read.wildcard,
            minutes=minutes,
            hours=hours,
            days_of_month=days_of_month,
            months=read.months,
            weekdays=weekdays,
            both=read.both,
            _every_day=read.months == _EVERY_MONTH and (all(every) if read.both else any(every)),
            _weeks=weekdays * _WEEKS,
            _first=_lowest(hours) * 60 + _lowest(minutes),
            _last=(hours.bit_length() - 1) * 60 + minutes.bit_length() - 1,
        )

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    # In UTC

    def next(self, after: int) -> int | None:
        """The first fire time strictly after an instant; None when it lies beyond `MAX_INSTANT`."""
        if after >= MAX_INSTANT:
            return None
        minute = after // MINUTE + 1 if after >= MIN_INSTANT else MIN_INSTANT // MINUTE
        instant = self.civil_at_or_after(minute) * MINUTE
        return instant if instant <= MAX_INSTANT else None

    def previous(self, before: int) -> int | None:
        """The last fire time strictly before an instant; None when it lies before `MIN_INSTANT`."""
        if before <= MIN_INSTANT:
            return None
        instant = self.civil_at_or_before((min(before - 1, MAX_INSTANT)) // MINUTE) * MINUTE
        return instant if instant >= MIN_INSTANT else None

    def count(self, after: int, until: int, limit: int) -> tuple[int, int | None]:
        """How many fire times lie in (after, until], at most `limit`, and the last one counted.

        The fire times counted are the earliest, so a caller that handled them goes on from the one returned.
        (0, None) when there is none. The cost does not depend on how many there are.
        """
        start = max(after, MIN_INSTANT - 1) // MINUTE + 1
        stop = min(until, MAX_INSTANT) // MINUTE + 1
        if stop <= start or limit < 1:
            return 0, None
        count = self.civil_count(start, stop)
        if count == 0:
            return 0, None
        if count <= limit:
            return count, self.civil_at_or_before(stop - 1) * MINUTE
        return limit, self._civil_nth(start, limit - 1) * MINUTE

    def matches(self, instant: int) -> bool:
        """Whether an instant is a fire time."""
        if not MIN_INSTANT <= instant <= MAX_INSTANT or instant % MINUTE:
            return False
        minute = instant // MINUTE
        return self.civil_at_or_after(minute) == minute

    # In civil time

    def civil_at_or_after(self, minute: int) -> int:
        """The first civil minute that matches, from `minute` on (years 1 to 9950)."""
        day, time = divmod(minute, _MINUTES_A_DAY)
        hour, past = divmod(time, 60)
        if self.hours >> hour & 1 and (later := self.minutes >> past):
            time += _lowest(later)
        elif later := self.hours >> hour + 1:
            time = (hour + 1 + _lowest(later)) * 60 + _lowest(self.minutes)
        else:
            day += 1
            time = self._first
        if not self._every_day:
            found = self._day_at_or_after(day)
            if found != day:
                day = found
                time = self._first
        return day * _MINUTES_A_DAY + time

    def civil_at_or_before(self, minute: int) -> int:
        """The last civil minute that matches, up to `minute` (years 50 to 9999)."""
        day, time = divmod(minute, _MINUTES_A_DAY)
        hour, past = divmod(time, 60)
        if self.hours >> hour & 1 and (earlier := self.minutes & (2 << past) - 1):
            time = hour * 60 + earlier.bit_length() - 1
        elif earlier := self.hours & (1 << hour) - 1:
            time = (earlier.bit_length() - 1) * 60 + self.minutes.bit_length() - 1
        else:
            day -= 1
            time = self._last
        if not self._every_day:
            found = self._day_at_or_before(day)
            if found != day:
                day = found
                time = self._last
        return day * _MINUTES_A_DAY + time

    def civil_count(self, start: int, stop: int) -> int:
        """How many civil minutes match in [start, stop)."""
        first, start_time = divmod(start, _MINUTES_A_DAY)
        last, stop_time = divmod(stop, _MINUTES_A_DAY)
        total = self._days_between(first, last) * self.hours.bit_count() * self.minutes.bit_count()
        if start_time and self._day_fires(first):
            total -= self._times_before(start_time)
        if stop_time and self._day_fires(last):
            total += self._times_before(stop_time)
        return total

    def _civil_nth(self, start: int, n: int) -> int:
        """The civil minute that matches after `n` others that match from `start` on."""
        day, time = divmod(start, _MINUTES_A_DAY)
        if time and self._day_fires(day):
            n += self._times_before(time)
        an_hour = self.minutes.bit_count()
        days, n = divmod(n, self.hours.bit_count() * an_hour)
        hours, minutes = divmod(n, an_hour)
        time = _nth(self.hours, hours) * 60 + _nth(self.minutes, minutes)
        return self._nth_day(day, days) * _MINUTES_A_DAY + time

    def _times_before(self, time: int) -> int:
        """How many times of a day that fires lie before `time`, in minutes since midnight."""
        hour, past = divmod(time, 60)
        times = (self.hours & (1 << hour) - 1).bit_count() * self.minutes.bit_count()
        if self.hours >> hour & 1:
            times += (self.minutes & (1 << past) - 1).bit_count()
        return times

    # Days, numbered from 1970-01-01

    def _days_of(self, year: int, month: int, first: int) -> int:
        """The days of a month that fire, bit 0 for its first day, whose number is `first`."""
        if not self.months >> month & 1:
            return 0
        weeks = self._weeks >> (first + _EPOCH_WEEKDAY) % 7
        days = self.days_of_month & weeks if self.both else self.days_of_month | weeks
        return days & _LENGTHS[_is_leap(year)][month]

    def _day_fires(self, day: int) -> bool:
        return self._every_day or self._day_at_or_after(day) == day

    def _day_at_or_after(self, day: int) -> int:
        on = date.fromordinal(day + _EPOCH)
        year, month, past = on.year, on.month, on.day - 1
        days = self._days_of(year, month, day - past) >> past
        if days:
            return day + _lowest(days)
        while True:
            later = self.months >> month + 1
            if later:
                month += 1 + _lowest(later)
            else:
                year += 1
                month = _lowest(self.months)
            first = date(year, month, 1).toordinal() - _EPOCH
            days = self._days_of(year, month, first)
            if days:
                return first + _lowest(days)

    def _day_at_or_before(self, day: int) -> int:
        on = date.fromordinal(day + _EPOCH)
        year, month, past = on.year, on.month, on.day - 1
        first = day - past
        days = self._days_of(year, month, first) & (2 << past) - 1
        while not days:
            earlier = self.months & (1 << month) - 1
            if not earlier:
                year -= 1
                earlier = self.months
            month = earlier.bit_length() - 1
            first = date(year, month, 1).toordinal() - _EPOCH
            days = self._days_of(year, month, first)
        return first + days.bit_length() - 1

    def _days_between(self, start: int, stop: int) -> int:
        """How many days fire in [start, stop)."""
        if self._every_day:
            return stop - start
        cycles, rest = divmod(stop - start, _CYCLE_DAYS)
        total = self._days_within_a_cycle(start, start + rest)
        if cycles:
            total += cycles * self._days_within_a_cycle(start, start + _CYCLE_DAYS)
        return total

    def _days_within_a_cycle(self, start: int, stop: int) -> int:
        first, last = date.fromordinal(start + _EPOCH), date.fromordinal(stop + _EPOCH)
        total = self._days_in_year_before(last) - self._days_in_year_before(first)
        years = _Years(self)
        return total + sum(years.days(year) for year in range(first.year, last.year))

    def _days_in_year_before(self, on: date) -> int:
        year, month = on.year, on.month
        first = date(year, 1, 1).toordinal() - _EPOCH
        whole = self._days_in_months(year, first, month)
        first = on.toordinal() - on.day + 1 - _EPOCH
        return whole + (self._days_of(year, month, first) & (1 << on.day - 1) - 1).bit_count()

    def _days_in_months(self, year: int, first: int, before: int) -> int:
        """How many days fire in the months of a year before one; `first` is the number of 1 January."""
        total = 0
        lengths = _LENGTHS[_is_leap(year)]
        for month in range(1, before):
            total += self._days_of(year, month, first).bit_count()
            first += lengths[month].bit_length()
        return total

    def _nth_day(self, start: int, n: int) -> int:
        """The day that fires after `n` others that fire from `start` on."""
        if self._every_day:
            return start + n
        on = date.fromordinal(start + _EPOCH)
        n += self._days_in_year_before(on)
        years = _Years(self)
        year, wanted = on.year, n
        while n >= (days := years.days(year)):
            n -= days
            year += 1
            if year - on.year == _CYCLE_YEARS:
                cycles, n = divmod(wanted, wanted - n)
                year = on.year + cycles * _CYCLE_YEARS
        month, first = 1, date(year, 1, 1).toordinal() - _EPOCH
        while n >= (mask := self._days_of(year, month, first)).bit_count():
            n -= mask.bit_count()
            first += _LENGTHS[_is_leap(year)][month].bit_length()
            month += 1
        return first + _nth(mask, n)


class _Years:
    """How many days fire in whole years: there are only fourteen kinds of year."""

    __slots__ = ("_days", "_expression")

    def __init__(self, expression: Expression) -> None:
        self._expression = expression
        self._days: dict[tuple[int, bool], int] = {}

    def days(self, year: int) -> int:
        january = date(year, 1, 1).toordinal() - _EPOCH
        kind = (january % 7, _is_leap(year))
        if kind not in self._days:
            self._days[kind] = self._expression._days_in_months(year, january, 13)
        return self._days[kind]


@lru_cache(maxsize=20_000)
def expression(text: str) -> Expression:
    """`Expression.parse`, remembered: ten thousand cron jobs share the few expressions that people write."""
    return Expression.parse(text)


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _lowest(mask: int) -> int:
    """The number of the lowest bit that is set."""
    return (mask & -mask).bit_length() - 1


def _nth(mask: int, n: int) -> int:
    """The number of the bit that is set above `n` others."""
    for _ in range(n):
        mask &= mask - 1
    return _lowest(mask)
