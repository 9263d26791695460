"""How the text of an expression is read: five fields of the Unix dialect into masks, or a refusal that helps.

Invariant: `read` returns what Debian's cron would run, or raises InvalidExpression and nothing else, in time
bounded by `MAX_LENGTH`. What Debian's cron accepts and then never runs, or runs otherwise than it reads
(`22-2`, `*5`), is refused. A text that a message offers to write instead is itself accepted.

Source of the rules: `entry.c` of Debian's cron 3.0pl1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NoReturn

from cronally.errors import InvalidExpression

MAX_LENGTH: Final = 256
"""Characters in an expression. All sixty minutes written one by one take 169."""

SHORTCUTS: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIVE_FIELDS: Final = 'minute hour day-of-month month day-of-week, for example "0 8 * * MON-FRI"'


@dataclass(frozen=True, slots=True)
class Reading:
    """What the text says, field by field. Bit n of a mask: the value n is named; a week has both 0 and 7."""

    text: str
    minutes: int
    hours: int
    days_of_month: int
    months: int
    weekdays: int
    wildcard: bool
    """Minute or hour starts with `*`."""
    both: bool
    """Day-of-month or day-of-week starts with `*`: both must match, else either is enough."""


class _Field:
    """One of the five fields: its name, its values, and what else they are called."""

    def __init__(self, name: str, low: int, high: int, names: str = "", *, top: int | None = None) -> None:
        self.name = name
        self.low = low
        self.high = high
        self.top = high if top is None else top  # the last value that is not another name of the first
        self.names = names.split()
        self.values = {called: low + index for index, called in enumerate(self.names)}
        self.all = (2 << high) - (1 << low)
        self.allowed = f"{low}-{high}" + (f" or {self.names[0]}-{self.names[-1]}" if names else "")


_MINUTE: Final = _Field("minute", 0, 59)
_HOUR: Final = _Field("hour", 0, 23)
_DAY_OF_MONTH: Final = _Field("day-of-month", 1, 31)
_MONTH: Final = _Field("month", 1, 12, "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC")
_DAY_OF_WEEK: Final = _Field("day-of-week", 0, 7, "SUN MON TUE WED THU FRI SAT", top=6)
_FIELDS: Final = (_MINUTE, _HOUR, _DAY_OF_MONTH, _MONTH, _DAY_OF_WEEK)
# By month from 1, in a leap year.
_LONGEST: Final = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_WORD: Final = re.compile(r"[^ \t]+")
_ITEM: Final = re.compile(r"(?:\*|([0-9A-Za-z]+)(?:-([0-9A-Za-z]+))?)(?:/([0-9]+))?")
_UNPRINTABLE: Final = re.compile(r"[^\t\x20-\x7e]")
_AWS: Final = re.compile(r"(cron|rate|at)\(", re.IGNORECASE)
# L, LW, L-3, 15W and 5L of Quartz, and H, H(0-29), R of Jenkins and croniter.
_QUARTZ: Final = re.compile(r"L(?:W|-?[0-9]+)?|[0-9]*[LW]|[A-Z]{3}L", re.IGNORECASE)
_SPREAD: Final = re.compile(r"[HR](?:\(.*)?", re.IGNORECASE)


def read(text: str) -> Reading:
    """Read an expression. Raises InvalidExpression, which says what is wrong, where, and what to write."""
    if len(text) > MAX_LENGTH:
        raise InvalidExpression(f"the expression has {len(text)} characters; write at most {MAX_LENGTH}")
    if unprintable := _UNPRINTABLE.search(text):
        raise InvalidExpression(
            f"the character {unprintable[0]!a} at column {unprintable.start() + 1} is not accepted;"
            " write one line of ASCII letters, digits, spaces and * , - /"
        )
    words = [(word[0], word.start() + 1) for word in _WORD.finditer(text)]
    normalised = " ".join(word for word, _ in words)
    if normalised.startswith("@"):
        words = [(word, 1) for word in _shortcut(normalised).split()]
    if len(words) != 5:
        _refuse_shape(normalised, len(words))
    minutes, hours, days_of_month, months, weekdays = [
        _mask(word, column, field) for (word, column), field in zip(words, _FIELDS, strict=True)
    ]
    (minute, _), (hour, _), (day_of_month, _), _, (day_of_week, _) = words
    both = day_of_month.startswith("*") or day_of_week.startswith("*")
    if both and days_of_month & (1 << 30) - 1 == 0:
        _refuse_if_never(days_of_month, months)
    return Reading(
        text=normalised,
        minutes=minutes,
        hours=hours,
        days_of_month=days_of_month,
        months=months,
        weekdays=weekdays,
        wildcard=minute.startswith("*") or hour.startswith("*"),
        both=both,
    )


def _mask(text: str, column: int, field: _Field) -> int:
    """The values of one field. `column` is where it starts, from 1."""
    if text == "*":
        return field.all
    mask = 0
    for item in text.split(","):
        parts = _ITEM.fullmatch(item)
        if parts is None:
            _refuse_item(item, column, field, text)
        begin, end, every = parts.groups()
        first = field.low if begin is None else _value(begin, column, field)
        step = 1 if every is None else int(every)
        if begin is None:
            last = field.high
        elif end is not None:
            last = _value(end, column + len(begin) + 1, field)
        elif every is None:
            last = first
        else:
            _refuse(item, column, field, "has a step without a range", _upwards(begin, first, every, field))
        if last < first:
            _refuse(item, column, field, "runs backwards", _forwards(begin or "", first, last, step, field))
        if step == 0:
            _refuse(item, column, field, "has a step of 0", item[: item.index("/")])
        if step == 1:
            mask |= (2 << last) - (1 << first)
        else:
            for value in range(first, last + 1, step):
                mask |= 1 << value
        column += len(item) + 1
    return mask


def _value(word: str, column: int, field: _Field) -> int:
    """The value of a number or a name. `column` is where it starts, from 1."""
    if word.isdigit():
        value = int(word)
        if not field.low <= value <= field.high:
            raise InvalidExpression(
                f"{_quoted(word)} is out of range for {field.name} ({field.low}-{field.high})"
                f" at column {column}"
            )
        return value
    value_of_name = field.values.get(word.upper())
    if value_of_name is None:
        _refuse_item(word, column, field, word)
    return value_of_name


# Refusals


def _shortcut(text: str) -> str:
    """The five fields that a shortcut stands for."""
    word = text.lower()
    if word in SHORTCUTS:
        return SHORTCUTS[word]
    why = ""
    if word.startswith("@reboot"):
        why = ", there is no machine of yours to start"
    elif word.startswith("@every"):
        why = ', write a step such as "*/5 * * * *"'
    raise InvalidExpression(
        f"{_quoted(text)} is not accepted{why}; the shortcuts are {' '.join(SHORTCUTS)},"
        f" and everything else is five fields: {_FIVE_FIELDS}"
    )


def _refuse_shape(text: str, fields: int) -> NoReturn:
    """Not five fields: say which dialect it looks like."""
    if not text:
        raise InvalidExpression(f"the expression is empty; write five fields: {_FIVE_FIELDS}")
    if aws := _AWS.match(text):
        dialect = aws[1].lower()
        note = " (no ?, no year; Sunday is 0 or 7 here, not 1)" if dialect == "cron" else ""
        raise InvalidExpression(
            f"{dialect}() of AWS is not accepted; write the five fields of Unix cron: {_FIVE_FIELDS}{note}"
        )
    found = f"the expression has {fields} field{'s' if fields > 1 else ''}"
    if fields in (6, 7):
        found += ", and seconds and years are not accepted"
    elif ":" in text:
        found += ', and a time is written minute first: "0 8 * * *" is 08:00'
    raise InvalidExpression(f"{found}; write five: {_FIVE_FIELDS}")


def _refuse_if_never(days_of_month: int, months: int) -> None:
    """Refuse a day that no month named has. It must match whatever the weekday, so nothing else fires.

    A day that exists comes on each weekday, 29 February too: the calendar's 400 years hold all seven.
    """
    first = (days_of_month & -days_of_month).bit_length() - 1
    named = [month for month in range(1, 13) if months >> month & 1]
    longest = max(_LONGEST[month] for month in named)
    if first > longest:
        names = ", ".join(_MONTH.names[month - 1] for month in named)
        raise InvalidExpression(
            f"the expression never fires: {names} {'has' if len(named) == 1 else 'have'} no day {first}"
            f" (day-of-month); write a day up to {longest} or another month"
        )


def _refuse_item(item: str, column: int, field: _Field, text: str) -> NoReturn:
    """An item that is none of `*`, `a`, `a-b`, with or without a step: say what it looks like."""
    if not item:
        raise InvalidExpression(
            f"{_quoted(text)} in {field.name} has nothing between its commas at column {column};"
            " remove the comma or add a value"
        )
    if item == "?":
        _refuse(item, column, field, "is not accepted", "*")
    if item.startswith("/") and item[1:].isdigit() and int(item[1:]):
        _refuse(item, column, field, "has a step without a range", f"*{item}")
    if _QUARTZ.fullmatch(item) or "#" in item:
        why = "is not accepted: last days, nearest weekdays and nth weekdays cannot be written"
    elif _SPREAD.fullmatch(item):
        why = "is not accepted: a value is not chosen for you"
    elif item.isalpha():
        if item[:3].upper() in field.values:
            _refuse(item, column, field, "is not known", item[:3].upper())
        why = "is not known"
    else:
        why = "is not understood"
    raise InvalidExpression(
        f"{_quoted(item)} in {field.name} at column {column} {why};"
        f" write {field.allowed}, *, a-b, */n, a-b/n, or a list of them"
    )


def _refuse(item: str, column: int, field: _Field, why: str, instead: str) -> NoReturn:
    raise InvalidExpression(
        f'{_quoted(item)} in {field.name} at column {column} {why}; write "{instead}" instead'
    )


def _upwards(begin: str, first: int, step: str, field: _Field) -> str:
    """`5/10` in words that cron has: from 5 up, by 10."""
    return f"{begin}-{max(first, field.top)}/{int(step) or 1}"


def _forwards(begin: str, first: int, last: int, step: int, field: _Field) -> str:
    """A range that runs over the end of its field, as two that do not; with a step, as a list."""
    size = field.top - field.low + 1
    if first > field.top:
        first -= size
    if step > 1:
        stop = last + 1 if first <= last else last + size + 1
        return ",".join(str((value - field.low) % size + field.low) for value in range(first, stop, step))
    named = begin.isalpha()

    def span(low: int, high: int) -> str:
        ends = [field.names[end - field.low] if named else str(end) for end in sorted({low, high})]
        return "-".join(ends)

    if first <= last:
        return span(first, last)
    return f"{span(first, field.top)},{span(field.low, last)}"


def _quoted(text: str) -> str:
    return f'"{text}"' if len(text) <= 40 else f'"{text[:37]}..."'
