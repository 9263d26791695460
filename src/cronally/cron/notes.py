"""What is accepted and fires at other times than it seems to name.

Invariant: pure, and made from the text alone. A note never changes what an expression fires.

A step longer than its field is refused where an expression is written, as it cannot mean what it says: `*/90` in
minutes is minute 0 of each hour. Debian's cron reads it so, and so does `cron.parse`: what is stored goes on firing.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from cronally.cron.days import EVERY_DAY, EVERY_WEEKDAY, Days
from cronally.cron.expression import Expression
from cronally.cron.fields import (
    AWS_DAY_OF_WEEK,
    DAY_OF_MONTH,
    DAY_OF_WEEK,
    HOUR,
    MINUTE,
    MONTH,
    SECOND,
    YEAR,
    Field,
)
from cronally.cron.hints import COUNTED, Hint, quoted
from cronally.errors import InvalidExpression

_WORD: Final = re.compile(r"[^ \t]+")
_STEP: Final = re.compile(r"(\*|[0-9A-Z]+)(?:-([0-9A-Z]+))?/([0-9]+)", re.IGNORECASE)
_FIVE: Final = (MINUTE, HOUR, DAY_OF_MONTH, MONTH, DAY_OF_WEEK)
_AWS: Final = (MINUTE, HOUR, DAY_OF_MONTH, MONTH, AWS_DAY_OF_WEEK, YEAR)
_UNITS: Final = {"second": "s", "minute": "minute", "hour": "hour", "day-of-month": "day"}
_TURNS: Final = {
    "second": "minute",
    "minute": "hour",
    "hour": "day",
    "day-of-month": "month",
    "month": "year",
    "day-of-week": "week",
}
_SHORTEST: Final = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class _Step(NamedTuple):
    """An item with a step."""

    text: str
    column: int
    field: Field
    begin: str
    end: str | None
    step: int
    alone: bool
    """It is all of its field."""

    @property
    def size(self) -> int:
        return self.field.top - self.field.low + 1

    @property
    def first(self) -> int:
        return self.field.low if self.begin == "*" else _value(self.begin, self.field)

    @property
    def last(self) -> int:
        """The end of what it steps through."""
        return _value(self.end, self.field) if self.end is not None else self.field.top

    @property
    def names_one(self) -> bool:
        """A range that is shorter than its step."""
        return self.begin != "*" and self.step > (self.last - self.first) % self.size


def refuse_long_steps(text: str) -> None:
    """Refuse a step longer than its field, in an expression that is accepted otherwise.

    :param text: the hints are for this text
    """
    for step in _steps(text):
        if step.step > step.size and step.field is not YEAR:
            _refuse(text, step)


def notes(expression: Expression) -> list[str]:
    """What somebody should know who takes an expression for what it seems to say; a sentence each."""
    found = []
    for step in _steps(expression.text):
        named = f"{quoted(step.text)} in {step.field.name}"
        if step.field is YEAR:
            continue
        if step.step > step.size or step.names_one:
            found.append(f"{named} {_one(step)}")
        elif step.alone and (gap := _gap(step)) is not None:
            found.append(f"{named} begins again each {_TURNS[step.field.name]}: {gap}")
    words = _fields(expression.text)
    if len(words) == 6 and words[0][2] is SECOND:
        found.append("the first of six fields is the second")
    if len(words) == 5 and "?" in (words[2][0], words[4][0]) and re.search(r"(?<![#/])[0-9]", words[4][0]):
        found.append("day-of-week counts from SUN = 0 here; in Quartz and AWS, which write ?, 1 is SUN")
    return found + _days(expression.days)


def _days(days: Days) -> list[str]:
    any_day = days.days_of_month == EVERY_DAY and not days.of_month_only
    any_weekday = days.weekdays == EVERY_WEEKDAY
    if not (any_day or any_weekday):
        if days.both:
            return ["day-of-month and day-of-week must both match, as one of them starts with *"]
        return ["a day needs to match day-of-month or day-of-week: either is enough, as in a crontab"]
    by_week = days.last_weekdays or days.nth_weekdays
    if any_day or by_week or days.from_last or days.nearest_from_last:
        return []
    numbered = days.days_of_month | days.nearest
    without = [
        name
        for month, name in enumerate(MONTH.names, 1)
        if days.months >> month & 1 and not numbered & (1 << _SHORTEST[month]) - 1
    ]
    if days.both and without:
        if without == ["FEB"] and numbered >> 28 & 1:
            return ["in FEB it fires in leap years alone"]
        return [f"it does not fire in {', '.join(without)}: there is no such day"]
    return []


def _refuse(text: str, step: _Step) -> None:
    # With its star: the text of a field decides what a change of the clock does.
    same = f"*/{step.size}" if step.begin == "*" else step.begin
    hints = [Hint(same, at=(step.column, len(step.text)))]
    if (interval := _interval(text, step)) is not None:
        hints.append(
            Hint(interval, f"fires every {step.step} {step.field.name.partition('-')[0]}s, and {COUNTED}")
        )
    raise InvalidExpression(
        f"{quoted(step.text)} in {step.field.name} at column {step.column} {_one(step)}", hints=hints
    )


def _interval(text: str, step: _Step) -> str | None:
    """The interval that a long step may mean, where the expression names nothing else; None elsewhere."""
    fields = _fields(text)
    place = next(index for index, one in enumerate(fields) if one[1] <= step.column < one[1] + len(one[0]))
    unit = _UNITS.get(step.field.name)
    smaller, larger = fields[:place], fields[place + 1 :]
    if unit is None or not step.alone or len(str(step.step)) > 6:
        return None
    if any(word not in ("*", "?") for word, _, _ in larger) or not all(
        word.isdigit() for word, _, _ in smaller
    ):
        return None
    return f"@every {step.step}s" if unit == "s" else f"rate({step.step} {unit}s)"


def _gap(step: _Step) -> str | None:
    """How the last distance before the field begins again differs from the step; None where it does not."""
    if step.end is not None and (step.first, step.last) != (step.field.low, step.field.top):
        return None
    if step.field is DAY_OF_MONTH:
        return None if step.step == 1 else "the distance over the end of a month differs"
    last = step.first + (step.last - step.first) // step.step * step.step
    rest = step.first + step.size - last
    if rest == step.step:
        return None
    unit = step.field.name.removeprefix("day-of-").replace("week", "day")
    return f"the last distance is {rest} {unit}{'s' if rest > 1 else ''}, not {step.step}"


def _one(step: _Step) -> str:
    field = step.field
    shown = field.names[(step.first - field.low) % step.size] if field.names else f"{field.name} {step.first}"
    longer = "range" if step.step <= step.size else "field"
    return f"fires at {shown} of each {_TURNS[field.name]} alone: the step is longer than the {longer}"


def _value(word: str, field: Field) -> int:
    return int(word) if word.isdigit() else field.values[word.upper()]


def _steps(text: str) -> list[_Step]:
    if "/" not in text:
        return []
    found = []
    for word, column, field in _fields(text):
        items, at = word.split(","), column
        for item in items:
            step = _STEP.fullmatch(item)
            if step is not None and step[1].upper() != "H":
                found.append(_Step(item, at, field, step[1], step[2], int(step[3]), len(items) == 1))
            at += len(item) + 1
    return found


def _fields(text: str) -> list[tuple[str, int, Field]]:
    """The fields of an expression that was read, each with its column; none of a shortcut or an interval."""
    lead = text.lower().find("cron(")
    if lead < 0 and (text.lstrip().startswith("@") or "(" in text.replace("H(", "").replace("h(", "")):
        return []
    body = text[:-1] if lead >= 0 else text
    start = lead + 5 if lead >= 0 else 0
    words = [(word[0], word.start() + 1) for word in _WORD.finditer(body, start)]
    kinds = _AWS if lead >= 0 else (SECOND, *_FIVE) if len(words) == 6 else _FIVE
    return [(word, column, field) for (word, column), field in zip(words, kinds, strict=True)]
