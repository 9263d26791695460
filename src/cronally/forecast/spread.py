"""The same expression at another place: `H` in the fields that name one minute, or one second, for everybody.

Invariant: what comes out means the same but for the place in the hour or in the minute: as many fire times in the same
hours of the same days, as far from each other, and the same rule over changes of the clock. What has no such form has
none.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from cronally.clock import zones
from cronally.cron import SHORTCUTS, Expression, parse
from cronally.errors import InvalidExpression
from cronally.forecast.bits import Bits
from cronally.forecast.forecast import AT_ONCE, Busy, Forecaster
from cronally.forecast.grouping import NO_LIMITS, Key

MOST: Final = 1000
"""Cron jobs that a spread moves at most."""
NAMED: Final = 20
"""Of them so many are named."""
_ANY: Final = "0"
"""An id by which `H` is spread where it does not matter which one."""


@lru_cache(maxsize=20_000)
def spread(text: str, timezone: str) -> str | None:
    """The expression with `H`; None where there is none that means the same.

    :param timezone: an IANA name
    """
    words = SHORTCUTS.get(text.lower(), text).split()
    if len(words) not in (5, 6):
        return None
    try:
        before = parse(text, _ANY)
        if not isinstance(before, Expression) or before.once:
            return None
        fields = [before.minutes] if len(words) == 5 else [before.seconds, before.minutes]
        spread_ = [*map(_spread, fields, words), *words[len(fields) :]]
        if spread_ == words:
            return None
        after = parse(" ".join(spread_), _ANY)
        moves = not zones.zone(timezone).is_fixed
    except (InvalidExpression, ValueError):
        return None
    if not isinstance(after, Expression) or _shape(after, moves=moves) != _shape(before, moves=moves):
        return None
    return after.text


def _spread(mask: int, word: str) -> str:
    """A field of sixty values with `H`; as it is where its values do not lie in equal distances."""
    count = mask.bit_count()
    if "H" in word.upper() or 60 % count or count == 60:
        return word
    step = 60 // count
    first = (mask & -mask).bit_length() - 1
    if first >= step or mask != sum(1 << value for value in range(first, 60, step)):
        return word
    return "H" if count == 1 else f"H/{step}"


def _shape(expression: Expression, *, moves: bool) -> tuple[object, ...]:
    """What has to be the same before and after.

    :param moves: whether the zone's clock is ever changed
    """
    counts = expression.seconds.bit_count(), expression.minutes.bit_count()
    return *counts, expression.hours, expression.days, moves and expression.wildcard


@dataclass(frozen=True, slots=True)
class Member:
    """A cron job that fires at the busiest second."""

    cronjob_id: str
    created_at: int
    key: Key


class Moved(NamedTuple):
    """A cron job, and the expression that it would have."""

    cronjob_id: str
    cron: str
    instead: str


class Spread(NamedTuple):
    """What it brings to spread the cron jobs of a host's busiest second."""

    busy: Busy
    moved: tuple[Moved, ...]
    after: int
    """The most firings in one second of that host, if all of them are spread."""


def spread_out(
    forecaster: Forecaster, busy: Busy, members: Sequence[Member]
) -> Generator[None, None, Spread | None]:
    """What it brings to spread these cron jobs; None if it brings nothing."""
    moved: list[Moved] = []
    fewer: dict[Key, int] = {}
    others: list[Bits] = []
    groups = {group.key: group for group in forecaster.firing_at(busy)}
    for number, member in enumerate(members, 1):
        timing = member.key.timing
        instead = spread(timing.cron, timing.timezone)
        if instead is not None:
            table = timing._replace(cron=instead).timetable(member.cronjob_id, member.created_at)
            # Its id may choose the very place where it is.
            if not table.matches(busy.at):
                moved.append(Moved(member.cronjob_id, timing.cron, instead))
                fewer[member.key] = fewer.get(member.key, 0) + 1
                others.append(forecaster.bits(groups[member.key], table))
        if number % AT_ONCE == 0 or member.key.limits is not NO_LIMITS:
            yield
    after = yield from forecaster.peak(busy.host, fewer, others)
    return Spread(busy, tuple(moved), after) if moved and after < busy.firings else None
