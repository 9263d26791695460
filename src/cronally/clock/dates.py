"""The dates on which a cron job does not fire: how they are written, and how they are kept.

Invariant: pure, and imports no parser of expressions: the client reads this, too.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterable, Sequence
from datetime import date
from functools import lru_cache
from typing import Final, NamedTuple

MAX_ENTRIES: Final = 50
"""Dates, ranges and names of one cron job."""
MAX_NAMES: Final = 10
"""Of these, names of calendars: a tick reads the calendars of all cron jobs that are due."""
MAX_DATES: Final = 1000
"""Dates and ranges of one calendar."""
MAX_NAME: Final = 64
"""Characters."""
NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What a calendar may be called, but for what looks like a date."""

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_RANGE: Final = re.compile(f"{_DATE.pattern}(?:/{_DATE.pattern})?")
_EPOCH: Final = date(1970, 1, 1).toordinal()
_YEARS: Final = range(1970, 2200)


def is_date(text: str) -> bool:
    """Whether a text has the form of a date, whether there is such a date or not. A calendar has another name."""
    return _DATE.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether a text may be the name of a calendar."""
    return NAME.fullmatch(text) is not None and not is_date(text)


def names_in(entries: Iterable[str] | None) -> list[str]:
    """The names of calendars among the entries of a cron job."""
    return [entry for entry in entries or () if is_name(entry)]


def parse_range(text: str) -> tuple[int, int]:
    """The days from the first of a date or a range until the last, as days since 1970, the end not included.

    Raises ValueError with what is wrong, as the end of a sentence.
    """
    if not _RANGE.fullmatch(text):
        raise ValueError("neither a date nor a range of dates")
    first, _, last = text.partition("/")
    try:
        begin = date.fromisoformat(first)
        end = date.fromisoformat(last) if last else begin
    except ValueError:
        raise ValueError("a date that there is not") from None
    if begin.year not in _YEARS or end.year not in _YEARS:
        raise ValueError(f"a date outside of the years {_YEARS[0]} to {_YEARS[-1]}")
    start, stop = begin.toordinal() - _EPOCH, end.toordinal() + 1 - _EPOCH
    if start >= stop:
        raise ValueError("a range that ends before it begins")
    return start, stop


class Days(NamedTuple):
    """Days since 1970, as ranges that neither overlap nor touch, in order."""

    starts: Sequence[int]
    stops: Sequence[int]
    """Not included."""


@lru_cache(maxsize=512)
def days_of(text: str) -> Days:
    """The days of an entry, or of a calendar as it is stored: JSON of a list of dates and ranges.

    Raises ValueError for what is neither.
    """
    listed = json.loads(text) if text.startswith("[") else [text]
    # What is kept of a thousand ranges is 8 KiB.
    starts, stops = array("i"), array("i")
    for start, stop in sorted(map(parse_range, listed)):
        if stops and start <= stops[-1]:
            stops[-1] = max(stops[-1], stop)
        else:
            starts.append(start)
            stops.append(stop)
    return Days(starts, stops)
