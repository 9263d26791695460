"""What `cronally.forecast` computes, the slow way: every fire time by `next`, each second counted alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from cronally.clock.timetable import Timetable
from cronally.forecast.bits import Bits
from cronally.forecast.heights import places


def walked(table: Timetable, begins_at: int, ends_at: int, since: int = 0) -> Iterator[int]:
    """The fire times in [begins_at, ends_at), none before `since`."""
    at = table.next(max(begins_at, since) - 1)
    while at is not None and at < ends_at:
        yield at
        at = table.next(at)


def seconds_of(bits: Bits, start: int) -> list[int]:
    """The seconds that sets of minutes stand for."""
    return sorted(start + 60 * minute + second for second, found in bits.items() for minute in places(found))


def counted(
    cronjobs: Iterable[tuple[Timetable, Mapping[str, int]]], begins_at: int, ends_at: int
) -> Counter[tuple[int, str]]:
    """Firings by instant and host."""
    found: Counter[tuple[int, str]] = Counter()
    for table, hosts in cronjobs:
        for at in walked(table, begins_at, ends_at):
            for host, count in hosts.items():
                found[at, host] += count
    return found
