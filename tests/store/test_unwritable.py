"""A database that answers and cannot be written: what the store says, and for how long it remembers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, text

from cronally import errors
from cronally.store import Store
from cronally.store.sqlite import SqliteStore
from cronally.store.unwritable import LATELY, Reason, Unwritable
from tests.support.factories import Monotonic, make_account
from tests.support.postgres import PostgresServer


def run(statement: str) -> Callable[[Connection], Any]:
    return lambda connection: connection.execute(text(statement)).scalar()


def fill(connection: Connection) -> None:
    """Write more than there is room for."""
    connection.execute(text("INSERT INTO zeros VALUES (zeroblob(1000000))"))


async def make_full(store: Store) -> None:
    """Give SQLite's file no more room than it has."""
    await store.transact(
        lambda connection: connection.execute(text("CREATE TABLE zeros (zero BLOB)")) and None
    )
    pages = await store.transact(run("PRAGMA page_count"))
    await store.transact(run(f"PRAGMA max_page_count={pages}"))


async def test_sqlite__full_disk(sqlite_store: SqliteStore) -> None:
    await make_full(sqlite_store)
    assert sqlite_store.unwritable.lately() is None
    with pytest.raises(errors.Unavailable, match="its disk is full"):
        await sqlite_store.transact(fill)
    assert sqlite_store.unwritable.lately() is Reason.FULL
    requests = await sqlite_store.for_requests()
    assert requests.unwritable.lately() is Reason.FULL, "it is one database"
    # What is small may still find room: the disk is full all the same.
    await sqlite_store.transact(run("SELECT 1"))
    assert sqlite_store.unwritable.lately() is Reason.FULL


async def test_sqlite__read_only(sqlite_store: Store) -> None:
    await sqlite_store.transact(lambda connection: connection.execute(text("PRAGMA query_only=ON")) and None)
    with pytest.raises(errors.Unavailable, match="it is read-only"):
        await make_account(sqlite_store)
    assert sqlite_store.unwritable.lately() is Reason.READ_ONLY


async def test_postgres__read_only(postgres_store: Store, postgres: PostgresServer) -> None:
    name = await postgres_store.transact(run("SELECT current_database()"))
    postgres.set_read_only(name, wanted=True)
    assert await postgres_store.transact(run("SELECT 1")) == 1
    assert postgres_store.unwritable.lately() is None
    with pytest.raises(errors.Unavailable, match="it is read-only"):
        await make_account(postgres_store)
    assert postgres_store.unwritable.lately() is Reason.READ_ONLY
    postgres.set_read_only(name, wanted=False)
    await make_account(postgres_store)


async def test_postgres__full_disk(postgres_store: Store) -> None:
    """PostgreSQL's own word for it, said by PostgreSQL."""
    with pytest.raises(errors.Unavailable, match="its disk is full"):
        await postgres_store.transact(run("DO $$ BEGIN RAISE SQLSTATE '53100'; END $$"))
    assert postgres_store.unwritable.lately() is Reason.FULL


async def test_store__other_troubles_are_none_of_these(store: Store) -> None:
    with pytest.raises(errors.Unavailable):
        await store.transact(refuse)
    assert store.unwritable.lately() is None


def refuse(_connection: Connection) -> None:
    raise errors.Unavailable()


def test_unwritable__remembers_for_a_while() -> None:
    monotonic = Monotonic()
    one = Unwritable(monotonic)
    one.note(errors.Unavailable(Reason.FULL))
    monotonic.now += LATELY - 1
    assert one.lately() is Reason.FULL
    one.note(errors.Unavailable(Reason.READ_ONLY))
    monotonic.now += 1
    assert one.lately() is Reason.READ_ONLY
    monotonic.now += LATELY
    assert one.lately() is None
