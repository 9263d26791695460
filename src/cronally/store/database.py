"""A store: where transactions run, what time it is there, and who wants to be woken.

Invariant: a unit of work is a plain function of a synchronous SQLAlchemy connection. It runs in one transaction and
`transact` answers after the commit; it may run again from the start (deadlock), so it changes nothing but the
database. Cancelling the waiter never touches the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import StrEnum
from typing import Final, TypeVar

from sqlalchemy import Connection

from cronally.instants import format_iso
from cronally.store import horizon
from cronally.store.timekeeper import BOUND, Timekeeper
from cronally.store.unwritable import Unwritable

_log = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[Connection], T]


PATIENCE: Final = 30.0
"""Seconds. The longest transaction, an audit or a retention batch, takes milliseconds."""


class Signal(StrEnum):
    """What wakes a sleeping loop. A hint only: a loop that misses it finds the work at the next poll."""

    CRONJOBS = "cronjobs"
    """A cron job's next fire time was set: the scheduler may have to get up earlier."""
    FIRINGS = "firings"
    """Firings became due: the dispatcher has work."""
    OPERATIONS = "operations"
    """An operation was asked for: there is work in the background."""


class Signals:
    """Who wants to be woken in this process, each in the event loop that it subscribed in."""

    def __init__(self) -> None:
        self._events: dict[Signal, list[tuple[asyncio.AbstractEventLoop | None, asyncio.Event]]] = {
            signal: [] for signal in Signal
        }

    def subscribe(self, signal: Signal) -> asyncio.Event:
        """An event that is set at each signal; the listener clears it. Call it inside the listener's event loop."""
        event = asyncio.Event()
        self._events[signal].append((asyncio._get_running_loop(), event))
        return event

    def wake(self, signal: Signal) -> None:
        """Set the events of a signal. Call it from any event loop."""
        here = asyncio.get_running_loop()
        for loop, event in self._events[signal]:
            if loop is None or loop is here:
                event.set()
            else:
                with contextlib.suppress(RuntimeError):  # that loop is closed: it has nothing left to do
                    loop.call_soon_threadsafe(event.set)


class Store(ABC):
    """One database, for one event loop. Implementations: `sqlite.SqliteStore`, `postgres.PostgresStore`."""

    def __init__(self, first: Store | None = None) -> None:
        """
        :param first: the store that was opened before on the same database, in this process
        """
        self._signals: Signals = Signals() if first is None else first._signals
        self.unwritable: Unwritable = Unwritable() if first is None else first.unwritable
        self.timekeeper: Timekeeper = Timekeeper() if first is None else first.timekeeper

    @abstractmethod
    async def transact(self, work: Work[T], *, patience: float | None = PATIENCE) -> T:
        """Run `work` in one transaction; return its result once that is durable.

        :param patience: seconds that a database behind a network may take; None for a migration
        Raises what `work` raises (after rolling back), and `errors.Unavailable` when the database does not answer.
        """

    async def read(self, work: Work[T]) -> T:
        """Run `work`, which is one statement that changes nothing. Raises what `transact` raises."""
        return await self.transact(work)

    async def note(self, work: Work[T]) -> T:
        """Run `work`, which is one statement, so that every node sees at once what it wrote. Raises as `transact` does.

        It lasts as long as what is committed next: a crash of the process takes nothing from it, a machine without
        power may, and then nothing that was committed later is left either.
        """
        return await self.transact(work)

    async def clock(self) -> int:
        """The instant to go by: the database's clock in a cluster, the machine's alone, but not where that has jumped
        ahead and is not believed yet.
        """
        before = self.timekeeper.elapsed()
        return self.timekeeper.judge(await self.read_clock(), before)

    @abstractmethod
    async def read_clock(self) -> int:
        """The instant by the database's clock in a cluster, by the machine's alone, whatever it says."""

    async def begin_clock(self) -> int:
        """Ask the clock for the first time, and tell what is strange about it; return the instant to go by."""
        now = await self.clock()
        known = await self.transact(horizon.get_horizon)
        if known is not None and known.latest_at > now + BOUND:
            _log.warning(
                "the clock is earlier than what the ledger has: it is wrong, or was ahead when that was written",
                extra={"clock": format_iso(now), "ledger": format_iso(known.latest_at)},
            )
        return now

    @abstractmethod
    async def close(self) -> None:
        """Finish what runs and let go of the database."""

    @abstractmethod
    async def announce(self, signal: Signal) -> None:
        """Wake the loops that listen, on every node."""

    @abstractmethod
    async def clear_log(self) -> None:
        """Remove what was erased from the file's log too; nothing happens where the log is a database server's.

        Raises `errors.Unavailable` when the file cannot be written.
        """

    def give_way(self) -> None:  # noqa: B027 - a store that shares no thread has nothing to do
        """Let the work of the first store go on, if it needs this thread to stand still: 10 ms at most.

        To be called between two steps of long work, by the thread of a store for requests.
        """

    def subscribe(self, signal: Signal) -> asyncio.Event:
        """An event that is set at each announcement; the listener clears it."""
        return self._signals.subscribe(signal)
