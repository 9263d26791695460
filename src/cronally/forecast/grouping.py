"""Which cron jobs fire at the same times, without a timetable of each.

Invariant: cron jobs with equal keys have the same fire times from the window's start on. Of `H` the values count that
it stands for, of an interval its phase.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import NamedTuple

from cronally.clock.exclusion import Exclusion
from cronally.clock.timetable import needs
from cronally.cron import Interval, parse
from cronally.cron.unix import choices, spreads
from cronally.cronjob import Timing, expressions_of
from cronally.errors import InvalidExpression
from cronally.instants import SECOND


class Limits(NamedTuple):
    """What lets a cron job fire less than its timetable says, or at other instants."""

    since: int = 0
    """It fires at no instant before: when its pause ends; 0 for one that is active."""
    rest: int | None = None
    """How often it may fire yet; None: there is no bound."""
    exclusion: Exclusion | None = None
    spreads: bool = False
    """Whether its firings start at places in a window after their fire times."""


NO_LIMITS = Limits()


class Key(NamedTuple):
    """What decides when a cron job fires."""

    timing: Timing
    limits: Limits
    place: Hashable
    """What `H` stands for, or an interval is counted from."""


def key_of(
    timing: Timing,
    cronjob_id: str | None,
    created_at: int | None,
    start: int,
    limits: Limits = NO_LIMITS,
) -> Key:
    """The key of a cron job.

    :param cronjob_id: None for one whose expressions have no `H`
    :param created_at: None for one that is not counted from it
    :param start: of the window, an instant
    """
    needs_key, needs_anchor = needs(timing.cron)
    if timing.starts_at is not None:
        needs_anchor = False
    if not needs_key and not needs_anchor:
        return Key(timing, limits, None)
    if not needs_anchor and cronjob_id is not None:
        return Key(timing, limits, _choices(timing.cron, cronjob_id.lower()) or cronjob_id)
    period = None if needs_key else _period(timing.cron)
    if period is not None and created_at is not None:
        anchor = created_at - created_at % SECOND
        # The first fire time comes a period after the creation.
        return Key(timing, limits, anchor % period if anchor + period <= start else anchor)
    return Key(timing, limits, (cronjob_id, created_at))


def _choices(cron: str, cronjob_id: str) -> tuple[int, ...] | None:
    """What each `H` of the expressions stands for; None where that is not known without a timetable."""
    found: tuple[int, ...] = ()
    for text in expressions_of(cron):
        if spreads(text):
            chosen = choices(text, cronjob_id)
            if chosen is None:
                return None
            found += chosen
    return found


@lru_cache(maxsize=4096)
def _period(cron: str) -> int | None:
    """The period of an interval alone."""
    if len(expressions_of(cron)) > 1:
        return None
    try:
        expression = parse(cron)
    except InvalidExpression:
        return None
    return expression.period if isinstance(expression, Interval) else None
