"""One zone's file: what it says of the offset from UTC, at every instant.

Invariant: nothing is searched for. The changes of the offset are those that the file lists; after the last of
them the rule in its footer makes them, year by year, exactly and for ever. Changes of a name alone are none.

Source: RFC 9636 (TZif, versions 2 to 4) and POSIX `TZ` as that RFC extends it. Seconds since 1970 UTC.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from itertools import chain
from typing import Final, NamedTuple

FOREVER: Final = 1 << 62
"""A span that has no start starts at `-FOREVER`, one without end stops at `FOREVER`."""

_DAY: Final = 86_400
_EPOCH: Final = date(1970, 1, 1).toordinal()
_LAST_DAY: Final = date(9900, 1, 1).toordinal() - _EPOCH  # far enough from what `date` can hold
LISTED_UNTIL: Final = 2050
"""The years before are looked up, not computed: those that cron jobs live in."""
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

    __slots__ = ("_offsets", "_rule", "_starts", "name")

    def __init__(self, name: str, data: bytes) -> None:
        """
        :param data: a TZif file of version 2 or later. Raises DamagedZone for one that cannot be read.
        """
        self.name = name
        starts, offsets, listed, footer = _parse(data)
        self._rule = _rule(footer) if footer else None
        if self._rule is not None:
            begin = _year(listed)
            for at, offset in chain.from_iterable(
                self._rule.changes(year) for year in range(begin, LISTED_UNTIL)
            ):
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
        """Whether the offset has been one and the same since 1970, and will be."""
        return not self._starts and (self._rule is None or self._rule.is_fixed)

    @property
    def listed_until(self) -> int:
        """The last change that is listed: later ones are those that the rule makes, the same ones in like years."""
        return self._starts[-1] if self._starts else 0

    def span(self, second: int) -> Span:
        """The span that an instant, in seconds, lies in."""
        starts, offsets = self._starts, self._offsets
        index = bisect_right(starts, second)
        if index < len(starts):
            if index == 0:
                return Span(-FOREVER, starts[0], offsets[0], offsets[0], offsets[1])
            return Span(
                starts[index - 1], starts[index], offsets[index], offsets[index - 1], offsets[index + 1]
            )
        start, before = (starts[-1], offsets[-2]) if starts else (-FOREVER, offsets[0])
        offset = offsets[-1]
        for at, then in self._computed(second):
            if then == offset or at <= start:
                continue
            if at > second:
                return Span(start, at, offset, before, then)
            start, before, offset = at, offset, then
        return Span(start, FOREVER, offset, before, offset)

    def changes(self, start: int, stop: int) -> Iterator[Change]:
        """The changes with start < t < stop, in order."""
        span = self.span(start)
        while span.stop < stop:
            yield Change(span.stop, span.offset, span.then)
            span = self.span(span.stop)

    def _computed(self, second: int) -> Iterator[tuple[int, int]]:
        """The changes around an instant that the rule makes: enough of them to find its span."""
        if self._rule is None or self._rule.is_fixed:
            return iter(())
        year = _year(second)
        first = max(year - 1, LISTED_UNTIL)
        return chain.from_iterable(self._rule.changes(year) for year in range(first, max(year, first) + 2))


def _year(second: int) -> int:
    return date.fromordinal(min(max(second // _DAY, 0), _LAST_DAY) + _EPOCH).year


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


class Rule:
    """A zone's rule for the years after those that its file lists."""

    __slots__ = ("_dst", "_ends", "_standard", "_starts", "_years", "is_fixed")

    def __init__(self, standard: int, dst: int, starts: _When, ends: _When) -> None:
        self._standard, self._dst, self._starts, self._ends = standard, dst, starts, ends
        self._years: dict[int, tuple[tuple[int, int], ...]] = {}
        self.is_fixed = standard == dst

    def changes(self, year: int) -> tuple[tuple[int, int], ...]:
        """The changes of a year in order: (instant, offset from there on)."""
        if self.is_fixed:
            return ()
        known = self._years.get(year)
        if known is None:
            if len(self._years) > 500:
                self._years.clear()
            start = self._starts.second(year) - self._standard, self._dst
            end = self._ends.second(year) - self._dst, self._standard
            known = self._years[year] = (start, end) if start < end else (end, start)
        return known


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
def _rule(footer: str) -> Rule:
    match = _TZ.fullmatch(footer)
    if match is None:
        raise DamagedZone(f"a damaged zone file: the footer {footer!r}")
    # POSIX counts west of Greenwich as positive.
    standard = -_seconds(match[1])
    if match[11] is None:
        return Rule(standard, standard, _NEVER, _NEVER)
    dst = -_seconds(match[6]) if match[6] else standard + 3600
    starts, ends = _when(match[11]), _when(match[12])
    if all(ends.second(year) - dst == starts.second(year + 1) - standard for year in range(2000, 2029)):
        return Rule(dst, dst, _NEVER, _NEVER)  # one ends where the next starts: daylight time all the year
    return Rule(standard, dst, starts, ends)


_NEVER: Final = _When("", 0, 0, 0, 0)


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
