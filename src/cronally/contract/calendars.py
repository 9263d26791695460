"""Calendars on the wire: named lists of dates of an account, and how the dates that a cron job excludes are written.

Invariant: what a check returns is sorted and holds nothing twice, so the same dates are stored as the same text.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, TypedDict

from cronally.clock.dates import MAX_DATES, MAX_ENTRIES, MAX_NAMES, is_name, names_in, parse_range
from cronally.contract.attribute import Attribute
from cronally.contract.values import EXAMPLE_INSTANT
from cronally.contract.writing import Answer

_EXPECTED: Final = "dates, such as 2026-12-24, and ranges, such as 2026-12-24/2026-12-26"
_Entry = Annotated[str, Attribute("", "a date, a range of dates or the name of a calendar", max_length=64)]
_Date = Annotated[str, Attribute("", "a date or a range of dates", max_length=21)]


def check_dates(texts: list[str]) -> list[str]:
    """Dates and ranges of dates."""
    for place, text in enumerate(texts, start=1):
        try:
            parse_range(text)
        except ValueError as problem:
            raise ValueError(f"has as its entry {place:,} {problem}; give {_EXPECTED}") from None
    return sorted(set(texts))


def check_exclude(texts: list[str]) -> list[str]:
    """Dates, ranges of dates and names of calendars; whether there are such calendars is not known here."""
    for place, text in enumerate(texts, start=1):
        if is_name(text):
            continue
        try:
            parse_range(text)
        except ValueError as problem:
            raise ValueError(
                f"has as its entry {place:,} {problem}; give {_EXPECTED}, or names of calendars"
            ) from None
    if len(names_in(set(texts))) > MAX_NAMES:
        raise ValueError(f"names more than {MAX_NAMES} calendars; put the dates of several into one")
    return sorted(set(texts))


def check_new_name(text: str) -> str:
    """What a calendar is to be called."""
    if not is_name(text):
        raise ValueError(
            "is no name of a calendar, which has 1 to 64 letters, digits, - and _ and does not look like a date"
        )
    return text


def unknown_calendars(known: Iterable[str]) -> str:
    """The complaint about the name of a calendar that there is not.

    :param known: those that there are, sorted
    """
    names = list(known)
    if not names:
        return "names a calendar that there is not, for the account has none; PUT /calendar/{name}/ makes one"
    shown = ", ".join(names[:_SHOWN]) + (" and others" if len(names) > _SHOWN else "")
    return f"names a calendar that there is not; there {'is' if len(names) == 1 else 'are'} {shown}"


_SHOWN: Final = 20

EXCLUDE: Final = Attribute(
    "On which dates it does not fire, by the clock of its time zone: dates, ranges of dates (both ends included) and"
    f" names of calendars; up to {MAX_ENTRIES}, of which {MAX_NAMES} names",
    f"{_EXPECTED}, or names of calendars",
    example=("2026-12-24/2026-12-26", "holidays"),
    check=check_exclude,
    max_length=MAX_ENTRIES,
    may_be_empty=True,
)
Exclude = Annotated[tuple[_Entry, ...] | list[_Entry], EXCLUDE]
ExcludeDates = Annotated[
    tuple[_Date, ...] | list[_Date],
    Attribute(
        "On which dates it does not fire, by the clock of its time zone: dates and ranges of dates (both ends"
        f" included), up to {MAX_ENTRIES}",
        _EXPECTED,
        example=("2026-12-24/2026-12-26",),
        check=check_dates,
        max_length=MAX_ENTRIES,
        may_be_empty=True,
    ),
]
Cause = Annotated[
    str | None,
    Attribute(
        "What excludes it: the name of a calendar, or the date or the range as it was written; or the id of the freeze"
        " that it fell into",
        example="holidays",
        absent=True,
    ),
]


class CalendarDates(TypedDict):
    """What a calendar is to hold."""

    dates: Annotated[
        tuple[_Date, ...] | list[_Date],
        Attribute(
            f"The dates and the ranges of dates (both ends included), up to {MAX_DATES:,}",
            _EXPECTED,
            example=("2026-12-24/2026-12-26", "2027-01-01"),
            check=check_dates,
            max_length=MAX_DATES,
            may_be_empty=True,
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class Calendar(Answer):
    """A calendar."""

    name: Annotated[str, Attribute("What it is called, in its account", example="holidays")]
    dates: Annotated[
        tuple[str, ...] | None,
        Attribute("The dates and ranges of dates in it, sorted; not in a list of calendars", absent=True),
    ] = None
    count: Annotated[int, Attribute("How many there are", minimum=0)]
    created: Annotated[
        bool | None,
        Attribute("When it was put: whether it is new, or else replaces what it held before", absent=True),
    ] = None
    created_at: Annotated[datetime, Attribute("When it was created", example=EXAMPLE_INSTANT)]
    updated_at: Annotated[datetime, Attribute("When it was last put", example=EXAMPLE_INSTANT)]
