"""The pool over real sockets: what is kept, what is bounded, what is said of a request that failed."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import socket
import ssl
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress

import pytest

from cronally.targets import connection, dialer, pool
from cronally.targets.answer import MAX_HEAD_BYTES, MAX_INFORMATIONAL, Answer, AnswerReader
from cronally.targets.connection import MAX_READS, MAX_RECEIVED, Connection
from cronally.targets.handshakes import Handshakes
from cronally.targets.pool import Pool
from cronally.targets.resolver import Address
from cronally.targets.target import Refused, Reply, Retry, Unauthorized, Unknown
from cronally.targets.tls import TlsSession
from cronally.targets.url import parse_url
from tests.support import scripted
from tests.support.scripted import ScriptedServer, answer
from tests.targets.conftest import Certificate

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
async def connections() -> AsyncIterator[Pool]:
    """A pool of two connections that is patient."""
    kept = Pool(connections=2, connect_timeout=30, total_timeout=30)
    yield kept
    await kept.close()


@pytest.fixture(params=["plain", "tls"])
async def host(
    request: pytest.FixtureRequest, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ScriptedServer]:
    """A server with and without TLS; its certificate is trusted."""
    context = certificate.client_context()
    monkeypatch.setattr(dialer, "client_context", lambda: context)
    tls = certificate.server_context() if request.param == "tls" else None
    async with ScriptedServer(answer(200, "hello"), tls=tls) as server:
        yield server


async def _ask(
    kept: Pool, server: ScriptedServer, *, whole: bool = True
) -> Answer | Retry | Unknown | Refused | Unauthorized:
    return await kept.request("POST", parse_url(server.url), {"X-Test": "1"}, b"body", whole=whole)


def flood(data: bytes, *, first: bytes = b"") -> tuple[scripted.Step, Callable[[], int]]:
    """A step that sends this for as long as the other side takes it, and how many bytes that were."""
    sent = 0

    async def step(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(first)
        with suppress(OSError):
            while not writer.is_closing():
                writer.write(data)
                sent += len(data)
                await writer.drain()

    return step, lambda: sent


async def test_request__and_answer(host: ScriptedServer, connections: Pool) -> None:
    for _ in range(3):
        came = await _ask(connections, host)
        assert isinstance(came, Answer)
        assert (came.status, came.body) == (200, b"hello")
    assert host.connections == 1
    request = host.requests[0]
    assert (request.method, request.path, request.body) == ("POST", "/", b"body")
    assert request.headers == {"host": f"127.0.0.1:{host.port}", "x-test": "1", "content-length": "4"}


@pytest.mark.parametrize("whole", [True, False])
async def test_request__endless_informational_answers(
    host: ScriptedServer, connections: Pool, whole: bool
) -> None:
    step, sent = flood(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
    host.script.append(step)
    assert await _ask(connections, host, whole=whole) == Unknown(
        f"no answer: more than {MAX_INFORMATIONAL} informational answers came before the answer"
    )
    await host.closed.wait()
    assert sent() < 50_000_000, "what the network holds, and no more"


async def test_request__endless_answers_after_the_first(host: ScriptedServer, connections: Pool) -> None:
    step, _ = flood(EMPTY * 1000)
    host.script.append(step)
    came = await _ask(connections, host)
    assert isinstance(came, Answer)
    await host.closed.wait()


@pytest.mark.parametrize("whole", [True, False])
async def test_request__endless_header(host: ScriptedServer, connections: Pool, whole: bool) -> None:
    step, _ = flood(b"x" * 4096, first=b"HTTP/1.1 200 OK\r\nX-Endless: ")
    host.script.append(step)
    assert await _ask(connections, host, whole=whole) == Unknown(
        f"no answer: the head of the answer is longer than {MAX_HEAD_BYTES} bytes"
    )
    await host.closed.wait()


async def test_request__endless_body(host: ScriptedServer, connections: Pool) -> None:
    step, _ = flood(b"x" * 65_536, first=b"HTTP/1.1 200 OK\r\n\r\n")
    host.script.append(step)
    came = await _ask(connections, host)
    assert isinstance(came, Answer)
    assert came.body is None
    await host.closed.wait()


async def test_request__endless_body_that_nobody_waits_for(host: ScriptedServer, connections: Pool) -> None:
    step, _ = flood(b"x" * 65_536, first=b"HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\n")
    host.script.append(step)
    came = await _ask(connections, host, whole=False)
    assert isinstance(came, Answer)
    await host.closed.wait()


async def test_request__answer_in_single_bytes(host: ScriptedServer, connections: Pool) -> None:
    async def step(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        with suppress(OSError):
            while not writer.is_closing():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.001)

    host.script.append(step)
    came = await _ask(connections, host)
    assert came == Unknown(f"no answer: the answer came in more than {MAX_READS} pieces")
    assert came.reply is Reply.UNFIT


async def test_request__bytes_between_two_requests(host: ScriptedServer, connections: Pool) -> None:
    async def step(writer: asyncio.StreamWriter) -> None:
        writer.write(EMPTY)
        await writer.drain()
        await asked.wait()
        writer.write(EMPTY)

    asked = asyncio.Event()
    host.script.append(step)
    assert isinstance(await _ask(connections, host), Answer)
    asked.set()
    await host.closed.wait()
    came = await _ask(connections, host)
    assert isinstance(came, Answer)
    assert came.body == b"hello", "not what came before the request"
    assert host.connections == 2


async def test_request__bytes_before_the_first_request(server: ScriptedServer, connections: Pool) -> None:
    server.greeting = EMPTY
    came = await _ask(connections, server)
    # What was there before the request was written is no answer to it.
    assert came in (
        Retry("not sent: the connection was cut"),
        Unknown("no answer: the connection was cut"),
        Answer(200, {"content-length": "0"}, b""),
    )


async def test_request__host_that_hangs_up_once_it_is_connected_has_not_answered(
    server: ScriptedServer, connections: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = dialer.Dialer.connect

    async def hung_up(*arguments: object) -> Connection:
        made = await connect(*arguments)  # type: ignore[arg-type]
        made.abort()
        return made

    monkeypatch.setattr(dialer.Dialer, "connect", hung_up)
    came = await _ask(connections, server)
    assert came == Retry("not sent: the connection was cut")
    assert came.reply is Reply.SILENT
    assert server.requests == []


async def test_connection__more_bytes_than_it_takes(server: ScriptedServer) -> None:
    lost = asyncio.Event()

    class Watched(Connection):
        def connection_lost(self, error: Exception | None) -> None:
            super().connection_lost(error)
            lost.set()

    loop = asyncio.get_running_loop()
    _, made = await loop.create_connection(lambda: Watched(None, Handshakes()), "127.0.0.1", server.port)
    answered = made.send(b"GET / HTTP/1.1\r\n", whole=True, seconds=30)
    made.data_received(b"HTTP/1.1 200 OK\r\n\r\n")
    made.data_received(b"x" * MAX_RECEIVED)
    with pytest.raises(Exception, match="bytes came back"):
        await answered
    await lost.wait()
    assert not made.usable
    with pytest.raises(ConnectionAbortedError):
        made.send(b"GET / HTTP/1.1\r\n", whole=True, seconds=30)


async def test_request__tls_that_is_cut_is_no_end_of_an_answer(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch, connections: Pool
) -> None:
    """Anybody on the way can close a connection; only the host can end TLS."""
    context = certificate.client_context()
    monkeypatch.setattr(dialer, "client_context", lambda: context)

    async def truncated(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await writer.drain()
        raw: socket.socket = writer.get_extra_info("socket")
        with socket.socket(fileno=os.dup(raw.fileno())) as copy:
            copy.shutdown(socket.SHUT_WR)
        await asked.wait()

    asked = asyncio.Event()
    async with ScriptedServer(truncated, tls=certificate.server_context()) as server:
        assert await _ask(connections, server) == Unknown("no answer: the connection was cut")
        asked.set()


async def test_request__end_of_the_connection_ends_the_answer(
    host: ScriptedServer, connections: Pool
) -> None:
    host.script.append(scripted.then_cut(scripted.raw(b"HTTP/1.1 200 OK\r\n\r\nall")))
    came = await _ask(connections, host)
    assert came == Answer(200, {}, b"all")


async def test_request__certificate_of_another_host(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch, connections: Pool
) -> None:
    context = certificate.client_context()
    monkeypatch.setattr(dialer, "client_context", lambda: context)
    async with ScriptedServer(answer(200), tls=certificate.server_context()) as server:
        url = parse_url(f"https://localhost:{server.port}/")
        came = await connections.request("GET", url, {}, whole=True)
    assert came == Retry(
        "not sent: the host's TLS certificate is not valid (Hostname mismatch, certificate is not valid for"
        " 'localhost')"
    )
    assert came.reply is Reply.SILENT


async def test_request__line_break_in_a_header(server: ScriptedServer, connections: Pool) -> None:
    for value in ("a\r\nX-Injected: 1", "a\nb", "a\rb"):
        with pytest.raises(ValueError, match="line break"):
            await connections.request("GET", parse_url(server.url), {"X-Test": value}, whole=True)
    assert server.connections == 0


class Sent(dict[str, str]):
    """Headers, for the whole of a request: unlike bytes one sees them go."""


@pytest.mark.parametrize("how", ["refused", "hangs up", "no answer", "garbage"])
async def test_request__that_failed_keeps_nothing_of_what_was_sent(how: str) -> None:
    """A cycle with the traceback of a failure holds all that was sent, until the collector counts enough objects."""
    steps = {"hangs up": b"", "no answer": b"HTTP/1.1 ", "garbage": b"no HTTP at all\r\n\r\n"}

    async def step(writer: asyncio.StreamWriter) -> None:
        writer.write(steps.get(how, b""))
        writer.close()

    kept = Pool(connections=2, connect_timeout=30, total_timeout=30)
    left: list[weakref.ref[Sent]] = []

    async def send(url: str) -> object:
        sent = Sent()
        left.append(weakref.ref(sent))
        return await kept.request("POST", parse_url(url), sent, b"body", whole=True)

    gc.collect()
    gc.disable()
    try:
        async with ScriptedServer(step) as server:
            url = server.url
            if how == "refused":
                with socket.create_server(("127.0.0.1", 0)) as free:
                    url = f"http://127.0.0.1:{free.getsockname()[1]}/"
            for _ in range(5):
                assert not isinstance(await send(url), Answer)
        await asyncio.sleep(0)
        assert [one() for one in left] == [None] * 5
    finally:
        gc.enable()
        await kept.close()


@pytest.mark.parametrize(
    "how", ["answers", "answers more", "garbage", "hangs up", "no answer", "plain", "not trusted", "given up"]
)
@pytest.mark.parametrize("whole", [False, True])
async def test_request__that_has_ended_keeps_nothing_of_what_came_back(
    how: str, whole: bool, certificate: Certificate
) -> None:
    """Bodies of 64 KiB waited in cycles for the collector, which comes after so many objects, not bytes: 200 MiB."""
    head = b"HTTP/1.1 503 x\r\nContent-Length: %d\r\n\r\n"
    steps = {
        "answers": head % 3 + b"abc",
        "answers more": head % 1_000_000 + b"x" * 100_000,
        "garbage": b"garbage\r\n\r\n" + b"x" * 60_000,
        "no answer": b"HTTP/1.1 ",
        "given up": b"HTTP/1.1 ",
    }

    async def step(writer: asyncio.StreamWriter) -> None:
        writer.write(steps.get(how, b""))
        if how not in ("answers", "no answer", "given up"):
            writer.close()

    tls = certificate.server_context() if how == "not trusted" else None
    kept = Pool(connections=2, connect_timeout=30, total_timeout=0.05 if how == "no answer" else 30)
    gc.collect()
    before = _count_received()
    gc.disable()
    try:
        async with ScriptedServer(step, tls=tls) as server:
            server.greeting = b"HTTP/1.1 400 x\r\n\r\n" if how == "plain" else b""
            url = parse_url(server.url.replace("http:", "https:") if how == "plain" else server.url)
            for _ in range(5):
                server.arrived.clear()
                asked = asyncio.create_task(kept.request("POST", url, {}, b"body", whole=whole))
                if how == "given up":
                    await server.arrived.wait()
                    asked.cancel()
                await asyncio.wait([asked])
            del asked
            await kept.close()
        # The thread of handshakes holds its last step until it has let go of it.
        await asyncio.to_thread(kept._dialer._handshakes._thread.shutdown)
        await asyncio.sleep(0)
        assert _count_received() == before
    finally:
        gc.enable()


def _count_received() -> int:
    """Objects that hold what is, or was, received, those that wait for the collector included."""
    return sum(isinstance(one, AnswerReader | Connection | TlsSession) for one in gc.get_objects())


async def test_pool__drops_the_longest_idle_connection_for_another_host(connections: Pool) -> None:
    async with AsyncExitStack() as stack:
        first, second, third = [
            await stack.enter_async_context(ScriptedServer(answer(200))) for _ in range(3)
        ]
        for server in (first, second, third):
            assert isinstance(await _ask(connections, server), Answer)
        await first.closed.wait()
        assert isinstance(await _ask(connections, second), Answer)
        assert second.connections == 1


async def test_pool__drops_what_is_idle_for_long(
    server: ScriptedServer, connections: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "KEEP_ALIVE_SECONDS", 0.0)
    assert isinstance(await _ask(connections, server), Answer)
    assert isinstance(await _ask(connections, server), Answer)
    assert server.connections == 2
    connections._drop_old()
    assert not connections._idle
    assert not connections._idle_since


async def test_pool__closed_keeps_nothing(server: ScriptedServer, connections: Pool) -> None:
    assert isinstance(await _ask(connections, server), Answer)
    asked = asyncio.create_task(_ask(connections, server))
    await connections.close()
    assert isinstance(await asked, Answer | Retry | Unknown)
    await server.closed.wait()
    assert not connections._idle


async def test_pool__cancelled_request_leaves_its_place(server: ScriptedServer, connections: Pool) -> None:
    for _ in range(5):
        server.script.append(scripted.hang)
        server.arrived.clear()
        asked = asyncio.create_task(_ask(connections, server))
        await server.arrived.wait()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
    assert isinstance(await _ask(connections, server), Answer)


Attempt = Callable[[Address], Awaitable[None]]


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch, server: ScriptedServer) -> dict[str, Attempt]:
    """What connecting to each address of the host `many.example` does; the order is that of the resolver."""
    scripts: dict[str, Attempt] = {}

    def getaddrinfo(*_: object) -> list[tuple[object, ...]]:
        families = {ip: socket.AF_INET6 if ":" in ip else socket.AF_INET for ip in scripts}
        return [(family, socket.SOCK_STREAM, 6, "", (ip, 0)) for ip, family in families.items()]

    open_socket = dialer.Dialer._open_socket

    async def scripted_socket(itself: dialer.Dialer, address: Address, account_id: str) -> socket.socket:
        await scripts[address.ip](address)
        return await open_socket(itself, Address(socket.AF_INET, "127.0.0.1", server.port), account_id)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(dialer.Dialer, "_open_socket", scripted_socket)
    return scripts


async def _works(_: Address) -> None:
    pass


async def _refuses(_: Address) -> None:
    raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")


async def _hangs(_: Address) -> None:
    await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize(
    ("scripts", "connected"),
    [
        ([_works], 1),
        ([_refuses, _works], 1),
        ([_hangs, _works], 1),
        ([_hangs, _refuses, _hangs, _works], 1),
        ([_refuses, _refuses], 0),
        ([_refuses, _refuses, _refuses, _refuses, _works], 0),
    ],
)
async def test_dialer__tries_addresses_in_turn(
    connections: Pool,
    server: ScriptedServer,
    attempts: dict[str, Attempt],
    scripts: list[Attempt],
    connected: int,
) -> None:
    attempts.update({f"192.0.2.{place}": script for place, script in enumerate(scripts)})
    came = await connections.request("GET", parse_url("http://many.example/"), {}, whole=True)
    assert server.connections == connected
    if connected:
        assert isinstance(came, Answer)
    else:
        assert came == Retry("not sent: connection refused")


async def test_dialer__families_take_turns(connections: Pool, attempts: dict[str, Attempt]) -> None:
    tried = []

    async def refuses(address: Address) -> None:
        tried.append(address.ip)
        await _refuses(address)

    attempts.update(
        dict.fromkeys(("2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1", "192.0.2.2"), refuses)
    )
    await connections.request("GET", parse_url("http://many.example/"), {}, whole=True)
    assert tried == ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2"]


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (TimeoutError(), "30 s have passed"),
        (ConnectionAbortedError(), "the connection was cut"),
        (OSError(errno.EHOSTUNREACH, "No route to host ('10.0.0.1', 80)"), "no route to host"),
        (OSError("Multiple exceptions: ('10.0.0.1', 80)"), "the connection was cut"),
        (ssl.SSLError(1, "10.0.0.1"), "TLS failed"),
    ],
)
async def test_request__what_is_said_of_an_error(
    server: ScriptedServer, connections: Pool, monkeypatch: pytest.MonkeyPatch, error: OSError, why: str
) -> None:
    def send(*_: object, **__: object) -> asyncio.Future[Answer]:
        failed: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        failed.set_exception(error)
        return failed

    monkeypatch.setattr(connection.Connection, "send", send)
    answer = await _ask(connections, server)
    assert answer == Unknown(f"no answer: {why}")
    assert isinstance(answer, Unknown)
    assert answer.reply is Reply.SILENT

    async def connect(*_: object) -> Connection:
        raise error

    monkeypatch.setattr(dialer.Dialer, "connect", connect)
    answer = await _ask(Pool(connections=1, connect_timeout=30, total_timeout=30), server)
    assert answer == Retry(f"not sent: {why}")
    assert isinstance(answer, Retry)
    assert answer.reply is Reply.SILENT
