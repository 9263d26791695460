"""The fields that the dialects share: their values and names, and how an item of one becomes a bit mask.

Invariant: an item is read as its dialect defines it, or InvalidExpression names the field, the column and what to
write instead. The length of the text bounds the cost.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn

from cronally.cron.hints import Hint, quoted
from cronally.errors import InvalidExpression


class Field:
    """One field of an expression: its name, its values, and the names of its values."""

    def __init__(self, name: str, low: int, high: int, names: str = "", *, top: int | None = None) -> None:
        self.name = name
        self.low = low
        self.high = high
        self.top = high if top is None else top  # the last value that is not another name of the first
        self.names = names.split()
        self.values = {called: low + index for index, called in enumerate(self.names)}
        self.all = (2 << high) - (1 << low)
        self.allowed = f"{low}-{high}" + (f" or {self.names[0]}-{self.names[-1]}" if names else "")


_MONTHS: Final = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC"
_WEEKDAYS: Final = "SUN MON TUE WED THU FRI SAT"
SECOND: Final = Field("second", 0, 59)
MINUTE: Final = Field("minute", 0, 59)
HOUR: Final = Field("hour", 0, 23)
DAY_OF_MONTH: Final = Field("day-of-month", 1, 31)
MONTH: Final = Field("month", 1, 12, _MONTHS)
DAY_OF_WEEK: Final = Field("day-of-week", 0, 7, _WEEKDAYS, top=6)
AWS_DAY_OF_WEEK: Final = Field("day-of-week", 1, 7, _WEEKDAYS)
YEAR: Final = Field("year", 1970, 2199)

_ITEM: Final = re.compile(r"(?:\*|([0-9A-Za-z]+)(?:-([0-9A-Za-z]+))?)(?:/([0-9]+))?")
# What other schedulers write: L, LW, L-3, 15W, 5L, MON#2; and H, R.
_QUARTZ: Final = re.compile(r"L(?:W|-?[0-9]+)?|LW-[0-9]+|[0-9]*[LW]|[A-Z]{3}L", re.IGNORECASE)
_BEFORE_LAST_WORKDAY: Final = re.compile(r"LW-([0-9]{1,2})", re.IGNORECASE)
_SPREAD: Final = re.compile(r"[HR](?:\(.*)?", re.IGNORECASE)
_RANDOM: Final = re.compile(r"R((?:\([0-9]+-[0-9]+\))?)", re.IGNORECASE)
# Longer forms of the names; others that begin with three letters of a name may be another language's.
LONG_NAMES: Final = {
    long[:cut].upper(): long[:3].upper()
    for long in (
        *("January", "February", "March", "April", "June", "July", "August", "September", "October"),
        *(
            "November",
            "December",
            "Sundays",
            "Mondays",
            "Tuesdays",
            "Wednesdays",
            "Thursdays",
            "Fridays",
            "Saturdays",
        ),
    )
    for cut in range(4, len(long) + 1)
}


def item_mask(item: str, column: int, field: Field, text: str, *, aws: bool = False) -> int:
    """The values of one item. Bit n: the value n is named.

    :param column: where the item starts, from 1
    :param text: the whole field, for the message
    :param aws: as EventBridge reads it: `a/n` runs to the end of the field, and a range may run over it
    """
    parts = _ITEM.fullmatch(item)
    if parts is None:
        refuse_item(item, column, field, text)
    begin, end, every = parts.groups()
    if end is not None and begin.upper() in ("L", "LW"):
        refuse_item(item, column, field, text)
    first = field.low if begin is None else value(begin, column, field)
    step = 1 if every is None else int(every)
    if step == 0:
        # There are no fire times that another text could have.
        raise InvalidExpression(
            f"{quoted(item)} in {field.name} at column {column} has a step of 0; write how many values to go on,"
            " 1 or more"
        )
    if begin is None:
        last = field.high
    elif end is not None:
        last = value(end, column + len(begin) + 1, field)
    elif every is None:
        last = first
    elif aws:
        last = field.high
    else:
        why = "has a step without a range"
        if step > field.top - field.low + 1:
            why += f" that is longer than the field: it fires at {begin} alone"
        refuse(item, column, field, why, _upwards(begin, first, step, field))
    # Names over the end, as FRI-MON, are Quartz's and AWS's: nobody takes them for anything else. Numbers, as 22-6, may
    # be a slip, and Debian's cron never runs them: they are refused in the dialect of Unix.
    if last < first and field is not YEAR and (aws or ((begin or "").isalpha() and (end or "").isalpha())):
        return _over_the_end(first, last, step, field)
    if last < first and field is YEAR:
        raise InvalidExpression(
            f"{quoted(item)} in {field.name} at column {column} runs backwards; write the earlier year first"
        )
    if last < first:
        refuse(item, column, field, "runs backwards", _forwards(begin or "", first, last, step, field))
    if step == 1:
        return (2 << last) - (1 << first)
    mask = 0
    for named in range(first, last + 1, step):
        mask |= 1 << named
    return mask


def _over_the_end(first: int, last: int, step: int, field: Field) -> int:
    """The values of a range such as `20-2`: from 20 to the end of the field, and from its start to 2."""
    mask = 0
    size = field.top - field.low + 1
    for named in range(first, last + size + 1, step):
        mask |= 1 << (named if named <= field.top else named - size)
    return mask


def value(word: str, column: int, field: Field) -> int:
    """The value of a number or a name. `column` is where it starts, from 1."""
    if word.isdigit():
        number = int(word)
        if not field.low <= number <= field.high:
            raise InvalidExpression(
                f"{quoted(word)} is out of range for {field.name} ({field.low}-{field.high})"
                f" at column {column}"
            )
        return number
    value_of_name = field.values.get(word.upper())
    if value_of_name is None:
        refuse_item(word, column, field, word)
    return value_of_name


def refuse_item(item: str, column: int, field: Field, text: str) -> NoReturn:
    """Refuse an item that is not `*`, `a` or `a-b`, with or without a step; say which other form it looks like."""
    if not item:
        raise InvalidExpression(
            f"{quoted(text)} in {field.name} has nothing between its commas at column {column};"
            " remove the comma or add a value"
        )
    if item == text == "?":
        refuse(item, column, field, "is not accepted", "*")
    if item.startswith("/") and item[1:].isdigit() and int(item[1:]):
        refuse(item, column, field, "has a step without a range", f"*{item}")
    if (named := _BEFORE_LAST_WORKDAY.fullmatch(item)) and field is DAY_OF_MONTH:
        why = (
            "is not accepted: days are counted back from the last day of the month, not from its last weekday"
        )
        differs = f"is the weekday nearest to the day {named[1]} before the last"
        refuse(item, column, field, why, f"L-{named[1]}W", differs)
    if _QUARTZ.fullmatch(item) or "#" in item:
        why = f"is not accepted: {_where(field)}"
    elif _SPREAD.fullmatch(item):
        why = "is not accepted: a value is not chosen for you at random"
        if random := _RANDOM.fullmatch(item):
            instead = f"H{random[1]}"
            refuse(item, column, field, why, instead, "is chosen by the id of the cron job, and stays")
        if item[0] in "Hh":
            why = "is not accepted: H is written H, H(0-5), H/2 or H(0-5)/2, in the dialect of Unix alone"
    elif item.isalpha():
        if (name := LONG_NAMES.get(item.upper())) in field.values:
            refuse(item, column, field, "is not known", str(name))
        why = "is not known"
        if field.names:
            why += f" (names are English, of three letters: {' '.join(field.names)})"
    else:
        why = "is not understood"
    raise InvalidExpression(
        f"{quoted(item)} in {field.name} at column {column} {why};"
        f" write {field.allowed}, *, a-b, */n, a-b/n, or a list of them"
    )


def refuse(item: str, column: int, field: Field, why: str, instead: str, differs: str = "") -> NoReturn:
    """Refuse an item that can be written in another way.

    :param differs: what other fire times `instead` has; empty: the same
    """
    raise InvalidExpression(
        f"{quoted(item)} in {field.name} at column {column} {why}",
        hints=(Hint(instead, differs, (column, len(item))),),
    )


def _where(field: Field) -> str:
    if field.name == "day-of-month":
        return (
            "a day of the month may be L (the last), L-3 (three days before it), LW (the last weekday) or 15W (the"
            " weekday nearest to the 15th)"
        )
    if field.name == "day-of-week":
        last, second = ("6L", "2#2") if field.low else ("5L", "MON#2")
        return f"a day of the week may be {last} (the last Friday) or {second} (the second Monday)"
    return "L, W and # are for days"


def _upwards(begin: str, first: int, step: int, field: Field) -> str:
    """`5/10` as cron writes it: a range from 5 to the end, with the step 10. Names stay names."""
    return f"{begin}-{field.names[-1] if begin.isalpha() else max(first, field.top)}/{step}"


def _forwards(begin: str, first: int, last: int, step: int, field: Field) -> str:
    """A range that runs over the end of its field, written as two ranges, or as a list if it has a step."""
    size = field.top - field.low + 1
    if first > field.top:
        first -= size
    if step > 1:
        stop = last + 1 if first <= last else last + size + 1
        return ",".join(str((named - field.low) % size + field.low) for named in range(first, stop, step))
    named = begin.isalpha()

    def span(low: int, high: int) -> str:
        ends = [field.names[end - field.low] if named else str(end) for end in sorted({low, high})]
        return "-".join(ends)

    if first <= last:
        return span(first, last)
    return f"{span(first, field.top)},{span(field.low, last)}"
