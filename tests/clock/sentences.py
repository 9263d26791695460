"""A reader of the sentences that `cronally.clock.sentence` writes: what a reader of English takes them to claim.

It shares no code with the writer. A sentence that it cannot read fails the test, as nobody could be sure of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta

WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = [
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
]
NTH = ["first", "second", "third", "fourth", "fifth"]

Day = Callable[[date], bool]
Time = Callable[[int], bool]
"""Whether it fires at a second of the day."""

_LIST = r"(?:{0})(?:, (?:{0}))*(?: and (?:{0}))?"


def claims(sentence: str, zone: str) -> tuple[Time, Day]:
    """The times of day and the days that a sentence names."""
    assert sentence.endswith(f", {zone}"), sentence
    text = sentence.removesuffix(f", {zone}")
    if once := re.fullmatch(r"Once, at (\S+) on (\d+) (\w+) (\d+)", text):
        on = date(int(once[4]), MONTHS.index(once[3]) + 1, int(once[2]))
        return (lambda second: second == _clock(once[1])), (lambda day: day == on)
    time, rest = _time(text)
    days: list[Day] = []
    while rest:
        rest, found = _day(rest.removeprefix(", "))
        days.append(found)
    return time, (lambda day: all(matches(day) for matches in days))


def _time(text: str) -> tuple[Time, str]:
    clock = r"\d\d:\d\d(?::\d\d)?"
    patterns: list[tuple[str, Callable[[re.Match[str]], Time]]] = [
        (rf"At ({_LIST.format(clock)})(?=,|$)", lambda m: _member([_clock(t) for t in _items(m[1])])),
        (r"Every hour on the hour", lambda m: lambda second: second % 3600 == 0),
        (r"Every (\d+ )?(second|minute|hour)s? from (\S+) to (\d\d:\d\d)", _every_between),
        (r"Every (\d+) hours from (\d\d:\d\d)", _every_from),
        (rf"Every (\d+ )?minutes? of the hours ({_LIST.format(r'[0-9]{2}')})", _every_of_hours),
        (r"Every (\d+ )?(second|minute)s?", _every),
        (
            rf"At ({_LIST.format('[0-9]+')}) minutes? past (?:every hour(?: from (\d\d) to (\d\d))?"
            rf"|the hours ({_LIST.format('[0-9]{2}')}))",
            _past,
        ),
    ]
    for pattern, read in patterns:
        if match := re.match(pattern, text):
            return read(match), text[match.end() :]
    raise AssertionError(f"no reader takes this for a time: {text}")


def _every_between(match: re.Match[str]) -> Time:
    step = int(match[1] or 1) * {"second": 1, "minute": 60, "hour": 3600}[match[2]]
    return _member(list(range(_clock(match[3]), _clock(match[4]) + 1, step)))


def _every_from(match: re.Match[str]) -> Time:
    return _member(list(range(_clock(match[2]), 86_400, int(match[1]) * 3600)))


def _every_of_hours(match: re.Match[str]) -> Time:
    hours, step = [int(hour) for hour in _items(match[2])], int(match[1] or 1) * 60
    return lambda second: second // 3600 in hours and second % step == 0


def _every(match: re.Match[str]) -> Time:
    step = int(match[1] or 1) * (60 if match[2] == "minute" else 1)
    return lambda second: second % step == 0


def _past(match: re.Match[str]) -> Time:
    minutes = [int(minute) * 60 for minute in _items(match[1])]
    hours = list(range(24))
    if match[2]:
        hours = list(range(int(match[2]), int(match[3]) + 1))
    if match[4]:
        hours = [int(hour) for hour in _items(match[4])]
    return lambda second: second % 3600 in minutes and second // 3600 in hours


def _day(text: str) -> tuple[str, Day]:
    """The first part of what says the days, and what is left."""
    weekdays, months = "|".join(WEEKDAYS), "|".join(MONTHS)
    nth = rf"the (?:{'|'.join(NTH)}|last) (?:{weekdays})"
    ordinal = r"\d+(?:st|nd|rd|th)"
    before = f"{ordinal} day before the last day"
    named = f"(?:weekday nearest to the )?{before}|{ordinal}(?: to the {ordinal})?|weekday nearest to the {ordinal}"
    named += "|last weekday|last day"
    of_month = rf"on the ({_LIST.format(named)}) of the month"
    span = f"(?:on )?((?:{weekdays}) to (?:{weekdays}))"
    of_week = rf"(?:on ({_LIST.format(nth)}) of the month|{span}|on ({_LIST.format(weekdays)}))"
    if match := re.match(r"every day", text):
        return text[match.end() :], lambda day: True
    if match := re.match(rf"{of_month}(?: (and also|if it is also) {of_week})?", text):
        first = _days_of_month(match[1])
        if match[2] is None:
            return text[match.end() :], first
        second = _weekdays(match[3], match[4], match[5])
        if match[2] == "and also":
            return text[match.end() :], lambda day: first(day) or second(day)
        return text[match.end() :], lambda day: first(day) and second(day)
    if match := re.match(of_week, text):
        return text[match.end() :], _weekdays(match[1], match[2], match[3])
    if match := re.match(rf"from ({months}) to ({months})", text):
        run = range(MONTHS.index(match[1]) + 1, MONTHS.index(match[2]) + 2)
        return text[match.end() :], lambda day: day.month in run
    if match := re.match(rf"in ({_LIST.format(months)})", text):
        listed_months = [MONTHS.index(name) + 1 for name in _items(match[1])]
        return text[match.end() :], lambda day: day.month in listed_months
    if match := re.match(r"from (\d{4}) to (\d{4})", text):
        years = range(int(match[1]), int(match[2]) + 1)
        return text[match.end() :], lambda day: day.year in years
    if match := re.match(rf"in ({_LIST.format('[0-9]{4}')})", text):
        listed = [int(year) for year in _items(match[1])]
        return text[match.end() :], lambda day: day.year in listed
    raise AssertionError(f"no reader takes this for days: {text}")


def _days_of_month(text: str) -> Day:
    matching = [_day_of_month(item) for item in _items(text)]
    return lambda day: any(matches(day) for matches in matching)


def _day_of_month(item: str) -> Day:
    numbers = [int(number) for number in re.findall(r"\d+", item)]
    if item == "last day":
        return lambda day: (day + timedelta(days=1)).day == 1
    if item == "last weekday":
        return lambda day: day == _workdays(day)[-1]
    if item.endswith(" day before the last day"):
        if item.startswith("weekday nearest"):
            return lambda day: (named := len(_month(day)) - numbers[0]) >= 1 and day == _nearest(day, named)
        return lambda day: len(_month(day)) - day.day == numbers[0]
    if item.startswith("weekday nearest"):
        return lambda day: _exists(day, numbers[0]) and day == _nearest(day, numbers[0])
    return lambda day: numbers[0] <= day.day <= numbers[-1]


def _month(day: date) -> list[date]:
    first = day.replace(day=1)
    return [on for n in range(31) if (on := first + timedelta(days=n)).month == day.month]


def _workdays(day: date) -> list[date]:
    return [on for on in _month(day) if on.isoweekday() < 6]


def _exists(day: date, number: int) -> bool:
    return number <= len(_month(day))


def _nearest(day: date, number: int) -> date:
    return min(_workdays(day), key=lambda on: abs(on.day - number))


def _weekdays(special: str | None, span: str | None, listed: str | None) -> Day:
    if special is not None:
        wanted = [tuple(item.split()[1:]) for item in _items(special)]
        return lambda day: any(_is_nth(day, nth, weekday) for nth, weekday in wanted)
    if span is not None:
        first, last = (WEEKDAYS.index(name) for name in span.split(" to "))
        run = [(first + n) % 7 for n in range((last - first) % 7 + 1)]
        return lambda day: day.weekday() in run
    named = [WEEKDAYS.index(name) for name in _items(listed or "")]
    return lambda day: day.weekday() in named


def _is_nth(day: date, nth: str, weekday: str) -> bool:
    if day.weekday() != WEEKDAYS.index(weekday):
        return False
    alike = [on for on in _month(day) if on.weekday() == day.weekday()]
    return day == alike[-1] if nth == "last" else alike.index(day) == NTH.index(nth)


def _items(text: str) -> list[str]:
    return re.split(r", | and ", text)


def _clock(text: str) -> int:
    hour, minute, second = [*map(int, text.split(":")), 0][:3]
    return hour * 3600 + minute * 60 + second


def _member(values: list[int]) -> Time:
    return set(values).__contains__
