"""A cron job: when it fires, the states that it goes through, and the policies for fire times that came too late."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from cronally.clock.timetable import Timetable, timetable


class State(StrEnum):
    """Where a cron job stands. Only an active one has a `next_fire_at`."""

    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    DELETED = "deleted"


class CatchUp(StrEnum):
    """What happens to fire times that nobody was awake for (older than `ON_TIME`, younger than the grace)."""

    LATEST = "latest"
    """The last of them fires, unless a fire time that is still on time does."""
    ALL = "all"
    SKIP = "skip"


class Timing(NamedTuple):
    """What decides when a cron job fires, as it is stored."""

    cron: str
    """The expression, with single spaces."""
    timezone: str
    """An IANA name."""
    dst_gap: str | None
    """A `DstGap`; None: Debian's rule."""
    dst_overlap: str | None
    """A `DstOverlap`; None: Debian's rule."""

    def timetable(self, key: str | None, anchor: int | None) -> Timetable:
        """The timetable of the cron job with the id `key` that was created at the instant `anchor`.

        Raises InvalidExpression for an expression, ValueError for a zone or a policy.
        """
        return timetable(
            self.cron,
            self.timezone,
            dst_gap=self.dst_gap,
            dst_overlap=self.dst_overlap,
            key=key,
            anchor=anchor,
        )


class Missed(StrEnum):
    """Why a fire time was given up without an attempt."""

    GRACE = "misfire_grace"
    """It was older than the cron job's misfire grace when somebody was awake again."""
    LATEST = "catch_up=latest"
    """A later fire time fired instead."""
    SKIP = "catch_up=skip"
