"""A proxy before PostgreSQL that cuts a connection when COMMIT passes: the commit whose outcome nobody learns.

Invariant: it changes no byte. It knows COMMIT by the message `Q` of PostgreSQL's protocol whose text begins with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

_SOCKET = ".s.PGSQL.5432"


class _Proxy:
    def __init__(self, upstream: Path, every: int, forwarded: bool) -> None:
        self._upstream = upstream
        self._every = every
        self._forwarded = forwarded
        self._commits = 0
        self.cuts = 0
        self.connections: set[asyncio.Task[None]] = set()

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections.add(task)
        task.add_done_callback(self.connections.discard)
        server_reader, server_writer = await asyncio.open_unix_connection(str(self._upstream))
        answers = asyncio.create_task(_copy(server_reader, writer))
        try:
            while data := await reader.read(65536):
                if b"COMMIT;\0" in data and self._cut():
                    answers.cancel()
                    if self._forwarded:
                        server_writer.write(data)
                        await server_writer.drain()
                        await server_reader.read(1)  # it has answered: the commit is done
                    return
                server_writer.write(data)
                await server_writer.drain()
        except OSError:
            pass
        finally:
            answers.cancel()
            writer.transport.abort()
            server_writer.close()

    def _cut(self) -> bool:
        self._commits += 1
        cut = self._commits % self._every == 0
        self.cuts += cut
        return cut


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.contextmanager
def postgres_proxy(url: str, *, every: int, forwarded: bool) -> Iterator[tuple[str, Callable[[], int]]]:
    """Run the proxy for the length of the block: the URL by way of it, and how often it has cut.

    :param url: of a database on a unix socket
    :param every: at each so many-th COMMIT
    :param forwarded: whether the server gets that COMMIT and carries it out, or does not
    """
    parts = urlsplit(url)
    upstream = Path(parse_qs(parts.query)["host"][0]) / _SOCKET
    folder = Path(tempfile.mkdtemp(prefix="cronally-proxy-"))
    proxy = _Proxy(upstream, every, forwarded)
    ready = threading.Event()
    stop: Callable[[], object] = ready.set

    async def serve() -> None:
        nonlocal stop
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_unix_server(proxy.connect, str(folder / _SOCKET))
        stop = lambda: loop.call_soon_threadsafe(stopped.set)  # noqa: E731
        ready.set()
        await stopped.wait()
        server.close()
        for task in proxy.connections:
            task.cancel()
        await asyncio.gather(*proxy.connections, return_exceptions=True)
        await server.wait_closed()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="proxy")
    thread.start()
    ready.wait()
    try:
        yield urlunsplit(parts._replace(query=f"host={folder}")), lambda: proxy.cuts
    finally:
        stop()
        thread.join()
        shutil.rmtree(folder)
