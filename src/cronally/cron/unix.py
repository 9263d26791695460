"""Reads expressions in the Unix dialect: five fields, or six with the seconds first.

Invariant: `read` returns what Debian's cron would run, or raises InvalidExpression and nothing else. A text that
Debian's cron accepts but never runs, or runs at other times than it seems to name (`22-2`, `*5`), is refused. The
extensions (seconds, `?`, `L`, `L-3`, `LW`, `15W`, `5L`, `MON#2`, `H`) are all texts that Debian's cron refuses, but for
ranges of names over the end (`FRI-MON`), which it never runs.

Source of the rules: `entry.c` of Debian's cron 3.0pl1; of the extensions: docs/reference/expressions.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache, partial
from hashlib import sha256
from typing import Final, NoReturn

from cronally.cron import fields
from cronally.cron.days import EVERY_WEEKDAY, Days
from cronally.cron.expression import Expression
from cronally.cron.fields import DAY_OF_MONTH, DAY_OF_WEEK, HOUR, MINUTE, MONTH, SECOND, Field
from cronally.cron.hints import quoted
from cronally.cron.pasted import refuse_command
from cronally.cron.refusals import (
    refuse_foreign,
    refuse_if_never,
    refuse_quartz_week,
    refuse_shape,
    refuse_shortcut,
)
from cronally.errors import InvalidExpression

SHORTCUTS: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_LAST_DAY: Final = re.compile(r"L(?:-([0-9]{1,3}))?(W?)", re.IGNORECASE)
_NEAREST: Final = re.compile(r"([0-9]{1,2})W", re.IGNORECASE)
_LAST: Final = re.compile(r"([0-9]{1,2}|[A-Z]{3})L", re.IGNORECASE)
_NTH: Final = re.compile(r"([0-9]{1,2}|[A-Z]+)#([0-9]+)", re.IGNORECASE)
_SPREAD: Final = re.compile(r"H(?:\(([0-9]+)-([0-9]+)\))?(?:/([0-9]+))?", re.IGNORECASE)
_H: Final = ("H", "h")
_EXTENDED_DAY: Final = re.compile(r"[LW?]", re.IGNORECASE)
_EXTENDED_WEEK: Final = re.compile(r"[L#?]", re.IGNORECASE)
_SPREADS: Final = re.compile(r"(?:^|[\s,])H(?=[\s,(/]|$)", re.IGNORECASE)
_LAST_OF_EVERY_MONTH: Final = 28
_LAST_OFFSET: Final = 30  # of the 31st, the 1st

Pick = Callable[[int, Field], int]
"""Chooses the value of an `H`: a number below the first argument, for a field."""


def spreads(text: str) -> bool:
    """Whether a text has an `H`: a value that the id of the cron job chooses."""
    return _SPREADS.search(text) is not None


def read(text: str, words: list[tuple[str, int]], key: str | None) -> Expression:
    """Read an expression. Raises InvalidExpression, which says what is wrong, where, and what to write.

    :param text: with single spaces between the words
    :param words: each with the column that it starts at, from 1
    :param key: the id of the cron job, which `H` is spread by
    """
    return _read(text, words, partial(_hashed, key))


def _read(text: str, words: list[tuple[str, int]], pick: Pick) -> Expression:
    refuse_command(text, [word for word, _ in words])
    if text.startswith("@"):
        spelled_out = SHORTCUTS.get(text.lower())
        if spelled_out is None:
            refuse_shortcut(text, SHORTCUTS)
        words = [(word, 1) for word in spelled_out.split()]
    refuse_foreign(text, [word for word, _ in words])
    second = 1  # five fields fire at second 0
    seconds: list[tuple[str, int]] = []
    if len(words) == 6:
        seconds, words = words[:1], words[1:]
        if "?" in (words[2][0], words[4][0]):
            refuse_quartz_week(*words[4])
        second = _mask(*seconds[0], SECOND, pick)
    elif len(words) != 5:
        refuse_shape(text, [word for word, _ in words])
    minute = _mask(*words[0], MINUTE, pick)
    hour = _mask(*words[1], HOUR, pick)
    days = _days(words[2:], pick)
    if spreads(text):
        _refuse_if_sometimes_never(words[2:])
    else:
        refuse_if_never(days)
    return Expression(
        text=text,
        wildcard=any(word.startswith("*") for word, _ in [*seconds, *words[:2]]),
        seconds=second,
        minutes=minute,
        hours=hour,
        days=days,
    )


def _mask(text: str, column: int, field: Field, pick: Pick) -> int:
    """The values of one field. `column` is where it starts, from 1."""
    if text == "*":
        return field.all
    mask = 0
    for item in text.split(","):
        if item[:1] in _H and (spread := _SPREAD.fullmatch(item)):
            mask |= _spread_mask(spread, column, field, pick)
        else:
            mask |= fields.item_mask(item, column, field, text)
        column += len(item) + 1
    return mask


# Days


def _days(words: list[tuple[str, int]], pick: Pick) -> Days:
    """The days that day-of-month, month and day-of-week name together."""
    (day_of_month, column), month, (day_of_week, week_column) = words
    both = any(word.startswith("*") or word == "?" for word in (day_of_month, day_of_week))
    if not (_EXTENDED_DAY.search(day_of_month) or _EXTENDED_WEEK.search(day_of_week)):
        return Days(
            days_of_month=_mask(day_of_month, column, DAY_OF_MONTH, pick) >> 1,
            months=_mask(*month, MONTH, pick),
            weekdays=_weekday(_mask(day_of_week, week_column, DAY_OF_WEEK, pick)),
            both=both,
        )
    days = from_last = nearest = nearest_from_last = 0
    for item, at in _items(day_of_month, column):
        if last := _LAST_DAY.fullmatch(item):
            offset = 1 << _offset(last[1], item, at)
            if last[2]:
                nearest_from_last |= offset
            else:
                from_last |= offset
        elif near := _NEAREST.fullmatch(item):
            nearest |= 1 << fields.value(near[1], at, DAY_OF_MONTH)
        else:
            days |= _mask(item, at, DAY_OF_MONTH, pick)
    months = _mask(*month, MONTH, pick)
    weekdays = last_weekdays = nth_weekdays = 0
    for item, at in _items(day_of_week, week_column):
        if last := _LAST.fullmatch(item):
            last_weekdays |= _weekday(1 << fields.value(last[1], at, DAY_OF_WEEK))
        elif nth := _NTH.fullmatch(item):
            nth_weekdays |= _weekday(1 << fields.value(nth[1], at, DAY_OF_WEEK)) << 7 * (
                _nth(nth[2], item, at) - 1
            )
        else:
            weekdays |= _weekday(_mask(item, at, DAY_OF_WEEK, pick))
    return Days(
        days_of_month=days >> 1,
        months=months,
        weekdays=weekdays,
        both=both,
        from_last=from_last,
        nearest=nearest >> 1,
        nearest_from_last=nearest_from_last,
        last_weekdays=last_weekdays,
        nth_weekdays=nth_weekdays,
    )


def _items(text: str, column: int) -> list[tuple[str, int]]:
    """The items of a field of days, each with its column. `?` alone is `*`."""
    if text == "?":
        return [("*", column)]
    if "," not in text:
        return [(text, column)]
    items = []
    for item in text.split(","):
        if not item:
            fields.refuse_item(item, column, DAY_OF_MONTH, text)
        items.append((item, column))
        column += len(item) + 1
    return items


def _weekday(mask: int) -> int:
    """The mask with Sunday as 0 only; as written it is 0 or 7."""
    return (mask | mask >> 7) & EVERY_WEEKDAY


def _offset(word: str | None, item: str, column: int) -> int:
    """How many days before the last day of the month `L-3` or `L-3W` is."""
    offset = int(word or 0)
    if offset > _LAST_OFFSET:
        raise InvalidExpression(
            f"{quoted(item)} in day-of-month at column {column} is before the first day of every month;"
            f" write L-1 to L-{_LAST_OFFSET}"
        )
    return offset


def _nth(word: str, item: str, column: int) -> int:
    if word not in ("1", "2", "3", "4", "5"):
        raise InvalidExpression(
            f"{quoted(item)} in day-of-week at column {column} names a week that no month has; write #1 to #5"
        )
    return int(word)


# H


def _hashed(key: str | None, size: int, field: Field) -> int:
    """A number below `size` that depends on the id and the field only."""
    if key is None:
        raise InvalidExpression(
            f'"H" in {field.name} is chosen by the id of the cron job: give the id as well (--id)'
        )
    return int.from_bytes(sha256(f"{key}/{field.name}".encode()).digest()[:8]) % size


def choices(text: str, key: str) -> tuple[int, ...] | None:
    """What each `H` of an expression stands for, in order: with the same, the expression has the same fire times.

    Reading it takes ten times as long. None for a text that is none of this dialect.

    :param key: the id of the cron job
    """
    asked = _asked(text)
    return None if asked is None else tuple([_hashed(key, size, field) for size, field in asked])


@lru_cache(maxsize=4096)
def _asked(text: str) -> tuple[tuple[int, Field], ...] | None:
    """Among how many values each `H` chooses, and in which field."""
    asked: list[tuple[int, Field]] = []

    def pick(size: int, field: Field) -> int:
        asked.append((size, field))
        return 0

    try:
        _read(text, [(word, 1) for word in text.split()], pick)
    except InvalidExpression:
        return None
    return tuple(asked)


def _spread_mask(spread: re.Match[str], column: int, field: Field, pick: Pick) -> int:
    begin, end, every = spread.groups()
    low, high = field.low, _LAST_OF_EVERY_MONTH if field is DAY_OF_MONTH else field.top
    if begin is not None:
        low = fields.value(begin, column + 2, field)
        high = fields.value(end, column + 3 + len(begin), field)
        if high < low:
            _refuse_backwards(spread, column, field, low, high)
    size = high - low + 1
    if every is None:
        return 1 << low + pick(size, field)
    step = int(every)
    if not 0 < step <= size:
        # There are no fire times that another text could have.
        raise InvalidExpression(
            f"{quoted(spread[0])} in {field.name} at column {column} has a step that is not 1-{size}"
        )
    mask = 0
    for named in range(low + pick(step, field), high + 1, step):
        mask |= 1 << named
    return mask


def _refuse_backwards(spread: re.Match[str], column: int, field: Field, low: int, high: int) -> NoReturn:
    """Refuse a range of `H` that runs over the end of its field, as Jenkins does.

    No other text chooses among the same values, so one is offered that chooses among most of them.
    """
    ends = [(low, field.top), (field.low, high)]
    first, last = max(ends, key=lambda end: end[1] - end[0])
    step = "" if spread[3] is None or not 0 < int(spread[3]) <= last - first + 1 else f"/{spread[3]}"
    fields.refuse(
        spread[0],
        column,
        field,
        "runs backwards, and H takes no range over the end of its field",
        f"H({first}-{last}){step}",
        f"is chosen from {first}-{last} alone",
    )


def _refuse_if_sometimes_never(words: list[tuple[str, int]]) -> None:
    """Refuse an expression that would never fire for some id, so that an expression is accepted for all ids or none.

    It tries the last days, as they are the first that a month lacks, with one weekday only.
    """
    for month in range(12 if spreads(words[1][0]) else 1):

        def worst(size: int, field: Field, month: int = month) -> int:
            return size - 1 if field is DAY_OF_MONTH else month % size if field is MONTH else 0

        refuse_if_never(_days(words, worst))
