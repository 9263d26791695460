"""SqliteStore: one owner, group commit, and what happens when the disk, a unit of work or the process fails."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import OperationalError

from cronally import errors
from cronally.fairness import ASKER
from cronally.store import open_store, sqlite_thread
from cronally.store.sqlite import SqliteStore
from cronally.store.sqlite_thread import GROUP


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """A store with one table, `seen`."""
    store = SqliteStore(tmp_path / "plain.db")
    await store.transact(run("CREATE TABLE seen (id INTEGER PRIMARY KEY, blob TEXT)"))
    yield store
    await store.close()


def run(statement: str) -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        connection.execute(text(statement))

    return work


def add(number: int) -> Callable[[Connection], int]:
    def work(connection: Connection) -> int:
        connection.execute(text("INSERT INTO seen (id) VALUES (:id)"), {"id": number})
        return number

    return work


def numbers(connection: Connection) -> list[int]:
    return list(connection.execute(text("SELECT id FROM seen ORDER BY id")).scalars())


class Gate:
    """A unit of work that holds the owning thread until the test lets it go, so that what follows makes one group."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._entered = threading.Event()
        self._go = threading.Event()

    def __call__(self, connection: Connection) -> None:
        self._entered.set()
        assert self._go.wait(10)

    async def enter(self) -> asyncio.Task[None]:
        """Hold the thread; the task ends with the gate's own commit."""
        task = asyncio.create_task(self._store.transact(self))
        await asyncio.get_running_loop().run_in_executor(None, self._entered.wait, 10)
        return task

    def open(self) -> None:
        self._go.set()


async def together(store: SqliteStore, *works: Callable[[Connection], object]) -> list[object]:
    """Run units of work in one group; return their results and errors."""
    gate = Gate(store)
    held = await gate.enter()
    tasks = [asyncio.create_task(store.transact(work)) for work in works]
    await asyncio.sleep(0)  # all of them are queued now
    gate.open()
    await held
    return await asyncio.gather(*tasks, return_exceptions=True)


async def count_commits(store: SqliteStore) -> list[None]:
    """A list that grows by one with every commit from now on."""
    commits: list[None] = []

    def listen(connection: Connection) -> None:
        event.listen(connection.engine, "commit", lambda _connection: commits.append(None))

    await store.transact(listen)
    commits.clear()
    return commits


async def test_transact__returns_what_the_work_returns(opened: SqliteStore) -> None:
    assert await opened.transact(add(1)) == 1
    assert await opened.transact(numbers) == [1]


async def test_transact__many_waiters_share_one_commit(opened: SqliteStore) -> None:
    commits = await count_commits(opened)
    results = await together(opened, *[add(number) for number in range(100)])
    assert results == list(range(100))
    assert len(commits) == 2  # the gate's, and one for all


async def test_transact__at_most_200_share_one_commit(opened: SqliteStore) -> None:
    commits = await count_commits(opened)
    await together(opened, *[add(number) for number in range(GROUP + 1)])
    assert len(commits) == 3  # the gate's, one for 200, one for the last
    assert len(await opened.transact(numbers)) == GROUP + 1


async def test_for_requests__urgent_work_goes_first(opened: SqliteStore) -> None:
    requests = await opened.for_requests()
    order: list[str] = []
    held = await (gate := Gate(opened)).enter()
    asked = [asyncio.create_task(requests.transact(lambda _c: order.append("request"))) for _ in range(3)]
    await asyncio.sleep(0)
    urgent = [asyncio.create_task(opened.transact(lambda _c: order.append("urgent"))) for _ in range(2)]
    await asyncio.sleep(0)  # all of them are queued now
    gate.open()
    await asyncio.gather(held, *asked, *urgent)
    assert order == ["urgent", "urgent", "request", "request", "request"]


async def test_for_requests__a_commit_holds_requests_only_for_so_long(
    opened: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_thread, "REQUESTS", 0.0)
    requests = await opened.for_requests()
    commits = await count_commits(opened)
    held = await (gate := Gate(opened)).enter()
    asked = [asyncio.create_task(requests.transact(add(number))) for number in range(3)]
    await asyncio.sleep(0)
    gate.open()
    await asyncio.gather(held, *asked)
    assert len(commits) == 4  # the gate's, and one for each request


