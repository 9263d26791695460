"""Expressions that name times of the calendar: when they fire, in local time.

Invariant: pure integer arithmetic over bit masks. The number of steps is bounded by the number of months between
1970 and 2200, whatever the expression or the range.

There are two levels. *Civil seconds* are local time without a zone, counted from 1970-01-01 00:00: the `civil_*`
methods hold the rule. `next`, `previous` and `count` are that rule in UTC. `clock.dst` decides what happens to a
civil time that does not exist, or exists twice, in a zone.

Source of the rules: `entry.c` and `cron.c` of Debian's cron 3.0pl1. How the text is read: `unix` and `aws`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from cronally.cron.days import Days
from cronally.instants import MAX_INSTANT, MIN_INSTANT, SECOND

_MINUTES_A_DAY: Final = 24 * 60
_SECONDS_A_DAY: Final = 24 * 60 * 60


@dataclass(frozen=True, slots=True, repr=False)
class Expression:
    """One parsed expression. Two are equal when their texts are, and where `H` stands, the values it stands for.

    Instants are microseconds since 1970 UTC; fire times are whole seconds between `MIN_INSTANT` and
    `MAX_INSTANT`, both included.
    """

    text: str
    """As written, with single spaces between the fields."""
    wildcard: bool = field(compare=False)
    """The text of a field of the time of day starts with `*`: such a job follows the real minutes over a change of
    the clock. `0-59` fires at the same minutes as `*`, but is a fixed-time job."""
    seconds: int
    """Bit n: fires at second n. Five fields: 1, at second 0."""
    minutes: int
    """Bit n: fires at minute n."""
    hours: int
    """Bit n: fires in hour n."""
    days: Days
    """The days that fire."""
    once: bool = False
    """It names one time: `at(...)`."""
    _every_day: bool = field(init=False, compare=False)
    _first: int = field(init=False, compare=False)
    _last: int = field(init=False, compare=False)
    _first_second: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "_every_day", self.days.every)
        put(self, "_first", _lowest(self.hours) * 60 + _lowest(self.minutes))
        put(self, "_last", (self.hours.bit_length() - 1) * 60 + self.minutes.bit_length() - 1)
        put(self, "_first_second", _lowest(self.seconds))

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    # In UTC

    def next(self, after: int) -> int | None:
        """The first fire time strictly after an instant; None when there is none up to `MAX_INSTANT`."""
        if after >= MAX_INSTANT:
            return None
        found = self.civil_at_or_after(after // SECOND + 1 if after >= MIN_INSTANT else MIN_INSTANT // SECOND)
        if found is None:
            return None
        instant = found * SECOND
        return instant if instant <= MAX_INSTANT else None

    def previous(self, before: int) -> int | None:
        """The last fire time strictly before an instant; None when there is none from `MIN_INSTANT` on."""
        if before <= MIN_INSTANT:
            return None
        found = self.civil_at_or_before((min(before - 1, MAX_INSTANT)) // SECOND)
        if found is None:
            return None
        instant = found * SECOND
        return instant if instant >= MIN_INSTANT else None

    def count(self, after: int, until: int) -> int:
        """How many fire times lie in (after, until]. The cost does not depend on how many there are."""
        start = max(after, MIN_INSTANT - 1) // SECOND + 1
        stop = min(until, MAX_INSTANT) // SECOND + 1
        return self.civil_count(start, stop) if start < stop else 0

    def shortest_interval(self) -> int | None:
        """The shortest time between two fire times where the clock is not changed. Microseconds.

        Exact where it is below a day, never too long where it is more. None when it fires once.
        """
        if self.once:
            return None
        second = self.seconds.bit_length() - 1 - self._first_second
        minute = second + 60 * (self.minutes.bit_length() - 1 - _lowest(self.minutes))
        a_day = second + 60 * (self._last - self._first)
        found = [(1 if self.days.has_neighbours() else 2) * _SECONDS_A_DAY - a_day]
        if distance := _distance(self.seconds):
            found.append(distance)
        if distance := _distance(self.minutes):
            found.append(distance * 60 - second)
        if distance := _distance(self.hours):
            found.append(distance * 3600 - minute)
        return min(found) * SECOND

    # In civil time

    def civil_at_or_after(self, second: int) -> int | None:
        """The first civil second that matches, from `second` on. None: none does up to the year 2200."""
        minute, past = divmod(second, 60)
        if past:
            later = self.seconds >> past
            if later and self._minute_at_or_after(minute) == minute:
                return second + _lowest(later)
            minute += 1
        found = self._minute_at_or_after(minute)
        return None if found is None else found * 60 + self._first_second

    def civil_at_or_before(self, second: int) -> int | None:
        """The last civil second that matches, up to `second`. None: none did from the year 1969 on."""
        minute, past = divmod(second, 60)
        earlier = self.seconds & (2 << past) - 1
        found = self._minute_at_or_before(minute if earlier else minute - 1)
        if found is None:
            return None
        if found != minute:
            earlier = self.seconds
        return found * 60 + earlier.bit_length() - 1

    def civil_count(self, start: int, stop: int) -> int:
        """How many civil seconds match in [start, stop)."""
        first, start_time = divmod(start, _SECONDS_A_DAY)
        last, stop_time = divmod(stop, _SECONDS_A_DAY)
        if first == last:
            times = self._times_before(stop_time) - self._times_before(start_time)
            return times if times and self.days.fires(first) else 0
        total = self.days.between(first, last) * self._times_a_day()
        if start_time and (times := self._times_before(start_time)) and self.days.fires(first):
            total -= times
        if stop_time and (times := self._times_before(stop_time)) and self.days.fires(last):
            total += times
        return total

    def civil_count_alone(self, start: int, stop: int, later: int) -> int:
        """How many civil seconds match in [start, stop) for which the one `later` seconds later does not."""
        if later % 60:  # no zone changes so since 1972
            seconds = range(start, stop)
            return sum(self._civil_match(t) and not self._civil_match(t + later) for t in seconds)
        day = start // _SECONDS_A_DAY
        first, last = start // 60, -(-stop // 60)
        times = sum(self.minutes << 60 * hour for hour in range(24) if self.hours >> hour & 1)
        line = 0
        for following in range((last * 60 + later) // _SECONDS_A_DAY - day + 1):
            if self.days.fires(day + following):
                line |= times << _MINUTES_A_DAY * following
        line >>= first - day * _MINUTES_A_DAY
        alone = line & ~(line >> later // 60) & (1 << last - first) - 1
        total = alone.bit_count() * self.seconds.bit_count()
        # The seconds of the first and of the last minute that lie outside.
        if alone & 1:
            total -= (self.seconds & (1 << start % 60) - 1).bit_count()
        if stop % 60 and alone >> last - first - 1 & 1:
            total -= (self.seconds >> stop % 60).bit_count()
        return total

    def _civil_match(self, second: int) -> bool:
        return self.civil_at_or_after(second) == second

    def _minute_at_or_after(self, minute: int) -> int | None:
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
            found = self.days.at_or_after(day)
            if found is None:
                return None
            if found != day:
                day = found
                time = self._first
        return day * _MINUTES_A_DAY + time

    def _minute_at_or_before(self, minute: int) -> int | None:
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
            found = self.days.at_or_before(day)
            if found is None:
                return None
            if found != day:
                day = found
                time = self._last
        return day * _MINUTES_A_DAY + time

    def _times_a_day(self) -> int:
        return self.hours.bit_count() * self.minutes.bit_count() * self.seconds.bit_count()

    def _times_before(self, time: int) -> int:
        """How many times of a day that fires lie before `time`, in seconds since midnight."""
        minute, second = divmod(time, 60)
        hour, minute = divmod(minute, 60)
        minutes = (self.hours & (1 << hour) - 1).bit_count() * self.minutes.bit_count()
        times = 0
        if self.hours >> hour & 1:
            minutes += (self.minutes & (1 << minute) - 1).bit_count()
            if second and self.minutes >> minute & 1:
                times = (self.seconds & (1 << second) - 1).bit_count()
        return minutes * self.seconds.bit_count() + times


def day_mask(seconds: int, minutes: int, hours: int) -> int:
    """The seconds of a day that fires at these seconds, minutes and hours: bit n is the second n from midnight on."""
    hour = sum(seconds << 60 * minute for minute in range(60) if minutes >> minute & 1)
    return sum(hour << 3600 * number for number in range(24) if hours >> number & 1)


def _distance(mask: int) -> int | None:
    """The smallest distance between two bits that are set; None when there is only one."""
    return next((distance for distance in range(1, mask.bit_length()) if mask & mask >> distance), None)


def _lowest(mask: int) -> int:
    """The number of the lowest bit that is set."""
    return (mask & -mask).bit_length() - 1
