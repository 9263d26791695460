"""The fire times of one timetable in a window, as sets of minutes.

Invariant: they are exactly those of `Timetable.next`. Between two changes of the clock they are computed from the
expressions, and intervals from their period, without a step for each; around a change of the clock, for some hours at
most, and where that makes other than what the timetable counts, it is walked.

Seconds since 1970 UTC. A window begins and ends with a minute.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd

from cronally.clock.day_union import PlainSpan, plain_span
from cronally.clock.dst import Policy
from cronally.clock.timetable import IntervalTimetable, SingleTimetable, Timetable
from cronally.clock.tzif import Zone
from cronally.cron import Expression
from cronally.forecast.heights import places
from cronally.instants import SECOND

Bits = dict[int, int]
"""By the second of a minute, from 0 to 59: bit n for a fire time in minute n of the window."""

_MINUTES_A_DAY = 24 * 60
_SECONDS_A_DAY = 24 * 60 * 60


def fire_bits(table: Timetable, start: int, stop: int, since: int = 0) -> Bits:
    """The fire times in [start, stop).

    :param start: the first second of a minute
    :param since: none before this instant counts; microseconds
    """
    bits: Bits = {}
    # Of several expressions each instant counts once, whichever fire at it.
    for member in table.members:
        _add(bits, member, start, stop, max(start, -(-since // SECOND)))
    return bits


def _add(bits: Bits, table: SingleTimetable, start: int, stop: int, at: int) -> None:
    """Add the fire times of one expression in [at, stop)."""
    while at < stop:
        until = stop
        computed = None
        if isinstance(table, IntervalTimetable):
            computed = _spaced(table, start, stop, at)
        elif isinstance(table.expression, Expression):
            low, high, ends, offset = _plain(table.zone, table.policy, table.zone.index(at))
            until = min(stop, low if at < low else high if at < high else ends)
            if low <= at < high and offset % 60 == 0:
                computed = _named(table, table.expression, start, until, at, offset)
        if computed is None:
            computed = _walked(table, start, until, at)
        for second, found in computed.items():
            bits[second] = bits.get(second, 0) | found
        at = until


def _at_or_after(table: Timetable, second: int, stop: int) -> int | None:
    """The first fire time from an instant on that is before the end."""
    if second >= stop:
        return None
    found = table.next(second * SECOND - 1)
    return None if found is None or found >= stop * SECOND else found // SECOND


def _walked(table: Timetable, start: int, until: int, begin: int) -> Bits:
    bits: Bits = {}
    at = _at_or_after(table, begin, until)
    while at is not None:
        minute, second = divmod(at - start, 60)
        bits[second] = bits.get(second, 0) | 1 << minute
        at = _at_or_after(table, at + 1, until)
    return bits


@lru_cache(maxsize=4096)
def _plain(zone: Zone, policy: Policy, index: int) -> PlainSpan:
    """Of a span of a zone: where the civil times that match fire, and nothing else."""
    return plain_span(zone, max(zone.span_at(index).start, 0), (policy,))


# By arithmetic


def _named(
    table: Timetable, expression: Expression, start: int, until: int, at: int, offset: int
) -> Bits | None:
    """What an expression names in [at, until) by one offset; None if the timetable counts otherwise.

    One that begins or ends in between counts as its expression from its first fire time to its last.
    """
    count = table.count(at * SECOND - 1, until * SECOND - 1)
    if not count:
        return {}
    bits, total = _line(expression, start, until, at, offset)
    if total == count:
        return bits
    first, last = table.next(at * SECOND - 1), table.previous(until * SECOND)
    if first is None or last is None:
        return None
    bits, total = _line(expression, start, last // SECOND + 1, first // SECOND, offset)
    return bits if total == count else None


def _line(expression: Expression, start: int, until: int, at: int, offset: int) -> tuple[Bits, int]:
    """The civil times that match in [at, until), and how many they are."""
    times = _times(expression.minutes, expression.hours)
    civil_start = (start + offset) // 60
    line = 0
    for day in range((at + offset) // _SECONDS_A_DAY, (until - 1 + offset) // _SECONDS_A_DAY + 1):
        if expression.days.fires(day):
            place = day * _MINUTES_A_DAY - civil_start
            line |= times << place if place >= 0 else times >> -place
    bits: Bits = {}
    total = 0
    for second in places(expression.seconds):
        first_minute, last_minute = -((start + second - at) // 60), (until - 1 - start - second) // 60
        if first_minute <= last_minute:
            bits[second] = line & (2 << last_minute) - (1 << first_minute)
            total += bits[second].bit_count()
    return bits, total


@lru_cache(maxsize=4096)
def _times(minutes: int, hours: int) -> int:
    """The times of a day that match, as a set of minutes."""
    return sum(minutes << 60 * hour for hour in places(hours))


def _spaced(table: IntervalTimetable, start: int, stop: int, begin: int) -> Bits | None:
    """An interval's in [begin, stop); None if the timetable counts otherwise."""
    at = _at_or_after(table, begin, stop)
    if at is None:
        return {}
    if isinstance(table.expression, Expression):
        return None
    period = table.expression.period // SECOND
    count = -(-(stop - at) // period)
    if count != table.count(at * SECOND - 1, stop * SECOND - 1):
        return None
    # So many seconds of a minute it fires at, at each of them in equal distances.
    turns = 60 // gcd(period, 60)
    bits: Bits = {}
    for turn in range(min(turns, count)):
        minute, second = divmod(at + turn * period - start, 60)
        bits[second] = _every(period * turns // 60, -(-(count - turn) // turns)) << minute
    return bits


@lru_cache(maxsize=512)
def _every(distance: int, count: int) -> int:
    """So many places, from 0 on, in equal distances."""
    return 1 if count == 1 else ((1 << distance * count) - 1) // ((1 << distance) - 1)
