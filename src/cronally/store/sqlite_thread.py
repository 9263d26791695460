"""The thread that owns the only connection to a SQLite file, and commits together what waits.

Invariants: no second connection to the file is ever opened while the server runs (releases of SQLite before 3.51.3
can corrupt a WAL file that several connections write and checkpoint), by this process or, through the lock on
`<file>.lock`, by another. A result is returned only after the commit that holds the work: synchronous=FULL, or NORMAL,
which waits for no disk, where none of the work has to last before something later does. The work of requests waits
behind all other work, and one commit holds at most `REQUESTS` seconds of it; who asks takes turns with the others, and
is charged with the time of the work. What is erased is overwritten in the file, and gone from its log once that was
cleared.
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
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Connection, create_engine, event, exc
from sqlalchemy.pool import StaticPool

from cronally import errors
from cronally.fairness import ASKER, Asker, Rotation
from cronally.store.database import Work
from cronally.store.precedence import Precedence
from cronally.store.unwritable import Reason

T = TypeVar("T")

GROUP = 200
"""At most so many units of work of each kind share one commit."""
REQUESTS: Final = 0.01
"""Seconds of requests' work in one commit, the last unit of it excepted: so long may urgent work wait for them."""

PATIENCE: Final = 5000
"""Milliseconds that a transaction waits for another process that has locked the file, against the advice."""

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

_FULL: Final = "FULL"
_NORMAL: Final = "NORMAL"
_REASONS: Final = {sqlite3.SQLITE_FULL: Reason.FULL, sqlite3.SQLITE_READONLY: Reason.READ_ONLY}

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Waiting:
    """A unit of work, and the event loop that waits for its result."""

    work: Work[Any]
    urgent: bool
    durable: bool
    """Whether its commit waits for the disk."""
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    asker: Asker | None
    """Whom it is done for."""
    name: str
    """The asker's, when it was queued."""
    seconds: float = 0.0
    """Of the thread, without what it waited for."""
    result: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class Clearing:
    """Who waits until the log is cleared."""

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[None]
    error: BaseException | None = None
    result: None = None


class SqliteThread:
    """The owner of one file."""

    def __init__(self, path: Path) -> None:
        """Open or make the file. Raises `errors.StoreError` when another server holds it."""
        self._arrived: queue.SimpleQueue[Waiting | Clearing | None] = queue.SimpleQueue()
        self._lock = _hold(path)
        self.precedence = Precedence()
        """Of urgent work, before what other threads do."""
        # These belong to the thread alone.
        self._urgent: deque[Waiting] = deque()
        self._requests: Rotation[Waiting] = Rotation()
        """By who asks; of those who are not known all together."""
        self._clearings: deque[Clearing] = deque()
        self._stopping = False
        self._durable = 0
        """Of what waits, the units whose commit waits for the disk."""
        self._synchronous = _FULL
        opened: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._run, args=(path, opened), name="cronally-sqlite", daemon=True
        )
        self._thread.start()
        if (problem := opened.get()) is not None:
            os.close(self._lock)
            raise errors.StoreError(f"{path}: {problem}. Check the path and the permissions of its folder.")

    def submit(self, work: Work[T], *, urgent: bool, durable: bool = True) -> asyncio.Future[T]:
        """Queue a unit of work; the future of the calling event loop has its result after the commit.

        :param urgent: whether it goes before work that is not
        :param durable: whether the commit waits for the disk
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if urgent:
            self.precedence.begin()
        asker = ASKER.get()
        self._arrived.put(Waiting(work, urgent, durable, loop, future, asker, asker.asker if asker else ""))
        return future

    def clear_log(self) -> asyncio.Future[None]:
        """Move what was committed from the log into the file, and empty the log."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._arrived.put(Clearing(loop, future))
        return future

    async def close(self) -> None:
        """Run what is queued, close the file, and let go of its lock."""
        self._arrived.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
        os.close(self._lock)

    # What follows runs in the owning thread.

    def _run(self, path: Path, opened: queue.SimpleQueue[Exception | None]) -> None:
        try:
            engine = create_engine(
                URL.create("sqlite", database=str(path)), poolclass=StaticPool, hide_parameters=True
            )
            event.listen(engine, "connect", _prepare)
            event.listen(engine, "begin", _begin)
            connection = engine.connect()
        except Exception as problem:
            opened.put(problem.__cause__ if isinstance(problem.__cause__, Exception) else problem)
            return
        opened.put(None)
        while self._collect():
            if self._urgent or self._requests:
                self._commit(connection)
            while self._clearings:
                _clear_log(connection, self._clearings.popleft())
        connection.close()
        engine.dispose()

    def _collect(self) -> bool:
        """Wait until there is work; sort what has arrived. False when there is none and the thread has to end."""
        waits = not (self._urgent or self._requests or self._clearings or self._stopping)
        if not self._urgent:
            self.precedence.end()
        while True:
            try:
                waiting = self._arrived.get(block=waits)
            except queue.Empty:
                return bool(self._urgent or self._requests or self._clearings)
            waits = False
            if waiting is None:
                self._stopping = True
            elif isinstance(waiting, Clearing):
                self._clearings.append(waiting)
            else:
                self._add(waiting)

    def _add(self, waiting: Waiting) -> None:
        self._durable += waiting.durable
        if waiting.urgent:
            self.precedence.begin()
            self._urgent.append(waiting)
        else:
            self._requests.add(waiting.name, waiting)

    def _group(self) -> Iterator[Waiting]:
        """What goes into one commit: urgent work first, then requests until their time is up."""
        for _ in range(min(len(self._urgent), GROUP)):
            yield self._urgent.popleft()
        ends = time.monotonic() + REQUESTS
        for _ in range(min(len(self._requests), GROUP)):
            yield self._requests.take()
            if time.monotonic() >= ends:
                return

    def _commit(self, connection: Connection) -> None:
        """Run a group in one transaction, each in a savepoint of its own, and answer after the commit."""
        group: list[Waiting] = []
        alone = len(self._urgent) + len(self._requests) == 1
        try:
            self._set_synchronous(connection, _FULL if self._durable else _NORMAL)
            with connection.begin():
                for waiting in self._group():
                    group.append(waiting)
                    self._attempt(connection, waiting, alone=alone)
        except BaseException as problem:
            # Where the transaction could not begin, what it was to hold is refused and not tried for ever.
            group = group or list(self._group())
            for waiting in group:
                waiting.result, waiting.error = None, waiting.error or _translate(problem)
        self._durable -= sum(waiting.durable for waiting in group)
        by_loop: dict[asyncio.AbstractEventLoop, list[Waiting]] = {}
        for waiting in group:
            by_loop.setdefault(waiting.loop, []).append(waiting)
        for loop, answered in by_loop.items():
            _tell(loop, answered)

    def _set_synchronous(self, connection: Connection, synchronous: str) -> None:
        """Say what a commit waits for. It cannot be said within a transaction."""
        if synchronous != self._synchronous:
            driver = connection.connection.driver_connection
            assert driver is not None  # noqa: S101 - for the type checker
            driver.execute(f"PRAGMA synchronous={synchronous}")
            self._synchronous = synchronous

    def _attempt(self, connection: Connection, waiting: Waiting, *, alone: bool) -> None:
        # By the CPU's clock: beside a busy event loop, waiting for the interpreter takes longer than the work.
        began = time.thread_time()
        try:
            self._do(connection, waiting, alone=alone)
        finally:
            waiting.seconds = time.thread_time() - began

    def _do(self, connection: Connection, waiting: Waiting, *, alone: bool) -> None:
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


