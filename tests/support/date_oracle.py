"""The oracle for excluded dates: to which date each minute belongs, and what excludes it. For tests only.

It shares no code with the package: local time is `zoneinfo`'s, and dates are looked up in sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import cache

from tests.support.clock_oracle import day, offset, zone_info

MINUTE = 60_000_000


@cache
def dates_of(name: str, start: int, stop: int) -> list[date]:
    """The date of each real minute with start <= t < stop, since 1970: it begins once, and does not come again.

    The clock must show its latest date so far at `start`.
    """
    zone = zone_info(name)
    found: list[date] = []
    for minute in range(start, stop):
        shown = day((minute + offset(zone, minute)) // 1440)
        found.append(max(shown, found[-1]) if found else shown)
    return found


def members(text: str) -> set[date]:
    """The dates of an entry."""
    first, _, last = text.partition("/")
    one, end = date.fromisoformat(first), date.fromisoformat(last or first)
    return {one + timedelta(days=number) for number in range((end - one).days + 1)}


def causes(entries: Sequence[str], calendars: Mapping[str, Sequence[str]]) -> list[tuple[str, set[date]]]:
    """The entries in sorted order, each with its dates."""
    return [
        (entry, set().union(*map(members, calendars[entry])) if entry in calendars else members(entry))
        for entry in sorted(set(entries))
    ]


def cause_of(rules: list[tuple[str, set[date]]], on: date) -> str | None:
    """The first entry that holds a date."""
    return next((entry for entry, dates in rules if on in dates), None)
