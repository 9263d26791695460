"""How many firings there will be, minute by minute and by host, and the busiest seconds.

Invariant: the same timetables that fire are summed; each is asked once, however many cron jobs have it. All of it is
done in pieces of about a millisecond: who runs a generator of this module may do something else between two.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

from cronally.clock.exclusion import Excluded
from cronally.clock.timetable import Timetable
from cronally.forecast.bits import Bits, fire_bits
from cronally.forecast.grouping import NO_LIMITS, Key
from cronally.forecast.heights import Heights, places
from cronally.forecast.included import end_of, included
from cronally.instants import HOUR, MINUTE, SECOND

T = TypeVar("T")

MAX_STEPS: Final = 1500
STEPS: Final = (MINUTE, 5 * MINUTE, 15 * MINUTE)
"""How long a step is; the first with which there are no more than `MAX_STEPS`."""
HOSTS: Final = 20
"""So many hosts are shown apart, those with the most firings."""
BUSIEST: Final = 10
AT_ONCE: Final = 10
"""Timetables that are asked in one piece; one where dates or a number of firings have to be looked at, too."""


class Window(NamedTuple):
    """From when to when, in steps. Instants, and microseconds."""

    begins_at: int
    ends_at: int
    step: int

    @property
    def minutes(self) -> int:
        """How many minutes it has."""
        return (self.ends_at - self.begins_at) // MINUTE


def window(now: int, hours: int) -> Window:
    """The next hours, from the first step that begins after an instant."""
    step = next(step for step in STEPS if hours * HOUR // step <= MAX_STEPS)
    begins_at = (now // step + 1) * step
    return Window(begins_at, begins_at + hours * HOUR, step)


@dataclass(frozen=True, slots=True)
class Group:
    """Cron jobs with the same fire times."""

    key: Key
    table: Timetable
    hosts: Mapping[str, int]
    """How many of them each host has."""
    excluded: Excluded | None = None
    """What they exclude, in their zone."""


class Host(NamedTuple):
    """A host's part."""

    name: str | None
    """None: all others together."""
    firings: int
    peak: int
    """The most in one second, of one host; without what starts at a place in a window."""


class Step(NamedTuple):
    """What fires in one step."""

    at: int
    firings: int
    by_host: tuple[int, ...]


class Busy(NamedTuple):
    """What one host gets in one second."""

    firings: int
    at: int
    host: str


class Forecast(NamedTuple):
    """What lies ahead."""

    window: Window
    firings: int
    hosts: tuple[Host, ...]
    steps: tuple[Step, ...]
    """In order, only those with firings."""
    busiest: tuple[Busy, ...]
    """The busiest first; of equal ones the earliest."""


