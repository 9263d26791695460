"""Calendar events of systemd (`OnCalendar=`), as expressions.

Invariant: the expression names the same local times as the event, or there is none.

Source: systemd.time(7), "Calendar events". Weeks begin on Monday there; a zone may stand at the end.
"""

from __future__ import annotations

import re
from typing import Final

from cronally.cron.fields import DAY_OF_WEEK

_ON_CALENDAR: Final = re.compile(r"OnCalendar *= *", re.IGNORECASE)
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
_ZONE: Final = re.compile(r" (UTC|[A-Z][A-Za-z_]+(?:/[A-Za-z_+-]+[0-9]*)+)$")
_EVENT: Final = re.compile(
    r"(?:(?P<week>[A-Za-z]{3,9}(?:(?:\.\.|,)[A-Za-z]{3,9})*) ?)?"
    r"(?:(?P<year>[0-9*]{1,4})-(?P<month>[0-9*]{1,2})-(?P<day>[0-9*]{1,2}) ?)?"
    r"(?P<hour>[0-9]{1,2}|\*):(?P<minute>[0-9]{1,2}(?:/[0-9]{1,2})?|\*)(?::(?P<second>[0-9]{1,2}|\*))?"
)


def without_name(text: str) -> str:
    """The event, without the `OnCalendar=` before it."""
    return _ON_CALENDAR.sub("", text, count=1)


def word(text: str) -> str | None:
    """The expression for a word such as `daily`; None for other texts."""
    return _WORDS.get(text.lower())


def zone(text: str) -> str | None:
    """The zone at the end of an event."""
    found = _ZONE.search(text)
    return None if found is None else found[1]


def is_event(text: str) -> bool:
    """Whether a text looks like a calendar event."""
    return (
        _EVENT.fullmatch(_ZONE.sub("", text)) is not None
        or ".." in text
        or "*-*" in text
        or (":" in text and len(text.split()) < 4)
    )


def translated(text: str) -> str | None:
    """The expression that means the same as a calendar event; None where that is not certain."""
    event = _EVENT.fullmatch(_ZONE.sub("", text))
    if event is None or (event["year"] or "*") != "*":
        return None
    day_of_week = _week(event["week"])
    day = _number(event["day"] or "*")
    if day_of_week is None or (day != "*" and day_of_week != "*"):
        return None  # systemd wants both days, cron either
    minute = event["minute"]
    if "/" in minute:
        first, _, step = minute.partition("/")
        minute = f"*/{int(step)}" if int(first) == 0 else f"{int(first)}-59/{int(step)}"
    else:
        minute = _number(minute)
    second = _number(event["second"] or "0")
    five = [minute, _number(event["hour"]), day, _number(event["month"] or "*"), day_of_week]
    return " ".join(five if second == "0" else [second, *five])


def _week(text: str | None) -> str | None:
    """The days of the week: one range, or a list; None for others."""
    if text is None:
        return "*"
    names = [name[:3].upper() for name in re.split(r"\.\.|,", text)]
    if not all(name in DAY_OF_WEEK.values for name in names):
        return None
    if ".." not in text:
        return ",".join(names)
    # From Monday on: systemd refuses a range that begins later than it ends.
    first, last = ((DAY_OF_WEEK.values[name] - 1) % 7 for name in (names[0], names[-1]))
    return "-".join(names) if len(names) == 2 and first < last else None


def _number(text: str) -> str:
    return "*" if set(text) == {"*"} else str(int(text)) if text.isdigit() else text