class Account:
    """One that asks."""

    def __init__(self, name: str) -> None:
        self.asker = name
        self.counted: list[float] = []

    def count(self, seconds: float) -> None:
        self.counted.append(seconds)

    def settle(self) -> None:
        return None

    async def take(self) -> None:
        return None


async def test_for_requests__askers_take_turns_and_pay(opened: SqliteStore) -> None:
    requests, order = await opened.for_requests(), list[str]()
    many, one = Account("many"), Account("one")

    async def ask(account: Account | None) -> None:
        ASKER.set(account)
        name = account.asker if account else "nobody"
        await requests.transact(lambda _connection: order.append(name))

    gate = Gate(opened)
    held = await gate.enter()
    tasks = [asyncio.create_task(ask(account)) for account in (*[many] * 5, one, None, one)]
    await asyncio.sleep(0)
    gate.open()
    await asyncio.gather(held, *tasks)
    assert order == ["many", "one", "nobody", "many", "one", "many", "many", "many"]
    assert (len(many.counted), len(one.counted)) == (5, 2)
    assert min(many.counted + one.counted) > 0.0


async def test_for_requests__who_waits_no_longer_pays(opened: SqliteStore) -> None:
    requests, account, gate = await opened.for_requests(), Account("gone"), Gate(opened)
    held = await gate.enter()
    ASKER.set(account)
    task = asyncio.create_task(requests.transact(lambda _connection: None))
    ASKER.set(None)
    await asyncio.sleep(0)
    task.cancel()
    gate.open()
    await held
    await opened.transact(lambda _connection: None)
    assert len(account.counted) == 1


async def test_begin__that_fails_refuses_what_waits(opened: SqliteStore) -> None:
    await opened.transact(run("PRAGMA busy_timeout=0"))
    requests = await opened.for_requests()
    other = sqlite3.connect(opened.path, isolation_level=None)
    with contextlib.closing(other):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(errors.Unavailable):
            await requests.transact(add(1))
    assert await requests.transact(add(2)) == 2
    assert await opened.transact(numbers) == [2]


async def test_transact__nobody_hears_of_success_before_the_commit(opened: SqliteStore) -> None:
    heard: list[int] = []
    heard_at_commit: list[int] = []

    def listen(connection: Connection) -> None:
        event.listen(connection.engine, "commit", lambda _connection: heard_at_commit.append(len(heard)))

    await opened.transact(listen)

    async def one(number: int) -> None:
        await opened.transact(add(number))
        heard.append(number)

    gate = Gate(opened)
    held = await gate.enter()
    tasks = [asyncio.create_task(one(number)) for number in range(3)]
    await asyncio.sleep(0)
    gate.open()
    await asyncio.gather(held, *tasks)
    assert heard_at_commit[-1] == 0
    assert sorted(heard) == [0, 1, 2]


async def test_transact__failing_unit_does_not_hurt_the_others_of_its_group(opened: SqliteStore) -> None:
    def broken(connection: Connection) -> None:
        add(2)(connection)
        raise LookupError("broken")

    results = await together(opened, add(1), broken, run("INSERT INTO nowhere VALUES (1)"), add(1), add(3))
    assert results[0] == 1
    assert isinstance(results[1], LookupError)
    assert isinstance(results[2], OperationalError), "a defect is no `Unavailable`: trying again cannot help"
    assert isinstance(results[3], Exception), "the same key twice"
    assert results[4] == 3
    assert await opened.transact(numbers) == [1, 3]


async def test_transact__failing_alone_leaves_nothing(opened: SqliteStore) -> None:
    def broken(connection: Connection) -> None:
        add(2)(connection)
        raise LookupError("broken")

    with pytest.raises(LookupError):
        await opened.transact(broken)
    assert await opened.transact(numbers) == []


@pytest.mark.parametrize("problem", [StopIteration(), SystemExit(1), KeyboardInterrupt()])
async def test_transact__whatever_a_unit_raises_everybody_is_answered(
    opened: SqliteStore, problem: BaseException
) -> None:
    def broken(connection: Connection) -> None:
        raise problem

    errors_seen: list[BaseException] = []

    async def unit() -> None:
        try:
            await opened.transact(broken)
        except BaseException as raised:
            errors_seen.append(raised)

    gate = Gate(opened)
    held = await gate.enter()
    tasks = [asyncio.create_task(unit()), asyncio.create_task(opened.transact(add(1)))]
    await asyncio.sleep(0)
    gate.open()
    await asyncio.gather(held, *tasks)
    assert len(errors_seen) == 1
    assert await opened.transact(numbers) == [1]


