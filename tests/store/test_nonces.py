"""Nonces on both databases: each is new once, on all nodes, whatever is purged and whoever dies meanwhile."""

from __future__ import annotations

import asyncio
import hashlib
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from sqlalchemy import Connection, func, select, text

from cronally import errors
from cronally.engine.janitor import BATCH, PAUSE_BEHIND, Janitor
from cronally.instants import DAY, MINUTE, SECOND
from cronally.operations import Caller
from cronally.operations.nonces import Nonces
from cronally.store import Store, nonces, open_store, tables
from cronally.store.postgres import PostgresStore
from cronally.store.sqlite import SqliteStore
from tests.support.examples import examples
from tests.support.factories import NOON, explain, read
from tests.support.statements import sent_by

ONE, OTHER = str(uuid4()), str(uuid4())


def nonce(name: object) -> bytes:
    return hashlib.sha256(str(name).encode()).digest()[:16]


async def use(store: Store, name: object, until: int = NOON, account: str = ONE) -> bool:
    work = partial(nonces.insert_nonce, account_id=account, nonce=nonce(name), expires_at=until)
    return await store.note(work)


async def count(store: Store) -> int:
    ((found,),) = await read(store, select(func.count()).select_from(tables.nonce))
    return int(found)


async def test_nonce__is_new_once_and_to_its_account_alone(store: Store) -> None:
    assert await use(store, "a")
    assert not await use(store, "a")
    assert not await use(store, "a", NOON + DAY)
    assert await use(store, "b")
    assert await use(store, "a", account=OTHER)
    assert await count(store) == 3


async def test_nonce__of_many_at_once_one_is_new(store: Store) -> None:
    found = await asyncio.gather(*(use(store, name % 4) for name in range(40)))
    assert sum(found) == 4


async def test_nonce__costs_one_statement(store: Store) -> None:
    with sent_by(store) as sent:
        await use(store, "a")
        await use(store, "a")
    # SQLAlchemy and the driver each tell of it.
    assert {statement.split()[0] for statement in sent} == {"INSERT"}
    assert len([statement for statement in sent if "$1" not in statement]) in (0, 2)


async def test_nonce__is_found_and_purged_by_its_indexes(store: Store) -> None:
    await use(store, "a")
    (plan,) = await explain(store, partial(nonces.delete_nonces, until=NOON, limit=10))
    assert "ix_nonce_expires_at" in plan
    assert "Seq Scan" not in plan


async def test_purge__takes_what_could_not_be_accepted_any_more_in_batches(store: Store) -> None:
    for number in range(5):
        await use(store, number, NOON + number)
    delete = partial(nonces.delete_nonces, until=NOON + 4, limit=3)
    assert await store.transact(delete) == 3
    assert await store.transact(delete) == 1
    assert await store.transact(delete) == 0
    assert await use(store, 0)
    assert not await use(store, 4)


async def test_janitor__purges_some_time_after_and_hurries_while_there_is_more(store: Store) -> None:
    def fill(connection: Connection) -> None:
        for number in range(BATCH + 1):
            nonces.insert_nonce(connection, ONE, nonce(number), NOON - nonces.KEPT - 1)
        nonces.insert_nonce(connection, ONE, nonce("kept"), NOON - nonces.KEPT)

    await store.transact(fill)
    janitor = Janitor(store, retention=30 * DAY)
    assert await janitor.step() == PAUSE_BEHIND
    assert await count(store) == 2
    await janitor.step()
    assert await count(store) == 1
    assert not await use(store, "kept")


