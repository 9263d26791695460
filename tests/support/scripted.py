"""A small HTTP server that follows a script: it answers, hesitates, trickles, cuts.

Invariant: it keeps every request that reached it, so that a test can say what was sent and how often.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs


@dataclass(frozen=True)
class Request:
    """What reached the server."""

    method: str
    path: str
    headers: Mapping[str, str]
    """By their names in small letters."""
    body: bytes

    def form(self) -> dict[str, str]:
        """The fields of a form, each of which is there once."""
        return _fields(self.body.decode())

    def query(self) -> dict[str, str]:
        """The parameters of the query, each of which is there once."""
        return _fields(self.path.partition("?")[2])


def _fields(text: str) -> dict[str, str]:
    fields = parse_qs(text, keep_blank_values=True, strict_parsing=bool(text))
    assert all(len(values) == 1 for values in fields.values())
    return {name: values[0] for name, values in fields.items()}


Step = Callable[[asyncio.StreamWriter], Awaitable[None]]
"""What is done about one request."""


class ScriptedServer:
    """Follows `script`, one step a request; when that is empty, `otherwise`."""

    def __init__(self, otherwise: Step, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.script: deque[Step] = deque()
        self.otherwise = otherwise
        self.requests: list[Request] = []
        self.arrived = asyncio.Event()
        self.connections = 0
        self.closed = asyncio.Event()
        """Set once a connection has been closed."""
        self.greeting = b""
        """Sent before anything is read."""
        self.cut_connections = False
        """Whether connections are cut before anything is read from them."""
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for writer in self._open.values():
            # A connection with TLS that is closed already has nothing left to abort, and asyncio's says so by this.
            with contextlib.suppress(AttributeError):
                writer.transport.abort()
        await asyncio.gather(*self._open)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        task.add_done_callback(self._open.pop)
        self.connections += 1
        try:
            writer.write(self.greeting)
            while not writer.is_closing() and not self.cut_connections:
                request = await _read(reader)
                if request is None:
                    break
                self.requests.append(request)
                self.arrived.set()
                await (self.script.popleft() if self.script else self.otherwise)(writer)
        except OSError:
            pass  # the client has closed the connection before it had read all
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self.closed.set()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        lines = [line.partition(":") for line in head[1:] if line]
        headers = {name.lower(): value.strip() for name, _, value in lines}
        assert len(headers) == len(lines), "a header is there once"
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    except (asyncio.IncompleteReadError, OSError):
        return None
    return Request(method, path, headers, body)


def answer(status: int, body: str | bytes = b"", **headers: str) -> Step:
    """Answer at once; an underscore in a header's name stands for a hyphen."""
    content = body.encode() if isinstance(body, str) else body
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} Status\r\nContent-Length: {len(content)}\r\n{lines}\r\n".encode()
    return raw(head + content)


def json_answer(status: int, body: object, **headers: str) -> Step:
    """Answer with JSON at once."""
    return answer(status, json.dumps(body), Content_Type="application/json", **headers)


def raw(data: bytes) -> Step:
    """Send these bytes, whatever they are, and keep the connection open."""

    async def step(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return step


def then_cut(first: Step) -> Step:
    """Do that, then close the connection."""

    async def step(writer: asyncio.StreamWriter) -> None:
        await first(writer)
        writer.close()

    return step


async def cut(writer: asyncio.StreamWriter) -> None:
    """Close the connection in place of an answer."""
    writer.close()


async def reset(writer: asyncio.StreamWriter) -> None:
    """Reset the connection in place of an answer."""
    writer.transport.abort()


async def hang(writer: asyncio.StreamWriter) -> None:
    """Say nothing for as long as the server lives."""
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def trickle(head: bytes) -> Step:
    """Send the head, then a byte every 10 ms for ever."""

    async def step(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while not writer.is_closing():
            writer.write(b" ")
            await asyncio.sleep(0.01)

    return step
