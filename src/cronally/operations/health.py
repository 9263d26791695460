"""How the engine stands, over all nodes."""

from __future__ import annotations

from dataclasses import dataclass

from cronally import errors
from cronally.clock import zones
from cronally.store import Store, heartbeats


@dataclass(frozen=True, slots=True)
class Health:
    """How the engine stands, over all nodes; instants."""

    now: int
    ticked_at: int | None
    """When any scheduler last ticked; None if none ever did."""
    oldest_due_at: int | None
    """Since when the oldest open firing has been due, in the future if none is; None if none is open."""
    tzdata: str
    """The version of this process's zone data."""
    newest_tzdata: str | None
    """The newest one that any node ever had."""
    clock_ahead: int
    """By how many microseconds the clock has jumped ahead of `now`, while this process does not believe it; else 0."""


async def read_health(store: Store) -> Health:
    """How the engine stands. Raises Unavailable when the database does not answer or was not writable lately."""
    if (reason := store.unwritable.lately()) is not None:
        raise errors.Unavailable(reason)
    now = await store.clock()
    health = await store.transact(heartbeats.get_health)
    return Health(
        now, health.ticked_at, health.oldest_due_at, zones.version(), health.tzdata, store.timekeeper.ahead
    )