async def test_use__that_broke_off_is_not_taken_for_a_replay(
    postgres_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert, runs = nonces.insert_nonce, iter([True])

    def break_off(connection: Connection, *row: Any) -> bool:
        is_new = insert(connection, *row)
        if next(runs, False):
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return is_new

    monkeypatch.setattr(nonces, "insert_nonce", break_off)
    used = Nonces(postgres_store)
    caller = Caller(ONE, "key", b"")
    with pytest.raises(errors.Unavailable):
        await used.use(caller, nonce("a"), NOON)
    assert await used.use(caller, nonce("b"), NOON)
    assert not await used.use(caller, nonce("b"), NOON)


async def test_note__does_not_wait_for_the_disk_on_postgres(postgres_store: Store) -> None:
    assert isinstance(postgres_store, PostgresStore)

    def setting(connection: Connection) -> object:
        return connection.execute(text("SHOW synchronous_commit")).scalar()

    def work(connection: Connection) -> list[object]:
        connection.execute(text("SET synchronous_commit = local"))
        found = [setting(connection), nonces.insert_nonce(connection, ONE, nonce("a"), NOON)]
        return [*found, setting(connection)]

    assert await postgres_store.transact(work) == ["local", True, "off"]
    assert await postgres_store.transact(setting) == "local", "what was set for the nonce ends with it"


# The walk

SKEW = 5 * MINUTE
NONCES = st.integers(0, 3)
NODES = st.integers(0, 1)


class Replays(RuleBasedStateMachine):
    """Two nodes on one database, to which requests come for the first time and again."""

    url: ClassVar[str] = ""
    """Of PostgreSQL; empty: a SQLite file, whose two nodes are the engine's store and that for requests."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.now = NOON
        self.account = str(uuid4())
        self.nodes: list[Store] = []
        self.received: set[tuple[int, int]] = set()
        """Nonce and second of each request that was carried out."""
        self.used: dict[int, int] = {}
        """Of each nonce, until when it is kept at least."""

    def run(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    @initialize()
    def start(self) -> None:
        url = self.url or f"sqlite:///{Path(self.folder.name) / 'cronally.db'}"
        first = self.run(open_store(url))
        second = first.for_requests() if isinstance(first, SqliteStore) else open_store(url)
        self.nodes = [first, self.run(second)]

    def teardown(self) -> None:
        for node in reversed(self.nodes):
            self.run(node.close())
        self.runner.close()
        self.folder.cleanup()

    @rule(node=NODES, name=NONCES, ago=st.sampled_from([-SKEW, 0, MINUTE, SKEW, SKEW + SECOND, 2 * SKEW]))
    def request(self, node: int, name: int, ago: int) -> None:
        """A request that says it was made at some second; the server looks at that first."""
        created = self.now - ago
        if abs(ago) > SKEW:
            return
        kept = self.used.get(name, self.now - 1) >= self.now
        until = created + SKEW
        is_new = self.run(use(self.nodes[node], name, until, self.account))
        assert not (is_new and (name, created) in self.received), "a request was carried out twice"
        assert not (is_new and kept), "its nonce had been used"
        if is_new:
            self.received.add((name, created))
            self.used[name] = until
        else:
            assert name in self.used, "a nonce that nobody had used was refused"

    @rule(node=NODES)
    def one_that_is_new(self, node: int) -> None:
        assert self.run(use(self.nodes[node], uuid4(), self.now + SKEW, self.account))

    @rule(seconds=st.sampled_from([1, 60, 300, 301, 600, 1800]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @rule(node=NODES)
    def janitor_purges(self, node: int) -> None:
        self.run(
            self.nodes[node].transact(
                partial(nonces.delete_nonces, until=self.now - nonces.KEPT, limit=BATCH)
            )
        )

    @rule()
    def the_server_starts_again(self) -> None:
        for node in reversed(self.nodes):
            self.run(node.close())
        self.start()


_SETTINGS = examples(10, stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow])


class OnSqlite(Replays):
    pass


TestOnSqlite = OnSqlite.TestCase
TestOnSqlite.settings = _SETTINGS


class OnPostgres(Replays):
    pass


@pytest.fixture
def _of_two_nodes(migrated_postgres_url: str) -> None:
    OnPostgres.url = migrated_postgres_url


TestOnPostgres = pytest.mark.usefixtures("_of_two_nodes")(OnPostgres.TestCase)
TestOnPostgres.settings = _SETTINGS
