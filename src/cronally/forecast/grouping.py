"""Which cron jobs fire at the same times, without a timetable of each.

Invariant: cron jobs with equal keys have the same fire times from the window's start on. Of `H` the values count that
it stands for, of an interval its phase.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import Final, NamedTuple

from cronally.cron import Interval, parse
from cronally.cron.interval import is_interval
from cronally.cron.unix import choices, spreads
from cronally.cronjob import Timing
from cronally.errors import InvalidExpression
from cronally.instants import SECOND


class Key(NamedTuple):
    """What decides when a cron job fires."""

    timing: Timing
    since: int
    """It fires at no instant before; 0 for one that is active."""
    place: Hashable
    """What `H` stands for, or an interval is counted from."""


def key_of(timing: Timing, cronjob_id: str | None, created_at: int | None, since: int, start: int) -> Key:
    """The key of a cron job.

    :param cronjob_id: None for one whose expression has no `H`
    :param created_at: None for one whose expression is not counted from it
    :param start: of the window, an instant
    """
    kind = _kind(timing.cron)
    if kind is _PLAIN:
        return Key(timing, since, None)
    if kind is _SPREAD and cronjob_id is not None:
        return Key(timing, since, choices(timing.cron, cronjob_id.lower()) or cronjob_id)
    if isinstance(kind, int) and created_at is not None:
        anchor = created_at - created_at % SECOND
        # The first fire time comes a period after the creation.
        return Key(timing, since, anchor % kind if anchor + kind <= start else anchor)
    return Key(timing, since, (cronjob_id, created_at))


_PLAIN: Final = "plain"
_SPREAD: Final = "spread"
_BOTH: Final = "both"


@lru_cache(maxsize=20_000)
def _kind(text: str) -> str | int:
    """What the fire times of an expression depend on besides; of an interval alone its period."""
    spread, counted = spreads(text), is_interval(text.lstrip())
    if not (spread or counted):
        return _PLAIN
    if not counted:
        return _SPREAD
    try:
        expression = parse(text)
    except InvalidExpression:
        return _BOTH
    return expression.period if isinstance(expression, Interval) else _BOTH
