"""Reads `cron(...)` and `at(...)` of Amazon EventBridge.

Invariant: `read` returns what EventBridge would run, or raises InvalidExpression and nothing else. The first field is
the minutes, the last one the year. Weekdays count from SUN = 1. One of the two fields of days is a `?`, and the other
one decides.

Source: "Schedule types in EventBridge Scheduler" and "Setting a schedule pattern for scheduled rules", AWS.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from cronally.cron import fields, notations
from cronally.cron.days import EVERY_DAY, EVERY_WEEKDAY, FIRST_YEAR, Days
from cronally.cron.expression import Expression
from cronally.cron.fields import AWS_DAY_OF_WEEK, DAY_OF_MONTH, HOUR, MINUTE, MONTH, YEAR, Field
from cronally.cron.hints import Hint, quoted
from cronally.cron.refusals import refuse_if_never
from cronally.errors import InvalidExpression

_SIX_FIELDS: Final = (
    'minutes hours day-of-month month day-of-week year, for example "cron(0 10 ? * MON-FRI *)"'
)
_WORD: Final = re.compile(r"[^ ]+")
_AT: Final = re.compile(r"([0-9]{4})-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}")
_NEAREST: Final = re.compile(r"([0-9]+)W", re.IGNORECASE)
_LAST: Final = re.compile(r"([0-9]+|[A-Z]{3})L", re.IGNORECASE)
_NTH: Final = re.compile(r"([0-9]+|[A-Z]{3})#([1-5])", re.IGNORECASE)
_WEEKDAY_NUMBER: Final = re.compile(r"(?<![#/0-9])[0-9]")
_SATURDAY: Final = 7


def read(text: str) -> Expression:
    """Read `cron(...)` or `at(...)`. Raises InvalidExpression, which says what is wrong, where, and what to write."""
    name, _, rest = text.partition("(")
    if not rest.endswith(")") or "(" in rest or ")" in rest[:-1]:
        inner = rest.strip("() ")
        hints = [] if set("()") & set(inner) else [Hint(f"{name}({inner})")]
        raise InvalidExpression(f"{quoted(text)} has no one pair of parentheses", hints=hints)
    if name.lower() == "at":
        return _once(text, rest[:-1])
    words = [(word[0], len(name) + 2 + word.start()) for word in _WORD.finditer(rest[:-1])]
    if len(words) != 6:
        hints = []
        if len(words) == 5:
            numbers = _WEEKDAY_NUMBER.search(words[4][0])
            hints.append(
                Hint(rest[:-1], "counts weekdays from SUN = 0, as Unix cron, not from 1" if numbers else "")
            )
        raise InvalidExpression(f"cron() of AWS has six fields, not {len(words)}: {_SIX_FIELDS}", hints=hints)
    minute, hour, day_of_month, month, day_of_week, year = words
    _refuse_without_question(words, len(name) + 2)
    years = None if year[0] == "*" else _mask(*year, YEAR) >> FIRST_YEAR
    days = _days(day_of_month, _mask(*month, MONTH), day_of_week, years)
    refuse_if_never(days)
    return Expression(
        text=text,
        wildcard=minute[0].startswith("*") or hour[0].startswith("*"),
        seconds=1,
        minutes=_mask(*minute, MINUTE),
        hours=_mask(*hour, HOUR),
        days=days,
    )


def _once(text: str, moment: str) -> Expression:
    try:
        if not _AT.fullmatch(moment):
            raise ValueError
        at = datetime.fromisoformat(moment)
    except ValueError:
        problem = f"{quoted(text)} does not name a time"
        if (once := notations.moment(moment)) is not None and once.expression != text:
            raise InvalidExpression(problem, hints=(once,)) from None
        raise InvalidExpression(
            f"{problem}; write at(2026-12-24T18:00:00), in the cron job's timezone"
        ) from None
    if not YEAR.low <= at.year <= YEAR.high:
        raise InvalidExpression(f'"{at.year}" is out of range for year ({YEAR.low}-{YEAR.high}) at column 4')
    days = Days(days_of_month=1 << at.day - 1, months=1 << at.month, years=1 << at.year - FIRST_YEAR)
    return Expression(
        text=text,
        wildcard=False,
        seconds=1 << at.second,
        minutes=1 << at.minute,
        hours=1 << at.hour,
        days=days,
        once=True,
    )


def _mask(text: str, column: int, field: Field) -> int:
    """The values of one field. `column` is where it starts, from 1."""
    mask = 0
    for item in text.split(","):
        mask |= fields.item_mask(item, column, field, text, aws=True)
        column += len(item) + 1
    return mask


def _days(
    day_of_month: tuple[str, int], months: int, day_of_week: tuple[str, int], years: int | None
) -> Days:
    if day_of_month[0] == "?":
        return _week(*day_of_week, months, years)
    text, column = day_of_month
    days = nearest = last_day = last_workday = 0
    for item in text.split(","):
        if item.upper() == "L":
            last_day = 1
        elif item.upper() == "LW":
            last_workday = 1
        elif near := _NEAREST.fullmatch(item):
            nearest |= 1 << fields.value(near[1], column, DAY_OF_MONTH)
        else:
            days |= fields.item_mask(item, column, DAY_OF_MONTH, text, aws=True)
        column += len(item) + 1
    return Days(
        days_of_month=days >> 1,
        months=months,
        from_last=last_day,
        nearest=nearest >> 1,
        nearest_from_last=last_workday,
        years=years,
    )


def _week(text: str, column: int, months: int, years: int | None) -> Days:
    weekdays = last_weekdays = nth_weekdays = 0
    if "#" in text and "," in text:
        raise InvalidExpression(
            f"{quoted(text)} in day-of-week at column {column} has a # in a list; AWS takes one such day alone"
        )
    for item in text.split(","):
        if item.upper() == "L":
            weekdays |= 1 << _SATURDAY  # the last day of the week
        elif last := _LAST.fullmatch(item):
            last_weekdays |= 1 << fields.value(last[1], column, AWS_DAY_OF_WEEK)
        elif nth := _NTH.fullmatch(item):
            nth_weekdays |= 1 << fields.value(nth[1], column, AWS_DAY_OF_WEEK) + 7 * (int(nth[2]) - 1)
        else:
            weekdays |= fields.item_mask(item, column, AWS_DAY_OF_WEEK, text, aws=True)
        column += len(item) + 1
    return Days(
        days_of_month=EVERY_DAY,
        months=months,
        weekdays=weekdays >> 1 & EVERY_WEEKDAY,
        last_weekdays=last_weekdays >> 1,
        nth_weekdays=nth_weekdays >> 1,
        years=years,
    )


def _refuse_without_question(words: list[tuple[str, int]], start: int) -> None:
    """Refuse two fields of days unless exactly one of them is `?`.

    :param start: the column of the first field
    """
    (day, column), (week, _) = words[2], words[4]
    if (day == "?") != (week == "?"):
        return
    problem = f"cron() of AWS takes a ? in exactly one of day-of-month and day-of-week (column {column})"
    if week in ("*", "?"):
        day, week = ("*" if day == "?" else day), "?"
    elif day == "*":
        day = "?"
    else:
        raise InvalidExpression(
            f"{problem}: write ? in one of them; a day that may match either of the two is an expression of Unix cron"
        )
    fields = [word for word, _ in words]
    written = " ".join([*fields[:2], day, fields[3], week, fields[5]])
    length = words[-1][1] + len(words[-1][0]) - start
    raise InvalidExpression(problem, hints=(Hint(written, at=(start, length)),))
