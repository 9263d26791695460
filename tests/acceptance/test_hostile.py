"""A real server among hostile clients, targets and accounts: what is to be cut is cut, and each firing has its reason.

Every attack has its bystander, an account whose cron job fires every second towards a host that answers. Nothing here
is timed: the measurements are in `benchmarks/attack.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from cronally import AsyncClient, signing, wire
from cronally.api.protocol import SMALL_PIECES
from cronally.contract.firings import Firing
from cronally.engine.shares import FIRST
from cronally.firing import WAITS
from tests.acceptance.nodes import Cluster, Node
from tests.support.sampling import first
from tests.support.scripted import ScriptedServer, Step, answer, hang, raw

PATIENCE = 90.0
"""Seconds, on a busy machine."""
EVERY_SECOND = "* * * * * *"


@dataclass
class World:
    """A node with an API, and a host that answers."""

    node: Node
    healthy: ScriptedServer
    bystander: AsyncClient
    clients: contextlib.AsyncExitStack = field(repr=False)

    async def account(self) -> AsyncClient:
        """A new account."""
        async with AsyncClient(self.node.url) as anybody:
            made = await anybody.signup(f"{uuid4()}@example.com")
        return await self.clients.enter_async_context(
            AsyncClient(self.node.url, made.api_key, made.api_secret)
        )

    async def bystander_goes_on(self) -> None:
        """Wait for three more firings of the bystander, and for an answer to a signed request."""
        await arrived(self.healthy, len(self.healthy.requests) + 3)
        assert (await self.bystander.account()).email

    async def send(self, data: bytes) -> bytes:
        """What comes back on a connection of its own until it is closed."""
        parts = urlsplit(self.node.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            with contextlib.suppress(OSError):
                writer.write(data)
                await writer.drain()
            received = b""
            with contextlib.suppress(OSError):
                while piece := await asyncio.wait_for(reader.read(65_536), PATIENCE):
                    received += piece
            return received
        finally:
            writer.close()


async def add(client: AsyncClient, url: str, count: int = 1, cron: str = EVERY_SECOND) -> list[str]:
    """Cron jobs that call a URL; their ids."""
    made = [
        await client.create_cronjob(
            name=f"job {number}",
            cron=cron,
            delivery_type="http",
            delivery_http_method="post",
            delivery_http_url=url,
        )
        for number in range(count)
    ]
    return [one.cronjob_id for one in made]


async def arrived(server: ScriptedServer, count: int) -> None:
    """Wait until so many requests have reached a server."""
    while len(server.requests) < count:
        server.arrived.clear()
        await asyncio.wait_for(server.arrived.wait(), PATIENCE)


async def firings(client: AsyncClient) -> list[Firing]:
    """The last firings of an account, with their attempts."""
    return list((await client.account_firings(attempts=True, limit=20)).items)


async def until(client: AsyncClient, enough: Callable[[list[Firing]], bool]) -> list[Firing]:
    """The last firings of an account, once they are as a test wants them."""
    async with asyncio.timeout(PATIENCE):
        while not enough(found := await firings(client)):  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.1)
    return found


@pytest.fixture
async def world(cluster: Cluster) -> AsyncIterator[World]:
    settings = {
        "CRONALLY_MIN_INTERVAL": "1s",
        "CRONALLY_HTTP_ALLOWED_NETWORKS": "127.0.0.0/8",
        "CRONALLY_REQUEST_TIMEOUT": "10s",
        "CRONALLY_LEASE": "60s",
        "CRONALLY_SHUTDOWN_GRACE": "0s",
        "CRONALLY_IN_FLIGHT_PER_HOST": "16",
    }
    with cluster.node(roles=("api", "scheduler", "dispatcher"), settings=settings) as node:
        await asyncio.to_thread(node.wait_until_started)
        async with ScriptedServer(answer(200)) as healthy, contextlib.AsyncExitStack() as clients:
            made = World(node, healthy, AsyncClient(node.url), clients)
            made.bystander = await made.account()
            await add(made.bystander, healthy.url)
            yield made
        await asyncio.to_thread(node.stop)


def endlessly(data: bytes, sent: list[int]) -> Step:
    """Send these bytes again and again until the other side closes the connection."""

    async def step(writer: asyncio.StreamWriter) -> None:
        writer.write(b"")
        while not writer.is_closing():
            writer.write(data)
            await writer.drain()
            sent.append(len(data))

    return step


def answers_then(data: bytes, sent: list[int]) -> Step:
    """Answer, and then send these bytes again and again."""
    rest = endlessly(data, sent)

    async def step(writer: asyncio.StreamWriter) -> None:
        await raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(writer)
        await rest(writer)

    return step


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n" * 1000
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" * 1000
BUFFERED = 16 * 1024 * 1024
"""Bytes that the kernel may take for a connection that nobody reads any more."""


@first("sqlite")
async def test_targets__that_never_end_are_cut(world: World) -> None:
    sent: dict[str, list[int]] = {"continue": [], "answers": [], "header": []}
    async with contextlib.AsyncExitStack() as servers:
        for name, step in {
            "continue": endlessly(CONTINUE, sent["continue"]),
            "answers": answers_then(OK, sent["answers"]),
            "header": endlessly(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, sent["header"]),
        }.items():
            server = await servers.enter_async_context(ScriptedServer(step))
            account = await world.account()
            await add(account, server.url)
            # At least three requests were answered without end, and each of them was cut.
            await arrived(server, 3)
            await world.bystander_goes_on()
            found = await until(account, lambda some: any(one.attempt for one in some))
            # One that is due again may wait for a place meanwhile.
            reasons = {one.reason for one in found if one.attempt and one.state != "sending"} - WAITS
            assert reasons <= ({None} if name == "answers" else {"unconfirmed", "target_unavailable", None})
            details = {attempt.detail for one in found for attempt in one.attempts or ()}
            if name == "continue":
                assert details == {"no answer: more than 8 informational answers came before the answer"}, (
                    details
                )
            await asyncio.wait_for(server.closed.wait(), PATIENCE)
            assert sum(sent[name]) < server.connections * BUFFERED


@first("sqlite")
async def test_own_slow_target__does_not_starve_the_accounts_others(world: World) -> None:
    async with ScriptedServer(hang) as hanging:
        await add(world.bystander, hanging.url, 30)
        await arrived(hanging, FIRST)
        for _ in range(3):
            await world.bystander_goes_on()
        waiting = await until(
            world.bystander, lambda some: any(one.reason == "account_limit" for one in some)
        )
        assert {one.attempt for one in waiting if one.reason == "account_limit"} == {0}


@first("sqlite")
async def test_many_accounts__of_a_third_party_share_its_limit(world: World) -> None:
    """Four accounts and 32 firings at a time, towards a host that may get 16."""
    held = most = 0
    go = asyncio.Event()

    async def step(writer: asyncio.StreamWriter) -> None:
        nonlocal held, most
        held += 1
        most = max(most, held)
        await go.wait()
        held -= 1
        await answer(200)(writer)

    async with ScriptedServer(step) as third:
        accounts = [await world.account() for _ in range(4)]
        for account in accounts:
            await add(account, third.url, 8)
        for account in accounts[2:]:
            await until(account, lambda some: any(one.reason == "host_limit" for one in some))
        await world.bystander_goes_on()
        assert 12 <= most <= 16
        go.set()
        for account in accounts:
            await until(account, lambda some: any(one.state == "delivered" for one in some))


@first("sqlite")
async def test_dead_host__is_left_alone_and_tried_again(world: World) -> None:
    account = await world.account()
    async with ScriptedServer(answer(200)) as server:
        port = server.port
    await add(account, f"http://127.0.0.1:{port}/", 5)
    found = await until(account, lambda some: any(one.reason == "circuit_open" for one in some))
    refused = [attempt for one in found for attempt in one.attempts or ()]
    assert {attempt.reason for attempt in refused} <= {"target_unavailable"}
    await world.bystander_goes_on()
    metrics = await world.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert b"cronally_circuits_open 1.0" in metrics


@first("sqlite")
async def test_requests__that_cost_too_much_are_refused_or_cut(world: World) -> None:
    host = urlsplit(world.node.url).netloc
    async with AsyncClient(world.node.url) as anybody:
        account = await anybody.signup(f"{uuid4()}@example.com")
    secret = signing.decode_secret(account.api_secret)

    def signed(method: str, path: str, more: str, body: bytes = b"") -> bytes:
        date = signing.format_date(time.time_ns() // 1000)
        headers = {
            wire.API_KEY_HEADER: account.api_key,
            wire.DATE_HEADER: date,
            wire.SIGNATURE_HEADER: signing.sign(secret, path.partition("?")[0], method, date),
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{lines}{more}\r\n".encode() + body

    members = b"[" + b"0," * 20_000 + b"0]"
    as_json = f"Content-Type: application/json\r\nContent-Length: {len(members)}\r\n"
    cases = {
        "members": (
            signed("POST", "/cronjob/", as_json, members),
            b"400",
        ),
        "pieces": (
            signed("POST", "/cronjob/", "Transfer-Encoding: chunked\r\n", b"1\r\nx\r\n" * (SMALL_PIECES + 100)),
            b"400",
        ),
        "body": (signed("GET", "/account/", "Content-Length: 3\r\n", b"a=b"), b"400"),
        "page": (signed("GET", "/account/firings/?limit=1000", ""), b"400"),
        "attempts": (signed("GET", "/account/firings/?limit=100&attempts=true", ""), b"400"),
        "trailers": (
            f"GET /account/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n".encode()
            + signed("GET", "/account/", "").partition(b"\r\n")[2],
            b"401",
        ),
        "version": (b"GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n", b"505"),
    }  # fmt: skip
    statuses = {}
    for name, (data, _) in cases.items():
        received = await world.send(data.replace(b"\r\nHost:", b"\r\nConnection: close\r\nHost:", 1))
        statuses[name] = received[9:12]
    assert statuses == {name: status for name, (_, status) in cases.items()}
    await world.bystander_goes_on()


@first("sqlite")
async def test_answers__that_are_not_read_do_not_pile_up(world: World) -> None:
    """Sixty clients that ask for the largest document on and on, and read nothing: each is cut."""
    parts = urlsplit(world.node.url)
    request = f"GET /openapi.json HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
    async with contextlib.AsyncExitStack() as stack:
        writers = []
        for _ in range(60):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1)
            stack.callback(writer.close)
            writers.append(writer)

        async def ask(writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while not writer.is_closing():
                    writer.write(request)
                    await writer.drain()
                    await asyncio.sleep(0.01)

        asking = [asyncio.create_task(ask(writer)) for writer in writers]
        await world.bystander_goes_on()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*asking)
    await world.bystander_goes_on()
    assert Counter(writer.is_closing() for writer in writers) == {True: 60}
