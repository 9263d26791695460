"""Hostile clients and hosts, one kind in each process: `benchmarks.attack` starts them, and ends them.

    python -m benchmarks.attackers KIND < order.json

They talk to loopback only, and end with their parent: at the latest when it closes their standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import uvloop

from cronally import signing
from cronally.wire import API_KEY_HEADER, DATE_HEADER, SIGNATURE_HEADER

ADDRESSES: Final = 20
"""Addresses of this machine that each attack comes from."""

EXPENSIVE: Final = "/schedule/preview/?expression=30+2+*+2+SUN%235&count=100"


@dataclass(frozen=True, slots=True)
class Order:
    """What an attacker gets."""

    url: str
    accounts: list[tuple[str, str]]
    """API keys and secrets."""
    cronjob_id: str = ""
    """Of the first account: a cron job with a long ledger."""


def signed(method: str, path: str, key: str, secret: str) -> str:
    """The headers that sign a request."""
    date = time.strftime("%Y%m%d%H%M", time.gmtime())
    signature = signing.sign(signing.decode_secret(secret), path, method, date)
    return f"{API_KEY_HEADER}: {key}\r\n{DATE_HEADER}: {date}\r\n{SIGNATURE_HEADER}: {signature}\r\n"


class Attacker:
    """Connections to the server, from several addresses of this machine."""

    def __init__(self, order: Order, network: int) -> None:
        self.order = order
        self.network = network
        parts = urlsplit(order.url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._number = 0

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self._number += 1
        source = f"127.0.{self.network}.{1 + self._number % ADDRESSES}"
        return await asyncio.open_connection(self._host, self._port, local_addr=(source, 0))

    async def forever(self, count: int, attack: Callable[[], Awaitable[None]], pause: float = 0.0) -> None:
        """Do the same on `count` connections again and again, whatever the server does."""

        async def again() -> None:
            while True:
                with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError, ValueError):
                    async with asyncio.timeout(60):
                        await attack()
                await asyncio.sleep(pause or 0.01)

        await asyncio.gather(*(again() for _ in range(count)))

    async def request(self, data: bytes, times: int = 1) -> None:
        """Send the same request again and again on one connection, and read the answers."""
        reader, writer = await self.connect()
        try:
            for _ in range(times):
                writer.write(data)
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                await reader.readexactly(length)
        finally:
            writer.close()

    def head(self, method: str, target: str, more: str = "", *, account: int | None = None) -> bytes:
        path = target.partition("?")[0]
        headers = "" if account is None else signed(method, path, *self.order.accounts[account])
        return f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}{more}\r\n".encode()


async def tiny_chunks(attacker: Attacker) -> None:
    """Bodies in chunks of one byte, from nobody."""
    head = attacker.head("POST", "/cronjob/", "Transfer-Encoding: chunked\r\n")

    async def attack() -> None:
        _, writer = await attacker.connect()
        try:
            writer.write(head)
            for _ in range(100):
                writer.write(b"1\r\nx\r\n" * 4096)
                await writer.drain()
        finally:
            writer.close()

    await attacker.forever(20, attack)


async def members(attacker: Attacker) -> None:
    """JSON of very many values."""
    body = b"[" + b",".join([b"[]"] * 340_000) + b"]"
    more = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"

    async def attack() -> None:
        await attacker.request(attacker.head("POST", "/cronjob/", more, account=0) + body)

    await attacker.forever(10, attack)


async def bodies(attacker: Attacker) -> None:
    """Bodies where there are none, from nobody."""
    data = attacker.head("GET", "/cronjobs/", "Content-Length: 1000000\r\n") + b"x" * 1_000_000
    await attacker.forever(10, lambda: attacker.request(data))


async def previews(attacker: Attacker) -> None:
    """The most expensive expression, from nobody, at many addresses."""
    await attacker.forever(10, lambda: attacker.request(attacker.head("GET", EXPENSIVE)), 0.5)


async def pages(attacker: Attacker) -> None:
    """The largest pages of firings."""
    path = f"/cronjob/{attacker.order.cronjob_id}/firings/"

    async def attack() -> None:
        for limit in (1000, 100):  # the largest that there ever was, and the largest now
            await attacker.request(attacker.head("GET", f"{path}?limit={limit}", account=0), 10)

    await attacker.forever(50, attack)


async def deaf(attacker: Attacker) -> None:
    """Ask for large answers and never read one."""
    path = f"/cronjob/{attacker.order.cronjob_id}/firings/"

    async def attack() -> None:
        reader, writer = await attacker.connect()
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        opened: socket.socket = writer.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        try:
            for limit in (1000, 100):
                writer.write(attacker.head("GET", f"{path}?limit={limit}", account=0) * 10)
            await asyncio.sleep(50)
        finally:
            writer.transport.abort()

    await attacker.forever(60, attack)


async def unauthenticated(attacker: Attacker) -> None:
    """Guess keys."""
    data = attacker.head("GET", "/account/", signed("GET", "/account/", "x" * 8, "AAAA"))
    await attacker.forever(20, lambda: attacker.request(data, 50))


ATTACKS: Final[Mapping[str, Callable[[Attacker], Awaitable[None]]]] = {
    "tiny_chunks": tiny_chunks,
    "members": members,
    "bodies": bodies,
    "previews": previews,
    "pages": pages,
    "deaf": deaf,
    "unauthenticated": unauthenticated,
}


HOST_ADDRESSES: Final = tuple(f"127.0.9.{number}" for number in range(1, 19))
"""Of hostile targets, each a host of its own."""


async def host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A hostile target; what it does the path says."""
    floods = {
        "/continue": b"HTTP/1.1 100 Continue\r\n\r\n" * 2000,
        "/answers": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" * 1000,
        "/header": b"x" * 65_536,
    }
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].decode()
        if path == "/header":
            writer.write(b"HTTP/1.1 200 OK\r\nX-Endless: ")
        while data := floods.get(path):
            writer.write(data)
            await writer.drain()
        if path == "/bytes":
            for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 30_000:
                writer.write(bytes([byte]))
                await asyncio.sleep(0)
        if path == "/once":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        while path == "/quick":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
        await reader.read()  # /hang
    except (OSError, asyncio.IncompleteReadError, RuntimeError):
        pass  # cut; uvloop says so with a RuntimeError
    finally:
        writer.close()


