"""The API's thread: it has a loop and a store of its own, can be started again, and cannot hold up the engine."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from collections.abc import AsyncIterator, Callable

import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, select, text

from cronally import errors
from cronally.api.addresses import Addresses
from cronally.api.connections import Connections
from cronally.api.refusals import Refusals
from cronally.instants import SECOND
from cronally.role import Role
from cronally.server.api_thread import ApiThread
from cronally.store import Signal, Store, tables
from cronally.store.heartbeats import get_health
from cronally.store.sqlite import SqliteStore
from cronally.store.unwritable import Reason
from tests.support.factories import NOON, Clock, read

MakeApp = Callable[[Store, Callable[[], int]], FastAPI]


@pytest.fixture
async def listening() -> AsyncIterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield opened


def thread_of(store: Store, listening: socket.socket, make_app: MakeApp) -> ApiThread:
    return ApiThread(store, listening, make_app, node="node", pool_size=2, grace=10.0)


async def get(listening: socket.socket, path: str) -> tuple[int, bytes]:
    """Ask, without holding up this loop."""

    def ask() -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", listening.getsockname()[1], timeout=60)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    return await asyncio.to_thread(ask)


def served() -> FastAPI:
    """An application that a server can serve, with nothing in it."""
    app = FastAPI()
    registry = CollectorRegistry()
    app.state.connections = Connections(Refusals(registry), Addresses())
    return app


def one(connection: Connection) -> int:
    return int(connection.execute(text("SELECT 1")).scalar_one())


async def test_request__that_holds_up_the_api_does_not_hold_up_the_engine(
    store: Store, listening: socket.socket
) -> None:
    entered, go = threading.Event(), threading.Event()

    def make_app(_store: Store, _clock: Callable[[], int]) -> FastAPI:
        app = served()

        @app.get("/")
        async def hold() -> str:
            entered.set()
            assert go.wait(60)
            return "held"

        return app

    thread = thread_of(store, listening, make_app)
    running = asyncio.create_task(thread.run())
    asked = asyncio.create_task(get(listening, "/"))
    await asyncio.to_thread(entered.wait, 60)
    for _ in range(10):
        assert await store.transact(one) == 1
    assert not asked.done()
    go.set()
    assert (await asked)[0] == 200
    thread.stop()
    await running


async def test_request__reads_the_same_database_and_wakes_the_engine(
    store: Store, listening: socket.socket
) -> None:
    woken = store.subscribe(Signal.FIRINGS)
    loops: list[asyncio.AbstractEventLoop] = []

    def make_app(requests: Store, _clock: Callable[[], int]) -> FastAPI:
        app = served()

        @app.get("/")
        async def ask() -> int:
            loops.append(asyncio.get_running_loop())
            await requests.announce(Signal.FIRINGS)
            return await requests.transact(one)

        return app

    thread = thread_of(store, listening, make_app)
    running = asyncio.create_task(thread.run())
    assert await get(listening, "/") == (200, b"1")
    await asyncio.wait_for(woken.wait(), 60)
    assert loops != [asyncio.get_running_loop()]
    thread.stop()
    await running


async def test_run__raises_what_ended_the_thread_and_can_be_run_again(
    store: Store, listening: socket.socket
) -> None:
    apps: list[FastAPI] = []

    def make_app(_store: Store, _clock: Callable[[], int]) -> FastAPI:
        apps.append(served())
        if len(apps) == 1:
            raise RuntimeError("no application")
        return apps[-1]

    thread = thread_of(store, listening, make_app)
    with pytest.raises(RuntimeError, match="no application"):
        await thread.run()
    running = asyncio.create_task(thread.run())
    assert (await get(listening, "/"))[0] == 404
    thread.stop()
    await running
    assert len(apps) == 2


async def test_heartbeat__is_written_and_tells_what_cannot_be(
    store: Store, listening: socket.socket, clock: Clock
) -> None:
    """`/readyz` never writes; a process that serves the API alone writes nothing else."""
    thread = thread_of(store, listening, lambda _store, _clock: served())
    await thread._beat(store)
    clock.forward(SECOND)
    await thread._beat(store)
    (row,) = await read(store, select(tables.heartbeat))
    assert tuple(row) == ("node", Role.API, NOON, NOON + SECOND)
    # Not the scheduler's: it tells nothing about ticks.
    assert (await store.transact(get_health)).ticked_at is None

    if isinstance(store, SqliteStore):
        await store.transact(lambda connection: connection.execute(text("PRAGMA query_only=ON")) and None)
        with pytest.raises(errors.Unavailable):
            await thread._beat(store)
        assert store.unwritable.lately() is Reason.READ_ONLY


async def test_stop__before_the_server_is_made(store: Store, listening: socket.socket) -> None:
    thread = thread_of(store, listening, lambda _store, _clock: served())
    thread.stop()
    await thread.run()
