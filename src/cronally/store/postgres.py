"""PostgreSQL: a pool of connections, any number of nodes, and NOTIFY as a hint.

Invariants: a transaction that lost a deadlock, a serialization or its connection before the commit was asked for runs
again from its start; once COMMIT was sent nothing is repeated. Nothing depends on NOTIFY arriving: a node that hears
nothing polls.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator
from typing import Final, TypeVar

import asyncpg
from sqlalchemy import URL, func, select, text
from sqlalchemy.engine.interfaces import IsolationLevel
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from cronally import errors
from cronally.instants import MINUTE, SECOND
from cronally.store import heartbeats
from cronally.store.database import PATIENCE, Signal, Store, Work
from cronally.store.timekeeper import BOUND
from cronally.store.unwritable import Reason

T = TypeVar("T")

CHANNEL: Final = "cronally"
RUNS_AGAIN: Final = frozenset({"40001", "40P01"})
"""serialization_failure, deadlock_detected: PostgreSQL's manual asks for the whole transaction again."""
UNAVAILABLE: Final = ("08", "25006", "25P03", "25P04", "40", "53", "55P03", "57", "58")
"""SQLSTATEs and classes of them that say "not now": connection, read-only standby, time-outs, deadlocks that five tries
did not get round, resources, cancellation and shutdown, I/O."""
_REASONS: Final = {"53100": Reason.FULL, "25006": Reason.READ_ONLY}
TRIES: Final = 5
CONNECT_TIMEOUT: Final = 5.0
CLOSE_TIMEOUT: Final = 2.0
"""Seconds."""

_SESSION: Final = {
    "application_name": "cronally",
    # Short statements: a just-in-time compilation costs more than it saves.
    "jit": "off",
    # Every statement here finds its rows by an index. While the ledger is small (some 30,000 rows) the planner would
    # rather read all of it for each batch: 21,000 claims and records a second so, 39,000 by the indexes.
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    # A node that lost its power inside a transaction must not hold row locks until TCP gives it up, two hours later.
    "idle_in_transaction_session_timeout": "30s",
}

ASK_OTHERS: Final = 5 * SECOND
"""How often the heartbeats of other nodes are looked at while the clock is not believed. Microseconds."""
ASK_OTHERS_AFTER: Final = MINUTE
LISTEN: Final = 12 * SECOND
"""After such a gap since the last heartbeat a node that starts listens for so long whether others run by another time:
two heartbeats of a scheduler. Microseconds."""

_CLOCK: Final = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")

_log = logging.getLogger(__name__)


