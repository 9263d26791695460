"""Connections are accepted many at a time, and again after there were no file descriptors."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
import uvloop

from cronally.server import acceptor
from cronally.server.acceptor import AT_ONCE, Acceptor


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Greeting(asyncio.Protocol):
    """Says one word."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(b"welcome")


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=200) as opened:
        yield opened


async def greeted(listening: socket.socket) -> bytes:
    reader, writer = await asyncio.open_connection(*listening.getsockname())
    try:
        return await reader.read(7)
    finally:
        writer.close()


async def test_accept__many_in_one_turn_of_the_loop(listening: socket.socket) -> None:
    clients = [socket.create_connection(listening.getsockname()) for _ in range(AT_ONCE + 5)]
    failures: list[OSError] = []
    accepting = Acceptor(listening, Greeting, failures.append)
    accepting._accept()
    assert len(accepting._opening) == AT_ONCE
    for client in clients:
        client.setblocking(False)
        assert await asyncio.get_running_loop().sock_recv(client, 7) == b"welcome"
        client.close()
    assert await greeted(listening) == b"welcome"
    accepting.close()
    await accepting.wait_closed()
    assert not failures


class Exhausted:
    """A listening socket of a process that has no file descriptors left, for a while."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self.left = 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listening, name)

    def accept(self) -> Any:
        if self.left:
            self.left -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return self._listening.accept()


async def test_accept__goes_on_after_a_failure(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptor, "PAUSE", 0.01)
    failures: list[OSError] = []
    accepting = Acceptor(cast(socket.socket, Exhausted(listening)), Greeting, failures.append)
    assert await greeted(listening) == b"welcome"
    assert [problem.errno for problem in failures] == [errno.EMFILE]
    accepting.close()
    await accepting.wait_closed()


async def test_close__accepts_nothing_more(listening: socket.socket) -> None:
    accepting = Acceptor(listening, Greeting, lambda problem: None)
    accepting.close()
    with socket.create_connection(listening.getsockname()) as client:
        client.setblocking(False)
        await asyncio.sleep(0)
        with pytest.raises(BlockingIOError):
            client.recv(1)


async def test_blocked__is_held_and_then_closed_unread(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptor, "HOLD", 0.01)
    accepting = Acceptor(listening, Greeting, lambda problem: None, lambda peer: peer == "127.0.0.1")
    assert await greeted(listening) == b""
    assert not accepting._held
    accepting.close()


async def test_blocked__is_closed_at_once_when_many_are_held(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptor, "HELD", 2)
    monkeypatch.setattr(acceptor, "HOLD", 1000.0)
    accepting = Acceptor(listening, Greeting, lambda problem: None, lambda peer: True)
    held = [await asyncio.open_connection(*listening.getsockname()) for _ in range(2)]
    assert await greeted(listening) == b""
    assert len(accepting._held) == 2
    buffers = [one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) for one in accepting._held]
    assert max(buffers) <= 2 * acceptor.UNREAD, "Linux says twice what was set"
    accepting.close()
    for reader, writer in held:
        assert await reader.read() == b"", "closed with the server"
        writer.close()
