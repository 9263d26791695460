"""What to write instead of an expression that is refused.

Invariant: a hint is a whole expression that is accepted. It has the fire times that the refused text means, or says
what differs. Whoever refuses a text offers hints for it or for a part of it; they are made whole, tried and worded
here alone.

The same fire times: the same local times, and the same treatment at a change of the clock where the refused text is one
of Unix cron. What other schedulers do there, the policies of a cron job say here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cronally.errors import InvalidExpression

ROUNDS: Final = 5
"""How many expressions are tried for the hints of one: they cost so many times the reading at most."""

COUNTED: Final = "counts from the creation of the cron job"
"""What differs where an interval is offered."""


@dataclass(frozen=True, slots=True)
class Hint:
    """What to write instead."""

    expression: str
    differs: str = ""
    """What is other than the refused text means, as the end of "write ... instead, which ..."; empty: it has the same
    fire times."""
    at: tuple[int, int] | None = None
    """Where it stands for a part only: the column, from 1, and the length of that part. None: for the whole."""

    def applied(self, text: str) -> str:
        """A text with the hint in its place, with single spaces."""
        if self.at is not None:
            start, length = self.at[0] - 1, self.at[1]
            text = text[:start] + self.expression + text[start + length :]
        else:
            text = self.expression
        return " ".join(text.split())

    @property
    def meaning(self) -> str:
        """What the hint claims, as a message says it after the expression."""
        return f", which {self.differs}" if self.differs else " (same fire times)"


def quoted(text: str) -> str:
    """A text in quotes, shortened when it is long."""
    return f'"{text}"' if len(text) <= 40 else f'"{text[:37]}..."'


def of_one(refused: InvalidExpression, text: str) -> InvalidExpression:
    """A refusal that says which of several texts was refused."""
    if refused.message.startswith(quoted(text)):
        return refused
    return InvalidExpression(f"{quoted(text)}: {refused.message}", hints=refused.hints)


def settled(refused: InvalidExpression, text: str, read: Callable[[str], object]) -> InvalidExpression:
    """A refusal with those of its hints that are accepted, and with these in its message.

    :param text: what was refused
    :param read: reads an expression, or raises InvalidExpression
    """
    accepted: dict[str, Hint] = {}
    failed = ""
    waiting = [Hint(hint.applied(text), hint.differs) for hint in refused.hints]
    for _ in range(ROUNDS):
        if not waiting:
            break
        hint = waiting.pop(0)
        try:
            read(hint.expression)
        except InvalidExpression as again:
            if not (failed or again.hints):
                failed = f"; {_named(hint.expression, text)} is refused too: {again.message}"
            # What is to be mended first comes first; a second hint for it is another expression.
            waiting[:0] = [
                Hint(other.applied(hint.expression), _both(hint.differs, other.differs))
                for other in again.hints
            ]
        else:
            accepted.setdefault(hint.expression, hint)
    if accepted:
        first, *others = accepted.values()
        written = f'; write "{first.expression}" instead{first.meaning}'
        written += "".join(f', or "{hint.expression}"{hint.meaning}' for hint in others)
        return InvalidExpression(f"{refused.message}{written}", hints=(first, *others))
    return InvalidExpression(f"{refused.message}{failed}")


def _named(expression: str, text: str) -> str:
    """An expression in quotes. Not one that is cut out of the text: what was not understood of it may be a command."""
    return "what is left of it" if set(expression.split()) <= set(text.split()) else quoted(expression)


def _both(first: str, second: str) -> str:
    return " and ".join(dict.fromkeys(filter(None, (first, second))))
