"""What a text means that is no expression here: by the definition of whoever writes it so. For tests only.

It shares no code with the package. A text is made together with its meaning, so nothing has to recognise it; fields are
read here a second time, as liberally as their schedulers do. Sources: crontab(5) of Debian; `CronExpression` of Quartz
2.5 (`a/n` goes on to the end of the field, `/n` is `*/n`, ranges run over the end, weekdays from SUN = 1); Amazon
EventBridge's "Cron expressions reference"; systemd.time(7); RFC 5545.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random

MONTHS = [
    *("JANUARY", "FEBRUARY", "MARCH", "APRIL", "MAY", "JUNE", "JULY"),
    *("AUGUST", "SEPTEMBER", "OCTOBER", "NOVEMBER", "DECEMBER"),
]
DAYS = ["SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY"]


@dataclass
class Meant:
    """When a text fires, to its author."""

    seconds: set[int] = field(default_factory=lambda: {0})
    minutes: set[int] = field(default_factory=lambda: set(range(60)))
    hours: set[int] = field(default_factory=lambda: set(range(24)))
    day: Callable[[date], bool] = lambda _: True
    wildcard: bool | None = None
    """Whether it follows the real minutes over a change of the clock; None: its scheduler has another rule."""
    period: int | None = None
    """Of an interval, in seconds."""


def members(
    text: str, low: int, high: int, names: list[str] | None = None, *, first: int | None = None
) -> set[int]:
    """The values of a field, as liberally as any scheduler reads it.

    :param first: the value of the first name
    """
    first = low if first is None else first

    def value(word: str) -> int:
        if word.isdigit():
            return int(word)
        found = [
            n for n, name in enumerate(names or []) if len(word) > 2 and f"{name}S".startswith(word.upper())
        ]
        assert len(found) == 1, word
        return first + found[0]

    found: set[int] = set()
    for item in text.split(","):
        span, _, step = item.partition("/")
        ends = [] if span in ("", "*", "?") else [value(word) for word in span.split("-")]
        if not ends:
            line = list(range(low, high + 1))
        elif len(ends) == 1:
            line = list(range(ends[0], high + 1)) if step else ends
        elif ends[0] <= ends[1]:
            line = list(range(ends[0], ends[1] + 1))
        else:  # over the end; Sunday comes once
            top = 6 if (low, high) == (0, 7) else high
            line = list(range(ends[0], top + 1)) + list(range(low, ends[1] + 1))
            if ends[0] > top:
                line = list(range(low, ends[1] + 1))
        found.update(line[:: int(step or 1)])
    return found


def unix(text: str) -> Meant:
    """Five fields, or six with the seconds first, weekdays from SUN = 0; a star at the start decides as in Debian."""
    second, minute, hour, day, month, week = ["0", *text.split()][-6:]
    stars = ("*", "/", "?")
    days = _days(day, month, week, 0)
    if day.startswith(stars) or week.startswith(stars):
        both: Callable[[date], bool] = lambda on: days[0](on) and days[1](on)  # noqa: E731
    else:
        both = lambda on: days[0](on) or days[1](on)  # noqa: E731
    return Meant(
        members(second, 0, 59),
        members(minute, 0, 59),
        members(hour, 0, 23),
        lambda on: days[2](on) and both(on),
        any(word.startswith(stars) for word in (second, minute, hour)),
    )


def quartz(text: str) -> Meant:
    """Six or seven fields: seconds first, weekdays from SUN = 1, perhaps a year at the end."""
    second, minute, hour, day, month, week, year = [*text.split(), "*"][:7]
    of_month, of_week, of_year = _days(day, month, week, 1)
    years = set(range(1970, 2200)) if year == "*" else members(year, 1970, 2199)
    return Meant(
        members(second, 0, 59),
        members(minute, 0, 59),
        members(hour, 0, 23),
        lambda on: on.year in years and of_year(on) and of_month(on) and of_week(on),
    )


def aws(text: str) -> Meant:
    """Six fields, the year last, weekdays from SUN = 1."""
    return quartz(f"0 {text}")


def _days(day: str, month: str, week: str, sunday: int) -> tuple[Callable[[date], bool], ...]:
    months = members(month, 1, 12, MONTHS)
    return (
        lambda on: any(_of_month(item, on) for item in day.upper().split(",")),
        lambda on: any(_of_week(item, on, sunday) for item in week.upper().split(",")),
        lambda on: on.month in months,
    )


def _of_month(item: str, on: date) -> bool:
    last = monthrange(on.year, on.month)[1]
    if item == "L" or item.startswith("L-"):
        return on.day == last - int(item[2:] or 0)
    if item == "LW":
        return on.isoweekday() <= 5 and all(
            (on + timedelta(days=n)).isoweekday() > 5 for n in range(1, last - on.day + 1)
        )
    return on.day in members(item, 1, 31)


def _of_week(item: str, on: date, sunday: int) -> bool:
    weekday = on.isoweekday() % 7

    def named(word: str) -> bool:
        numbers = members(word, sunday, 7, DAYS)
        return weekday in {(number - sunday) % 7 for number in numbers}

    name, nth, k = item.partition("#")
    if nth:
        return named(name) and (on.day - 1) // 7 + 1 == int(k)
    if item == "L":
        return weekday == 6
    if item.endswith("L"):
        return named(item[:-1]) and (on + timedelta(days=7)).month != on.month
    return named(item)


def liberal_field(random: Random, low: int, high: int, names: list[str] | None = None) -> str:
    """A field in a form that some scheduler takes."""

    def value() -> str:
        number = random.randint(low, high)
        if names and number - low < len(names) and random.random() < 0.5:
            name = names[number - low]
            return random.choice([name[:3], name, name.title(), name[:3].lower(), name[:4]])
        return str(number)

    def step() -> str:
        return str(random.choice([1, 2, 3, 5, 7, 10, 15, 45, 60, 61, 90, 120, random.randint(1, 400)]))

    def item() -> str:
        form = random.randrange(8)
        if form < 2:
            return value()
        if form == 2:
            return f"{value()}/{step()}"
        if form == 3:
            return f"*/{step()}"
        if form == 4:
            return f"/{step()}"
        return f"{value()}-{value()}" + (f"/{step()}" if form == 5 else "")

    form = random.randrange(6)
    if form < 3:
        return "*"
    return ",".join(item() for _ in range(random.randint(2, 3))) if form == 3 else item()
