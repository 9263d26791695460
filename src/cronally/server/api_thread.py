"""The API in a thread with an event loop of its own, so that requests cannot delay what fires: on SQLite, whose file
belongs to one process.

Invariant: nothing of the API runs in the engine's event loop, and nothing of the engine in the API's. They share the
interpreter, which a thread holds for `SWITCH_INTERVAL` at most while the other wants it, and the database's thread,
where the engine goes first (`SqliteStore.for_requests`).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Final

import uvloop

from cronally.server.api_server import ApiServer
from cronally.store import Store
from cronally.store.sqlite import SqliteStore

SWITCH_INTERVAL: Final = 0.001
"""Seconds; Python's default is 0.005. docs/design/threads.md has the measurement."""


class ApiThread:
    """Serves the API. `run` may be called again after it has ended."""

    def __init__(self, store: SqliteStore, make_server: Callable[[Store], ApiServer]) -> None:
        """
        :param store: the engine's; the thread opens its own beside it
        :param make_server: makes the server on the thread's store
        """
        self._store = store
        self._make_server = make_server
        self._server: ApiServer | None = None
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
            self._server.stop()

    async def _serve(self) -> None:
        store = await self._store.for_requests()
        try:
            self._server = server = self._make_server(store)
            if self._stopping.is_set():  # meanwhile, when there was no server to tell
                server.stop()
            await server.run()
        finally:
            self._server = None
            await store.close()