async def test_transact__cancelled_waiter_hurts_nobody(opened: SqliteStore) -> None:
    gate = Gate(opened)
    held = await gate.enter()
    cancelled = asyncio.create_task(opened.transact(add(1)))
    other = asyncio.create_task(opened.transact(add(2)))
    await asyncio.sleep(0)
    cancelled.cancel()
    gate.open()
    await held
    assert await other == 2
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert 2 in await opened.transact(numbers)


async def test_transact__waiter_cancelled_while_its_work_runs(opened: SqliteStore) -> None:
    gate = Gate(opened)
    held = await gate.enter()
    held.cancel()
    with pytest.raises(asyncio.CancelledError):
        await held
    gate.open()
    assert await opened.transact(add(1)) == 1


async def test_transact__disk_full_is_unavailable_and_passes(opened: SqliteStore) -> None:
    def limit(pages: int) -> Callable[[Connection], int]:
        return lambda connection: int(
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}").scalar_one()
        )

    def fill(number: int) -> Callable[[Connection], None]:
        def work(connection: Connection) -> None:
            connection.execute(
                text("INSERT INTO seen VALUES (:id, :blob)"), {"id": number, "blob": "x" * 50_000}
            )

        return work

    await opened.transact(limit(1))  # no less than there are now
    with pytest.raises(errors.Unavailable):
        await opened.transact(fill(1))
    results = await together(opened, add(2), fill(3), add(4))
    assert isinstance(results[1], errors.Unavailable)
    # The others of the group either stand, or were told that they do not.
    stand = [
        number for number, result in zip((2, 4), (results[0], results[2]), strict=True) if result == number
    ]
    for result in (results[0], results[2]):
        assert isinstance(result, int | errors.Unavailable)
    assert await opened.transact(numbers) == stand
    await opened.transact(limit(1_000_000))
    await opened.transact(fill(5))
    assert await opened.transact(numbers) == [*stand, 5]


async def test_transact__locked_by_a_foreign_connection_is_unavailable_and_passes(
    opened: SqliteStore,
) -> None:
    await opened.transact(lambda connection: connection.exec_driver_sql("PRAGMA busy_timeout=1") and None)
    foreign = sqlite3.connect(opened.path, isolation_level=None)
    try:
        foreign.execute("BEGIN IMMEDIATE")
        with pytest.raises(errors.Unavailable):
            await opened.transact(add(1))
        results = await together_refused(opened, add(2), add(3))
        assert all(isinstance(result, errors.Unavailable) for result in results)
        foreign.execute("ROLLBACK")
    finally:
        foreign.close()
    assert await opened.transact(add(4)) == 4
    assert await opened.transact(numbers) == [4]


async def together_refused(store: SqliteStore, *works: Callable[[Connection], object]) -> list[object]:
    return await asyncio.gather(*[store.transact(work) for work in works], return_exceptions=True)


