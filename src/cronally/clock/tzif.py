"""One zone's file: the offset from UTC at every instant from 1970 to 2200.

Invariant: all changes of the offset are in one list, which is searched by bisection: first those that the file lists,
then those that the rule in its footer makes, exactly, up to the year 2200. A change of a name alone is not a change.

Source: RFC 9636 (TZif, versions 2 to 4) and POSIX `TZ` as that RFC extends it. Seconds since 1970 UTC.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from typing import Final, NamedTuple

FOREVER: Final = 1 << 62
"""A span that has no start starts at `-FOREVER`, one without end stops at `FOREVER`."""

_DAY: Final = 86_400
_EPOCH: Final = date(1970, 1, 1).toordinal()
_YEARS: Final = range(1970, 2201)  # nothing fires outside
_HEADER: Final = struct.Struct(">4s c 15x 6l")


class DamagedZone(ValueError):
    """A zone file cannot be read."""


class Span(NamedTuple):
    """A stretch of time with one offset: the instants with start <= t < stop."""

    start: int
    stop: int
    offset: int
    """Local time minus UTC. Seconds."""
    before: int
    """The offset just before `start`; `offset` when there is no start."""
    then: int
    """The offset from `stop` on; `offset` when there is no end."""


class Change(NamedTuple):
    """A change of the offset."""

    at: int
    before: int
    offset: int
    """The offset from `at` on."""


class Zone:
    """A time zone. Make one with `zones.zone`."""

    __slots__ = ("_offsets", "_starts", "name")

    def __init__(self, name: str, data: bytes) -> None:
        """
        :param data: a TZif file of version 2 or later. Raises DamagedZone for one that cannot be read.
        """
        self.name = name
        starts, offsets, listed, footer = _parse(data)
        for at, offset in _ruled(footer) if footer else ():
            if at > listed and offset != offsets[-1]:
                starts.append(at)
                offsets.append(offset)
        # Nothing fires before 1970: as if the offset of that day had always been.
        first = bisect_right(starts, 0)
        self._starts = tuple(starts[first:])
        self._offsets = tuple(offsets[first:])

    def __repr__(self) -> str:
        return f"Zone({self.name!r})"

    @property
    def is_fixed(self) -> bool:
        """Whether the offset is the same from 1970 on."""
        return not self._starts

    @property
    def span_count(self) -> int:
        """How many spans there are."""
        return len(self._offsets)

    def index(self, second: int) -> int:
        """The number of the span that an instant, in seconds, lies in; the first is 0."""
        return bisect_right(self._starts, second)

    def span(self, second: int) -> Span:
        """The span that an instant, in seconds, lies in."""
        return self.span_at(bisect_right(self._starts, second))

    def span_at(self, index: int) -> Span:
        """The span with a number."""
        starts, offsets = self._starts, self._offsets
        last = index == len(starts)
        return Span(
            starts[index - 1] if index else -FOREVER,
            FOREVER if last else starts[index],
            offsets[index],
            offsets[index - 1 if index else 0],
            offsets[index if last else index + 1],
        )

    def changes(self, start: int, stop: int) -> Iterator[Change]:
        """The changes with start < t < stop, in order."""
        starts, offsets = self._starts, self._offsets
        for index in range(bisect_right(starts, start), bisect_left(starts, stop)):
            yield Change(starts[index], offsets[index], offsets[index + 1])


# The file


def _parse(data: bytes) -> tuple[list[int], list[int], int, str]:
    """Where the offset changes, the offsets before, between and after, what is listed last, and the footer."""
    try:
        magic, version, *counts = _HEADER.unpack_from(data)
        if magic != b"TZif" or version < b"2":
            raise ValueError("not a TZif file of version 2 or later")
        # Version 1's block stands first, for old readers.
        at = _HEADER.size + _length(counts, 4)
        _, _, *counts = _HEADER.unpack_from(data, at)
        at += _HEADER.size
        _, _, _, times, types, _ = counts
        instants = struct.unpack_from(f">{times}q", data, at)
        indices = data[at + 8 * times : at + 9 * times]
        described = [struct.unpack_from(">lBB", data, at + 9 * times + 6 * n)[0] for n in range(types)]
        _, footer, _ = data[at + _length(counts, 8) :].decode("ascii").split("\n")
        starts: list[int] = []
        offsets = [described[0]]  # before the first change
        for instant, index in zip(instants, indices, strict=True):
            if described[index] != offsets[-1]:
                starts.append(instant)
                offsets.append(described[index])
    except (struct.error, IndexError, ValueError) as error:
        raise DamagedZone(f"a damaged zone file: {error}") from None
    return starts, offsets, instants[-1] if instants else -FOREVER, footer


def _length(counts: list[int], width: int) -> int:
    """Bytes of a data block whose instants are `width` bytes wide."""
    universal, standard, leaps, times, types, letters = counts
    return times * (width + 1) + types * 6 + letters + leaps * (width + 4) + standard + universal


# The footer


class _When(NamedTuple):
    """A day and a time of every year: a weekday of a month (`M`), a day without 29 February (`J`), a day from 0."""

    form: str
    month: int
    week: int
    day: int
    time: int

    def second(self, year: int) -> int:
        """In local time, as seconds since 1970."""
        first = date(year, self.month if self.form == "M" else 1, 1).toordinal()
        if self.form == "M":
            day = first + (self.day - first) % 7 + 7 * (self.week - 1)  # ordinals count from a Monday as 1
            following = date(year + self.month // 12, self.month % 12 + 1, 1).toordinal()
            if day >= following:
                day -= 7
        else:
            day = first + self.day
            if self.form == "J":
                day -= 1
                if self.day > 59 and date(year, 12, 31).toordinal() - first == 365:
                    day += 1
        return (day - _EPOCH) * _DAY + self.time


_CLOCK: Final = r"([+-]?)(\d{1,3})(?::(\d\d))?(?::(\d\d))?"
_NAME: Final = r"(?:<[A-Za-z0-9+-]+>|[A-Za-z]+)"
_TZ: Final = re.compile(f"{_NAME}({_CLOCK})(?:{_NAME}((?:{_CLOCK})?),([^,]+),([^,]+))?")
_DAY_AND_TIME: Final = re.compile(r"(?:(M)(\d+)\.(\d)\.(\d)|(J?)(\d+))(?:/(.+))?")


@lru_cache(maxsize=256)  # 600 zones share some 50 rules
def _ruled(footer: str) -> tuple[tuple[int, int], ...]:
    """The changes that a footer makes in the years that are listed: (instant, offset from there on), in order."""
    match = _TZ.fullmatch(footer)
    if match is None:
        raise DamagedZone(f"a damaged zone file: the footer {footer!r}")
    # POSIX counts west of Greenwich as positive.
    standard = -_seconds(match[1])
    if match[11] is None:
        return ()
    dst = -_seconds(match[6]) if match[6] else standard + 3600
    starts, ends = _when(match[11]), _when(match[12])
    if all(ends.second(year) - dst == starts.second(year + 1) - standard for year in range(2000, 2029)):
        return ()  # one ends where the next starts: daylight time all the year
    changes: list[tuple[int, int]] = []
    for year in _YEARS:
        start, end = starts.second(year) - standard, ends.second(year) - dst
        changes += sorted([(start, dst), (end, standard)])
    return tuple(changes)


def _when(text: str) -> _When:
    match = _DAY_AND_TIME.fullmatch(text)
    if match is None:
        raise DamagedZone(f"a damaged zone file: the rule {text!r}")
    time = _seconds(match[7]) if match[7] else 2 * 3600
    if match[1]:
        month, week, day = int(match[2]), int(match[3]), int(match[4])
        if not (1 <= month <= 12 and 1 <= week <= 5 and day <= 6):
            raise DamagedZone(f"a damaged zone file: the rule {text!r}")
        return _When("M", month, week, day, time)
    day = int(match[6])
    if day > 365 or (match[5] and day == 0):
        raise DamagedZone(f"a damaged zone file: the rule {text!r}")
    return _When(match[5], 0, 0, day, time)


def _seconds(text: str) -> int:
    match = re.fullmatch(_CLOCK, text)
    if match is None:
        raise DamagedZone(f"a damaged zone file: the time {text!r}")
    sign, hours, minutes, seconds = match.groups()
    if int(hours) > 167:
        raise DamagedZone(f"a damaged zone file: the time {text!r}")
    total = int(hours) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return -total if sign == "-" else total
