"""How a cron job stands by its last firings: what each of them makes of it.

Invariant: pure. A firing that ended delivered or failed says how its cron job stands, whether it was owed or asked for.
One that was missed or skipped says nothing about the target, and changes nothing. They count in the order in which they
ended. A cron job is well by default: the others have a `Standing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cronally.firing import State, lateness
from cronally.instants import MINUTE

LATE: Final = MINUTE
"""Later than this is late. Microseconds."""


SAYING: Final = (State.DELIVERED, State.FAILED)
"""A firing that is in one of these states says how its cron job stands."""


class Health(StrEnum):
    """How a cron job stands."""

    OK = "ok"
    FAILING = "failing"
    LATE = "late"
    NEW = "new"


@dataclass(frozen=True, slots=True)
class Standing:
    """Of a cron job that is not well."""

    health: Health
    since: int
    """The fire time of the first firing in the row that ended so."""
    in_a_row: int
    """How many firings in a row ended so."""


def health_by(state: State, due_since: int, finished_at: int) -> Health:
    """What a firing that ended says: it failed, or it was delivered late, or in time."""
    if state is State.FAILED:
        return Health.FAILING
    return Health.LATE if lateness(due_since, finished_at) > LATE else Health.OK


def standing_after(before: Standing | None, health: Health, scheduled_at: int) -> Standing | None:
    """How a cron job stands after one more of its firings has ended; None: well.

    :param health: what the firing says
    :param scheduled_at: its fire time
    """
    if health is Health.OK:
        return None
    if before is None or before.health != health:
        return Standing(health, scheduled_at, 1)
    return Standing(health, before.since, before.in_a_row + 1)
