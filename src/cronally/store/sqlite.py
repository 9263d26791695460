"""SQLite: one thread owns the only connection, and what waits is committed together.

Invariants: no second connection to the file is ever opened while the server runs (releases of SQLite before 3.51.3
can corrupt a WAL file that several connections write and checkpoint), by this process or, through the lock on
`<file>.lock`, by another. A caller hears of success only after the commit that holds its work (synchronous=FULL).
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import queue
import sqlite3
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Connection, create_engine, event, exc
from sqlalchemy.pool import StaticPool

from cronally import errors
from cronally.store.database import PATIENCE, Signal, Store, Work

T = TypeVar("T")

GROUP = 200
"""At most so many units of work share one commit."""

UNAVAILABLE: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)
"""SQLite's primary result codes that say "not now"; every other error is a defect, and asking again would not help."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Waiting:
    work: Work[Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


class SqliteStore(Store):
    """The store in one file."""

    def __init__(self, path: Path) -> None:
        """Open or make the file. Raises `errors.StoreError` when another server holds it."""
        super().__init__()
        # Links lead to one file, and one file has one lock.
        self.path = path = path.resolve()
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._closed = False
        self._lock = _hold(path)
        opened: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=(opened,), name="cronally-sqlite", daemon=True)
        self._thread.start()
        if (problem := opened.get()) is not None:
            os.close(self._lock)
            raise errors.StoreError(f"{path}: {problem}. Check the path and the permissions of its folder.")

    async def transact(self, work: Work[T], *, patience: float | None = PATIENCE) -> T:
        if self._closed:
            raise errors.Unavailable("The server is shutting down.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._queue.put(_Waiting(work, loop, future))
        return await future

    async def clock(self) -> int:
        return time.time_ns() // 1000

    async def announce(self, signal: Signal) -> None:
        self._wake(signal)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
        os.close(self._lock)

    # What follows runs in the owning thread.

    def _run(self, opened: queue.SimpleQueue[Exception | None]) -> None:
        try:
            engine = create_engine(
                URL.create("sqlite", database=str(self.path)), poolclass=StaticPool, hide_parameters=True
            )
            event.listen(engine, "connect", _prepare)
            event.listen(engine, "begin", _begin)
            connection = engine.connect()
        except Exception as problem:
            opened.put(problem.__cause__ if isinstance(problem.__cause__, Exception) else problem)
            return
        opened.put(None)
        stopping = False
        while not stopping:
            group = [self._queue.get()]
            while len(group) < GROUP:
                try:
                    group.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            if None in group:
                stopping = True
            self._commit(connection, [waiting for waiting in group if waiting is not None])
        connection.close()
        engine.dispose()

    def _commit(self, connection: Connection, group: list[_Waiting]) -> None:
        """Run a group in one transaction, each in a savepoint of its own, and answer after the commit."""
        if not group:
            return
        try:
            with connection.begin():
                for waiting in group:
                    self._attempt(connection, waiting, alone=len(group) == 1)
        except BaseException as problem:
            for waiting in group:
                waiting.result, waiting.error = None, waiting.error or _translate(problem)
        by_loop: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
        for waiting in group:
            by_loop.setdefault(waiting.loop, []).append(waiting)
        for loop, answered in by_loop.items():
            try:
                loop.call_soon_threadsafe(_answer, answered)
            except RuntimeError:
                _log.warning("the loop that waited for a commit is gone", extra={"count": len(answered)})

    def _attempt(self, connection: Connection, waiting: _Waiting, *, alone: bool) -> None:
        if alone:
            try:
                waiting.result = waiting.work(connection)
            except BaseException as problem:
                waiting.error = _translate(problem)
                raise
            return
        savepoint = connection.begin_nested()
        try:
            waiting.result = waiting.work(connection)
            savepoint.commit()
        except BaseException as problem:
            waiting.error = _translate(problem)
            if not _in_transaction(connection):
                # SQLite itself has rolled everything back (disk full, I/O error): nothing of the group stands.
                raise
            savepoint.rollback()


def _answer(answered: list[_Waiting]) -> None:
    for waiting in answered:
        if waiting.future.done():
            continue
        if waiting.error is not None:
            waiting.future.set_exception(waiting.error)
        else:
            waiting.future.set_result(waiting.result)


def _translate(problem: BaseException) -> BaseException:
    """SQLite's own troubles (disk full, I/O error) as `Unavailable`; everything else as it is."""
    if isinstance(problem, StopIteration):
        # A future refuses it, and whoever waits would wait for ever.
        return RuntimeError("a unit of work raised StopIteration").with_traceback(problem.__traceback__)
    # The low byte of the code is the primary one.
    if isinstance(problem, exc.DBAPIError) and _code(problem) & 0xFF in UNAVAILABLE:
        _log.error("the database refused", extra={"error": str(problem.orig)})
        unavailable = errors.Unavailable("The database cannot be written right now; try again in a moment.")
        unavailable.__cause__ = problem
        return unavailable
    return problem


def _code(problem: exc.DBAPIError) -> int:
    return int(getattr(problem.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR))


def _in_transaction(connection: Connection) -> bool:
    driver = connection.connection.dbapi_connection
    return driver is not None and bool(driver.in_transaction)


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    # Transactions are begun by `_begin`: the driver would begin them late, and never for a read.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA cache_size=-16384")
    connection.execute("PRAGMA temp_store=MEMORY")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _hold(path: Path) -> int:
    """Lock `<file>.lock` for as long as the process lives; the file stays, the lock goes with the process."""
    lock = Path(f"{path}.lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as problem:
        raise errors.StoreError(
            f"{lock}: {problem.strerror}. Check the path and its permissions."
        ) from problem
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise errors.StoreError(
            f"{path} is in use by another Cronally server. Stop that one first, or run on PostgreSQL,"
            " where any number of servers may share a database."
        ) from None
    # The database itself is created with the same mode: it holds addresses and sealed secrets.
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as problem:
        os.close(descriptor)
        raise errors.StoreError(
            f"{path}: {problem.strerror}. Check the path and its permissions."
        ) from problem
    return descriptor
