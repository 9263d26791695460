"""When an expression fires in a zone: the fire times of its timetable there.

Invariant: fire times are instants, strictly ascending, at most one at each. Within a span the fire times are the civil
times that match; at a change of the offset `dst.decide` decides. A search takes at most one step for each span of
the zone, and it skips the spans that no civil time that matches is near.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from cronally.clock.dst import Decision, Policy, decide
from cronally.clock.tzif import FOREVER, Change, Zone
from cronally.cron.expression import Expression
from cronally.instants import MAX_INSTANT, MIN_INSTANT, SECOND

_NEAR: Final = 2 * 86_400
"""What a change moves is moved by less. Seconds."""


class Stretch(NamedTuple):
    """What fires in one span: the civil times that match in [low, high), and those that were moved out of a gap."""

    start: int
    stop: int
    offset: int
    low: int
    high: int
    moved_until: int
    """Moved fire times lie in [start, moved_until)."""
    opening: Decision | None
    """What was decided for the change at `start`; None where there is none."""
    closing: Decision | None
    """What was decided for the change at `stop`; None where there is none."""
    plain: tuple[int, int, int]
    """The part that no decision touches: from, until, offset."""


@lru_cache(maxsize=4096)
def _stretches(zone: Zone, policy: Policy) -> list[Stretch | None]:
    """The stretches of a zone by a policy; None for those not used yet."""
    return [None] * zone.span_count


def _stretch(zone: Zone, index: int, policy: Policy) -> Stretch:
    start, stop, offset, before, then = zone.span_at(index)
    opening = None if start == -FOREVER else decide(Change(start, before, offset), policy)
    closing = None if stop == FOREVER else decide(Change(stop, offset, then), policy)
    low = start if opening is None else opening.fires_from
    high = stop if closing is None else closing.fires_until
    moved_until = start if opening is None else opening.moved_until
    plain = (max(low, moved_until), high, offset)
    return Stretch(start, stop, offset, low, high, moved_until, opening, closing, plain)


class ZonedTimes:
    """The fire times of one expression in one zone, by one policy. Seconds since 1970."""

    __slots__ = ("_plain", "_stretches", "expression", "policy", "zone")

    def __init__(self, expression: Expression, zone: Zone, policy: Policy) -> None:
        self.expression = expression
        self.zone = zone
        self.policy = policy
        self._stretches = _stretches(zone, policy)
        # Of the stretch asked for last.
        self._plain = (0, 0, 0)

    def at_or_after(self, second: int) -> int | None:
        """The first fire time from an instant on. It may lie beyond the last instant."""
        low, high, offset = self._plain
        if low <= second < high:
            civil = self.expression.civil_at_or_after(second + offset)
            if civil is not None and civil - offset < high:
                return civil - offset
        whole = False  # nothing in a whole stretch has fired
        while True:
            stretch = self._stretch(second)
            found, civil = self._first_in(stretch, second)
            if found is not None:
                return found
            if stretch.stop == FOREVER or (whole and civil is None):
                return None
            second = stretch.stop
            if whole and civil is not None:
                # Nothing fires between here and near the next civil time that matches.
                second = max(second, civil - stretch.offset - _NEAR)
            whole = True

    def at_or_before(self, second: int) -> int | None:
        """The last fire time up to an instant. It may lie before the first instant."""
        low, high, offset = self._plain
        if low <= second < high:
            civil = self.expression.civil_at_or_before(second + offset)
            if civil is not None and civil - offset >= low:
                return civil - offset
        whole = False
        while True:
            stretch = self._stretch(second)
            found, civil = self._last_in(stretch, second)
            if found is not None:
                return found
            if stretch.start == -FOREVER or (whole and civil is None):
                return None
            second = stretch.start - 1
            if whole and civil is not None:
                second = min(second, civil - stretch.offset + _NEAR)
            whole = True

    def count(self, start: int, stop: int) -> int:
        """How many fire times lie in [start, stop)."""
        first, last = self._stretch(start), self._stretch(stop - 1)
        if first is last:
            return self._count_in(first, start, stop)
        total = self._count_in(first, start, first.stop) + self._count_in(last, last.start, stop)
        opening, closing = first.closing, last.opening
        if opening is None or closing is None or opening.at == closing.at:
            return total
        total += self.expression.civil_count(opening.at + opening.offset, closing.at + closing.before)
        total += self._more_after(opening) + self._more_before(closing)
        return total + sum(
            self._more_over(decide(change, self.policy))
            for change in self.zone.changes(opening.at, closing.at)
        )

    # One stretch

    def _stretch(self, second: int) -> Stretch:
        index = self.zone.index(second)
        stretch = self._stretches[index]
        if stretch is None:
            stretch = self._stretches[index] = _stretch(self.zone, index, self.policy)
        self._plain = stretch.plain
        return stretch

    def _first_in(self, stretch: Stretch, second: int) -> tuple[int | None, int | None]:
        """The first fire time of a stretch from an instant on, and the first civil time that matches."""
        start, _, offset, low, high, moved_until, opening, _, _ = stretch
        civil = self.expression.civil_at_or_after(max(second, low) + offset)
        found = None if civil is None or civil - offset >= high else civil - offset
        if second < moved_until and opening is not None:
            begin, end = opening.sources(max(second, start), moved_until)
            source = self.expression.civil_at_or_after(begin)
            if source is not None and source < end and second <= (at := opening.moved(source)):
                found = at if found is None else min(found, at)
        return found, civil

    def _last_in(self, stretch: Stretch, second: int) -> tuple[int | None, int | None]:
        """The last fire time of a stretch up to an instant, and the last civil time that matches."""
        start, _, offset, low, high, moved_until, opening, _, _ = stretch
        civil = self.expression.civil_at_or_before(min(second, high - 1) + offset)
        found = None if civil is None or civil - offset < low else civil - offset
        if start < moved_until and second >= start and opening is not None:
            begin, end = opening.sources(start, min(second + 1, moved_until))
            source = self.expression.civil_at_or_before(end - 1)
            if source is not None and source >= begin:
                at = opening.moved(source)
                found = at if found is None else max(found, at)
        return found, civil

    def _count_in(self, stretch: Stretch, start: int, stop: int) -> int:
        """How many fire times lie in [start, stop), which a stretch holds."""
        offset, opening = stretch.offset, stretch.opening
        first, last = max(start, stretch.low), min(stop, stretch.high)
        total = self.expression.civil_count(first + offset, last + offset) if first < last else 0
        return total + (0 if opening is None else self._moved_in(opening, start, stop))

    # One change

    def _more_after(self, decision: Decision) -> int:
        """How many fire times more than civil times that match the span after a change has; negative for less."""
        at, offset = decision.at, decision.offset
        held_back = self.expression.civil_count(at + offset, decision.fires_from + offset)
        return self._moved_in(decision, at, decision.moved_until) - held_back

    def _more_before(self, decision: Decision) -> int:
        """How many fire times more than civil times that match the span before a change has; never more than 0."""
        at, before = decision.at, decision.before
        return -self.expression.civil_count(decision.fires_until + before, at + before)

    def _more_over(self, decision: Decision) -> int:
        """How many fire times more than civil times that match there are over a change; negative for less."""
        affected = self.expression.civil_count(decision.start, decision.stop)
        if not affected:
            return 0
        by_the_clock = affected if decision.offset < decision.before else -affected
        return by_the_clock + self._more_after(decision) + self._more_before(decision)

    def _moved_in(self, decision: Decision, start: int, stop: int) -> int:
        """How many instants in [start, stop) fire for the gap alone."""
        first, last = max(start, decision.at), min(stop, decision.moved_until)
        if first >= last:
            return 0
        count = self.expression.civil_count
        if decision.together:
            fires_anyway = count(decision.at + decision.offset, decision.at + decision.offset + 1)
            return 1 if not fires_anyway and count(decision.start, decision.stop) else 0
        length = decision.stop - decision.start
        return self.expression.civil_count_alone(first + decision.before, last + decision.before, length)


def first_second(after: int) -> int:
    """The first second strictly later than an instant in microseconds, and not before the first instant."""
    return after // SECOND + 1 if after >= MIN_INSTANT else MIN_INSTANT // SECOND


def last_second(before: int) -> int:
    """The last second strictly earlier than an instant in microseconds, and not after the last instant."""
    return min(before - 1, MAX_INSTANT) // SECOND
