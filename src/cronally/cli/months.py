"""A month as a calendar: how many firings there are on each day, and on which days the clock is changed.

Invariant: days are those of one zone's clock, however long a change makes them; a day that the clock leaves out has no
firings. Each cron job is asked for a count per day, and for its first and its last fire time, never for all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cronally.cli.output import complain, print_lines
from cronally.clock import zones
from cronally.clock.dates import names_in
from cronally.clock.exclusion import Excluded, Exclusion
from cronally.clock.timetable import Timetable
from cronally.cronjob import State, Timing, join_expressions
from cronally.errors import InvalidExpression
from cronally.forecast.included import end_of, included
from cronally.instants import MAX_INSTANT, MIN_INSTANT, SECOND, format_iso, from_datetime

if TYPE_CHECKING:
    from cronally.client import Client, Cronjob

_DAY: Final = 86_400
_EPOCH: Final = date(1970, 1, 1).toordinal()
_TIMES: Final = 3
"""So many fire times of a day are shown one by one."""
_CELL: Final = 10
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)


class Month(NamedTuple):
    """Which month is shown, by whose clock."""

    year: int
    month: int
    timezone: str

    @property
    def first(self) -> int:
        """Its first day, counted from 1970-01-01."""
        return date(self.year, self.month, 1).toordinal() - _EPOCH

    @property
    def after(self) -> int:
        """The day after its last."""
        return date(self.year + self.month // 12, self.month % 12 + 1, 1).toordinal() - _EPOCH


class Stretch(NamedTuple):
    """A part of a day with one offset; seconds since 1970 UTC."""

    start: int
    stop: int
    offset: int


@dataclass(slots=True)
class Day:
    """One day."""

    stretches: list[Stretch] = field(default_factory=list)
    """In order; none of a day that the clock leaves out."""
    changes: list[str] = field(default_factory=list)
    """What happens to the clock, a sentence each."""
    firings: int = 0
    cronjobs: int = 0
    """How many fire on it."""
    times: list[tuple[int, int]] = field(default_factory=list)
    """The instants at which one cron job fires, with the offset; of more than a few the first and the last."""


class Calendars:
    """The dates of the account's calendars, each asked for once, when a cron job excludes it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._dates: dict[str, str] = {}

    def of(self, cronjob: Cronjob) -> Exclusion | None:
        """What a cron job excludes."""
        for name in names_in(cronjob.exclude):
            if name not in self._dates:
                self._dates[name] = json.dumps(self._client.calendar(name).dates)
        return Exclusion.of(cronjob.exclude, self._dates)


def days_of(
    cronjobs: Iterable[Cronjob], month: Month, now: int, exclusion_of: Callable[[Cronjob], Exclusion | None]
) -> dict[int, Day]:
    """The days of a month, by their number from 1970-01-01, with what these cron jobs fire.

    :param now: from when on the firings count that a cron job may have yet
    """
    days = _days(month)
    stretches = [stretch for day in days.values() for stretch in day.stretches]
    for cronjob in cronjobs:
        since = _since(cronjob)
        if since is None or not stretches:
            continue
        try:
            table = timing_of(cronjob).timetable(cronjob.cronjob_id, from_datetime(cronjob.created_at))
            exclusion = exclusion_of(cronjob)
            excluded = None if exclusion is None else exclusion.within(table.zone)
        except (InvalidExpression, ValueError) as problem:
            complain("warning", f"{cronjob.name} ({cronjob.cronjob_id}) is left out: {problem}")
            continue
        end = min(stretches[-1].stop * SECOND, MAX_INSTANT + 1)
        if cronjob.max_firings is not None:
            rest = max(cronjob.max_firings - cronjob.fired, 0)
            end = end_of(table, excluded, max(now + 1, since), rest, end)
        for day in days.values():
            _count(day, table, excluded, since, end)
    return days


def timing_of(cronjob: Cronjob) -> Timing:
    """What decides when a cron job fires, of its answer."""
    texts = (cronjob.cron,) if isinstance(cronjob.cron, str) else cronjob.cron
    values: dict[str, Any] = {name: getattr(cronjob, name) for name in Timing._fields}
    for name, value in values.items():
        if isinstance(value, datetime):
            values[name] = from_datetime(value)
    return Timing(**{**values, "cron": join_expressions(texts)})


def _since(cronjob: Cronjob) -> int | None:
    """From when on a cron job fires; None if it does not."""
    if cronjob.state == State.ACTIVE:
        return from_datetime(cronjob.created_at) + 1
    if cronjob.state == State.PAUSED and cronjob.paused_until is not None:
        return from_datetime(cronjob.paused_until)
    return None


def _count(day: Day, table: Timetable, excluded: Excluded | None, since: int, end: int) -> None:
    total, times = 0, []
    for start, stop, offset in day.stretches:
        begin = max(start * SECOND, since, MIN_INSTANT)
        for low, high in included(excluded, begin, min(stop * SECOND, end)):
            if count := table.count(low - 1, high - 1):
                times += [(at, offset) for at in _ends(table, low, high, count)]
                total += count
    day.firings += total
    day.cronjobs += total > 0
    day.times = times if total <= _TIMES else [times[0], times[-1]]


