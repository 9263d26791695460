"""Which fire times of a timetable fire: those that no date excludes, and no more than `max_firings` lets.

Invariant: nothing here goes from fire time to fire time: a stretch between two excluded dates is counted at once.

Instants are microseconds since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Iterator

from cronally.clock.exclusion import Excluded
from cronally.clock.timetable import Timetable
from cronally.instants import SECOND


def included(excluded: Excluded | None, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The stretches of [begin, end) that are not excluded, in order."""
    at = begin
    while at < end:
        until, cause = (end, None) if excluded is None else excluded.segment(at)
        until = min(until, end)
        if cause is None:
            yield at, until
        at = until


def end_of(table: Timetable, excluded: Excluded | None, begin: int, most: int | None, end: int) -> int:
    """The instant behind the last of the `most` fire times from `begin` on that are not excluded, `end` at most.

    :param most: None for a cron job that fires as often as it is to
    """
    if most is None:
        return end
    for low, high in included(excluded, begin, end):
        if most < (count := _count(table, low, high)):
            return _behind(table, low, high, most)
        most -= count
    return end


def _behind(table: Timetable, low: int, high: int, most: int) -> int:
    """The fire time in [low, high) that `most` others there come before.

    Half of what is left is counted each time: around a change of the clock, and of several expressions, it costs.
    """
    first, stop = -(-low // SECOND), -(-high // SECOND)
    while stop - first > 1:
        middle = (first + stop) // 2
        count = _count(table, first * SECOND, middle * SECOND)
        if count <= most:
            first, most = middle, most - count
        else:
            stop = middle
    return first * SECOND


def _count(table: Timetable, low: int, high: int) -> int:
    """How many fire times lie in [low, high)."""
    return table.count(low - 1, high - 1)
