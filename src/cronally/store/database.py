"""A store: where transactions run, what time it is there, and who wants to be woken.

Invariant: a unit of work is a plain function of a synchronous SQLAlchemy connection. It runs in one transaction and
`transact` answers after the commit; it may run again from the start (deadlock), so it changes nothing but the
database. Cancelling the waiter never touches the connection.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import StrEnum
from typing import Final, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")
Work = Callable[[Connection], T]


PATIENCE: Final = 30.0
"""Seconds. The longest transaction, an audit or a retention batch, takes milliseconds."""


class Signal(StrEnum):
    """What a sleeping loop may be woken by. A hint only: whoever misses it finds the work at the next poll."""

    CRONJOBS = "cronjobs"
    """A cron job's next fire time was set: the scheduler may have to get up earlier."""
    FIRINGS = "firings"
    """Firings became due: the dispatcher has work."""


class Store(ABC):
    """One database. Implementations: `sqlite.SqliteStore`, `postgres.PostgresStore`."""

    def __init__(self) -> None:
        self._events: dict[Signal, list[asyncio.Event]] = {signal: [] for signal in Signal}
        self.clock_offset = 0
        """Microseconds that the database's clock was ahead of the machine's when last asked."""

    @abstractmethod
    async def transact(self, work: Work[T], *, patience: float | None = PATIENCE) -> T:
        """Run `work` in one transaction; return its result once that is durable.

        :param patience: seconds that a database behind a network may take; None for a migration
        Raises what `work` raises (after rolling back), and `errors.Unavailable` when the database does not answer.
        """

    @abstractmethod
    async def clock(self) -> int:
        """The instant by the database's clock in a cluster, by the machine's alone."""

    @abstractmethod
    async def close(self) -> None:
        """Finish what runs and let go of the database."""

    @abstractmethod
    async def announce(self, signal: Signal) -> None:
        """Wake the loops that listen, on every node."""

    def subscribe(self, signal: Signal) -> asyncio.Event:
        """An event that is set at each announcement; the listener clears it."""
        event = asyncio.Event()
        self._events[signal].append(event)
        return event

    def _wake(self, signal: Signal) -> None:
        for event in self._events[signal]:
            event.set()