def _ends(table: Timetable, low: int, high: int, count: int) -> Iterator[int]:
    """The fire times in [low, high) if they are few, else the first and the last."""
    at = table.next(low - 1)
    for _ in range(count if count <= _TIMES else 1):
        if at is not None:
            yield at
            at = table.next(at)
    if count > _TIMES and (last := table.previous(high)) is not None:
        yield last


def _days(month: Month) -> dict[int, Day]:
    """The days, each with the stretches of time that a clock of the zone gives it, and the changes on it."""
    zone = zones.zone(month.timezone)
    days = {number: Day() for number in range(month.first, month.after)}
    at = (month.first - 2) * _DAY
    while at < (month.after + 2) * _DAY:
        span = zone.span(at)
        ends = min(span.stop, (month.after + 2) * _DAY)
        local, until = at + span.offset, ends + span.offset
        for number in range(max(local // _DAY, month.first), min((until - 1) // _DAY + 1, month.after)):
            start, stop = max(local, number * _DAY), min(until, (number + 1) * _DAY)
            days[number].stretches.append(Stretch(start - span.offset, stop - span.offset, span.offset))
        if at == span.start:
            # By the clock as it was until then.
            number = (at - 1 + span.before) // _DAY
            if number in days:
                days[number].changes.append(_change(at, span.before, span.offset))
        at = ends
    return days


def _change(at: int, before: int, offset: int) -> str:
    way, until, then = "forward" if offset > before else "back", _clock(at + before), _clock(at + offset)
    days = (at + before) // _DAY, (at + offset) // _DAY
    if days[0] != days[1]:
        until, then = (
            f"{date.fromordinal(day + _EPOCH)} {clock}"
            for day, clock in zip(days, (until, then), strict=True)
        )
    return f"the clock is set {way} from {until} to {then}"


def _clock(civil: int) -> str:
    hour, rest = divmod(civil % _DAY, 3600)
    minute, second = divmod(rest, 60)
    return f"{hour:02}:{minute:02}:{second:02}" if second else f"{hour:02}:{minute:02}"


# For programs, and for people


def as_json(days: dict[int, Day], month: Month, cronjob: Cronjob | None) -> dict[str, Any]:
    """A month as an object of JSON."""
    return {
        "month": f"{month.year:04}-{month.month:02}",
        "timezone": month.timezone,
        "cronjob_id": None if cronjob is None else cronjob.cronjob_id,
        "tzdata": zones.version(),
        "firings": sum(day.firings for day in days.values()),
        "days": [
            {
                "date": date.fromordinal(number + _EPOCH).isoformat(),
                "firings": day.firings,
                "cronjobs": day.cronjobs,
                **(
                    {}
                    if cronjob is None
                    else {
                        "first_at": format_iso(day.times[0][0]) if day.times else None,
                        "last_at": format_iso(day.times[-1][0]) if day.times else None,
                    }
                ),
                "changes": day.changes,
            }
            for number, day in days.items()
        ],
    }


def print_month(days: dict[int, Day], month: Month, cronjob: Cronjob | None) -> None:
    """Print a month, a line of cells for each week; it is 76 columns wide."""
    title = f"{_MONTHS[month.month - 1]} {month.year}, {month.timezone}"
    if cronjob is not None:
        title += f": {cronjob.name} ({_expressions(cronjob)}{_of_zone(cronjob, month)})"
    print_lines(title, "", _row(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]))
    cells: list[list[str]] = [[] for _ in range((month.first + 3) % 7)]  # 1970-01-01 was a Thursday
    cells += [_cell(number - month.first + 1, day, cronjob is not None) for number, day in days.items()]
    for first in range(0, len(cells), 7):
        week = cells[first : first + 7]
        for line in range(max(len(cell) for cell in week)):
            print_lines(_row([cell[line] if line < len(cell) else "" for cell in week]))
        print_lines("")
    for number, day in days.items():
        for change in day.changes:
            print_lines(f"* {date.fromordinal(number + _EPOCH)}: {change}")
    total = sum(day.firings for day in days.values())
    print_lines(f"{total:,} {'firing' if total == 1 else 'firings'} in {_MONTHS[month.month - 1]}.")
    if cronjob is not None and _since(cronjob) is None:
        print_lines(f"The cron job is {cronjob.state}: nothing fires.")


def _expressions(cronjob: Cronjob) -> str:
    return cronjob.cron if isinstance(cronjob.cron, str) else " and ".join(cronjob.cron)


def _of_zone(cronjob: Cronjob, month: Month) -> str:
    return "" if cronjob.timezone == month.timezone else f", {cronjob.timezone}"


def _cell(number: int, day: Day, alone: bool) -> list[str]:
    mark = " *" if day.changes else ""
    lines = [f"{number:2}{mark}"]
    if not day.stretches:
        return [*lines, "left out"]
    if not day.firings:
        return lines
    if not alone:
        return [*lines, f"{day.firings:,}"]
    times = [_clock(at // SECOND + offset) for at, offset in day.times]
    if day.firings <= _TIMES:
        return [*lines, *times]
    return [*lines, f"{day.firings:,} times", f"{times[0]} to", times[-1]]


def _row(cells: list[str]) -> str:
    return " ".join(f"{cell:{_CELL}}" for cell in cells).rstrip()
