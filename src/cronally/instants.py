"""Instants: integers, microseconds since 1970-01-01T00:00:00Z. One form inside, ISO 8601 with `Z` on every face.

Invariant: exact. Nothing here passes through a float, so an instant survives text and back.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

MIN_INSTANT: Final = 0
"""1970-01-01T00:00:00Z: nothing fires before."""

MAX_INSTANT: Final = (datetime(9000, 1, 1, tzinfo=UTC) - EPOCH) // _MICROSECOND
"""9000-01-01T00:00:00Z: far enough, and far enough from what `datetime` can hold for any arithmetic."""


def from_datetime(moment: datetime) -> int:
    """The instant of an aware datetime. Raises ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError("an instant needs an offset: add Z for UTC")
    return (moment - EPOCH) // _MICROSECOND


def to_datetime(instant: int) -> datetime:
    """The aware UTC datetime of an instant."""
    return EPOCH + timedelta(microseconds=instant)


def parse_iso(text: str) -> int:
    """The instant that an ISO 8601 text with an offset or `Z` names; `20261124T080000Z` is read too.

    Raises ValueError with a sentence that says what is missing.
    """
    if len(text) > 40 or not text.isascii():
        raise ValueError("an instant is written like 2026-11-24T08:00:00Z")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("an instant is written like 2026-11-24T08:00:00Z") from None
    try:
        instant = from_datetime(moment)
    except OverflowError:
        raise ValueError("an instant lies between the years 1970 and 9000") from None
    if not MIN_INSTANT <= instant <= MAX_INSTANT:
        raise ValueError("an instant lies between the years 1970 and 9000")
    return instant


def format_iso(instant: int) -> str:
    """ISO 8601 in UTC with `Z`; microseconds only where there are any."""
    return to_datetime(instant).isoformat().removesuffix("+00:00") + "Z"
