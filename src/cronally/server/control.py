"""How the operator's commands reach a server on SQLite, whose file no other process may open: a socket beside the file.

A request is a line of JSON, `{"command": ..., "parameters": {...}}`, and so is the answer: an envelope, as the API's.

Invariant: whoever runs the server may connect, and root, and nobody else: the file's permissions say so, and what the
kernel says of the peer. What comes is bounded in bytes, in time and in number: whoever connects and says nothing, or
asks for much, keeps nothing of the server busy for long.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from cronally import errors

MAX_REQUEST: Final = 64 * 1024
MAX_ANSWER: Final = 16 * 1024 * 1024
"""Bytes of a line."""
REQUEST_TIMEOUT: Final = 5.0
"""Seconds that a request may take to arrive, and an answer to be read."""
ANSWER_TIMEOUT: Final = 60.0
"""Seconds that a command may take."""
MAX_AT_ONCE: Final = 8
_LONGEST: Final = 100
"""Bytes of a socket's path; what is longer goes through the folder's descriptor."""

Json = dict[str, Any]
CarryOut = Callable[[str, Mapping[str, Any]], Awaitable[Json]]
"""Carries out a command; the envelope of its answer."""

_log = logging.getLogger(__name__)


def path_of(database: Path) -> Path:
    """Where a server on this file listens."""
    return Path(f"{database.resolve()}.operator")


class Control:
    """Answers the operator's commands. Belongs to one event loop; `run` may be called again after it has ended."""

    def __init__(self, path: Path, carry_out: CarryOut) -> None:
        self._path = path
        self._carry_out = carry_out
        self._stopping = asyncio.Event()
        self._at_work: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Listen until `stop`. The lock on the database says that no other server listens at the path."""
        try:
            listening = _bound(self._path)
        except OSError as problem:
            _log.warning(
                "the operator's commands cannot reach this server while it runs",
                extra={"path": str(self._path), "problem": problem.strerror or str(problem)},
            )
            await self._stopping.wait()
            return
        server = await asyncio.start_unix_server(self._begin, sock=listening, limit=MAX_REQUEST)
        try:
            await self._stopping.wait()
        finally:
            server.close()
            for task in self._at_work:
                task.cancel()
            await asyncio.gather(*self._at_work, return_exceptions=True)
            self._path.unlink(missing_ok=True)

    def stop(self) -> None:
        """Let `run` end."""
        self._stopping.set()

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._at_work) >= MAX_AT_ONCE or not _is_operator(writer.get_extra_info("socket")):
            writer.transport.abort()
            return
        task = asyncio.create_task(self._converse(reader, writer), name="operator")
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                line = await reader.readline()
            answer = await self._answer(line)
            writer.write(json.dumps(answer).encode() + b"\n")
            async with asyncio.timeout(REQUEST_TIMEOUT):
                await writer.drain()
        except (OSError, TimeoutError, ValueError):  # ValueError: a line that is too long
            _log.debug("an operator's command did not arrive whole", exc_info=True)
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Json:
        try:
            asked = json.loads(line)
            command, parameters = asked["command"], asked["parameters"]
            if not isinstance(command, str) or not isinstance(parameters, dict):
                raise TypeError
        except (ValueError, TypeError, KeyError):
            return failed(errors.InvalidRequest("This is no command; use `cronally admin`."))
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                return await self._carry_out(command, parameters)
        except TimeoutError:
            return failed(errors.Unavailable("The command took too long; try again."))
        except errors.CronallyError as problem:
            return failed(problem)
        except Exception:
            _log.exception("an operator's command failed", extra={"command": command})
            return failed(errors.InternalError())


def ask(path: Path, command: str, parameters: Mapping[str, Any]) -> Json | None:
    """The envelope that the server at a path answers a command with; None where no server listens.

    Raises `errors.Unavailable` for one that does not answer.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(REQUEST_TIMEOUT)
        try:
            with _short(path) as address:
                connection.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except OSError as problem:
            raise errors.Unavailable(
                f"The server at {path} cannot be reached: {problem.strerror or 'it does not accept'}. Run this as the"
                " user that runs the server, or as root."
            ) from None
        connection.settimeout(ANSWER_TIMEOUT + REQUEST_TIMEOUT)
        try:
            connection.sendall(json.dumps({"command": command, "parameters": parameters}).encode() + b"\n")
            with connection.makefile("rb") as answer:
                line = answer.readline(MAX_ANSWER)
            if not line:
                raise ConnectionError
            envelope = json.loads(line)
        except (OSError, ValueError):
            raise errors.Unavailable(
                f"The server at {path} did not answer: run this as the user that runs the server, or as root, and look"
                " at its log."
            ) from None
    return envelope if isinstance(envelope, dict) else None


def failed(problem: errors.CronallyError) -> Json:
    """The envelope of an error."""
    code = problem.code if isinstance(problem, errors.RequestError) else errors.Unavailable.code
    return {"status": "error", "error": {"code": code, "message": str(problem)}}


def _is_operator(connection: socket.socket) -> bool:
    """Whether the peer is who runs this server, or root, where the kernel says who it is."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # the file's permissions say so
    size = struct.calcsize("3i")
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return user in (0, os.geteuid())


def _bound(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(path) as address:
            listening.bind(address)
        path.chmod(0o600)
    except BaseException:
        listening.close()
        raise
    return listening


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """The path as a socket's address may be, which has room for about a hundred bytes."""
    if len(os.fsencode(path)) <= _LONGEST:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
