"""How many instants several expressions name together, each counted once.

Invariant: exact, and what it costs goes with the days, not with the instants: a day is one number with a bit for each
of its seconds. Where a change of the clock moves, doubles or suppresses something nothing is counted here
(`plain_span` says where that is).

Seconds since 1970; civil seconds are local ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from cronally.clock.dst import Policy, decide
from cronally.clock.tzif import FOREVER, Change, Zone
from cronally.cron.expression import Expression, day_mask
from cronally.instants import SECOND

_DAY: Final = 86_400
_WHOLE: Final = (1 << _DAY) - 1


class PlainSpan(NamedTuple):
    """A stretch of time with one offset, and the part of it that no decision about a change touches: [low, high)."""

    low: int
    high: int
    """Not later than `low` where there is no such part."""
    stop: int
    offset: int


def plain_span(zone: Zone, second: int, policies: Iterable[Policy]) -> PlainSpan:
    """The span of a zone that an instant lies in, by all of these policies."""
    start, stop, offset, before, then = zone.span(second)
    low, high = start, stop
    for policy in policies:
        if start != -FOREVER:
            opening = decide(Change(start, before, offset), policy)
            low = max(low, opening.fires_from, opening.moved_until)
        if stop != FOREVER:
            high = min(high, decide(Change(stop, offset, then), policy).fires_until)
    return PlainSpan(low, high, stop, offset)


class DayUnion:
    """Several expressions, and intervals beside them."""

    def __init__(
        self, expressions: Sequence[Expression], intervals: Sequence[tuple[int | None, int]]
    ) -> None:
        """
        :param intervals: of each the first fire time (None: it has none) and the period, in microseconds
        """
        self._expressions = expressions
        self._intervals = [
            (first // SECOND, period // SECOND) for first, period in intervals if first is not None
        ]

    def count(self, start: int, stop: int, offset: int) -> int:
        """How many instants in [start, stop) some expression names at this offset, or an interval fires at."""
        if start >= stop:
            return 0
        first, last = (start + offset) // _DAY, (stop - 1 + offset) // _DAY
        whole: dict[int, int] = {}  # how many of a day, by which expressions fire on it
        total = 0
        for day in range(first, last + 1):
            firing = sum(1 << n for n, one in enumerate(self._expressions) if one.days.fires(day))
            begin = day * _DAY - offset
            if self._intervals or begin < start or begin + _DAY > stop:
                mask = self._times(firing) | self._steps(begin)
                low, high = max(start - begin, 0), min(stop - begin, _DAY)
                total += (mask >> low & (1 << high - low) - 1).bit_count()
                continue
            if firing not in whole:
                whole[firing] = self._times(firing).bit_count()
            total += whole[firing]
        return total

    def _times(self, firing: int) -> int:
        """The times of a day on which some of the expressions fire: bit n for the expression n."""
        mask = 0
        for n, one in enumerate(self._expressions):
            if firing >> n & 1:
                mask |= _day_mask(one.seconds, one.minutes, one.hours)
        return mask

    def _steps(self, begin: int) -> int:
        """The times of the intervals on a day that begins at an instant."""
        mask = 0
        for first, period in self._intervals:
            since = first - begin
            phase = since % period
            if since < _DAY and phase < _DAY:
                fires = _repeated(period) << phase
                mask |= fires >> since << since if since > 0 else fires
        return mask


# A mask has eleven kilobytes: they are not kept with each of the timetables.


@lru_cache(maxsize=200)
def _day_mask(seconds: int, minutes: int, hours: int) -> int:
    return day_mask(seconds, minutes, hours)


@lru_cache(maxsize=200)
def _repeated(period: int) -> int:
    """A day with a bit at every `period` seconds from 0 on."""
    mask, count = 1, 1
    while count * period < _DAY:
        mask |= mask << count * period
        count *= 2
    return mask & _WHOLE
