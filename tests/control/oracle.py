"""The oracle of a cron job: when it fires, what a change of the clock suppresses, and what excludes a date.

It shares no code with the package. Far from a change of its zone's clock local time is a constant offset, and
`support.oracle` walks from day to day; near one `support.clock_oracle` goes from minute to minute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache

from tests.support import clock_oracle, date_oracle, oracle
from tests.support.clock_oracle import Expected

MINUTE = 60_000_000
DAY_MINUTES = 1440
NEAR = 190
"""Minutes from a change of the clock in which it may move or suppress a fire time."""


@dataclass(frozen=True)
class Timing:
    """When a cron job fires. Instants are microseconds since 1970."""

    texts: tuple[str, ...]
    zone: str = "UTC"
    gap: str | None = None
    overlap: str | None = None
    starts_at: int | None = None
    ends_at: int | None = None


def expected(timing: Timing, after: int, until: int) -> Expected:
    """What it fires, and what is suppressed, later than an instant until another one.

    What a gap skips has its place in the last microsecond before the jump.
    """
    first = max(after + 1, timing.starts_at or 0)
    last = until if timing.ends_at is None else min(until, timing.ends_at)
    fires: list[int] = []
    held: list[int] = []
    skipped: dict[int, int] = {}
    for day in range(first // MINUTE // DAY_MINUTES, last // MINUTE // DAY_MINUTES + 1):
        found = _of_day(timing.texts, timing.zone, timing.gap, timing.overlap, day)
        fires += [at for at in found.fires if first <= at <= last]
        held += [at for at in found.held if first <= at <= last]
        skipped |= {jump: count for jump, count in found.skipped.items() if first <= jump - 1 <= last}
    return Expected(fires, held, skipped)


def fires_after(timing: Timing, at: int) -> bool:
    """Whether it has a fire time after an instant. Each of the expressions here fires every day."""
    if timing.ends_at is None:
        return True
    return at < timing.ends_at and bool(expected(timing, at, timing.ends_at).fires)


@cache
def _of_day(texts: tuple[str, ...], zone: str, gap: str | None, overlap: str | None, day: int) -> Expected:
    """Of one day of UTC."""
    start, stop = day * DAY_MINUTES, (day + 1) * DAY_MINUTES
    fires: list[int] = []
    held: list[int] = []
    skipped: dict[int, int] = {}
    for change in _changes(zone, day):
        begin, end = change - NEAR, change + NEAR
        if begin < stop and start < end:
            fires += _plain(texts, zone, start, begin)
            near = clock_oracle.expected_of_several(texts, zone, begin, end, gap, overlap)
            fires += [at for at in near.fires if start * MINUTE <= at < stop * MINUTE]
            held = [at for at in near.held if start * MINUTE <= at < stop * MINUTE]
            skipped = {at: n for at, n in near.skipped.items() if start * MINUTE < at <= stop * MINUTE}
            start = end
    fires += _plain(texts, zone, start, stop)
    return Expected(fires, held, skipped)


def _plain(texts: tuple[str, ...], zone: str, start: int, stop: int) -> list[int]:
    """The fire times of minutes in which the clock does not change."""
    if start >= stop:
        return []
    shift = clock_oracle.offset(clock_oracle.zone_info(zone), start) * MINUTE
    begin, end = start * MINUTE + shift, stop * MINUTE + shift
    return sorted({at - shift for text in texts for at in oracle.fire_times(text, begin, end)})


@cache
def _changes(zone: str, day: int) -> list[int]:
    year = clock_oracle.day(day).year
    return clock_oracle.transitions(zone, year - 1, year + 1)


def cause_of(
    entries: Sequence[str], calendars: Mapping[str, Sequence[str]], zone: str, at: int
) -> str | None:
    """The entry that excludes the date of an instant in a zone."""
    if not entries:
        return None
    return date_oracle.cause_of(date_oracle.causes(entries, calendars), _date(zone, at // MINUTE))


@cache
def _date(zone: str, minute: int) -> date:
    return date_oracle.dates_of(zone, minute - NEAR, minute + 1)[-1]
