"""Instants and durations: integers, microseconds (since 1970-01-01T00:00:00Z). One form inside; on every face an
instant is ISO 8601 with `Z`, a duration a number with its unit, such as `15m`.

Invariant: exact. Nothing here passes through a float, so an instant or a duration survives text and back.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

MIN_INSTANT: Final = 0
"""1970-01-01T00:00:00Z: nothing fires before."""

MAX_INSTANT: Final = (datetime(2200, 1, 1, tzinfo=UTC) - EPOCH) // _MICROSECOND
"""2200-01-01T00:00:00Z: nothing fires after it, and it is far from what `datetime` cannot hold."""


def from_datetime(moment: datetime) -> int:
    """The instant of an aware datetime. Raises ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError("an instant needs an offset: add Z for UTC")
    return (moment - EPOCH) // _MICROSECOND


def to_datetime(instant: int) -> datetime:
    """The aware UTC datetime of an instant."""
    return EPOCH + timedelta(microseconds=instant)


# What `fromisoformat` reads beyond this is not exact: it drops what follows a NUL or a sixth decimal.
_ISO: Final = re.compile(
    r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}"
    r"(T[0-9]{2}:?[0-9]{2}(:?[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?)?"
)


def parse_iso(text: str) -> int:
    """The instant that an ISO 8601 text with an offset or `Z` names; `20261124T080000Z` is read too.

    Raises ValueError with a sentence that says what is missing.
    """
    if not _ISO.fullmatch(text):
        raise ValueError("an instant is written like 2026-11-24T08:00:00Z")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("an instant is written like 2026-11-24T08:00:00Z") from None
    try:
        instant = from_datetime(moment)
    except OverflowError:
        raise ValueError("an instant lies between the years 1970 and 2200") from None
    if not MIN_INSTANT <= instant <= MAX_INSTANT:
        raise ValueError("an instant lies between the years 1970 and 2200")
    return instant


# At :00 thousands of firings have the same fire time, and each is written several times.
@lru_cache(maxsize=1024)
def format_iso(instant: int) -> str:
    """ISO 8601 in UTC with `Z`; microseconds only where there are any."""
    return to_datetime(instant).isoformat().removesuffix("+00:00") + "Z"


_UNITS: Final = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
_DURATION: Final = re.compile(r"([0-9]{1,9})([smhd])")


def parse_duration(text: str) -> int:
    """The microseconds in a text such as `90s`, `15m`, `24h` or `7d`.

    Raises ValueError with a sentence that says how a duration is written.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("a duration is written like 90s, 15m, 24h or 7d")
    return int(match[1]) * _UNITS[match[2]]


def format_duration(duration: int) -> str:
    """A duration in the largest unit that divides it, in days from two days on: `90s`, `15m`, `24h`, `7d`.

    Raises ValueError for one that is negative or no whole number of seconds.
    """
    if duration < 0 or duration % SECOND:
        raise ValueError("a duration is a whole number of seconds, not below 0")
    for name, unit in (("d", DAY), ("h", HOUR), ("m", MINUTE)):
        if duration >= (2 * DAY if unit == DAY else unit) and duration % unit == 0:
            return f"{duration // unit}{name}"
    return f"{duration // SECOND}s"
