"""Other instants that go by a fire time: the start of its month, the day before, on the clocks of the cron job's zone.

Invariant: pure. First the start of what is asked for, then the parts of the offset in their order. Days, weeks, months
and years move the local time, hours and minutes the instant. Where the local time that is reached is skipped or comes
twice, `clock.civil` decides; of two instants it is the one with the offset that holds before, else the earlier.
What would lie outside the years 1970 to 2200 is their first or their last instant.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Final, NamedTuple

from cronally.clock import civil
from cronally.clock.civil import Civil
from cronally.clock.tzif import Zone
from cronally.instants import HOUR, MAX_INSTANT, MIN_INSTANT, MINUTE, SECOND

STARTS: Final = ("hour", "day", "week", "month", "year")
"""What there is a start of. A week starts on Monday."""
_REAL: Final = {"m": MINUTE, "h": HOUR}
_DAYS: Final = {"d": 1, "w": 7}
_MONTHS: Final = {"mo": 1, "y": 12}
MAX_PARTS: Final = 4
_PART: Final = re.compile(r"([+-]?)([0-9]{1,4})(mo|[mhdwy])")
_DAY: Final = 86_400
_EPOCH: Final = date(1970, 1, 1).toordinal()
_FIRST: Final = date(1969, 12, 31)
_LAST: Final = date(2200, 1, 2)
"""One day more than there are instants, for the local times of the first and the last."""


class Shift(NamedTuple):
    """What leads from a fire time to another instant."""

    start_of: str | None = None
    """One of `STARTS`."""
    parts: tuple[tuple[int, str], ...] = ()
    """How many of which unit, each."""


NOWHERE: Final = Shift()


def parse_offset(text: str) -> tuple[tuple[int, str], ...]:
    """The parts of an offset such as `-1d` or `+1mo-1d`; one without a sign has that of the part before.

    Raises ValueError with the end of a sentence that says how it is written.
    """
    parts, at, sign = list[tuple[int, str]](), 0, "+"
    while at < len(text) and len(parts) < MAX_PARTS and (found := _PART.match(text, at)):
        sign = found[1] or sign
        parts.append((int(sign + found[2]), found[3]))
        at = found.end()
    if not parts or at < len(text):
        raise ValueError(
            f"is written like -1d or +1mo-1d, with y, mo, w, d, h and m, of {MAX_PARTS} parts at most"
        )
    return tuple(parts)


def shifted(at: int, zone: Zone, shift: Shift) -> int:
    """The instant that a shift leads to.

    :param at: the instant that it starts from, in microseconds
    """
    if shift == NOWHERE:
        return at
    fraction = at % SECOND
    local = _local(zone, at)
    if shift.start_of is not None:
        local, fraction = _start(local, shift.start_of), 0
    for count, unit in shift.parts:
        if unit in _REAL:
            at = _clamped(_instant(zone, local, at) + count * _REAL[unit])
            local = _local(zone, at)
        else:
            local = _moved(local, count, unit)
    return _clamped(_instant(zone, local, at) + fraction)


def _local(zone: Zone, at: int) -> int:
    """The local time of an instant. Seconds, as of `Civil`."""
    second = at // SECOND
    return second + zone.span(second).offset


def _instant(zone: Zone, local: int, before: int) -> int:
    """The instant of a local time, of two the one with the offset of the instant `before`."""
    found = civil.instants(zone, Civil(local))
    offset = zone.span(before // SECOND).offset
    return next((at for at in found if at // SECOND + offset == local), found[0])


def _start(local: int, unit: str) -> int:
    if unit == "hour":
        return local - local % 3600
    day = date.fromordinal(_EPOCH + local // _DAY)
    match unit:
        case "week":
            return _midnight(day.toordinal() - day.weekday())
        case "month":
            return _midnight(day.replace(day=1).toordinal())
        case "year":
            return _midnight(day.replace(month=1, day=1).toordinal())
    return _midnight(day.toordinal())


def _moved(local: int, count: int, unit: str) -> int:
    """A local time so many days, weeks, months or years later; where the month has no such day, on its last."""
    days, time = divmod(local, _DAY)
    if unit in _DAYS:
        ordinal = _EPOCH + days + count * _DAYS[unit]
    else:
        day = date.fromordinal(_EPOCH + days)
        year, month = divmod(day.year * 12 + day.month - 1 + count * _MONTHS[unit], 12)
        if not _FIRST.year <= year <= _LAST.year:
            return _midnight((_FIRST if year < _FIRST.year else _LAST).toordinal())
        following = date(year + (month + 1) // 12, (month + 1) % 12 + 1, 1).toordinal()
        ordinal = min(date(year, month + 1, 1).toordinal() + day.day, following) - 1
    return _midnight(max(_FIRST.toordinal(), min(ordinal, _LAST.toordinal()))) + time


def _midnight(ordinal: int) -> int:
    return (ordinal - _EPOCH) * _DAY


def _clamped(at: int) -> int:
    return max(MIN_INSTANT, min(at, MAX_INSTANT))
