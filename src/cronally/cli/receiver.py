"""A receiver of HTTP on this machine: reads requests under bounds, and answers as it is told to.

Invariant: what a client sends is bounded in bytes, in headers, in time and in connections, and what it does not read is
not waited for; a request that breaks a bound is answered with its status, and told of as refused. Of a request is told
before it is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

MAX_HEAD: Final = 32 * 1024
"""Bytes of a request line with its headers."""
MAX_HEADERS: Final = 100
MAX_BODY: Final = 2 * 1024 * 1024
"""Bytes: as much as any target takes, and twice."""
MAX_CONNECTIONS: Final = 64
READ_SECONDS: Final = 30.0
"""For a whole request, and for how long a connection may wait for the next one."""
WRITE_SECONDS: Final = 10.0
HANG_SECONDS: Final = 15 * 60.0
"""How long an answer is held back that never comes: as long as any request may take."""

_REQUEST_LINE: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([!-\xff]{1,8192}) HTTP/1\.([01])")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_LENGTH: Final = re.compile(r"[0-9]{1,12}")
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r\n")


@dataclass(frozen=True, slots=True)
class Request:
    """What arrived, read whole. Texts are the bytes as Latin-1 reads them."""

    method: str
    path: str
    """As it was sent, with its query."""
    headers: Mapping[str, str]
    """By their names in lower case; of one that came more than once the values with `, ` between them."""
    body: bytes
    keeps: bool
    """Whether the connection may be used again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is done about a request."""

    status: int | None
    """None: no answer."""
    delay: float = 0.0
    """Seconds before it."""
    hangs: bool = False
    """Whether the connection stays open where there is no answer."""
    retry_after: int | None = None
    """Seconds."""


class BadRequest(Exception):
    """What came is no request, or breaks a bound."""

    def __init__(self, status: int, problem: str) -> None:
        super().__init__(problem)
        self.status = status
        self.problem = problem


class Receiver:
    """Takes connections. Belongs to one event loop."""

    def __init__(
        self,
        arrived: Callable[[Request], Answer],
        handled: Callable[[], None],
        refused: Callable[[str], None],
        *,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        """
        :param arrived: decides about a request that was read whole
        :param handled: called when a request was answered, or its client has gone
        :param refused: called with what is wrong with what a client sent
        """
        self._arrived = arrived
        self._handled = handled
        self._refused = refused
        self._read_seconds = read_seconds
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> tuple[asyncio.Server, int]:
        """Listen; the server, and the port that it has. Raises OSError."""
        server = await asyncio.start_server(self._connected, host, port, limit=MAX_HEAD)
        return server, server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of its own: of one that asyncio makes, a cancellation is logged as an error.
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if len(self._tasks) > MAX_CONNECTIONS:
                self._refused(f"more than {MAX_CONNECTIONS} connections at once")
                await _send(writer, _head(503, keeps=False))
            else:
                while await self._next(reader, writer):
                    pass
        except (OSError, EOFError, TimeoutError):
            pass  # the client went away, or does not read
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _next(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Read one request and do what is decided about it; whether another one may follow."""
        try:
            async with asyncio.timeout(self._read_seconds):
                request = await _read(reader, writer)
        except BadRequest as problem:
            self._refused(problem.problem)
            await _send(writer, _head(problem.status, keeps=False))
            return False
        if request is None:
            return False
        answer = self._arrived(request)
        try:
            if answer.delay:
                await asyncio.sleep(answer.delay)
            if answer.status is None:
                if answer.hangs:
                    with contextlib.suppress(TimeoutError):
                        # What comes next, the end in the usual case, ends it too.
                        await asyncio.wait_for(reader.read(1), HANG_SECONDS)
                return False
            await _send(writer, _head(answer.status, keeps=request.keeps, retry_after=answer.retry_after))
        finally:
            self._handled()
        return request.keeps


def _head(status: int, *, keeps: bool, retry_after: int | None = None) -> bytes:
    """An answer, which has no body."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Status"
    lines = [f"HTTP/1.1 {status} {phrase}"]
    if status not in (204, 304):  # which may not say how long their body is (RFC 9110, 8.6)
        lines.append("Content-Length: 0")
    if retry_after is not None:
        lines.append(f"Retry-After: {retry_after}")
    if not keeps:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    async with asyncio.timeout(WRITE_SECONDS):
        await writer.drain()


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    """A request; None where the client has sent its last one. Raises BadRequest, OSError and EOFError."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise BadRequest(431, f"a request whose head has more than {MAX_HEAD:,} bytes") from None
    except asyncio.IncompleteReadError as cut:
        if not cut.partial:
            return None
        raise
    line, *lines = head[:-4].decode("latin-1").split("\r\n")
    matched = _REQUEST_LINE.fullmatch(line)
    if matched is None:
        raise BadRequest(400, "what is no request of HTTP/1.1")
    headers = _headers(lines)
    method, path, minor = matched.groups()
    keeps = minor == "1" and "close" not in headers.get("connection", "").lower()
    if headers.get("expect", "").lower() == "100-continue":
        await _send(writer, b"HTTP/1.1 100 Continue\r\n\r\n")
    return Request(method, path, headers, await _body(reader, headers), keeps)


def _headers(lines: list[str]) -> dict[str, str]:
    if len(lines) > MAX_HEADERS:
        raise BadRequest(431, f"a request with more than {MAX_HEADERS} headers")
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not _HEADER_NAME.fullmatch(name) or "\r" in value or "\n" in value or "\0" in value:
            raise BadRequest(400, "a request with a line that is no header")
        key, value = name.lower(), value.strip(" \t")
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    coding, length = headers.get("transfer-encoding"), headers.get("content-length", "0")
    if coding is not None:
        if coding.lower() != "chunked" or "content-length" in headers:
            raise BadRequest(400, "a request whose body's length is not clear")
        return await _chunks(reader)
    if not _LENGTH.fullmatch(length):
        raise BadRequest(400, "a request whose Content-Length is no number")
    if int(length) > MAX_BODY:
        raise BadRequest(413, f"a request whose body has more than {MAX_BODY:,} bytes")
    return await reader.readexactly(int(length))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        try:
            matched = _CHUNK_SIZE.fullmatch(await reader.readuntil(b"\r\n"))
        except asyncio.LimitOverrunError:
            matched = None
        if matched is None:
            raise BadRequest(400, "a request whose chunks cannot be read")
        size = int(matched[1], 16)
        if size == 0:
            break
        if len(body) + size > MAX_BODY:
            raise BadRequest(413, f"a request whose body has more than {MAX_BODY:,} bytes")
        chunk = await reader.readexactly(size + 2)
        if chunk[-2:] != b"\r\n":
            raise BadRequest(400, "a request whose chunks cannot be read")
        body += chunk[:-2]
    if await reader.readexactly(2) != b"\r\n":
        raise BadRequest(400, "a request with trailers")
    return bytes(body)
