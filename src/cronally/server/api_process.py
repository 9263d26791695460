"""The API in a process of its own, so that requests cannot delay what fires: on PostgreSQL.

    python -m cronally.server.api_process VERSION < CHANNEL

The node that starts it is its parent, and of the same version. Between the two is one stream socket, the process's
standard input; a message is its length and its bytes. The parent sends the order, later an answer to each question, and
an empty message to stop; the process asks, with an empty message, for what `/metrics` shows of the parent.

Invariant: the process never outlives its parent. When the channel ends without a word it ends at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import signal
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import uvloop
from prometheus_client import CollectorRegistry

from cronally import __version__, errors
from cronally.clock import zones
from cronally.engine.loop import Loop
from cronally.server.api_server import ApiServer, grace, make_app
from cronally.server.logs import start_logging
from cronally.server.memory import LOOK, Memory
from cronally.server.resources import open_database, open_targets
from cronally.server.settings import Settings

PATIENCE: Final = 5.0
"""Seconds that the parent may take to answer."""

_log = logging.getLogger(__name__)

_LENGTH: Final = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Order:
    """What the process is to do."""

    settings: Settings
    node: str
    """A name that no other node has."""
    listening: int
    """The descriptor of the listening socket."""
    pool_size: int
    """Connections to PostgreSQL."""
    memory_limit: int | None
    """Bytes that the process and its parent may hold before requests are refused."""
    zone_data: str
    """The version of the parent's."""


async def _read(reader: asyncio.StreamReader) -> bytes:
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    return await reader.readexactly(length)


def _write(writer: asyncio.StreamWriter, message: bytes) -> None:
    writer.write(_LENGTH.pack(len(message)) + message)


class ApiProcess:
    """The parent's side. `run` may be called again after it has ended."""

    def __init__(self, order: Order, shown: Callable[[], bytes]) -> None:
        """
        :param order: its listening socket stays open when `run` ends, so that it can be run again
        :param shown: what `/metrics` shows of this process
        """
        self._order = order
        self._shown = shown
        self._writer: asyncio.StreamWriter | None = None
        self._stopping = False

    async def run(self) -> None:
        """Run the process until `stop`. Raises `RuntimeError` if it ends by itself."""
        ours, theirs = socket.socketpair()
        with contextlib.ExitStack() as opened, theirs:
            opened.callback(ours.close)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # nothing is imported from the working directory that this process would not import from there
                *("-m", __name__, __version__),
                stdin=theirs.fileno(),
                pass_fds=[self._order.listening],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                # A terminal sends Ctrl-C to all of a group: the process hears from its parent when to stop.
                start_new_session=True,
            )
            opened.pop_all()
        reader, self._writer = await asyncio.open_connection(sock=ours)
        _write(self._writer, pickle.dumps(self._order))
        if self._stopping:  # meanwhile, when there was nobody to tell
            _write(self._writer, b"")
        answering = asyncio.create_task(self._answer(reader, self._writer), name="api process")
        try:
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            answering.cancel()
            self._writer.close()
            self._writer = None
        if not self._stopping:
            raise RuntimeError(f"the API's process ended with {code}")

    def stop(self) -> None:
        """Let the process accept nothing more, finish its requests and end."""
        self._stopping = True
        if self._writer is not None:
            _write(self._writer, b"")

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):  # the process ended
            while True:
                await _read(reader)
                try:
                    page = self._shown()
                except Exception:
                    _log.exception("the metrics cannot be written")
                    page = b"\n"
                _write(writer, page)
                await writer.drain()


class Parent:
    """The process's side of the channel."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._asked: deque[asyncio.Future[bytes]] = deque()
        """Questions that are not answered, the oldest first."""
        self._turn = asyncio.Lock()

    async def obey(self, stop: Callable[[], None]) -> None:
        """Take answers until the parent says stop; end this process if the parent ends."""
        while True:
            try:
                message = await _read(self._reader)
                answered = self._asked.popleft() if message else None
            except (OSError, asyncio.IncompleteReadError, IndexError):  # it ended, or says what was not asked
                os._exit(1)
            if answered is None:
                stop()
            elif not answered.done():
                answered.set_result(message)

    async def shown(self) -> bytes:
        """What `/metrics` shows of the parent. Raises `errors.Unavailable` if it does not answer."""
        async with self._turn:
            answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            self._asked.append(answer)
            _write(self._writer, b"")
            try:
                async with asyncio.timeout(PATIENCE):
                    return await answer
            except TimeoutError:
                raise errors.Unavailable(
                    "The process of the scheduler and the dispatcher does not answer."
                ) from None


async def _main() -> int:
    try:
        reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=os.dup(0)))
    except OSError:
        sys.exit("This is a part of `cronally serve`, which starts it.")
    order: Order = pickle.loads(await _read(reader))  # noqa: S301 - from the parent, over a socket of its own
    listener = start_logging(order.settings.log_level, order.settings.log_format)
    try:
        await _serve(order, Parent(reader, writer))
    except errors.CronallyError as problem:
        _log.error("the API cannot be served", extra={"error": str(problem)})
        return 1
    except Exception:
        _log.exception("the API cannot be served")
        return 1
    finally:
        listener.stop()
    return 0


async def _serve(order: Order, parent: Parent) -> None:
    settings, registry = order.settings, CollectorRegistry()
    async with open_database(settings, order.pool_size) as (store, vault):
        zones.hold()
        await store.begin_clock()
        if zones.version() != order.zone_data:
            # Not recorded, as a node does with its own: this one would stop to tick, for it has the older ones.
            _log.warning(
                "the zone data were changed: restart the server",
                extra={"tzdata": order.zone_data, "of_api": zones.version()},
            )
        memory = Memory(order.memory_limit, registry, also=[os.getppid()])
        watch = Loop("memory", memory.step, poll=LOOK)
        app_of = partial(make_app, settings, vault, lambda: memory.is_short, parent.shown, registry=registry)
        server = ApiServer(
            store,
            socket.socket(fileno=order.listening),
            app_of,
            partial(open_targets, settings),
            node=order.node,
            grace=grace(settings),
        )
        obeying = asyncio.create_task(parent.obey(server.stop), name="parent")
        watching = asyncio.create_task(watch.run(), name=watch.name)
        try:
            await server.run()
        finally:
            watch.stop()
            await watching
            obeying.cancel()


def main() -> int:
    """What the process does."""
    if sys.argv[1:] != [__version__]:
        # Its parent goes on with what it has loaded; the database must stay as it knows it.
        sys.exit("Cronally was upgraded while it ran: restart the server to have its API again.")
    for number in (
        signal.SIGTERM,
        signal.SIGINT,
    ):  # a service manager sends them to every process of a service
        signal.signal(number, signal.SIG_IGN)
    return uvloop.run(_main())


if __name__ == "__main__":
    sys.exit(main())
