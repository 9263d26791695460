"""The days on which an expression fires: day-of-month, month, day-of-week and year, over the whole calendar.

Invariant: pure integer arithmetic over bit masks. A search takes at most one step for each month up to the year 2200,
and in fact few, as two days of a rule without years are at most 40 years apart (29 February on one weekday, over 2100).

Days are numbered from 1970-01-01, which is 0. Source of the rule: `entry.c` and `cron.c` of Debian's cron 3.0pl1;
of `L`, `W` and `#`: the documentation of Amazon EventBridge's cron expressions; of `L-3`: `CronExpression.java` of
Quartz 2.5, where it is the last day less three, and the offset is 30 at most.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Final

EPOCH: Final = date(1970, 1, 1).toordinal()
FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 2200
_EPOCH_WEEKDAY: Final = 4  # a Thursday, counted from Sunday as cron does

EVERY_MONTH: Final = 0b1_1111_1111_1110
EVERY_WEEKDAY: Final = 0b111_1111
EVERY_DAY: Final = (1 << 31) - 1
# Repeats the seven bits of a week over the 6 + 31 days that a month can need.
_WEEKS: Final = sum(1 << 7 * week for week in range(6))
# By month from 1: as many bits as the month has days. [0] in a common year, [1] in a leap year.
_LENGTHS: Final = tuple(
    tuple((1 << days) - 1 for days in (0, 31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31))
    for february in (28, 29)
)
_MONDAY_TO_FRIDAY: Final = 0b011_1110 * _WEEKS


@dataclass(frozen=True, slots=True)
class Days:
    """Which days fire."""

    days_of_month: int = EVERY_DAY
    """Bit n: day n + 1 of a month."""
    months: int = EVERY_MONTH
    """Bit n: month n, from 1."""
    weekdays: int = EVERY_WEEKDAY
    """Bit n: weekday n, from Sunday = 0."""
    both: bool = True
    """A day must match both day-of-month and day-of-week. Else one is enough."""
    from_last: int = 0
    """Bit n: `L-n`, the day n days before the last of the month (bit 0: `L`), besides `days_of_month`."""
    nearest: int = 0
    """Bit n: `W`, the Monday to Friday nearest to day n + 1 and in its month, besides `days_of_month`."""
    nearest_from_last: int = 0
    """Bit n: `L-nW`, the Monday to Friday nearest to the day n days before the last (bit 0: `LW`), and in its month."""
    last_weekdays: int = 0
    """Bit n: the last weekday n of the month, besides `weekdays`."""
    nth_weekdays: int = 0
    """Bit 7 * (k - 1) + n: the k-th weekday n of the month, besides `weekdays`."""
    years: int | None = None
    """Bit n: year 1970 + n. None: every year."""
    every: bool = field(init=False, compare=False)
    """Every day fires."""
    _plain: bool = field(init=False, compare=False)
    _weeks: int = field(init=False, compare=False)
    _masks: dict[int, int] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        full = (self.days_of_month == EVERY_DAY, self.weekdays == EVERY_WEEKDAY)
        put = object.__setattr__
        put(
            self,
            "every",
            self.months == EVERY_MONTH and self.years is None and (all(full) if self.both else any(full)),
        )
        put(self, "_plain", not (self.of_month_only or self._by_week))
        put(self, "_weeks", self.weekdays * _WEEKS)
        put(self, "_masks", {})

    @property
    def of_month_only(self) -> int:
        """Not 0: some days depend on the month that they are in, besides `days_of_month`."""
        return self.from_last | self.nearest | self.nearest_from_last

    @property
    def _by_week(self) -> int:
        return self.last_weekdays | self.nth_weekdays

    def fires(self, day: int) -> bool:
        """Whether a day fires."""
        if self.every:
            return True
        on = date.fromordinal(day + EPOCH)
        past = on.day - 1
        if self.years is not None and not self._year_fires(on.year):
            return False
        return self._of_month(on.year, on.month, day - past) >> past & 1 == 1

    def ever_fire(self) -> bool:
        """Whether any day fires at all."""
        if self.years is not None:
            return self.at_or_after(0) is not None
        if self._plain and self.weekdays:
            # A day of the month that exists comes on each weekday, 29 February too.
            first = self.days_of_month & -self.days_of_month
            return not self.both or any(
                first <= _LENGTHS[1][month] for month in range(1, 13) if first and self.months >> month & 1
            )
        # These years are of all fourteen kinds: 1 January falls on each weekday, in common years and in leap years.
        return self.every or any(
            self.between(_january(year), _january(year + 1)) for year in range(1970, 2011)
        )

    def has_neighbours(self) -> bool:
        """Whether two days that follow each other may both fire."""
        if self.every:
            return True
        kinds = set()
        for year in range(FIRST_YEAR, FIRST_YEAR + (41 if self.years is None else self.years.bit_length())):
            first = _january(year)
            kind = first % 7, is_leap(year), self._year_fires(year - 1)
            if not self._year_fires(year) or kind in kinds:
                continue
            kinds.add(kind)
            before = self._year_fires(year - 1) and self._of_month(year - 1, 12, first - 31) >> 30
            for month in range(1, 13):
                days = self._of_month(year, month, first)
                if days & days >> 1 or (before and days & 1):
                    return True
                size = _LENGTHS[is_leap(year)][month].bit_length()
                before = days >> size - 1
                first += size
        return False

    def calendar(self, all_years: bool) -> int:
        """The days that fire: bit n for day n.

        :param all_years: those up to the year 2200; else as many as it takes for every kind of year and neighbours
        """
        fires = 0
        for year in range(FIRST_YEAR, _LAST_YEAR + 1 if all_years else FIRST_YEAR + 41):
            first = start = _january(year)
            days = 0
            for month in range(1, 13 if self._year_fires(year) else 1):
                days |= self._of_month(year, month, first) << first - start
                first += _LENGTHS[is_leap(year)][month].bit_length()
            fires |= days << start
        return fires

    def at_or_after(self, day: int) -> int | None:
        """The first day that fires from `day` on. None: no day does up to the year 2200."""
        if self.every:
            return day
        on = date.fromordinal(day + EPOCH)
        year, month, past = on.year, on.month, on.day - 1
        if self.years is not None and not self._year_fires(year):
            month, past = 12, 31  # past all of its days
        else:
            days = self._of_month(year, month, day - past) >> past
            if days:
                return day + _lowest(days)
        while True:
            later = self.months >> month + 1
            if later:
                month += 1 + _lowest(later)
            elif year >= _LAST_YEAR:
                return None
            else:
                year += 1
                if self.years is not None:
                    later = self.years >> max(year - FIRST_YEAR, 0)
                    if not later:
                        return None
                    year = max(year, FIRST_YEAR) + _lowest(later)
                month = _lowest(self.months)
            first = date(year, month, 1).toordinal() - EPOCH
            days = self._of_month(year, month, first)
            if days:
                return first + _lowest(days)

    def at_or_before(self, day: int) -> int | None:
        """The last day that fires up to `day`. None: no day did from the year 1969 on."""
        if self.every:
            return day
        on = date.fromordinal(day + EPOCH)
        year, month, past = on.year, on.month, on.day - 1
        first = day - past
        if self.years is not None and not self._year_fires(year):
            month, days = 0, 0
        else:
            days = self._of_month(year, month, first) & (2 << past) - 1
        while not days:
            earlier = self.months & (1 << month) - 1
            if not earlier:
                if year < FIRST_YEAR:
                    return None
                year -= 1
                if self.years is not None:
                    earlier = self.years & (2 << year - FIRST_YEAR) - 1 if year >= FIRST_YEAR else 0
                    if not earlier:
                        return None
                    year = FIRST_YEAR + earlier.bit_length() - 1
                earlier = self.months
            month = earlier.bit_length() - 1
            first = date(year, month, 1).toordinal() - EPOCH
            days = self._of_month(year, month, first)
        return first + days.bit_length() - 1

    def between(self, start: int, stop: int) -> int:
        """How many days fire in [start, stop). It counts the months of each kind of year once, not of each year."""
        if self.every:
            return stop - start
        first, last = date.fromordinal(start + EPOCH), date.fromordinal(stop + EPOCH)
        total = self._in_year_before(last) - self._in_year_before(first)
        # There are fourteen kinds of year: by the weekday of the first day, and by the length.
        kinds: dict[tuple[int, bool], int] = {}
        for year in range(first.year, last.year):
            if not self._year_fires(year):
                continue
            january = _january(year)
            kind = january % 7, is_leap(year)
            if kind not in kinds:
                kinds[kind] = self._in_months(year, january, 13)
            total += kinds[kind]
        return total

    # Months

    def _year_fires(self, year: int) -> bool:
        return self.years is None or (year >= FIRST_YEAR and self.years >> year - FIRST_YEAR & 1 == 1)

    def _of_month(self, year: int, month: int, first: int) -> int:
        """The days of a month that fire, bit 0 for its first day, whose number is `first`."""
        if not self.months >> month & 1:
            return 0
        length = _LENGTHS[is_leap(year)][month]
        weekday = (first + _EPOCH_WEEKDAY) % 7
        if self._plain:
            weeks = self._weeks >> weekday
            days = self.days_of_month & weeks if self.both else self.days_of_month | weeks
            return days & length
        kind = weekday * 32 + length.bit_length()
        mask = self._masks.get(kind)
        if mask is None:
            mask = self._masks[kind] = self._of_kind(weekday, length)
        return mask

    def _of_kind(self, weekday: int, length: int) -> int:
        """The days that fire of a month that begins on a weekday, and has as many days as `length` has bits."""
        size = length.bit_length()
        workdays = _MONDAY_TO_FRIDAY >> weekday & length
        days = self.days_of_month & length
        days |= _counted_back(self.from_last, size)
        wanted = self.nearest & length | _counted_back(self.nearest_from_last, size)
        while wanted:
            day = _lowest(wanted)
            wanted &= wanted - 1
            # Saturday goes back and Sunday forward a day; at the ends of the month the other way, past the weekend.
            near = (day, day - 1, day + 1, day + 2, day - 2)
            days |= next(1 << d for d in near if d >= 0 and workdays >> d & 1)
        weeks = self._weeks >> weekday & length
        last = length & ~(length >> 7)
        weeks |= self.last_weekdays * _WEEKS >> weekday & last
        for k in range(5):
            named = self.nth_weekdays >> 7 * k & EVERY_WEEKDAY
            weeks |= named * _WEEKS >> weekday & length & EVERY_WEEKDAY << 7 * k
        return days & weeks if self.both else days | weeks

    # Years

    def _in_year_before(self, on: date) -> int:
        year, month = on.year, on.month
        if not self._year_fires(year):
            return 0
        first = _january(year)
        whole = self._in_months(year, first, month)
        first = on.toordinal() - on.day + 1 - EPOCH
        return whole + (self._of_month(year, month, first) & (1 << on.day - 1) - 1).bit_count()

    def _in_months(self, year: int, first: int, before: int) -> int:
        """How many days fire in the months of a year before one; `first` is the number of 1 January."""
        total = 0
        lengths = _LENGTHS[is_leap(year)]
        for month in range(1, before):
            total += self._of_month(year, month, first).bit_count()
            first += lengths[month].bit_length()
        return total


def _counted_back(offsets: int, size: int) -> int:
    """The days of a month of `size` days that lie bit n days before its last; none for those before its first."""
    days = 0
    offsets &= (1 << size) - 1
    while offsets:
        days |= 1 << size - 1 - _lowest(offsets)
        offsets &= offsets - 1
    return days


def _january(year: int) -> int:
    """The number of 1 January of a year."""
    return date(year, 1, 1).toordinal() - EPOCH


def is_leap(year: int) -> bool:
    """Whether a year has a 29 February."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _lowest(mask: int) -> int:
    """The number of the lowest bit that is set."""
    return (mask & -mask).bit_length() - 1