async def hosts(certificate: str) -> None:
    """Serve hostile targets on all addresses; say on which ports, without TLS and with it.

    :param certificate: a file with a certificate for all of them and its key
    """
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    ports = []
    for context in (None, tls):
        port = 0
        for address in HOST_ADDRESSES:
            serving = await asyncio.start_server(host, address, port, backlog=1024, ssl=context)
            port = serving.sockets[0].getsockname()[1]
        ports.append(port)
    print(json.dumps(ports), flush=True)
    await asyncio.Event().wait()


async def main() -> None:
    """Attack until standard input ends."""
    os.nice(10)  # they stand for other machines
    loop = asyncio.get_running_loop()
    kind = sys.argv[1]
    order: dict[str, Any] = json.loads(sys.stdin.readline())
    ended = loop.run_in_executor(None, sys.stdin.read)
    work: Awaitable[None]
    if kind == "hosts":
        work = hosts(order["certificate"])
    else:
        accounts = [(key, secret) for key, secret in order.pop("accounts")]
        work = ATTACKS[kind](Attacker(Order(accounts=accounts, **order), 1 + list(ATTACKS).index(kind)))
    task = asyncio.ensure_future(work)
    await asyncio.wait([task, ended], return_when=asyncio.FIRST_COMPLETED)
    os._exit(0 if not task.done() else 1)


if __name__ == "__main__":
    uvloop.run(main())
