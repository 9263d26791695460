"""Refuses whole expressions: those of other schedulers, a wrong number of fields, and those that never fire.

Invariant: an expression of another scheduler is never translated silently. A text that looks like one is refused with
the name of its kind, and with the expression to write, where one means the same, or what differs can be said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NoReturn

from cronally.cron import notations, pasted, systemd
from cronally.cron.days import Days
from cronally.cron.fields import AWS_DAY_OF_WEEK, MONTH
from cronally.cron.hints import Hint, quoted
from cronally.errors import InvalidExpression

_FIVE_FIELDS: Final = 'minute hour day-of-month month day-of-week, for example "0 8 * * MON-FRI"'
# By month from 1, in a leap year.
_LONGEST: Final = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_NAMED_YEAR: Final = re.compile(r"[0-9]{4}(?:[-,/][0-9]{1,4})*")
_NUMBERS: Final = re.compile(r"(?<![#/0-9])[0-9]")
_SHORTCUTS: Final = {
    "@minutely": "* * * * *",
    "@every_minute": "* * * * *",
    "@every_second": "* * * * * *",
    "@quarterly": "0 0 1 1,4,7,10 *",
    "@semiannually": "0 0 1 1,7 *",
}


def refuse_shortcut(text: str, shortcuts: Iterable[str]) -> NoReturn:
    """Refuse a word with `@` that is not a shortcut."""
    why = ", there is no machine of yours to start" if text.lower().startswith("@reboot") else ""
    if (spelled_out := _SHORTCUTS.get(text.lower())) is not None:
        raise InvalidExpression(f"{quoted(text)} is not accepted", hints=(Hint(spelled_out),))
    shown = quoted(text.partition(" ")[0] if why else text)
    raise InvalidExpression(
        f"{shown} is not accepted{why}; the shortcuts are {' '.join(shortcuts)} and @every 90s,"
        f" and everything else is five fields: {_FIVE_FIELDS}"
    )


def refuse_foreign(text: str, words: Sequence[str]) -> None:
    """Refuse a text that looks like another notation, whatever the number of its words."""
    # None of them has five words and begins with a star or a number, as most expressions do.
    if len(words) < 5 or text[:1].isalpha():
        notations.refuse_notation(text)
    if len(words) == 6:
        _refuse_year_last(words)


def refuse_shape(text: str, words: Sequence[str]) -> NoReturn:
    """Refuse a text that has neither five nor six fields; say which dialect it looks like."""
    if not words:
        raise InvalidExpression(f"the expression is empty; write five fields: {_FIVE_FIELDS}")
    text = systemd.without_name(text)
    if (expression := systemd.word(text)) is not None:
        raise InvalidExpression(f'"{text}" is a word of systemd', hints=(Hint(expression),))
    if systemd.is_event(text):
        _refuse_event(text)
    if len(words) == 7 and pasted.YEAR.fullmatch(words[6]):
        _refuse_quartz_with_year(words)
    found = f"the expression has {len(words)} field{'s' if len(words) > 1 else ''}"
    raise InvalidExpression(f"{found}; write five: {_FIVE_FIELDS}, or six with the seconds first")


def _refuse_event(text: str) -> NoReturn:
    problem = f"{quoted(text)} looks like a calendar event of systemd; a time is written minute first"
    expression = systemd.translated(text)
    if expression is None:
        raise InvalidExpression(f"{problem}; write five fields: {_FIVE_FIELDS}")
    differs = pasted.NO_ZONE if systemd.zone(text) else ""
    raise InvalidExpression(problem, hints=(Hint(expression, differs),))


def _refuse_year_last(words: Sequence[str]) -> None:
    """Refuse six fields whose last is a year, as of AWS without `cron()`: here the first of six is the second."""
    day, week, year = words[2], words[4], words[5]
    questions = "?" in (day, week) and "?" not in (words[3], year)
    if not questions and not _NAMED_YEAR.fullmatch(year):
        return
    problem = "six fields begin with the second here, and these end with a year, as in cron() of AWS"
    fields = _with_question(day, week)
    if fields is None:
        raise InvalidExpression(f"{problem}, where one of day-of-month and day-of-week is ?")
    if not questions and _NUMBERS.search(week):
        raise InvalidExpression(f"{problem}; there 1 is SUN in day-of-week, elsewhere it is MON: write names")
    raise InvalidExpression(
        problem, hints=(Hint(f"cron({words[0]} {words[1]} {fields[0]} {words[3]} {fields[1]} {year})"),)
    )


def refuse_quartz_week(text: str, column: int) -> None:
    """Refuse numbers in the day-of-week of a text that looks like Quartz, where 2 is a Monday.

    Quartz writes six fields with a `?`. With names in day-of-week, or without weekdays, they mean the same here.
    """
    if text.upper() == "L":
        raise InvalidExpression(
            f"{quoted(text)} in day-of-week at column {column} is the last day of the week to Quartz",
            hints=(Hint("SAT", at=(column, len(text))),),
        )
    if not _NUMBERS.search(text):
        return
    problem = (
        f"{quoted(text)} in day-of-week at column {column} has numbers beside a ?, as Quartz writes them:"
        " there 2 is a Monday, here it is a Tuesday"
    )
    named = _named(text)
    if _NUMBERS.search(named):
        raise InvalidExpression(f"{problem}; write names, or * for the ?")
    raise InvalidExpression(problem, hints=(Hint(named, at=(column, len(text))),))


def refuse_if_never(days: Days) -> None:
    """Refuse days that do not exist, such as 31 February."""
    if days.every or days.ever_fire():
        return
    if _is_plain(days):
        first = (days.days_of_month & -days.days_of_month).bit_length()
        named = [month for month in range(1, 13) if days.months >> month & 1]
        longest = max(_LONGEST[month] for month in named)
        if first > longest:
            names = ", ".join(MONTH.names[month - 1] for month in named)
            raise InvalidExpression(
                f"the expression never fires: {names} {'has' if len(named) == 1 else 'have'} no day {first}"
                f" (day-of-month); write a day up to {longest} or another month"
            )
    year = " and year" if days.years is not None else ""
    raise InvalidExpression(
        f"the expression never fires: no day is all that day-of-month, month, day-of-week{year} say"
    )


def _is_plain(days: Days) -> bool:
    return days.days_of_month != 0 and not days.of_month_only


def _refuse_quartz_with_year(words: Sequence[str]) -> NoReturn:
    """Refuse seven fields of Quartz: seconds first, year last. AWS has the same fields without seconds."""
    found = "the expression has 7 fields, as in Quartz (seconds first, year last)"
    second, minute, hour, day, month, week, year = words
    # AWS requires a `?`. Quartz itself refuses two fields of days without one.
    fields = _with_question(day, week)
    if fields is None or ("?" not in (day, week) and _NUMBERS.search(week)):
        raise InvalidExpression(
            f"{found}; a year is accepted in cron() of AWS alone, with a ? in one of day-of-month and day-of-week;"
            f" write five: {_FIVE_FIELDS}"
        )
    if second == "0" and "-" not in day.upper().partition("L")[2]:
        raise InvalidExpression(
            found, hints=(Hint(f"cron({minute} {hour} {fields[0]} {month} {fields[1]} {year})"),)
        )
    if year == "*":
        raise InvalidExpression(
            found, hints=(Hint(f"{second} {minute} {hour} {fields[0]} {month} {fields[1]}"),)
        )
    raise InvalidExpression(
        f"{found}; a year is accepted in cron() of AWS alone, which has no seconds; write five: {_FIVE_FIELDS}"
    )


def _with_question(day: str, week: str) -> tuple[str, str] | None:
    """Two fields of days, one of them `?` as AWS demands; None where both restrict the days."""
    if "?" in (day, week):
        return ("*", "?") if day == week == "?" else (day, week)
    if week == "*":
        return day, "?"
    return ("?", week) if day == "*" else None


def _named(text: str) -> str:
    """A day-of-week of Quartz with names for its numbers."""
    names = AWS_DAY_OF_WEEK.names
    return re.sub(r"(?<![#/0-9])[1-7](?![0-9])", lambda digit: names[int(digit[0]) - 1], text)