class PostgresStore(Store):
    """The store on a PostgreSQL server. Made inside a running event loop."""

    def __init__(self, url: URL, *, pool_size: int = 10) -> None:
        super().__init__()
        self._others_asked_at: int | None = None
        # asyncpg reads the URL itself, so that everything that libpq's own tools take works (`sslmode`, `host`).
        self._url = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._engine: AsyncEngine = create_async_engine(
            url.set(drivername="postgresql+asyncpg"),
            pool_size=pool_size,
            max_overflow=0,
            hide_parameters=True,
            pool_timeout=10,
            async_creator=self._connect,
        )
        self._listener: asyncio.Task[None] | None = None

    def subscribe(self, signal: Signal) -> asyncio.Event:
        # Outside of an event loop nobody sleeps who could be woken.
        if self._listener is None and asyncio._get_running_loop() is not None:
            self._listener = asyncio.create_task(self._listen(), name="cronally-listen")
        return super().subscribe(signal)

    async def transact(self, work: Work[T], *, patience: float | None = PATIENCE) -> T:
        return await self._run(work, "READ COMMITTED", patience)

    async def read(self, work: Work[T]) -> T:
        # Without a transaction around it there is one answer of the server to wait for, not three.
        return await self._run(work, "AUTOCOMMIT", PATIENCE)

    async def note(self, work: Work[T]) -> T:
        return await self._run(work, "AUTOCOMMIT", PATIENCE)

    async def _run(self, work: Work[T], isolation: IsolationLevel, patience: float | None = PATIENCE) -> T:
        for tries in range(1, TRIES + 1):
            committing = False
            begun = time.monotonic()
            try:
                async with self._engine.connect() as connection:
                    await connection.execution_options(isolation_level=isolation)
                    async with _bounded(connection, patience):
                        result = await connection.run_sync(work)
                        committing = True
                        await connection.commit()
                    return result
            except (DBAPIError, OSError, PoolTimeout) as problem:
                lost = not committing and isinstance(problem, DBAPIError) and problem.connection_invalidated
                if patience is not None and time.monotonic() - begun >= patience:
                    lost = False
                if not (lost or _sqlstate(problem) in RUNS_AGAIN) or tries == TRIES:
                    raise self._translated(problem) from problem
            # Jitter, so that two that met once do not meet again.
            await asyncio.sleep(random.uniform(0.0, 0.02 * tries))  # noqa: S311 - not cryptographic
        raise AssertionError("unreachable: the last try returns or raises")

    def _translated(self, problem: Exception) -> Exception:
        translated = _translate(problem)
        if isinstance(translated, errors.Unavailable):
            self.unwritable.note(translated)
        return translated

    async def read_clock(self) -> int:
        # One statement without a transaction around it: every step begins with this, and waits for it.
        return await self._run(lambda connection: int(connection.execute(_CLOCK).scalar_one()), "AUTOCOMMIT")

    async def clock(self) -> int:
        now = await super().clock()
        ahead = self.timekeeper.ahead
        if not ahead:
            return now
        asked = self.timekeeper.elapsed()
        if self._others_asked_at is not None and asked - self._others_asked_at < ASK_OTHERS:
            return now
        self._others_asked_at = asked
        beats = await self.transact(heartbeats.list_beats)
        # It was this process that stood still, not the clock that jumped.
        if any(now + BOUND < beat <= now + ahead + BOUND for beat in beats.values()):
            self.timekeeper.believe("another node goes by it")
            return await super().clock()
        return now

    async def begin_clock(self) -> int:
        """As of every store; and go by the time of other nodes, should they not believe the clock."""
        now = await super().begin_clock()
        before = await self.transact(heartbeats.list_beats)
        last = max((beat for beat in before.values() if beat <= now + BOUND), default=now)
        if now - last <= ASK_OTHERS_AFTER:
            return now
        # Either nobody has run for a while, or the others run by another time. Then their heartbeats go on.
        ends = self.timekeeper.elapsed() + LISTEN
        while self.timekeeper.elapsed() < ends:
            await asyncio.sleep(1.0)
            now = await self.clock()
            beats = await self.transact(heartbeats.list_beats)
            news = [beat for key, beat in beats.items() if before.get(key) != beat]
            if news:
                if max(news) < now - ASK_OTHERS_AFTER:
                    self.timekeeper.hold_at(max(news))
                break
        return await self.clock()

    async def announce(self, signal: Signal) -> None:
        self._signals.wake(signal)
        try:
            await self._run(lambda connection: connection.execute(_notify(signal)) and None, "AUTOCOMMIT")
        except (errors.Unavailable, DBAPIError) as problem:
            _log.debug("no listener was notified", extra={"signal": signal.value, "error": str(problem)})

    async def clear_log(self) -> None:
        """Nothing: the log is the server's, and so is what replicas and archives have of it."""

    async def close(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listener
        # A connection says goodbye and waits for the answer; from a server that is out of reach none comes.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._engine.dispose()

    async def _connect(self) -> asyncpg.Connection:
        """A new connection. Whatever the server says to it (starting, full, wrong password) means: not now."""
        try:
            return await asyncpg.connect(self._url, timeout=CONNECT_TIMEOUT, server_settings=_SESSION)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as problem:
            raise errors.Unavailable() from problem

    async def _listen(self) -> None:
        """Hold a connection that listens; when it breaks, connect again."""
        while True:
            try:
                connection = await self._connect()
                try:
                    ended = asyncio.Event()
                    connection.add_termination_listener(lambda _connection, ended=ended: ended.set())
                    await connection.add_listener(CHANNEL, self._heard)
                    await ended.wait()
                finally:
                    connection.terminate()
            except (errors.Unavailable, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as problem:
                _log.debug("not listening, polling instead", extra={"error": type(problem).__name__})
            await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311 - not cryptographic

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        with contextlib.suppress(ValueError):
            self._signals.wake(Signal(str(payload)))


@contextlib.asynccontextmanager
async def _bounded(connection: AsyncConnection, patience: float | None) -> AsyncIterator[None]:
    """Cut the connection if what is done with it takes longer than `patience` seconds.

    Behind a broken network nothing says that no answer will come; and a wait that is merely cancelled would wait
    for the server to hear of it.
    """
    if patience is None:
        yield
        return
    driver = (await connection.get_raw_connection()).driver_connection
    assert driver is not None  # noqa: S101 - for the type checker
    timer = asyncio.get_running_loop().call_later(patience, driver.terminate)
    try:
        yield
    finally:
        timer.cancel()


def _notify(signal: Signal):  # type: ignore[no-untyped-def]
    return select(func.pg_notify(CHANNEL, signal.value))


def _sqlstate(problem: BaseException) -> str:
    return str(getattr(getattr(problem, "orig", None), "sqlstate", None) or "")


def _translate(problem: Exception) -> Exception:
    """`errors.Unavailable` for "the database does not answer", everything else as it is."""
    if (reason := _REASONS.get(_sqlstate(problem))) is not None:
        return errors.Unavailable(reason)
    if isinstance(problem, OSError | PoolTimeout | InterfaceError | OperationalError):
        return errors.Unavailable()
    if isinstance(problem, DBAPIError) and (
        problem.connection_invalidated or _sqlstate(problem).startswith(UNAVAILABLE)
    ):
        return errors.Unavailable()
    return problem
