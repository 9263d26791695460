"""Refuses whole expressions: those of other schedulers, a wrong number of fields, and those that never fire.

Invariant: an expression of another scheduler is never translated silently. A text that looks like Quartz or systemd
is refused with that name, and with the expression to write, where exactly one means the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NoReturn

from cronally.cron.days import Days
from cronally.cron.fields import AWS_DAY_OF_WEEK, DAY_OF_WEEK, MONTH, quoted
from cronally.errors import InvalidExpression

_FIVE_FIELDS: Final = 'minute hour day-of-month month day-of-week, for example "0 8 * * MON-FRI"'
# By month from 1, in a leap year.
_LONGEST: Final = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_YEAR: Final = re.compile(r"\*(?:/[0-9]+)?|[0-9]{4}(?:[-,/][0-9]{1,4})*")

_ON_CALENDAR: Final = "oncalendar="
# Words and phrases of systemd's OnCalendar=.
_WORDS: Final = {
    "minutely": "* * * * *",
    "hourly": "@hourly",
    "daily": "@daily",
    "weekly": "0 0 * * MON",
    "monthly": "@monthly",
    "quarterly": "0 0 1 1,4,7,10 *",
    "semiannually": "0 0 1 1,7 *",
    "yearly": "@yearly",
    "annually": "@yearly",
}
_SYSTEMD: Final = re.compile(
    r"(?:(?P<week>[A-Za-z]{3,9}(?:(?:\.\.|,)[A-Za-z]{3,9})*) ?)?"
    r"(?:(?P<year>[0-9*]{1,4})-(?P<month>[0-9*]{1,2})-(?P<day>[0-9*]{1,2}) ?)?"
    r"(?P<hour>[0-9]{1,2}|\*):(?P<minute>[0-9]{1,2}|\*)(?::(?P<second>[0-9]{1,2}|\*))?"
)


def refuse_shortcut(text: str, shortcuts: Iterable[str]) -> NoReturn:
    """Refuse a word with `@` that is not a shortcut."""
    why = ", there is no machine of yours to start" if text.lower().startswith("@reboot") else ""
    raise InvalidExpression(
        f"{quoted(text)} is not accepted{why}; the shortcuts are {' '.join(shortcuts)} and @every 90s,"
        f" and everything else is five fields: {_FIVE_FIELDS}"
    )


def refuse_shape(text: str, words: Sequence[str]) -> NoReturn:
    """Refuse a text that has neither five nor six fields; say which dialect it looks like."""
    if not words:
        raise InvalidExpression(f"the expression is empty; write five fields: {_FIVE_FIELDS}")
    if text.upper().startswith(("TZ=", "CRON_TZ=")):
        raise InvalidExpression(
            f"{quoted(words[0])} is not part of an expression; give the zone as the cron job's timezone"
        )
    if text.lower().startswith(_ON_CALENDAR):
        text = text[len(_ON_CALENDAR) :].lstrip()
    if text.lower() in _WORDS:
        raise InvalidExpression(f'"{text}" is a word of systemd; write "{_WORDS[text.lower()]}" instead')
    if _SYSTEMD.fullmatch(text) or ".." in text or "*-*" in text or (":" in text and len(words) < 4):
        instead = _from_systemd(text)
        written = f'write "{instead}" instead' if instead else f"write five fields: {_FIVE_FIELDS}"
        raise InvalidExpression(
            f"{quoted(text)} looks like a calendar event of systemd; a time is written minute first; {written}"
        )
    if len(words) == 7 and _YEAR.fullmatch(words[6]):
        raise InvalidExpression(_quartz_with_year(words))
    found = f"the expression has {len(words)} field{'s' if len(words) > 1 else ''}"
    raise InvalidExpression(f"{found}; write five: {_FIVE_FIELDS}, or six with the seconds first")


def refuse_quartz_week(text: str, column: int) -> None:
    """Refuse numbers in the day-of-week of a text that looks like Quartz, where 2 is a Monday.

    Quartz writes six fields with a `?`. With names in day-of-week, or without weekdays, they mean the same here.
    """
    items = (item.partition("#")[0] for item in text.split(","))
    if any(character.isdigit() for item in items for character in item):
        raise InvalidExpression(
            f"{quoted(text)} in day-of-week at column {column} has numbers beside a ?, as Quartz writes them:"
            f' there 2 is a Monday, here it is a Tuesday; write names, "{_named(text)}" for what Quartz means,'
            " or * for the ?"
        )


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
    return days.days_of_month != 0 and not (days.last_day or days.last_workday or days.nearest)


def _quartz_with_year(words: Sequence[str]) -> str:
    """The refusal of seven fields of Quartz: seconds first, year last. AWS has the same fields without seconds."""
    found = "the expression has 7 fields, as in Quartz (seconds first, year last)"
    minute, hour, day, month, week, year = words[1:]
    if "?" not in (day, week):
        # AWS requires one. Quartz itself refuses two fields of days without a `?`.
        day, week = (day, "?") if week == "*" else ("?" if day == "*" else day, week)
    if words[0] == "0" and "?" in (day, week):
        return f'{found}; write "cron({minute} {hour} {day} {month} {week} {year})" instead'
    return f"{found}; a year is accepted in cron() of AWS alone, which has no seconds; write five: {_FIVE_FIELDS}"


def _named(text: str) -> str:
    """A day-of-week of Quartz with names for its numbers."""
    names = AWS_DAY_OF_WEEK.names
    return re.sub(r"(?<![#/0-9])[1-7](?![0-9])", lambda digit: names[int(digit[0]) - 1], text)


def _from_systemd(text: str) -> str | None:
    """The expression that means the same as a calendar event of systemd; None where that is not certain."""
    event = _SYSTEMD.fullmatch(text)
    if event is None or (event["year"] or "*") != "*":
        return None
    week = [name[:3].upper() for name in re.split(r"\.\.|,", event["week"] or "")]
    if event["week"] and not all(name in DAY_OF_WEEK.values for name in week):
        return None
    day_of_week = "*"
    if event["week"]:
        if ".." in event["week"] and (
            len(week) != 2 or DAY_OF_WEEK.values[week[0]] > DAY_OF_WEEK.values[week[1]]
        ):
            return None
        day_of_week = ("-" if ".." in event["week"] else ",").join(week)
    day = _number(event["day"] or "*")
    if day != "*" and day_of_week != "*":
        return None  # systemd wants both, cron either
    second = _number(event["second"] or "0")
    five = [
        _number(event["minute"]),
        _number(event["hour"]),
        day,
        _number(event["month"] or "*"),
        day_of_week,
    ]
    limits = (59, 23, 31, 12)
    if any(named != "*" and int(named) > limit for named, limit in zip(five, limits, strict=False)):
        return None
    return " ".join(five if second == "0" else [second, *five])


def _number(text: str) -> str:
    return "*" if set(text) == {"*"} else str(int(text)) if text.isdigit() else text
