"""The API: a thread with an event loop of its own, so that requests cannot delay what fires.

Invariant: nothing of the API runs in the engine's event loop, and nothing of the engine in the API's. They share the
interpreter, which a thread holds for `SWITCH_INTERVAL` at most while the other wants it, and the database, where the
engine goes first (`Store.for_requests`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any, Final, cast

import uvicorn
import uvloop
from fastapi import FastAPI

from cronally import api
from cronally.api.connections import Connections
from cronally.engine.loop import Loop
from cronally.role import Role
from cronally.server.acceptor import Acceptor
from cronally.store import Store
from cronally.store.heartbeats import record_heartbeat

SWITCH_INTERVAL: Final = 0.001
"""Seconds; Python's default is 0.005. docs/design/threads.md has the measurement."""
BEAT: Final = 10.0
"""Seconds between two heartbeats, each with a measurement of how far the database's clock is from the machine's."""

_log = logging.getLogger(__name__)


class ApiThread:
    """Serves the API on one listening socket. `run` may be called again after it has ended."""

    def __init__(
        self,
        store: Store,
        listening: socket.socket,
        make_app: Callable[[Store, Callable[[], int]], FastAPI],
        *,
        node: str,
        pool_size: int,
        grace: float,
    ) -> None:
        """
        :param store: the engine's; the thread opens its own beside it
        :param listening: stays open when `run` ends, so that it can be run again
        :param make_app: makes the application from the thread's store and its clock
        :param node: a name of this process that no other one has, for its heartbeat
        :param pool_size: connections to PostgreSQL that the thread may hold
        :param grace: seconds that requests get to end when the thread stops
        """
        self._store = store
        self._listening = listening
        self._make_app = make_app
        self._node = node
        self._pool_size = pool_size
        self._grace = grace
        self._started_at: int | None = None
        self._server: _ApiServer | None = None
        self._stopping = threading.Event()

    async def run(self) -> None:
        """Serve until `stop`. Raises what the thread ended with."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def end(problem: BaseException | None) -> None:
            if ended.done():
                return
            if problem is None:
                ended.set_result(None)
            else:
                ended.set_exception(problem)

        def work() -> None:
            problem: BaseException | None = None
            try:
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    runner.run(self._serve())
            except BaseException as raised:
                problem = raised if isinstance(raised, Exception) else RuntimeError(repr(raised))
            with contextlib.suppress(RuntimeError):  # the engine's loop is closed: it no longer waits
                loop.call_soon_threadsafe(end, problem)

        threading.Thread(target=work, name="cronally-api", daemon=True).start()
        await ended

    def stop(self) -> None:
        """Accept nothing more, let the requests end, and end the thread. Call it from any thread."""
        self._stopping.set()
        if self._server is not None:
            self._server.should_exit = True

    async def _serve(self) -> None:
        store = await self._store.for_requests(self._pool_size)
        beats = Loop("api heartbeat", partial(self._beat, store), poll=BEAT)
        beating = asyncio.create_task(beats.run(), name=beats.name)
        try:
            app = self._make_app(store, lambda: time.time_ns() // 1000 + store.clock_offset)
            self._server = _ApiServer(
                uvicorn.Config(
                    app,
                    http=api.protocol_of(app),
                    loop="none",
                    lifespan="off",
                    ws="none",
                    log_config=None,
                    access_log=False,
                    server_header=False,
                    # Whose X-Forwarded-For is believed is the API's own, stricter rule.
                    proxy_headers=False,
                    timeout_graceful_shutdown=max(1, int(self._grace)),
                ),
                app.state.connections,
            )
            # Stopped meanwhile: the server looks at it before it waits.
            self._server.should_exit = self._stopping.is_set()
            await self._server.serve(sockets=[self._listening.dup()])
        finally:
            self._server = None
            beats.stop()
            await beating
            await store.close()

    async def _beat(self, store: Store) -> None:
        """Write that this process serves the API: should that fail, `/readyz` tells why."""
        now = await store.clock()
        started_at = self._started_at = self._started_at or now
        await store.transact(
            lambda connection: record_heartbeat(connection, self._node, Role.API, started_at, now)
        )


class _ApiServer(uvicorn.Server):
    """Uvicorn, but the signals are the composition root's, and connections are accepted by `Acceptor`."""

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self._connections = connections

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        make_protocol: Callable[[], asyncio.Protocol] = partial(
            cast("Any", self.config.http_protocol_class),
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        self.servers = [
            Acceptor(  # type: ignore[misc]
                listening, make_protocol, self._connections.not_accepted, self._connections.blocked
            )
            for listening in sockets or ()
        ]
        self.started = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True
