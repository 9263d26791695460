"""Fire times of a stretch of the past, in either direction, and how a range row is parted at one of them.

Invariant: pure. What is excluded is no fire time here, and is passed over range by range, however many it excludes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cronally.clock.exclusion import Excluded
from cronally.clock.timetable import Timetable


@dataclass(frozen=True, slots=True)
class Stretch:
    """The fire times in [first, last] that are not excluded."""

    times: Timetable
    excluded: Excluded | None
    first: int
    last: int
    newest_first: bool = False

    def after(self, at: int | None) -> Iterator[int]:
        """Those that follow one of them, in the direction of the stretch; None: all."""
        found = self._following(at)
        while found is not None:
            yield found
            found = self._following(found)

    def _following(self, at: int | None) -> int | None:
        if self.newest_first:
            before = self.last + 1 if at is None else at
            if self.excluded is not None:
                return self.excluded.last_included(self.times, before, self.first)
            earlier = self.times.previous(before)
            return None if earlier is None or earlier < self.first else earlier
        later = self.times.next(self.first - 1 if at is None else at)
        while later is not None and later <= self.last:
            segment = None if self.excluded is None else self.excluded.segment(later)
            if segment is None or segment.cause is None:
                return later
            later = self.times.next(segment.until - 1)
        return None


@dataclass(frozen=True, slots=True)
class Sides:
    """What a range row stands for beside one instant: on each side the nearest fire time and how many there are."""

    last_before: int | None
    before: int
    first_behind: int | None
    behind: int


def part(candidates: Iterable[Timetable], first: int, last: int, count: int, at: int) -> Sides | None:
    """What a row of `count` fire times from `first` to `last` stands for beside an instant in it.

    :param candidates: timetables of which one has written the row: one that has as many there. None if none has
    """
    for times in candidates:
        if not (times.matches(first) and times.matches(last) and times.count(first - 1, last) == count):
            continue
        before, held = times.count(first - 1, at - 1), times.matches(at)
        behind = count - before - held
        return Sides(
            times.previous(at) if before else None,
            before,
            times.next(at) if behind else None,
            behind,
        )
    return None