async def test_close__finishes_what_is_queued(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "plain.db")
    await store.transact(run("CREATE TABLE seen (id INTEGER PRIMARY KEY)"))
    gate = Gate(store)
    tasks: list[asyncio.Task[Any]] = [await gate.enter()]
    tasks += [asyncio.create_task(store.transact(add(number))) for number in range(GROUP * 2)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    with pytest.raises(errors.Unavailable):
        await store.transact(numbers)
    gate.open()
    await closing
    await asyncio.gather(*tasks)
    await store.close()  # twice does no harm
    again = SqliteStore(tmp_path / "plain.db")
    assert len(await again.transact(numbers)) == GROUP * 2
    await again.close()


async def test_open__second_server_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plain.db"
    store = SqliteStore(path)
    link = tmp_path / "link.db"
    link.symlink_to(path)
    for way in (path, link, tmp_path / ".." / tmp_path.name / "plain.db"):
        with pytest.raises(errors.StoreError, match="in use by another Cronally server"):
            SqliteStore(way)
    await store.close()
    await SqliteStore(path).close()


async def test_open__second_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plain.db"
    store = SqliteStore(path)
    program = (
        "import sys; from pathlib import Path\n"
        "from cronally import errors\n"
        "from cronally.store.sqlite import SqliteStore\n"
        "try: SqliteStore(Path(sys.argv[1]))\n"
        "except errors.StoreError as problem: print(problem)\n"
    )
    done = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(path), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    output, complaints = await done.communicate()
    assert b"in use by another Cronally server" in output, complaints
    assert len(output.splitlines()) == 1
    await store.close()


async def test_open__files_are_for_their_owner_only(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        store = await open_store(f"sqlite:///{tmp_path / 'folder' / 'cronally.db'}")
        files = sorted((tmp_path / "folder").iterdir())
        assert [file.name for file in files] == [
            "cronally.db",
            "cronally.db-shm",
            "cronally.db-wal",
            "cronally.db.lock",
        ]
        for file in files:
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        await store.close()
    finally:
        os.umask(old)


async def test_open__path_with_characters_that_mean_something_in_a_url(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "a?b=c #d%20.db")
    await store.transact(run("CREATE TABLE seen (id INTEGER PRIMARY KEY)"))
    await store.close()
    assert (tmp_path / "a?b=c #d%20.db").stat().st_size > 0


async def test_open__what_is_no_database_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "plain.db"
    path.write_bytes(b"This is no database at all." * 100)
    with pytest.raises(errors.StoreError) as caught:
        await open_store(f"sqlite:///{path}")
    assert "not a database" in str(caught.value)
    assert "\n" not in str(caught.value)
    # The lock is free again.
    path.unlink()
    await (await open_store(f"sqlite:///{path}")).close()


async def test_open__folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "plain.db").mkdir()
    with pytest.raises(errors.StoreError):
        SqliteStore(tmp_path / "plain.db")


async def test_pragmas__are_those_of_the_promise(opened: SqliteStore) -> None:
    def pragmas(connection: Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    assert await opened.transact(pragmas) == ["wal", 2, 1]


def synchronous(connection: Connection) -> object:
    return connection.exec_driver_sql("PRAGMA synchronous").scalar()


async def test_note__waits_for_no_disk_unless_something_else_does(opened: SqliteStore) -> None:
    requests = await opened.for_requests()
    assert await opened.note(synchronous) == 1
    assert await requests.note(synchronous) == 1
    assert await requests.read(synchronous) == 1
    assert await requests.transact(synchronous) == 2
    assert await opened.note(synchronous) == 1
    gate = Gate(opened)
    held = await gate.enter()
    kinds = (opened.note, requests.read, requests.transact, opened.note)
    tasks = [asyncio.create_task(kind(synchronous)) for kind in kinds]
    await asyncio.sleep(0)  # all of them are queued now
    gate.open()
    await held
    assert await asyncio.gather(*tasks) == [2, 2, 2, 2], "they share one commit"
    with pytest.raises(OperationalError):
        await opened.note(run("INSERT INTO nothing VALUES (1)"))
    assert await opened.note(synchronous) == 1
    assert await opened.transact(synchronous) == 2
    await requests.close()


_WRITER = """
import asyncio, sys
from pathlib import Path
from sqlalchemy import text
from cronally.store.sqlite import SqliteStore

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    await store.transact(lambda c: c.execute(text("CREATE TABLE seen (id INTEGER PRIMARY KEY, blob TEXT)")) and None)
    numbers = iter(range(10**9))
    async def write():
        while True:
            number = next(numbers)
            await getattr(store, sys.argv[2])(
                lambda c: c.execute(text("INSERT INTO seen VALUES (:n, :b)"), {"n": number, "b": "x" * 2000}) and None
            )
            print(number, flush=True)
    await asyncio.gather(*[write() for _ in range(20)])

asyncio.run(main())
"""


@pytest.mark.parametrize("verb", ["transact", "note"])
async def test_kill__what_was_answered_stands_and_the_file_is_whole(tmp_path: Path, verb: str) -> None:
    path = tmp_path / "plain.db"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WRITER, str(path), verb, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    answered = [int(await process.stdout.readline()) for _ in range(200)]
    process.send_signal(signal.SIGKILL)
    rest = await process.stdout.read()
    await process.wait()
    answered += [int(line) for line in rest.split(b"\n")[:-1]]
    store = SqliteStore(path)  # the lock went with the process
    assert (
        await store.transact(lambda connection: connection.exec_driver_sql("PRAGMA integrity_check").scalar())
        == "ok"
    )
    assert set(answered) <= set(await store.transact(numbers))
    await store.close()
