"""Which fire times of a timetable fire: those that no date excludes, and no more than `max_firings` lets.

Invariant: nothing here goes from fire time to fire time: a stretch between two excluded dates is counted at once.

Instants are microseconds since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Iterator

from cronally.clock.exclusion import Excluded
from cronally.clock.timetable import Timetable


def included(excluded: Excluded | None, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The stretches of [begin, end) that are not excluded, in order."""
    at = begin
    while at < end:
        until, cause = (end, None) if excluded is None else excluded.segment(at)
        until = min(until, end)
        if cause is None:
            yield at, until
        at = until


def count_included(table: Timetable, excluded: Excluded | None, begin: int, end: int) -> int:
    """How many fire times in [begin, end) are not excluded."""
    return sum(table.count(low - 1, high - 1) for low, high in included(excluded, begin, end))


def end_of(table: Timetable, excluded: Excluded | None, begin: int, most: int | None, end: int) -> int:
    """The instant behind the last of the `most` fire times from `begin` on that are not excluded, `end` at most.

    :param most: None for a cron job that fires as often as it is to
    """
    if most is None or count_included(table, excluded, begin, end) <= most:
        return end
    low, high = begin, end  # there are `most` or fewer before the one, more before the other
    while high - low > 1:
        middle = (low + high) // 2
        if count_included(table, excluded, begin, middle) <= most:
            low = middle
        else:
            high = middle
    return low
