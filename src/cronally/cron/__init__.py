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
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from cronally.cron import aws, interval, unix
from cronally.cron.expression import Expression
from cronally.cron.hints import Hint, settled
from cronally.cron.interval import Interval
from cronally.cron.notes import notes as notes_of
from cronally.cron.notes import refuse_long_steps
from cronally.cron.pasted import refuse_pasted
from cronally.cron.unix import SHORTCUTS
from cronally.errors import InvalidExpression

__all__ = ["MAX_LENGTH", "SHORTCUTS", "Expression", "Hint", "Interval", "notes", "parse", "parse_written"]

MAX_LENGTH: Final = 256
"""Characters in an expression. All sixty minutes written one by one take 169."""

_WORD: Final = re.compile(r"[^ \t]+")
_AWS: Final = re.compile(r"(?:cron|at)\(", re.IGNORECASE)


@lru_cache(maxsize=20_000)
def parse(text: str, key: str | None = None) -> Expression | Interval:
    """Read an expression of any dialect. Results are cached, because many cron jobs share few expressions.

    :param key: the id of the cron job, which `H` is spread by; only an expression with `H` needs it

    Raises InvalidExpression, with hints in its message where there are any.
    """
    return _with_hints(_read, text, key)


def parse_written(text: str, key: str | None = None) -> Expression | Interval:
    """Read an expression that somebody writes now: as `parse`, but a step longer than its field is refused.

    Debian's cron accepts such a step, so what is stored with one goes on firing.
    """
    expression = parse(text, key)
    return _with_hints(lambda text, _: _written(expression, text), text, key)


def notes(expression: Expression | Interval) -> list[str]:
    """What an expression does that somebody may not expect; a sentence each."""
    return notes_of(expression) if isinstance(expression, Expression) else []


def _with_hints(
    read: Callable[[str, str | None], Expression | Interval], text: str, key: str | None
) -> Expression | Interval:
    try:
        return read(text, key)
    except InvalidExpression as refused:
        if not refused.hints:
            raise
        # A hint is something to write. That an `H` has no id is nothing that a hint could help.
        raise settled(
            refused, _columns(text), lambda other: _written(_read(other, key or "0"), other)
        ) from None


def _columns(text: str) -> str:
    """The text that the columns of a refusal count in."""
    normalised = " ".join(word[0] for word in _WORD.finditer(text))
    return normalised if _AWS.match(normalised) else text


def _read(text: str, key: str | None) -> Expression | Interval:
    if len(text) > MAX_LENGTH:
        several = ", in several lines: make a cron job of each line" if "\n" in text[:MAX_LENGTH] else ""
        raise InvalidExpression(
            f"the expression has {len(text)} characters{several}; write at most {MAX_LENGTH}"
        )
    refuse_pasted(text)
    words = [(word[0], word.start() + 1) for word in _WORD.finditer(text)]
    normalised = " ".join(word for word, _ in words)
    if interval.is_interval(normalised):
        return interval.read(normalised)
    if _AWS.match(normalised):
        return aws.read(normalised)
    return unix.read(normalised, words, key)


def _written(expression: Expression | Interval, text: str) -> Expression | Interval:
    """An expression that was read. Raises InvalidExpression if nobody should write it so."""
    if isinstance(expression, Expression):
        refuse_long_steps(_columns(text))
    return expression
