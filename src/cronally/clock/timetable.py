"""A cron job's timetable: the fire times of its expression, in its zone, by its daylight-saving policy.

Invariant: firing, previews and explanations ask the same object. `next` is strictly later, `previous` strictly
earlier; `next` has one answer for all instants between two fire times, and `count` agrees with both. Cron jobs with
the same expression, zone and policy share one object, and the fire time that it computed last.

Instants are microseconds since 1970 UTC; fire times are whole seconds between `MIN_INSTANT` and `MAX_INSTANT`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import TypeVar

from cronally.clock import zones
from cronally.clock.dst import DstGap, DstOverlap, policy
from cronally.clock.tzif import Zone
from cronally.clock.zoned import ZonedTimes, first_second, last_second
from cronally.cron import Expression, Interval, parse
from cronally.cron.interval import is_interval
from cronally.cron.unix import spreads
from cronally.errors import InvalidExpression
from cronally.instants import MAX_INSTANT, MIN_INSTANT, SECOND

_Policy = TypeVar("_Policy", DstGap, DstOverlap)


class Timetable(ABC):
    """When one kind of cron job fires."""

    __slots__ = ("_latest", "chosen", "expression", "policy", "zone")

    def __init__(
        self,
        expression: Expression | Interval,
        zone: Zone,
        gap: DstGap | None = None,
        overlap: DstOverlap | None = None,
    ) -> None:
        self.expression = expression
        self.zone = zone
        self.chosen = gap, overlap
        """What was chosen; None for what follows the default."""
        self.policy = policy(isinstance(expression, Expression) and expression.wildcard, gap, overlap)
        self._latest = (0, 0)  # an instant and the fire time that follows it

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.expression.text!r}, {self.zone.name!r})"

    @property
    def dst_gap(self) -> DstGap:
        """What applies in a gap, chosen or by default."""
        return self.policy.gap

    @property
    def dst_overlap(self) -> DstOverlap:
        """What applies in an overlap, chosen or by default."""
        return self.policy.overlap

    @property
    def follows_real_minutes(self) -> bool:
        """Whether it is a wildcard job for which nothing was chosen."""
        return self.policy.real_gaps and self.policy.real_overlaps

    def next(self, after: int) -> int | None:
        """The first fire time strictly after an instant. None: there is none; the cron job is completed."""
        known, following = self._latest
        if known <= after < following:
            return following
        found = self._next(after)
        if found is not None:
            self._latest = (after, found)
        return found

    @abstractmethod
    def _next(self, after: int) -> int | None: ...

    @abstractmethod
    def previous(self, before: int) -> int | None:
        """The last fire time strictly before an instant. None: there is none."""

    @abstractmethod
    def count(self, after: int, until: int) -> int:
        """How many fire times lie in (after, until]. The cost does not depend on how many there are."""

    def matches(self, instant: int) -> bool:
        """Whether an instant is a fire time."""
        return self.next(instant - 1) == instant


class UtcTimetable(Timetable):
    """A timetable whose local time is UTC."""

    __slots__ = ("_times",)

    def __init__(
        self, expression: Expression, zone: Zone, gap: DstGap | None, overlap: DstOverlap | None
    ) -> None:
        super().__init__(expression, zone, gap, overlap)
        self._times = expression

    def _next(self, after: int) -> int | None:
        return self._times.next(after)

    def previous(self, before: int) -> int | None:
        return self._times.previous(before)

    def count(self, after: int, until: int) -> int:
        return self._times.count(after, until)


class ZonedTimetable(Timetable):
    """A timetable in a zone."""

    __slots__ = ("_times",)

    def __init__(
        self, expression: Expression, zone: Zone, gap: DstGap | None, overlap: DstOverlap | None
    ) -> None:
        super().__init__(expression, zone, gap, overlap)
        self._times = ZonedTimes(expression, zone, self.policy)

    def _next(self, after: int) -> int | None:
        if after >= MAX_INSTANT:
            return None
        found = self._times.at_or_after(first_second(after))
        return None if found is None or found * SECOND > MAX_INSTANT else found * SECOND

    def previous(self, before: int) -> int | None:
        if before <= MIN_INSTANT:
            return None
        found = self._times.at_or_before(last_second(before))
        return None if found is None or found * SECOND < MIN_INSTANT else found * SECOND

    def count(self, after: int, until: int) -> int:
        start, stop = first_second(after), last_second(until + 1) + 1
        return self._times.count(start, stop) if start < stop else 0


class IntervalTimetable(Timetable):
    """The timetable of `rate(...)` and `@every`: counted from the instant that the cron job was created."""

    __slots__ = ("_times", "anchor")

    def __init__(self, expression: Interval, zone: Zone, anchor: int) -> None:
        super().__init__(expression, zone)
        self._times = expression
        self.anchor = anchor

    def _next(self, after: int) -> int | None:
        return self._times.next(after, self.anchor)

    def previous(self, before: int) -> int | None:
        return self._times.previous(before, self.anchor)

    def count(self, after: int, until: int) -> int:
        return self._times.count(after, until, self.anchor)


def timetable(
    text: str,
    zone: str = zones.UTC,
    *,
    dst_gap: str | None = None,
    dst_overlap: str | None = None,
    key: str | None = None,
    anchor: int | None = None,
) -> Timetable:
    """The timetable of a cron job. Cheap: cron jobs with equal parameters get the same object.

    :param text: the expression, of any dialect
    :param zone: an IANA name
    :param dst_gap: a `DstGap`; None: Debian's rule, which differs for wildcard and fixed-time jobs
    :param dst_overlap: a `DstOverlap`; None: the same
    :param key: the id of the cron job, which `H` is spread by
    :param anchor: the instant that the cron job was created, which intervals are counted from

    Raises InvalidExpression for an expression that is refused, or lacks the key or the anchor that it needs;
    ValueError, with a sentence, for an unknown zone or policy.
    """
    # What the expression does not need would only keep equal timetables apart.
    if key is not None:
        key = key.lower() if spreads(text) else None
    if anchor is not None and not is_interval(text.lstrip()):
        anchor = None
    return _timetable(text, zones.zone(zone), dst_gap, dst_overlap, key, anchor)


@lru_cache(maxsize=20_000)
def _timetable(
    text: str, zone: Zone, dst_gap: str | None, dst_overlap: str | None, key: str | None, anchor: int | None
) -> Timetable:
    expression = parse(text, key)
    gap = None if dst_gap is None else _chosen(DstGap, dst_gap)
    overlap = None if dst_overlap is None else _chosen(DstOverlap, dst_overlap)
    if isinstance(expression, Interval):
        if anchor is None:
            raise InvalidExpression(f'"{expression}" is counted from an instant: give it as well')
        return IntervalTimetable(expression, zone, anchor)
    if zone.is_fixed and zone.span(0).offset == 0:
        return UtcTimetable(expression, zone, gap, overlap)
    return ZonedTimetable(expression, zone, gap, overlap)


def _chosen(policies: type[_Policy], name: str) -> _Policy:
    try:
        return policies(name)
    except ValueError:
        raise ValueError(f"{name!a} is not one of {', '.join(policies)}") from None
