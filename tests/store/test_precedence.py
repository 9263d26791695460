"""What must not wait goes before what another thread does."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection

from cronally.store import open_store
from cronally.store.precedence import Precedence
from cronally.store.sqlite import SqliteStore


def seconds() -> Iterator[float]:
    return map(float, itertools.count())


async def test_give_way__stands_still_until_nothing_urgent_is_left(tmp_path: Path) -> None:
    """A thread that asks for requests is let go when the transaction is over, not at some time."""
    store = await open_store(f"sqlite:///{tmp_path}/cronally.db")
    assert isinstance(store, SqliteStore)
    requests = await store.for_requests()
    began, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def urgent(_connection: Connection) -> None:
        began.set()
        go_on.wait(60)
        order.append("urgent")

    task = asyncio.ensure_future(store.transact(urgent))
    await asyncio.to_thread(began.wait, 60)
    precedence = requests._first._thread.precedence  # type: ignore[attr-defined]
    assert not precedence._over.is_set()
    go_on.set()
    await task
    await asyncio.to_thread(precedence._over.wait, 60)
    assert precedence._over.is_set()
    requests.give_way()  # at once
    assert order == ["urgent"]
    await requests.close()
    await store.close()


async def test_give_way__is_asked_for_by_the_engine_and_not_by_requests(sqlite_store: SqliteStore) -> None:
    requests = await sqlite_store.for_requests()
    precedence = requests._first._thread.precedence  # type: ignore[attr-defined]
    assert await requests.transact(lambda _connection: precedence._over.is_set())
    assert not await sqlite_store.transact(lambda _connection: precedence._over.is_set())
    assert await requests.transact(lambda _connection: precedence._over.is_set())
    requests.give_way()
    sqlite_store.give_way()
    await requests.close()


def test_give_way__is_asked_at_most_half_of_the_time() -> None:
    times = seconds()
    precedence = Precedence(lambda: next(times))
    precedence.give_way()
    assert next(times) == 0.0, "nothing is asked for, and not even the time is looked at"
    precedence.begin()
    precedence.give_way()  # from 1 to 2, though nothing ends it
    assert precedence._again == 3.0
    next(times)  # 3
    precedence._again = 10.0
    precedence.give_way()
    assert next(times) == 5.0, "it looked at the time once, and did not stand still"
    precedence.end()
    precedence.give_way()
    assert next(times) == 6.0
