"""PostgresStore: deadlocks, a server that goes away, NOTIFY as a hint, the database's clock."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import Connection, text

from cronally import errors
from cronally.instants import HOUR, MINUTE, SECOND
from cronally.role import Role
from cronally.store import Signal, open_store, postgres
from cronally.store.heartbeats import record_heartbeat
from cronally.store.postgres import TRIES, PostgresStore
from tests.support.factories import Clock
from tests.support.postgres import PostgresServer, postgres_server


@pytest.fixture
async def opened(migrated_postgres_url: str) -> AsyncIterator[PostgresStore]:
    store = await open_store(migrated_postgres_url)
    assert isinstance(store, PostgresStore)
    await store.transact(execute("CREATE TABLE counter (id INT PRIMARY KEY, value INT NOT NULL)"))
    await store.transact(execute("INSERT INTO counter VALUES (1, 0), (2, 0)"))
    yield store
    await store.close()


def execute(statement: str):  # type: ignore[no-untyped-def]
    def work(connection: Connection) -> None:
        connection.execute(text(statement))

    return work


def bump(connection: Connection, number: int) -> None:
    connection.execute(text("UPDATE counter SET value = value + 1 WHERE id = :id"), {"id": number})


def values(connection: Connection) -> list[int]:
    return list(connection.execute(text("SELECT value FROM counter ORDER BY id")).scalars())


async def sleeping(store: PostgresStore) -> asyncio.Task[None]:
    """A transaction that sits in a statement for a minute, the first time that it runs."""
    started = asyncio.Event()

    def work(connection: Connection) -> None:
        if not started.is_set():
            started.set()
            connection.execute(text("SELECT pg_sleep(60)"))

    task = asyncio.create_task(store.transact(work))
    await started.wait()
    return task


async def test_transact__deadlock_runs_again(opened: PostgresStore) -> None:
    runs: list[str] = []
    holding: set[str] = set()

    def work(name: str, first: int, second: int) -> Callable[[Connection], None]:
        def run(connection: Connection) -> None:
            runs.append(name)
            connection.execute(text("SET LOCAL deadlock_timeout = '20ms'"))
            bump(connection, first)
            holding.add(name)
            while len(holding) < 2:  # until the other one holds its first row
                connection.execute(text("SELECT pg_sleep(0.01)"))
            bump(connection, second)

        return run

    async with asyncio.timeout(60):
        await asyncio.gather(opened.transact(work("a", 1, 2)), opened.transact(work("b", 2, 1)))
    assert await opened.transact(values) == [2, 2], "each stands once, whoever had to run again"
    assert len(runs) == 3


async def test_transact__deadlock_without_end_is_unavailable(opened: PostgresStore) -> None:
    runs: list[None] = []

    def work(connection: Connection) -> None:
        runs.append(None)
        connection.execute(text("DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$"))

    with pytest.raises(errors.Unavailable):
        await opened.transact(work)
    assert len(runs) == TRIES


async def test_transact__defect_is_raised_as_it_is_and_once(opened: PostgresStore) -> None:
    runs: list[None] = []

    def work(connection: Connection) -> None:
        runs.append(None)
        bump(connection, 1)
        connection.execute(text("SELECT * FROM nowhere"))

    with pytest.raises(Exception, match="nowhere") as caught:
        await opened.transact(work)
    assert not isinstance(caught.value, errors.CronallyError)
    assert len(runs) == 1
    assert await opened.transact(values) == [0, 0]


async def test_transact__own_error_rolls_back(opened: PostgresStore) -> None:
    def work(connection: Connection) -> None:
        bump(connection, 1)
        raise LookupError

    with pytest.raises(LookupError):
        await opened.transact(work)
    assert await opened.transact(values) == [0, 0]


async def test_transact__connection_lost_before_the_commit_runs_again(opened: PostgresStore) -> None:
    runs: list[None] = []

    def work(connection: Connection) -> None:
        bump(connection, 1)
        runs.append(None)
        if len(runs) == 1:
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    await opened.transact(work)
    assert len(runs) == 2
    assert await opened.transact(values) == [1, 0]


async def test_transact__connection_lost_at_the_commit_is_not_repeated(
    opened: PostgresStore,
) -> None:
    runs: list[None] = []

    def work(connection: Connection) -> None:
        bump(connection, 1)
        runs.append(None)
        # A deferred trigger: the server ends the session inside COMMIT.
        connection.execute(text("INSERT INTO trap VALUES (1)"))

    await opened.transact(execute("CREATE TABLE trap (id INT)"))
    await opened.transact(
        execute(
            "CREATE FUNCTION spring() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'"
        )
    )
    await opened.transact(
        execute(
            "CREATE CONSTRAINT TRIGGER trap AFTER INSERT ON trap DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION spring()"
        )
    )
    with pytest.raises(errors.Unavailable):
        await opened.transact(work)
    assert len(runs) == 1
    assert await opened.transact(values) == [0, 0]


async def test_transact__cancelled_waiter_gives_its_connection_back(opened: PostgresStore) -> None:
    task = await sleeping(opened)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert opened._engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    assert await opened.transact(values) == [0, 0]


async def test_pool__holds_as_many_connections_as_it_may(migrated_postgres_url: str) -> None:
    store = await open_store(migrated_postgres_url, pool_size=2)
    try:
        inside, most = 0, 0

        def work(connection: Connection) -> None:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            connection.execute(text("SELECT pg_sleep(0.01)"))
            while most < 2:  # until the second connection is there
                connection.execute(text("SELECT pg_sleep(0.01)"))
            inside -= 1

        async with asyncio.timeout(60):
            await asyncio.gather(*[store.transact(work) for _ in range(6)])
        assert most == 2
    finally:
        await store.close()


async def test_close__server_out_of_reach_is_not_waited_for(migrated_postgres_url: str) -> None:
    """A network that swallows everything: no connection breaks, and no answer comes."""
    passing = asyncio.Event()
    passing.set()
    copies: list[asyncio.Task[None]] = []
    socket = f"{migrated_postgres_url.partition('host=')[2]}/.s.PGSQL.5432"

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            while data := await reader.read(65536):
                await passing.wait()
                writer.write(data)

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = await asyncio.open_unix_connection(socket)
        pairs = ((reader, upstream[1]), (upstream[0], writer))
        copies.extend(asyncio.create_task(copy(*pair)) for pair in pairs)

    async with await asyncio.start_server(connect, "127.0.0.1") as network:
        port = network.sockets[0].getsockname()[1]
        name = migrated_postgres_url.partition("?")[0].rpartition("/")[2]
        store = await open_store(f"postgresql://cronally@127.0.0.1:{port}/{name}?sslmode=disable")
        await store.clock()
        passing.clear()
        async with asyncio.timeout(30):  # no answer ever comes: a close that waited for one would not end
            await store.close()
        for task in copies:
            task.cancel()
        await asyncio.gather(*copies, return_exceptions=True)


async def test_transact__standby_is_unavailable(opened: PostgresStore) -> None:
    def work(connection: Connection) -> None:
        connection.execute(text("SET TRANSACTION READ ONLY"))
        bump(connection, 1)

    with pytest.raises(errors.Unavailable):
        await opened.transact(work)


async def test_transact__idle_in_transaction_is_ended_by_the_server(opened: PostgresStore) -> None:
    setting = await opened.transact(
        lambda connection: connection.execute(text("SHOW idle_in_transaction_session_timeout")).scalar()
    )
    assert setting == "30s"


async def test_clock__is_the_databases(opened: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: machine() - 3600 * 10**9)
    now, kept = await opened.clock(), opened.timekeeper.time()
    monkeypatch.undo()
    # The database is on this machine, so it reads this machine's clock.
    assert abs(now - time.time_ns() // 1000) < 60_000_000
    assert kept is not None
    assert abs(now - kept) < 60_000_000


async def test_announce__wakes_here_and_on_other_nodes(
    opened: PostgresStore, migrated_postgres_url: str
) -> None:
    other = await open_store(migrated_postgres_url)
    assert isinstance(other, PostgresStore)
    try:
        here, there = opened.subscribe(Signal.FIRINGS), other.subscribe(Signal.FIRINGS)
        quiet = other.subscribe(Signal.CRONJOBS)
        await listening(opened, 2)
        await opened.announce(Signal.FIRINGS)
        assert here.is_set()
        await asyncio.wait_for(there.wait(), 30)
        assert not quiet.is_set()
    finally:
        await other.close()


async def test_announce__listener_that_was_cut_off_listens_again(
    opened: PostgresStore, migrated_postgres_url: str
) -> None:
    other = await open_store(migrated_postgres_url)
    try:
        there = other.subscribe(Signal.CRONJOBS)
        await listening(opened, 1)
        await cut_off_listeners(opened)
        # Nobody listens: an announcement gets lost, and nothing else; whoever polls finds the work.
        await opened.announce(Signal.CRONJOBS)
        await opened.transact(lambda connection: bump(connection, 1))
        assert await other.transact(values) == [1, 0]
        await listening(opened, 1)
        there.clear()
        await opened.announce(Signal.CRONJOBS)
        await asyncio.wait_for(there.wait(), 30)
    finally:
        await other.close()


async def test_listener__begins_with_the_first_who_wants_to_be_woken(opened: PostgresStore) -> None:
    """A store that is only asked, or that cannot be opened, holds no connection for it."""
    await listening(opened, 0)
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "cronally-listen"]
    opened.subscribe(Signal.FIRINGS)
    await listening(opened, 1)


async def test_announce__unknown_payload_is_ignored(opened: PostgresStore) -> None:
    woken = opened.subscribe(Signal.FIRINGS)
    await listening(opened, 1)
    await opened.transact(execute("SELECT pg_notify('cronally', 'from a newer version')"))
    await opened.transact(execute("SELECT pg_notify('cronally', 'firings')"))
    await asyncio.wait_for(woken.wait(), 30)


async def listening(store: PostgresStore, count: int) -> None:
    """Wait until so many sessions listen on this database."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
    )
    async with asyncio.timeout(30):
        while await store.transact(lambda connection: connection.execute(query).scalar()) != count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def cut_off_listeners(store: PostgresStore) -> None:
    await store.transact(
        execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        )
    )
    await listening(store, 0)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL that the test may crash."""
    with postgres_server() as server:
        yield server


async def test_restart__store_recovers_by_itself(own_server: PostgresServer) -> None:
    store = await open_store(own_server.create_database("crashing"))
    assert isinstance(store, PostgresStore)
    store.subscribe(Signal.FIRINGS)
    try:
        await store.transact(execute("CREATE TABLE counter (id INT PRIMARY KEY, value INT NOT NULL)"))
        await store.transact(execute("INSERT INTO counter VALUES (1, 0), (2, 0)"))
        # What the server of the tests has not flushed yet would be lost with it.
        await store.transact(execute("CHECKPOINT"))
        # Several pooled connections, all of which will be dead.
        await asyncio.gather(*[store.transact(execute("SELECT pg_sleep(0.02)")) for _ in range(5)])
        running = await sleeping(store)
        # A crash of one backend: the postmaster ends all the others at once and recovers, as after -m immediate.
        await crash_a_backend(own_server)
        # It ran again from its start, or was told that there is no database now.
        (outcome,) = await asyncio.gather(running, return_exceptions=True)
        assert outcome is None or isinstance(outcome, errors.Unavailable)
        async with asyncio.timeout(30):
            while True:
                try:
                    await store.transact(lambda connection: bump(connection, 1))
                    break
                except errors.Unavailable:  # the only error there may be
                    await asyncio.sleep(0.02)
        assert await store.transact(values) == [1, 0]
        await listening(store, 1)
    finally:
        await store.close()


async def crash_a_backend(server: PostgresServer) -> None:
    connection = await asyncpg.connect(server.database_url("crashing"))
    try:
        ended = asyncio.Event()
        connection.add_termination_listener(lambda _connection: ended.set())
        os.kill(await connection.fetchval("SELECT pg_backend_pid()"), signal.SIGQUIT)
        await asyncio.wait_for(ended.wait(), 30)
    finally:
        connection.terminate()


async def test_open__nobody_there(tmp_path: Path) -> None:
    with pytest.raises(errors.StoreError) as caught:
        await open_store(f"postgresql://user:hunter2@/cronally?host={tmp_path}")
    message = str(caught.value)
    assert "\n" not in message
    assert "hunter2" not in message
    assert "CRONALLY_DATABASE_URL" in message


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("cronally@", "nobody@"), 'role "nobody" does not exist'),
        (("/store_", "/missing_"), "does not exist"),
        (("?host=", "?sslmode=sometimes&host="), "sslmode"),
    ],
)
async def test_open__refused_with_what_the_server_says(
    migrated_postgres_url: str, change: tuple[str, str], what: str
) -> None:
    with pytest.raises(errors.StoreError) as caught:
        await open_store(migrated_postgres_url.replace(*change))
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_open__takes_what_libpq_takes(migrated_postgres_url: str) -> None:
    await (await open_store(f"{migrated_postgres_url}&sslmode=disable")).close()


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://localhost/x", "sqlite://", "sqlite:///:memory:", "sqlite:///"]
)
async def test_open__url_of_no_database(url: str) -> None:
    with pytest.raises(errors.StoreError, match="Write sqlite:///path/to/cronally"):
        await open_store(url)


async def test_transact__a_server_that_does_not_answer_is_given_up(postgres_store: PostgresStore) -> None:
    def work(connection: Connection) -> None:
        connection.execute(text("SELECT pg_sleep(60)"))

    with pytest.raises(errors.Unavailable):
        await postgres_store.transact(work, patience=0.05)
    assert (
        await postgres_store.transact(lambda connection: connection.execute(text("SELECT 1")).scalar()) == 1
    )


# The clock, and the time that other nodes go by


async def beat(store: PostgresStore, node: str, at: int) -> None:
    await store.transact(lambda connection: record_heartbeat(connection, node, Role.SCHEDULER, at, at))


async def test_clock__machine_that_stood_still_goes_by_what_the_others_do(opened: PostgresStore) -> None:
    """A hypervisor stopped it with all its clocks, and the database went on."""
    now = await opened.clock()
    opened.read_clock = Clock(now + HOUR)  # type: ignore[method-assign]
    await beat(opened, "other", now + HOUR - 3 * SECOND)
    assert await opened.clock() == now + HOUR
    assert opened.timekeeper.ahead == 0


@pytest.mark.parametrize("other", [0, 2 * HOUR], ids=["by the same time", "later than the clock"])
async def test_clock__jump_is_doubted_where_no_other_node_goes_by_it(
    opened: PostgresStore, other: int
) -> None:
    now = await opened.clock()
    opened.read_clock = Clock(now + HOUR)  # type: ignore[method-assign]
    await beat(opened, "other", now + other)
    assert await opened.clock() < now + MINUTE
    assert opened.timekeeper.ahead > HOUR - MINUTE


async def test_begin_clock__goes_by_the_time_of_others_that_do_not_believe_the_clock(
    opened: PostgresStore,
) -> None:
    before = time.time_ns() // 1000
    await beat(opened, "other", before)
    opened.read_clock = Clock(before + HOUR)  # type: ignore[method-assign]

    async def go_on() -> None:
        for n in range(60):
            await beat(opened, "other", before + n * SECOND)
            await asyncio.sleep(0.2)

    others = asyncio.create_task(go_on())
    now = await opened.begin_clock()
    others.cancel()
    await asyncio.gather(others, return_exceptions=True)
    assert now < before + 2 * MINUTE
    assert opened.timekeeper.ahead > HOUR - 2 * MINUTE


async def test_begin_clock__outage_blocks_nobody(
    opened: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody's heartbeats go on."""
    monkeypatch.setattr(postgres, "LISTEN", 2 * SECOND)
    before = time.time_ns() // 1000
    await beat(opened, "other", before)
    opened.read_clock = Clock(before + HOUR)  # type: ignore[method-assign]
    assert await opened.begin_clock() == before + HOUR
    assert opened.timekeeper.ahead == 0
