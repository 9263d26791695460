"""How many instants several expressions name together, each counted once.

Invariant: exact, and what it costs goes with the days, not with the instants: a day is one number with a bit for each
of its seconds. Where a change of the clock moves, doubles or suppresses something nothing is counted here
(`plain_span` says where that is).

Seconds since 1970; civil seconds are local ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from cronally.clock.dst import Policy, decide
from cronally.clock.tzif import FOREVER, Change, Zone
from cronally.cron.expression import Expression
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
        self._masks: list[int] = []  # made when something is counted
        self._counts: dict[int, int] = {}
        self._intervals = [
            (first // SECOND, period // SECOND, _repeated(period // SECOND))
            for first, period in intervals
            if first is not None
        ]

    def count(self, start: int, stop: int, offset: int) -> int:
        """How many instants in [start, stop) some expression names at this offset, or an interval fires at."""
        if start >= stop:
            return 0
        self._masks = self._masks or [expression.day_mask() for expression in self._expressions]
        first, last = (start + offset) // _DAY, (stop - 1 + offset) // _DAY
        return sum(
            self._count_day(day, start + offset - day * _DAY, stop + offset - day * _DAY, offset)
            for day in range(first, last + 1)
        )

    def _count_day(self, day: int, start: int, stop: int, offset: int) -> int:
        """How many of a civil day, of its seconds in [start, stop)."""
        firing = sum(1 << n for n, one in enumerate(self._expressions) if one.days.fires(day))
        whole = start <= 0 and stop >= _DAY
        if whole and not self._intervals:
            known = self._counts.get(firing)
            if known is None:
                known = self._counts[firing] = self._mask(firing).bit_count()
            return known
        mask = self._mask(firing)
        for first, period, pattern in self._intervals:
            since = first - (day * _DAY - offset)
            phase = since % period
            if since < _DAY and phase < _DAY:
                fires = pattern << phase
                mask |= fires >> since << since if since > 0 else fires
        mask &= _WHOLE
        if not whole:
            mask &= (1 << min(stop, _DAY)) - 1
            mask >>= max(start, 0)
        return mask.bit_count()

    def _mask(self, firing: int) -> int:
        mask = 0
        for n, one in enumerate(self._masks):
            if firing >> n & 1:
                mask |= one
        return mask


def _repeated(period: int) -> int:
    """A day with a bit at every `period` seconds from 0 on."""
    mask, count = 1, 1
    while count * period < _DAY:
        mask |= mask << count * period
        count *= 2
    return mask & _WHOLE
