"""A socket in front of the real API: it keeps what was sent, and answers from a script what no real server answers.

Invariant: without a script every request reaches the API as it was sent, and its answer comes back as it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

from tests.support.scripted import Request, ScriptedServer, Step, cut, json_answer


class Relay(ScriptedServer):
    """Forwards each request to the API on a port of this machine, unless `script` has a step for it."""

    def __init__(self, api_port: int) -> None:
        super().__init__(self._forward)
        self.api_port = api_port

    @property
    def last(self) -> Request:
        """The last request."""
        return self.requests[-1]

    async def carry_out_and_cut(self, writer: asyncio.StreamWriter) -> None:
        """A step: the API carries the request out, and its answer is lost."""
        await self._ask_api()
        await cut(writer)

    async def _forward(self, writer: asyncio.StreamWriter) -> None:
        writer.write(await self._ask_api())
        await writer.drain()
        writer.close()

    async def _ask_api(self) -> bytes:
        request = self.last
        headers = {**request.headers, "connection": "close"}
        lines = [f"{request.method} {request.path} HTTP/1.1", *[f"{n}: {v}" for n, v in headers.items()]]
        reader, writer = await asyncio.open_connection("127.0.0.1", self.api_port)
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + request.body)
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()


@contextlib.contextmanager
def relaying(api_port: int) -> Iterator[Relay]:
    """Run a relay, on a thread with an event loop of its own, for the length of the block."""
    relay = Relay(api_port)
    started: Future[asyncio.AbstractEventLoop] = Future()
    stop = asyncio.Event()

    async def run() -> None:
        async with relay:
            started.set_result(asyncio.get_running_loop())
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="relay")
    thread.start()
    loop = started.result(10)
    try:
        yield relay
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


def success(response: Any, **beside: Any) -> Step:
    """Answer with an envelope of a success."""
    return json_answer(200, {"status": "success", "response": response, **beside})


def failure(
    status: int, code: str, message: str, fields: dict[str, str] | None = None, **headers: str
) -> Step:
    """Answer with an envelope of an error."""
    error = {"code": code, "message": message, "fields": fields or {}}
    return json_answer(status, {"status": "error", "error": error}, **headers)


UNAVAILABLE = failure(503, "unavailable", "The database does not answer right now; try again in a moment.")


def unused_url() -> str:
    """An address on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"
