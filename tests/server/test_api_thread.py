"""The API's thread: it has a loop and a store of its own, can be started again, and cannot hold up the engine."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, cast

import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, select, text

from cronally import errors
from cronally.api.addresses import Addresses
from cronally.api.connections import Connections
from cronally.api.refusals import Refusals
from cronally.api.refused import RefusedRequests
from cronally.instants import SECOND
from cronally.role import Role
from cronally.server.api_server import ApiServer
from cronally.server.api_thread import ApiThread
from cronally.store import Signal, Store, tables
from cronally.store.heartbeats import get_health
from cronally.store.sqlite import SqliteStore
from cronally.store.unwritable import Reason
from cronally.targets.target import Target
from tests.support.factories import NOON, Clock, read

MakeApp = Callable[[Store], FastAPI]


@pytest.fixture
async def listening() -> AsyncIterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield opened


@contextlib.asynccontextmanager
async def no_targets() -> AsyncIterator[dict[str, Target]]:
    yield {}


def server_of(store: Store, listening: socket.socket, make_app: MakeApp) -> ApiServer:
    def make(requests: Store, _targets: Mapping[str, Target]) -> FastAPI:
        return make_app(requests)

    return ApiServer(store, listening, make, no_targets, node="node", grace=10.0)


def thread_of(store: SqliteStore, listening: socket.socket, make_app: MakeApp) -> ApiThread:
    return ApiThread(store, lambda requests: server_of(requests, listening, make_app))


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
    app.state.refused = RefusedRequests(cast("Any", None), Addresses(), time.monotonic)
    return app


def one(connection: Connection) -> int:
    return int(connection.execute(text("SELECT 1")).scalar_one())


async def test_request__that_holds_up_the_api_does_not_hold_up_the_engine(
    sqlite_store: SqliteStore, listening: socket.socket
) -> None:
    entered, go = threading.Event(), threading.Event()

    def make_app(_store: Store) -> FastAPI:
        app = served()

        @app.get("/")
        async def hold() -> str:
            entered.set()
            assert go.wait(60)
            return "held"

        return app

    thread = thread_of(sqlite_store, listening, make_app)
    running = asyncio.create_task(thread.run())
    asked = asyncio.create_task(get(listening, "/"))
    await asyncio.to_thread(entered.wait, 60)
    for _ in range(10):
        assert await sqlite_store.transact(one) == 1
    assert not asked.done()
    go.set()
    assert (await asked)[0] == 200
    thread.stop()
    await running


async def test_request__reads_the_same_database_and_wakes_the_engine(
    sqlite_store: SqliteStore, listening: socket.socket
) -> None:
    woken = sqlite_store.subscribe(Signal.FIRINGS)
    loops: list[asyncio.AbstractEventLoop] = []

    def make_app(requests: Store) -> FastAPI:
        app = served()

        @app.get("/")
        async def ask() -> int:
            loops.append(asyncio.get_running_loop())
            await requests.announce(Signal.FIRINGS)
            return await requests.transact(one)

        return app

    thread = thread_of(sqlite_store, listening, make_app)
    running = asyncio.create_task(thread.run())
    assert await get(listening, "/") == (200, b"1")
    await asyncio.wait_for(woken.wait(), 60)
    assert loops != [asyncio.get_running_loop()]
    thread.stop()
    await running


async def test_run__raises_what_ended_the_thread_and_can_be_run_again(
    sqlite_store: SqliteStore, listening: socket.socket
) -> None:
    apps: list[FastAPI] = []

    def make_app(_store: Store) -> FastAPI:
        apps.append(served())
        if len(apps) == 1:
            raise RuntimeError("no application")
        return apps[-1]

    thread = thread_of(sqlite_store, listening, make_app)
    with pytest.raises(RuntimeError, match="no application"):
        await thread.run()
    running = asyncio.create_task(thread.run())
    assert (await get(listening, "/"))[0] == 404
    thread.stop()
    await running
    assert len(apps) == 2


async def test_stop__before_the_server_is_made(sqlite_store: SqliteStore, listening: socket.socket) -> None:
    thread = thread_of(sqlite_store, listening, lambda _store: served())
    thread.stop()
    await thread.run()


async def test_heartbeat__is_written_and_tells_what_cannot_be(
    store: Store, listening: socket.socket, clock: Clock
) -> None:
    """`/readyz` never writes; a process that serves the API alone writes nothing else."""
    server = server_of(store, listening, lambda _store: served())
    await server._beat()
    clock.forward(SECOND)
    await server._beat()
    (row,) = await read(store, select(tables.heartbeat))
    assert tuple(row) == ("node", Role.API, NOON, NOON + SECOND)
    # Not the scheduler's: it tells nothing about ticks.
    assert (await store.transact(get_health)).ticked_at is None

    if isinstance(store, SqliteStore):
        await store.transact(lambda connection: connection.execute(text("PRAGMA query_only=ON")) and None)
        with pytest.raises(errors.Unavailable):
            await server._beat()
        assert store.unwritable.lately() is Reason.READ_ONLY


async def test_server__runs_in_the_event_loop_that_calls_it(store: Store, listening: socket.socket) -> None:
    """That of a node without an engine, or of a process."""
    server = server_of(store, listening, lambda _store: served())
    for _ in range(2):
        running = asyncio.create_task(server.run())
        assert (await get(listening, "/"))[0] == 404
        assert server._server is not None
        server._server.should_exit = True
        await running
    server.stop()
    await server.run()
