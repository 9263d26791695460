"""Expressions: when a cron job fires, written in one of the common dialects.

    Unix        0 8 * * MON-FRI      five fields as Debian's cron reads them, six with seconds, L W # ? H
    AWS         cron(0 10 ? * MON-FRI *)    at(2026-12-24T18:00:00)
    intervals   rate(5 minutes)    @every 90s

Invariant: `parse` returns what the text means, or raises InvalidExpression, which says what is wrong, where, and
what to write. `MAX_LENGTH` bounds its cost. An expression that never fires is refused. `clock.timetable` computes
when an expression fires in a zone.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from cronally.cron import aws, interval, unix
from cronally.cron.expression import Expression
from cronally.cron.interval import Interval
from cronally.cron.unix import SHORTCUTS
from cronally.errors import InvalidExpression

__all__ = ["MAX_LENGTH", "SHORTCUTS", "Expression", "Interval", "parse"]

MAX_LENGTH: Final = 256
"""Characters in an expression. All sixty minutes written one by one take 169."""

_WORD: Final = re.compile(r"[^ \t]+")
_UNPRINTABLE: Final = re.compile(r"[^\t\x20-\x7e]")
_AWS: Final = re.compile(r"(?:cron|at)\(", re.IGNORECASE)


@lru_cache(maxsize=20_000)
def parse(text: str, key: str | None = None) -> Expression | Interval:
    """Read an expression of any dialect. Results are cached, because many cron jobs share few expressions.

    :param key: the id of the cron job, which `H` is spread by; only an expression with `H` needs it
    """
    if len(text) > MAX_LENGTH:
        raise InvalidExpression(f"the expression has {len(text)} characters; write at most {MAX_LENGTH}")
    if unprintable := _UNPRINTABLE.search(text):
        raise InvalidExpression(
            f"the character {unprintable[0]!a} at column {unprintable.start() + 1} is not accepted;"
            " write one line of ASCII letters, digits, spaces and * , - /"
        )
    words = [(word[0], word.start() + 1) for word in _WORD.finditer(text)]
    normalised = " ".join(word for word, _ in words)
    if interval.is_interval(normalised):
        return interval.read(normalised)
    if _AWS.match(normalised):
        return aws.read(normalised)
    return unix.read(normalised, words, key)
