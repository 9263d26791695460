"""A cron job's timetable: the fire times of its expressions, in its zone, by its daylight-saving policy, from its
`starts_at` to its `ends_at`.

Invariant: firing, previews and explanations ask the same object. `next` is strictly later, `previous` strictly
earlier; `next` has one answer for all instants between two fire times, and `count` agrees with both. Nothing that it
answers lies outside its bounds. Cron jobs with the same expressions, zone, policy and bounds share one object, and the
fire time that it computed last.

Instants are microseconds since 1970 UTC; fire times are whole seconds between `MIN_INSTANT` and `MAX_INSTANT`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import ClassVar, Final, TypeVar

from cronally.clock import zones
from cronally.clock.day_union import DayUnion, plain_span
from cronally.clock.dst import DstGap, DstOverlap, policy
from cronally.clock.tzif import Zone
from cronally.clock.zoned import ZonedTimes, first_second, last_second
from cronally.cron import Expression, Interval, parse
from cronally.cron.interval import is_interval
from cronally.cron.unix import spreads
from cronally.cronjob import expressions_of
from cronally.errors import InvalidExpression
from cronally.instants import DAY, MAX_INSTANT, MIN_INSTANT, SECOND

Bounds = tuple[int, int]
"""The first and the last instant at which a cron job may fire."""
UNBOUNDED: Final = (MIN_INSTANT, MAX_INSTANT)
_Policy = TypeVar("_Policy", DstGap, DstOverlap)


class Timetable(ABC):
    """When one kind of cron job fires."""

    __slots__ = ("_latest", "_over", "chosen", "first", "last", "zone")

    countable: ClassVar[int] = MAX_INSTANT
    """How long a stretch of time is, in microseconds, of which `count` still costs little."""

    def __init__(self, zone: Zone, gap: DstGap | None, overlap: DstOverlap | None, bounds: Bounds) -> None:
        self.zone = zone
        self.chosen = gap, overlap
        """What was chosen; None for what follows the default."""
        self.first, self.last = bounds
        """It fires at no instant before the one, and at none after the other."""
        self._latest = (0, 0)  # an instant and the fire time that follows it
        self._over = self.last  # nothing fires after this instant

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(ascii, self.texts))}, {self.zone.name!r})"

    @property
    @abstractmethod
    def members(self) -> tuple[SingleTimetable, ...]:
        """The timetables of its expressions, one or several."""

    @property
    def texts(self) -> tuple[str, ...]:
        """Its expressions, with single spaces."""
        return tuple([str(member.expression) for member in self.members])

    @property
    def follows_real_minutes(self) -> bool:
        """Whether all that it has is wildcard jobs for which nothing was chosen."""
        return all(member.policy.real_gaps and member.policy.real_overlaps for member in self.members)

    def next(self, after: int) -> int | None:
        """The first fire time strictly after an instant. None: there is none; the cron job is completed."""
        known, following = self._latest
        if known <= after < following:
            return following
        if after >= self._over:
            return None
        found = self._next(max(after, self.first - 1))
        if found is None or found > self.last:
            self._over = after
            return None
        self._latest = (after, found)
        return found

    def previous(self, before: int) -> int | None:
        """The last fire time strictly before an instant. None: there is none."""
        found = self._previous(min(before, self.last + 1))
        return None if found is None or found < self.first else found

    def count(self, after: int, until: int) -> int:
        """How many fire times lie in (after, until]. What it costs goes with the time between, at most."""
        after, until = max(after, self.first - 1), min(until, self.last)
        return self._count(after, until) if after < until else 0

    def matches(self, instant: int) -> bool:
        """Whether an instant is a fire time."""
        return self.next(instant - 1) == instant

    @abstractmethod
    def _next(self, after: int) -> int | None: ...

    @abstractmethod
    def _previous(self, before: int) -> int | None: ...

    @abstractmethod
    def _count(self, after: int, until: int) -> int: ...


class SingleTimetable(Timetable):
    """The timetable of one expression."""

    __slots__ = ("expression", "policy")

    def __init__(
        self,
        expression: Expression | Interval,
        zone: Zone,
        gap: DstGap | None,
        overlap: DstOverlap | None,
        bounds: Bounds,
    ) -> None:
        super().__init__(zone, gap, overlap, bounds)
        self.expression = expression
        self.policy = policy(isinstance(expression, Expression) and expression.wildcard, gap, overlap)

    @property
    def members(self) -> tuple[SingleTimetable, ...]:
        return (self,)

    @property
    def dst_gap(self) -> DstGap:
        """What applies in a gap, chosen or by default."""
        return self.policy.gap

    @property
    def dst_overlap(self) -> DstOverlap:
        """What applies in an overlap, chosen or by default."""
        return self.policy.overlap


class UtcTimetable(SingleTimetable):
    """A timetable whose local time is UTC."""

    __slots__ = ("_times",)

    def __init__(
        self,
        expression: Expression,
        zone: Zone,
        gap: DstGap | None,
        overlap: DstOverlap | None,
        bounds: Bounds = UNBOUNDED,
    ) -> None:
        super().__init__(expression, zone, gap, overlap, bounds)
        self._times = expression

    def _next(self, after: int) -> int | None:
        return self._times.next(after)

    def _previous(self, before: int) -> int | None:
        return self._times.previous(before)

    def _count(self, after: int, until: int) -> int:
        return self._times.count(after, until)


class ZonedTimetable(SingleTimetable):
    """A timetable in a zone."""

    __slots__ = ("_times",)

    def __init__(
        self,
        expression: Expression,
        zone: Zone,
        gap: DstGap | None,
        overlap: DstOverlap | None,
        bounds: Bounds = UNBOUNDED,
    ) -> None:
        super().__init__(expression, zone, gap, overlap, bounds)
        self._times = ZonedTimes(expression, zone, self.policy)

    def _next(self, after: int) -> int | None:
        if after >= MAX_INSTANT:
            return None
        found = self._times.at_or_after(first_second(after))
        return None if found is None or found * SECOND > MAX_INSTANT else found * SECOND

    def _previous(self, before: int) -> int | None:
        if before <= MIN_INSTANT:
            return None
        found = self._times.at_or_before(last_second(before))
        return None if found is None or found * SECOND < MIN_INSTANT else found * SECOND

    def _count(self, after: int, until: int) -> int:
        start, stop = first_second(after), last_second(until + 1) + 1
        return self._times.count(start, stop) if start < stop else 0


class IntervalTimetable(SingleTimetable):
    """The timetable of `rate(...)` and `@every`: counted from the instant that the cron job was created, and where it
    has a `starts_at` from that, which is a fire time then."""

    __slots__ = ("_times", "anchor")

    def __init__(
        self,
        expression: Interval,
        zone: Zone,
        gap: DstGap | None,
        overlap: DstOverlap | None,
        bounds: Bounds,
        anchor: int,
    ) -> None:
        super().__init__(expression, zone, gap, overlap, bounds)
        self._times = expression
        self.anchor = anchor
        """The first fire time comes one period later."""

    def _next(self, after: int) -> int | None:
        return self._times.next(after, self.anchor)

    def _previous(self, before: int) -> int | None:
        return self._times.previous(before, self.anchor)

    def _count(self, after: int, until: int) -> int:
        return self._times.count(after, until, self.anchor)


class UnionTimetable(Timetable):
    """The fire times of several expressions, each instant once. Each expression keeps its own rule over changes of the
    clock; the searches ask every member."""

    __slots__ = ("_members", "_union")

    countable: ClassVar[int] = 100 * DAY

    def __init__(self, members: tuple[SingleTimetable, ...]) -> None:
        """
        :param members: of one zone, with the same choices and bounds
        """
        first = members[0]
        super().__init__(first.zone, *first.chosen, (first.first, first.last))
        self._members = members
        self._union = DayUnion(
            [one.expression for one in members if isinstance(one.expression, Expression)],
            [
                (one.next(MIN_INSTANT - 1), one.expression.period)
                for one in members
                if isinstance(one.expression, Interval)
            ],
        )

    @property
    def members(self) -> tuple[SingleTimetable, ...]:
        return self._members

    def _next(self, after: int) -> int | None:
        following = [at for member in self._members if (at := member.next(after)) is not None]
        return min(following, default=None)

    def _previous(self, before: int) -> int | None:
        earlier = [at for member in self._members if (at := member.previous(before)) is not None]
        return max(earlier, default=None)

    def _count(self, after: int, until: int) -> int:
        start, stop = first_second(after), last_second(until + 1) + 1
        policies = {member.policy for member in self._members}
        total = 0
        while start < stop:
            span = plain_span(self.zone, start, policies)
            low = min(max(span.low, start), stop)
            high = max(min(span.high, stop), low)
            ends = min(span.stop, stop)
            # Around a change of the clock they are counted one by one: for three hours at most.
            total += self._walk(start, low) + self._walk(high, ends)
            total += self._union.count(low, high, span.offset)
            start = ends
        return total

    def _walk(self, start: int, stop: int) -> int:
        """How many fire times lie in [start, stop), in seconds."""
        total, at = 0, self.next(start * SECOND - 1)
        while at is not None and at < stop * SECOND:
            total, at = total + 1, self.next(at)
        return total


def timetable(
    text: str,
    zone: str = zones.UTC,
    *,
    dst_gap: str | None = None,
    dst_overlap: str | None = None,
    starts_at: int | None = None,
    ends_at: int | None = None,
    key: str | None = None,
    anchor: int | None = None,
) -> Timetable:
    """The timetable of a cron job. Cheap: cron jobs with equal parameters get the same object.

    :param text: the expression, of any dialect, or several as `join_expressions` joins them
    :param zone: an IANA name
    :param dst_gap: a `DstGap`; None: Debian's rule, which differs for wildcard and fixed-time jobs
    :param dst_overlap: a `DstOverlap`; None: the same
    :param starts_at: the first instant at which it may fire, and which intervals are counted from
    :param ends_at: the last instant at which it may fire
    :param key: the id of the cron job, which `H` is spread by
    :param anchor: the instant that the cron job was created, which intervals are counted from without `starts_at`

    Raises InvalidExpression for an expression that is refused, or lacks the key or the anchor that it needs;
    ValueError, with a sentence, for an unknown zone or policy.
    """
    # What the expression does not need would only keep equal timetables apart.
    needs_key, needs_anchor = needs(text)
    key = key.lower() if needs_key and key is not None else None
    if not needs_anchor or starts_at is not None:
        anchor = None
    found = zones.zone(zone)
    made = _timetable if len(expressions_of(text)) == 1 else _union
    return made(text, found, dst_gap, dst_overlap, starts_at, ends_at, key, anchor)


@lru_cache(maxsize=20_000)
def needs(text: str) -> tuple[bool, bool]:
    """Whether expressions need the id of their cron job, and without a `starts_at` when that was created."""
    return spreads(text), any(is_interval(one.lstrip()) for one in expressions_of(text))


@lru_cache(maxsize=2_000)  # each holds up to ten timetables
def _union(
    text: str,
    zone: Zone,
    dst_gap: str | None,
    dst_overlap: str | None,
    starts_at: int | None,
    ends_at: int | None,
    key: str | None,
    anchor: int | None,
) -> Timetable:
    members = [
        _timetable(
            one,
            zone,
            dst_gap,
            dst_overlap,
            starts_at,
            ends_at,
            key if needs_key else None,
            anchor if needs_anchor else None,
        )
        for one in expressions_of(text)
        for needs_key, needs_anchor in (needs(one),)
    ]
    return UnionTimetable(tuple(members))


@lru_cache(maxsize=20_000)
def _timetable(
    text: str,
    zone: Zone,
    dst_gap: str | None,
    dst_overlap: str | None,
    starts_at: int | None,
    ends_at: int | None,
    key: str | None,
    anchor: int | None,
) -> SingleTimetable:
    expression = parse(text, key)
    gap = None if dst_gap is None else _chosen(DstGap, dst_gap)
    overlap = None if dst_overlap is None else _chosen(DstOverlap, dst_overlap)
    bounds = (
        MIN_INSTANT if starts_at is None else max(starts_at, MIN_INSTANT),
        MAX_INSTANT if ends_at is None else min(ends_at, MAX_INSTANT),
    )
    if isinstance(expression, Interval):
        if starts_at is not None:
            # The first whole second from there on: nothing fires between two.
            anchor = -(-starts_at // SECOND) * SECOND - expression.period
        if anchor is None:
            raise InvalidExpression(f'"{expression}" is counted from an instant: give it as well')
        return IntervalTimetable(expression, zone, gap, overlap, bounds, anchor)
    if zone.is_fixed and zone.span(0).offset == 0:
        return UtcTimetable(expression, zone, gap, overlap, bounds)
    return ZonedTimetable(expression, zone, gap, overlap, bounds)


def _chosen(policies: type[_Policy], name: str) -> _Policy:
    try:
        return policies(name)
    except ValueError:
        raise ValueError(f"{name!a} is not one of {', '.join(policies)}") from None
