"""Expressions that name an interval: `rate(5 minutes)` of Amazon EventBridge, and `@every 90s`.

Invariant: fire times are `anchor + n * period`, n from 1. They are independent of zones and of changes of a clock.
The anchor is the instant at which the cron job was created, rounded down to a whole second.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NoReturn

from cronally.cron import notations
from cronally.cron.hints import Hint, quoted
from cronally.cron.pasted import refuse_behind
from cronally.errors import InvalidExpression
from cronally.instants import DAY, HOUR, MAX_INSTANT, MINUTE, SECOND

LONGEST: Final = 36_500 * DAY
"""A hundred years. Microseconds."""

_RATE: Final = re.compile(r"rate\( *([0-9]{1,9}) +(minute|hour|day)s? *\)", re.IGNORECASE)
_EVERY: Final = re.compile(r"@every ((?:[0-9]{1,9}[dhms])+)", re.IGNORECASE)
_FOLLOWED: Final = re.compile(rf"({_EVERY.pattern}) [^0-9].*", re.IGNORECASE)
_PART: Final = re.compile(r"([0-9]+)([dhms])", re.IGNORECASE)
_UNITS: Final = {"minute": MINUTE, "hour": HOUR, "day": DAY, "d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND}


@dataclass(frozen=True, slots=True)
class Interval:
    """One parsed expression that names an interval."""

    text: str
    """As written, with single spaces."""
    period: int
    """Microseconds, whole seconds."""

    def __str__(self) -> str:
        return self.text

    def shortest_interval(self) -> int:
        """The time between two fire times. Microseconds."""
        return self.period

    def next(self, after: int, anchor: int) -> int | None:
        """The first fire time strictly after an instant; None when it lies beyond `MAX_INSTANT`."""
        anchor -= anchor % SECOND
        found = anchor + max((after - anchor) // self.period + 1, 1) * self.period
        return found if found <= MAX_INSTANT else None

    def previous(self, before: int, anchor: int) -> int | None:
        """The last fire time strictly before an instant; None when there is none."""
        anchor -= anchor % SECOND
        n = (min(before - 1, MAX_INSTANT) - anchor) // self.period
        return anchor + n * self.period if n >= 1 else None

    def count(self, after: int, until: int, anchor: int) -> int:
        """How many fire times lie in (after, until]."""
        anchor -= anchor % SECOND
        skipped = max((after - anchor) // self.period, 0)
        return max((min(until, MAX_INSTANT) - anchor) // self.period - skipped, 0)


def is_interval(text: str) -> bool:
    """Whether a text is meant as an interval."""
    return text.lower().startswith(("rate(", "@every")) and not text.lower().startswith("@every_")


def read(text: str) -> Interval:
    """Read an interval. Raises InvalidExpression, which says what to write."""
    if rate := _RATE.fullmatch(text):
        period = int(rate[1]) * _UNITS[rate[2].lower()]
    elif every := _EVERY.fullmatch(text):
        period = sum(int(number) * _UNITS[unit.lower()] for number, unit in _PART.findall(every[1]))
    else:
        if followed := _FOLLOWED.fullmatch(text):
            refuse_behind(followed[1], "takes what follows for a command")
        _refuse(text)
    if period == 0:
        raise InvalidExpression(f"{quoted(text)} has no length; write 1 or more")
    if period > LONGEST:
        raise InvalidExpression(f"{quoted(text)} is longer than a hundred years; write less")
    return Interval(text, period)


def _refuse(text: str) -> NoReturn:
    inside = text[5:-1] if text.lower().startswith("rate(") and text.endswith(")") else text[len("@every") :]
    instead = notations.go_duration(text) or notations.rate_of(inside)
    if instead is not None:
        raise InvalidExpression(f"{quoted(text)} is not understood", hints=(Hint(instead),))
    if text.lower().startswith("rate("):
        raise InvalidExpression(
            f'{quoted(text)} is not understood; write a whole number and minutes, hours or days, as "rate(5 minutes)",'
            ' or seconds as "@every 90s"'
        )
    raise InvalidExpression(
        f'{quoted(text)} is not understood; write whole numbers with d, h, m or s, as "@every 90s" or "@every 1h30m"'
    )
