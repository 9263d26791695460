"""An expression as a sentence in English: "At 08:00, Monday to Friday, Europe/Berlin".

Invariant: a sentence says exactly when the expression fires in local time, on a day without a change of the clock. It
is made from the parsed expression, not from the text. An expression that these sentences cannot describe exactly has
no sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from cronally.cron import Expression, Interval
from cronally.cron.days import EVERY_DAY, EVERY_MONTH, EVERY_WEEKDAY, FIRST_YEAR, Days
from cronally.instants import DAY, HOUR, MINUTE, SECOND, format_iso

NONE: Final = "There is no sentence for this expression; its next fire times say when it fires."
"""What to show where there is no sentence."""

_WEEKDAYS: Final = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
_MONTHS: Final = [
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
]
_NTH: Final = ("first", "second", "third", "fourth", "fifth")
_LISTED: Final = 6  # longer lists are hard to read


def sentence_of(
    expressions: Sequence[Expression | Interval],
    zone: str,
    starts_at: int | None = None,
    ends_at: int | None = None,
) -> str | None:
    """The sentence for all expressions of a cron job, and from when to when it may fire. None: one of them has none."""
    since = "the creation" if starts_at is None else "its start"
    found = [sentence(expression, zone, since) for expression in expressions]
    said = [one for one in found if one is not None]
    if len(said) < len(found):
        return None
    whole = "; and ".join([said[0], *(one[0].lower() + one[1:] for one in said[1:])])
    if ends_at is None:
        return whole if starts_at is None else f"{whole}; from {format_iso(starts_at)} on"
    if starts_at is None:
        return f"{whole}; until {format_iso(ends_at)}"
    return f"{whole}; from {format_iso(starts_at)} to {format_iso(ends_at)}"


def sentence(expression: Expression | Interval, zone: str, since: str = "the creation") -> str | None:
    """The sentence, with the zone at its end. None: there is none.

    :param since: what an interval is counted from
    """
    if isinstance(expression, Interval):
        return f"Every {_duration(expression.period)}, counted from {since}"
    if expression.once:
        return f"{_once(expression)}, {zone}"
    time = _time(expression)
    days = _days(expression.days)
    if time is None or days is None:
        return None
    parts = [time, *days]
    if not days and time.startswith("At ") and "past" not in time:
        parts.append("every day")
    return ", ".join([*parts, zone])


def _duration(period: int) -> str:
    shown = []
    for unit, name in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (SECOND, "second")):
        number, period = divmod(period, unit)
        if number:
            shown.append(f"{number} {name}{'s' if number > 1 else ''}")
    if len(shown) == 1:
        return shown[0].removeprefix("1 ")
    return _listed(shown)


def _once(expression: Expression) -> str:
    days = expression.days
    day = _values(days.days_of_month)[0] + 1
    month = _MONTHS[_values(days.months)[0] - 1]
    year = FIRST_YEAR + _values(days.years or 1)[0]
    (time,) = _times(expression)
    return f"Once, at {time} on {day} {month} {year}"


# The time of day


def _time(expression: Expression) -> str | None:
    if expression.seconds.bit_count() > 1:
        return _by_seconds(expression)
    hours, minutes = _values(expression.hours), _values(expression.minutes)
    if len(hours) * len(minutes) <= _LISTED:
        return f"At {_listed(_times(expression))}"
    if expression.seconds != 1:
        return None
    if len(minutes) == 1:
        return _by_hours(hours, minutes[0])
    every = _step(minutes, 60)
    if every is not None:
        text = "Every minute" if every == 1 else f"Every {every} minutes"
        if len(hours) == 24:
            return text
        if len(hours) == 1 or _is_run(hours):
            return f"{text} from {_clock(hours[0], 0)} to {_clock(hours[-1], minutes[-1])}"
        if len(hours) <= _LISTED:
            return f"{text} of the hours {_listed([f'{hour:02}' for hour in hours])}"
        return None
    if len(minutes) > _LISTED:
        return None
    text = f"At {_listed([str(minute) for minute in minutes])} minutes past"
    if len(hours) == 24:
        return f"{text} every hour"
    if _is_run(hours):
        return f"{text} every hour from {hours[0]:02} to {hours[-1]:02}"
    if len(hours) <= _LISTED:
        return f"{text} the hours {_listed([f'{hour:02}' for hour in hours])}"
    return None


def _by_hours(hours: Sequence[int], minute: int) -> str | None:
    """One minute of many hours."""
    if len(hours) == 24:
        if minute == 0:
            return "Every hour on the hour"
        return f"At {minute} minute{'s' if minute > 1 else ''} past every hour"
    if _is_run(hours):
        return f"Every hour from {_clock(hours[0], minute)} to {_clock(hours[-1], minute)}"
    every = _step(hours, 24)
    if every is not None:
        return f"Every {every} hours from {_clock(0, minute)}"
    return None


def _by_seconds(expression: Expression) -> str | None:
    """Several seconds of each minute of the day."""
    every = _step(_values(expression.seconds), 60)
    if every is None or expression.minutes.bit_count() < 60 or expression.hours.bit_count() < 24:
        return None
    return "Every second" if every == 1 else f"Every {every} seconds"


def _times(expression: Expression) -> list[str]:
    second = _values(expression.seconds)[0]
    shown = f":{second:02}" if second else ""
    return [
        _clock(hour, minute) + shown
        for hour in _values(expression.hours)
        for minute in _values(expression.minutes)
    ]


def _clock(hour: int, minute: int) -> str:
    return f"{hour:02}:{minute:02}"


# Days


def _days(days: Days) -> list[str] | None:
    """The parts of the sentence that name the days; empty for every day, None where that is not possible."""
    of_month, of_week = _of_month(days), _of_week(days)
    any_day = days.days_of_month == EVERY_DAY
    any_weekday = days.weekdays == EVERY_WEEKDAY
    parts: list[str] = []
    if (any_day and any_weekday) or (not days.both and (any_day or any_weekday)):
        pass
    elif any_weekday:  # both
        if of_month is None:
            return None
        parts.append(f"on the {of_month} of the month")
    elif any_day:
        if of_week is None:
            return None
        parts.append(of_week)
    else:
        if of_month is None or of_week is None:
            return None
        on = of_week if of_week.startswith("on ") else f"on {of_week}"
        if days.both:
            parts.append(f"on the {of_month} of the month if it is also {on}")
        else:
            parts.append(f"on the {of_month} of the month and also {on}")
    if days.months != EVERY_MONTH:
        parts.append(_runs(_values(days.months), lambda month: _MONTHS[month - 1]))
    if days.years is not None:
        years = [FIRST_YEAR + year for year in _values(days.years)]
        if not _is_run(years) and len(years) > _LISTED:
            return None
        parts.append(_runs(years, str))
    return parts


def _of_month(days: Days) -> str | None:
    """`1st, 15th and last day`; None where it would be too long."""
    numbers = [day + 1 for day in _values(days.days_of_month)]
    named = [_ordinal(day) for day in numbers]
    if len(numbers) > _LISTED:
        if not _is_run(numbers):
            return None
        named = [f"{named[0]} to the {named[-1]}"]
    # At the beginning: "the 1st and 3rd day before the last day" could be both before it.
    named = [_before_last(days_before) for days_before in _values(days.from_last) if days_before] + named
    if days.nearest_from_last & 1:
        named.append("last weekday")
    if days.from_last & 1:
        named.append("last day")
    # At the end: "nearest to the 1st and last day" could be nearest to both.
    nearest = [_ordinal(day + 1) for day in _values(days.nearest)]
    nearest += [_before_last(days_before) for days_before in _values(days.nearest_from_last) if days_before]
    named += [f"weekday nearest to the {day}" for day in nearest]
    return _listed(named) if 0 < len(named) <= _LISTED else None


def _before_last(days_before: int) -> str:
    return f"{_ordinal(days_before)} day before the last day"


def _of_week(days: Days) -> str | None:
    """`Monday to Friday`, or `on the second Monday of the month`; None where it would be too long."""
    weekdays = _values(days.weekdays)
    special = [
        f"the {_NTH[nth]} {_WEEKDAYS[weekday]}"
        for nth in range(5)
        for weekday in _values(days.nth_weekdays >> 7 * nth & EVERY_WEEKDAY)
    ]
    special += [f"the last {_WEEKDAYS[weekday]}" for weekday in _values(days.last_weekdays)]
    if not special:
        return _week(weekdays)
    if weekdays or len(special) > _LISTED:
        return None
    return f"on {_listed(special)} of the month"


def _week(weekdays: Sequence[int]) -> str:
    """Weekdays from Monday on; three or more days in a row are a range, which may include a weekend."""
    from_monday = sorted(weekdays, key=lambda weekday: (weekday - 1) % 7)
    if len(weekdays) >= 3:
        for first in weekdays:
            run = [(first + n) % 7 for n in range(len(weekdays))]
            if set(run) == set(weekdays):
                return f"{_WEEKDAYS[run[0]]} to {_WEEKDAYS[run[-1]]}"
    return f"on {_listed([_WEEKDAYS[weekday] for weekday in from_monday])}"


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number not in (11, 12, 13) else "th"
    return f"{number}{ending}"


# Lists


def _values(mask: int) -> list[int]:
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]


def _is_run(values: Sequence[int]) -> bool:
    """Whether there are at least three values, each one more than the one before."""
    return len(values) >= 3 and values[-1] - values[0] == len(values) - 1


def _step(values: Sequence[int], size: int) -> int | None:
    """The distance of values that repeat evenly from 0 on, over the end too; None when they do not."""
    distances = {second - first for first, second in pairwise([*values, values[0] + size])}
    return distances.pop() if values[0] == 0 and len(distances) == 1 else None


def _runs(values: Sequence[int], name: Callable[[int], str]) -> str:
    """`from June to August` for three or more in a row, else `in January and July`."""
    if _is_run(values):
        return f"from {name(values[0])} to {name(values[-1])}"
    return f"in {_listed([name(value) for value in values])}"


def _listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(words) == 1:
        return words[0]
    return f"{', '.join(words[:-1])} and {words[-1]}"
