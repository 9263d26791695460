"""Requests that a client sends before it has the answer to the first, without a socket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
from prometheus_client import CollectorRegistry
from uvicorn.server import ServerState

from cronally.api import connections, turns
from cronally.api.addresses import Addresses
from cronally.api.connections import Connections
from cronally.api.protocol import BoundedProtocol
from cronally.api.refusals import Refusals


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 4321)})
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


class Turn:
    """Notes that its request is given up."""

    def __init__(self) -> None:
        self.given_up = False

    def give_up(self) -> None:
        self.given_up = True


class Requests:
    """An application whose requests wait until they are told to end."""

    def __init__(self) -> None:
        self.turns: dict[str, Turn] = {}
        self.told: dict[str, str] = {}
        self.go_on = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.turns[scope["path"]] = scope[turns.KEY] = Turn()
        await self.go_on.wait()
        self.told[scope["path"]] = (await receive())["type"]
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


def connect(requests: Requests, kept: Connections | None = None) -> tuple[BoundedProtocol, Transport]:
    """A connection, and its end."""
    config = uvicorn.Config(requests, lifespan="off", ws="none", log_config=None)
    config.load()
    kept = kept or Connections(Refusals(CollectorRegistry()), Addresses())
    protocol = BoundedProtocol(config=config, server_state=ServerState(), app_state={}, connections=kept)
    transport = Transport()
    protocol.connection_made(transport)
    return protocol, transport


def request(path: str, body: int = 0, sent: int | None = None) -> bytes:
    """A request with so many bytes of body, of which so many are sent; all by default."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {body}\r\n\r\n"
    return head.encode() + bytes(body if sent is None else sent)


async def tick() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_pipeline__whose_client_is_gone_is_given_up_from_the_first_on() -> None:
    requests = Requests()
    protocol, _ = connect(requests)
    protocol.data_received(request("/first") + request("/second", 10))
    await tick()
    protocol.connection_lost(ConnectionResetError())
    assert requests.turns["/first"].given_up
    requests.go_on.set()
    await tick()
    assert requests.told == {"/first": "http.disconnect"}, "and the second never begins"


async def test_pipeline__what_is_answered_is_not_given_up() -> None:
    requests = Requests()
    requests.go_on.set()
    protocol, _ = connect(requests)
    protocol.data_received(request("/first"))
    await tick()
    protocol.connection_lost(None)
    assert not requests.turns["/first"].given_up


async def test_pipeline__a_body_without_room_ends_it_behind_its_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What came whole is answered, once; the one whose body was arriving gets the 503."""
    monkeypatch.setattr(connections, "MAX_BODIES", 0)
    monkeypatch.setattr(connections, "SMALL_BODY", 100)
    requests = Requests()
    kept = Connections(Refusals(CollectorRegistry()), Addresses())
    protocol, transport = connect(requests, kept)
    protocol.data_received(request("/first", 10) + request("/second", 10) + request("/third", 1000, sent=200))
    await tick()
    assert transport.written == b""
    requests.go_on.set()
    await tick()
    statuses = [line.split()[1] for line in transport.written.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    assert statuses == [b"200", b"200", b"503"]
    assert list(requests.told) == ["/first", "/second"]
    protocol.connection_lost(None)
    assert kept._held == 0