def _clear_log(connection: Connection, clearing: Clearing) -> None:
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101 - for the type checker
    try:
        # A tool that reads the file, against the advice, is not waited for: the log is cleared the next time.
        driver.execute("PRAGMA busy_timeout=0")
        driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error as problem:
        clearing.error = _translate(exc.OperationalError("PRAGMA wal_checkpoint(TRUNCATE)", {}, problem))
    finally:
        driver.execute(f"PRAGMA busy_timeout={PATIENCE}")
    _tell(clearing.loop, [clearing])


def _tell(loop: asyncio.AbstractEventLoop, answered: Sequence[Waiting | Clearing]) -> None:
    try:
        loop.call_soon_threadsafe(_answer, answered)
    except RuntimeError:
        _log.warning("the loop that waited for a commit is gone", extra={"count": len(answered)})


def _answer(answered: Sequence[Waiting | Clearing]) -> None:
    for waiting in answered:
        if isinstance(waiting, Waiting) and waiting.asker is not None:
            waiting.asker.count(waiting.seconds)
        if waiting.future.done():
            continue
        if waiting.error is not None:
            waiting.future.set_exception(waiting.error)
        else:
            waiting.future.set_result(waiting.result)


def _translate(problem: BaseException) -> BaseException:
    """SQLite's own troubles (disk full, I/O error) as `Unavailable`; everything else as it is."""
    if isinstance(problem, StopIteration):
        # A future refuses it, and its caller would wait for ever.
        return RuntimeError("a unit of work raised StopIteration").with_traceback(problem.__traceback__)
    # The low byte of the code is the primary one.
    if isinstance(problem, exc.DBAPIError) and _code(problem) & 0xFF in UNAVAILABLE:
        _log.error("the database refused", extra={"error": str(problem.orig)})
        unavailable = errors.Unavailable(_REASONS.get(_code(problem) & 0xFF, Reason.OTHER))
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
    connection.execute(f"PRAGMA busy_timeout={PATIENCE}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={_FULL}")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA cache_size=-16384")
    connection.execute("PRAGMA temp_store=MEMORY")
    # What is erased is overwritten with zeros. FAST would leave the pages that a long row no longer needs.
    connection.execute("PRAGMA secure_delete=ON")


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
