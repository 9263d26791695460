"""`/readyz`: whether the server can do its work, and how the engine stands.

Invariant: however often strangers ask, the database is asked at most once a second, and never to write: the heartbeats
tell whether it can be written.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from cronally import errors
from cronally.api.connections import Connections
from cronally.contract import service
from cronally.instants import SECOND, to_datetime
from cronally.operations import Health, Operations

KEPT_FOR: Final = 1.0
"""Seconds for which one answer is repeated."""
PATIENCE: Final = 2.0
"""Seconds after which a database that has not answered counts as one that does not."""


class Readiness:
    """Asks the database how the engine stands, and looks at what failed lately."""

    def __init__(self, operations: Operations, connections: Connections) -> None:
        self._operations = operations
        self._connections = connections
        self._asking: asyncio.Task[Health] | None = None
        self._asked_at = 0.0

    async def ask(self) -> service.Readiness:
        """How the engine stands.

        Raises Unavailable, which says why, when the database does not answer, or when lately it could not be written or
        connections could not be accepted.
        """
        if (problem := self._connections.failed_lately()) is not None:
            raise errors.Unavailable(f"Connections could not be accepted lately: {problem}.")
        now = time.monotonic()
        if self._asking is None or (self._asking.done() and now - self._asked_at >= KEPT_FOR):
            self._asking = asyncio.create_task(self._operations.get_health(), name="readyz")
            self._asked_at = now
        # All requests wait for one query; one that goes away does not end it.
        await asyncio.wait({self._asking}, timeout=PATIENCE)
        failed = self._asking.exception() if self._asking.done() else errors.Unavailable()
        if failed is not None:
            # Each request gets an error of its own: they add to its traceback.
            raise errors.Unavailable(failed.message if isinstance(failed, errors.Unavailable) else None)
        return _answer(self._asking.result())


def _answer(health: Health) -> service.Readiness:
    due_at = health.oldest_due_at
    if due_at is not None and due_at > health.now:
        due_at = None  # open, but waiting for a retry or under lease
    warnings = []
    if health.newest_tzdata is not None and health.tzdata < health.newest_tzdata:
        warnings.append(
            f"This node's zone data ({health.tzdata}) are older than the database's ({health.newest_tzdata}):"
            " it does not tick; upgrade it."
        )
    if health.clock_ahead:
        warnings.append(
            f"The clock has jumped ahead by {health.clock_ahead // SECOND} s and is not believed yet: what"
            " fires goes by the time before. If the clock is right, restart the server."
        )
    return service.Readiness(
        now=to_datetime(health.now),
        last_tick_at=None if health.ticked_at is None else to_datetime(health.ticked_at),
        last_tick_age_ms=_age(health.now, health.ticked_at),
        oldest_due_at=None if due_at is None else to_datetime(due_at),
        oldest_due_age_ms=_age(health.now, due_at),
        tzdata=health.tzdata,
        newest_tzdata=health.newest_tzdata,
        warning=" ".join(warnings) or None,
    )


def _age(now: int, at: int | None) -> int | None:
    """How long ago an instant was, in milliseconds."""
    return None if at is None else max(0, now - at) // 1000
