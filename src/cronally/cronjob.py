"""A cron job: the states that it goes through, and the policies for fire times that no server was awake for."""

from __future__ import annotations

from enum import StrEnum


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