@dataclass(slots=True)
class Forecaster:
    """Sums up the firings in one window."""

    window: Window
    asked_at: int
    """From when on the firings count that a cron job may have yet."""
    _heights: dict[str, dict[int, Heights]] = field(default_factory=dict)
    """By host and by the second of a minute."""
    _placed: dict[str, dict[int, Heights]] = field(default_factory=dict)
    """The same of what does not start at its fire time, but at a place in a window after it: no second is known."""
    _groups: dict[Key, tuple[Group, Bits]] = field(default_factory=dict)

    def bits(self, group: Group, table: Timetable | None = None) -> Bits:
        """The fire times of cron jobs in the window.

        :param table: another timetable that they may have
        """
        table = group.table if table is None else table
        start = self.window.begins_at // SECOND
        if group.key.limits is NO_LIMITS:
            return fire_bits(table, start, self.window.ends_at // SECOND)
        since, rest, _, _ = group.key.limits
        end = end_of(table, group.excluded, max(self.asked_at + 1, since), rest, self.window.ends_at)
        bits: Bits = {}
        for low, high in included(group.excluded, max(self.window.begins_at, since), end):
            for second, minutes in fire_bits(table, start, -(-high // SECOND), low).items():
                bits[second] = bits.get(second, 0) | minutes
        return bits

    def add(self, groups: Iterable[Group]) -> Generator[None, None, None]:
        """Add cron jobs."""
        for number, group in enumerate(groups, 1):
            bits = self.bits(group)
            if bits:
                spreads = group.key.limits.spreads
                if not spreads:
                    self._groups[group.key] = group, bits
                sums = self._placed if spreads else self._heights
                for host, count in group.hosts.items():
                    _add(sums.setdefault(host, {}), bits, count)
            if number % AT_ONCE == 0 or group.key.limits is not NO_LIMITS:
                yield

    def sum(self) -> Generator[None, None, Forecast]:
        """The forecast of what was added."""
        totals: dict[str, int] = {}
        for sums in (self._heights, self._placed):
            for host, seconds in sums.items():
                totals[host] = totals.get(host, 0) + sum(each.total for each in seconds.values())
        totals = {host: total for host, total in totals.items() if total}
        ranked = sorted(totals, key=lambda host: (-totals[host], host))
        parts: list[tuple[str | None, list[str]]] = [(host, [host]) for host in ranked[:HOSTS]]
        if ranked[HOSTS:]:
            parts.append((None, ranked[HOSTS:]))
        size, width = self.window.minutes * MINUTE // self.window.step, self.window.step // MINUTE
        hosts, columns = [], []
        for name, members in parts:
            minutes = Heights()
            peak = 0
            for number, host in enumerate(members):
                for heights in self._placed.get(host, {}).values():
                    minutes.add_all(heights)
                for heights in self._heights.get(host, {}).values():
                    minutes.add_all(heights)
                    if heights.bound > peak:
                        peak = max(peak, next(heights.levels())[0])
                if number % AT_ONCE == 0:
                    yield
            hosts.append(Host(name, sum(totals[host] for host in members), peak))
            columns.append(minutes.sums(size, width))
            yield
        steps = [
            Step(self.window.begins_at + number * self.window.step, sum(by_host), by_host)
            for number, by_host in enumerate(zip(*columns, strict=True))
            if any(by_host)
        ]
        yield
        busiest = yield from self._busiest()
        return Forecast(self.window, sum(totals.values()), tuple(hosts), tuple(steps), busiest)

    def _busiest(self) -> Generator[None, None, tuple[Busy, ...]]:
        """The busiest seconds, whatever the host."""
        found: list[Busy] = []
        seconds = sorted(
            (
                (heights.bound, host, second)
                for host, each in self._heights.items()
                for second, heights in each.items()
            ),
            reverse=True,
        )
        for number, (bound, host, second) in enumerate(seconds, 1):
            if len(found) == BUSIEST and bound < found[-1].firings:
                break
            found = sorted([*found, *self._of_second(host, second)], key=lambda one: (-one.firings, *one[1:]))
            del found[BUSIEST:]
            if number % AT_ONCE == 0:
                yield
        return tuple(found)

    def _of_second(self, host: str, second: int) -> list[Busy]:
        """The busiest of the minutes, at one second of them."""
        found: list[Busy] = []
        for height, bits in self._heights[host][second].levels():
            for minute in places(bits):
                at = self.window.begins_at + minute * MINUTE + second * SECOND
                found.append(Busy(height, at, host))
                if len(found) == BUSIEST:
                    return found
        return found

    def firing_at(self, busy: Busy) -> list[Group]:
        """The groups that fire at a second, and at that host."""
        minute, rest = divmod(busy.at - self.window.begins_at, MINUTE)
        return [
            group
            for group, bits in self._groups.values()
            if busy.host in group.hosts and bits.get(rest // SECOND, 0) >> minute & 1
        ]

    def peak(self, host: str, fewer: Mapping[Key, int], others: Iterable[Bits]) -> Generator[None, None, int]:
        """The most firings in one second of a host, if some of its cron jobs were others.

        :param fewer: how many cron jobs of a key are not counted
        :param others: the fire times of those in their place
        """
        heights: dict[int, Heights] = {}
        for number, (group, bits) in enumerate(self._groups.values(), 1):
            if host in group.hosts:
                _add(heights, bits, group.hosts[host] - fewer.get(group.key, 0))
            if number % AT_ONCE == 0:
                yield
        for number, bits in enumerate(others, 1):
            _add(heights, bits, 1)
            if number % AT_ONCE == 0:
                yield
        return max((next(each.levels())[0] for each in heights.values() if each.bound), default=0)


def _add(heights: dict[int, Heights], bits: Bits, count: int) -> None:
    for second, minutes in bits.items():
        heights.setdefault(second, Heights()).add(minutes, count)


def run_whole(work: Generator[None, None, T]) -> T:
    """Do work of this module at once."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            found: T = done.value
            return found
