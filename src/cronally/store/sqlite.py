"""SQLite: the store in one file, whose only connection belongs to a thread (`sqlite_thread`)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TypeVar

from cronally import errors
from cronally.store.database import PATIENCE, Signal, Store, Work
from cronally.store.sqlite_thread import SqliteThread

T = TypeVar("T")


class SqliteStore(Store):
    """The store in one file."""

    def __init__(self, path: Path) -> None:
        """Open or make the file. Raises `errors.StoreError` when another server holds it."""
        super().__init__()
        # Links lead to one file, and one file has one lock.
        self.path = path.resolve()
        self._thread = SqliteThread(self.path)
        self._closed = False

    async def transact(self, work: Work[T], *, patience: float | None = PATIENCE) -> T:
        return await self._submit(work, urgent=True)

    async def read(self, work: Work[T]) -> T:
        return await self._submit(work, urgent=True, durable=False)

    async def note(self, work: Work[T]) -> T:
        return await self._submit(work, urgent=True, durable=False)

    async def _submit(self, work: Work[T], *, urgent: bool, durable: bool = True) -> T:
        if self._closed:
            raise errors.Unavailable("The server is shutting down.")
        try:
            return await self._thread.submit(work, urgent=urgent, durable=durable)
        except errors.Unavailable as problem:
            self.unwritable.note(problem)
            raise

    async def read_clock(self) -> int:
        return time.time_ns() // 1000

    async def announce(self, signal: Signal) -> None:
        self._signals.wake(signal)

    async def clear_log(self) -> None:
        if not self._closed:
            await self._thread.clear_log()

    async def for_requests(self) -> Store:
        """Open a second store on the same file, for requests of tenants, in the event loop that calls this.

        Its turn comes after what this store does, and it cannot delay that by more than one short unit. Close it
        before this one, in the same event loop.
        """
        return _RequestStore(self)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._thread.close()


class _RequestStore(Store):
    """The same file; the thread does its work after that of the first store."""

    def __init__(self, first: SqliteStore) -> None:
        super().__init__(first)
        self._first = first

    async def transact(self, work: Work[T], *, patience: float | None = PATIENCE) -> T:
        return await self._first._submit(work, urgent=False)

    async def read(self, work: Work[T]) -> T:
        return await self._first._submit(work, urgent=False, durable=False)

    async def note(self, work: Work[T]) -> T:
        return await self._first._submit(work, urgent=False, durable=False)

    async def read_clock(self) -> int:
        return await self._first.read_clock()

    async def announce(self, signal: Signal) -> None:
        await self._first.announce(signal)

    async def clear_log(self) -> None:
        await self._first.clear_log()

    def give_way(self) -> None:
        self._first._thread.precedence.give_way()

    async def close(self) -> None:
        """Nothing to let go of: the file belongs to the first store."""
