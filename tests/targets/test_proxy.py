"""The operator's proxy: what it is asked for, what it can answer, and what becomes of a firing then."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_address
from typing import Any

import pytest

from cronally.targets import dialer
from cronally.targets.egress import Egress, Refusal
from cronally.targets.http.target import HttpTarget
from cronally.targets.proxy import MAX_HEAD, Proxy, parse_proxy
from cronally.targets.sns.target import SnsTarget
from cronally.targets.target import Delivered, Destination, Refused, Reply, Retry
from tests.support.scripted import ScriptedServer, answer
from tests.targets.conftest import Certificate, make_message

USER, PASSWORD = "cron@ally", "pa:ss wörd"
WITH_PASSWORD = "cron%40ally:pa%3Ass%20w%C3%B6rd@"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class ProxyServer:
    """A proxy of either kind, as the RFCs have it, or one that says what it is told to."""

    def __init__(self, scheme: str, *, password: bool = False, says: bytes | None = None) -> None:
        """
        :param says: what it answers to the request for a host, in place of connecting to it
        """
        self.scheme = scheme
        self.password = password
        self.says = says
        self.asked: list[tuple[str, int]] = []
        """The hosts that it was asked for."""
        self.heads: list[bytes] = []
        """All that came before it agreed."""
        self.names: dict[str, str] = {}
        """Where it finds names."""
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> ProxyServer:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def proxy(self, credentials: str = "", *, resolves: bool = False) -> Proxy:
        return parse_proxy(f"{self.scheme}://{credentials}127.0.0.1:{self.port}", resolves=resolves)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await (self._socks if self.scheme == "socks5" else self._http)(reader, writer)
        writer.close()

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        lines = head.decode("ascii").split("\r\n")
        method, authority, version = lines[0].split(" ")
        assert (method, version, lines[1]) == ("CONNECT", "HTTP/1.1", f"Host: {authority}")
        expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.password and f"Proxy-Authorization: Basic {expected}" not in lines:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        host, _, port = authority.rpartition(":")
        await self._go_on(
            reader,
            writer,
            host.strip("[]"),
            int(port),
            b"HTTP/1.1 200 Connection established\r\nVia: 1\r\n\r\n",
        )

    async def _socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        version, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        assert version == 5
        if self.password:
            if 2 not in methods:
                writer.write(b"\x05\xff")
                return
            writer.write(b"\x05\x02")
            _, length = await reader.readexactly(2)
            user = await reader.readexactly(length)
            (length,) = await reader.readexactly(1)
            right = (user.decode(), (await reader.readexactly(length)).decode()) == (USER, PASSWORD)
            writer.write(b"\x01\x00" if right else b"\x01\x01")
            if not right:
                return
        else:
            writer.write(b"\x05\x00")
        head = await reader.readexactly(4)
        assert head[:3] == b"\x05\x01\x00"
        if head[3] == 3:
            (length,) = await reader.readexactly(1)
            host = (await reader.readexactly(length)).decode()
        else:
            host = str(ip_address(await reader.readexactly(4 if head[3] == 1 else 16)))
        port = int.from_bytes(await reader.readexactly(2))
        await self._go_on(reader, writer, host, port, b"\x05\x00\x00\x03\x05proxy\x00\x50")

    async def _go_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int, agreed: bytes
    ) -> None:
        self.asked.append((host, port))
        if self.says is not None:
            writer.write(self.says)
            await writer.drain()
            await asyncio.Event().wait()
        there_reader, there_writer = await asyncio.open_connection(self.names.get(host, host), port)
        writer.write(agreed)
        try:
            await asyncio.gather(_copy(reader, there_writer), _copy(there_reader, writer))
        finally:
            there_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.fixture(params=["http", "socks5"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[ProxyServer]:
    async with ProxyServer(request.param) as made:
        yield made


@pytest.fixture(params=["plain", "tls"])
async def host(
    request: pytest.FixtureRequest, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ScriptedServer]:
    """A receiver with and without TLS; its certificate is trusted."""
    context = certificate.client_context()
    monkeypatch.setattr(dialer, "client_context", lambda: context)
    tls = certificate.server_context() if request.param == "tls" else None
    async with ScriptedServer(answer(200, "taken"), tls=tls) as made:
        yield made


@contextlib.asynccontextmanager
async def through(
    proxy: Proxy, *, allowed: str = "127.0.0.0/8", patience: float = 30
) -> AsyncIterator[HttpTarget]:
    target = HttpTarget(egress=Egress([allowed]), proxy=proxy, connect_timeout=patience)
    yield target
    await target.close()


def to(url: str) -> Destination:
    return Destination("http", {"delivery_http_method": "post", "delivery_http_url": url})


@pytest.mark.parametrize("password", [False, True])
async def test_send__goes_through_the_proxy_by_the_address_that_was_checked(
    server: ProxyServer, host: ScriptedServer, password: bool
) -> None:
    server.password = password
    async with through(server.proxy(WITH_PASSWORD if password else "")) as target:
        url = host.url.replace("127.0.0.1", "localhost") if "https" not in host.url else host.url
        for attempt in (1, 2):
            assert await target.send(to(url), make_message(attempt=attempt)) == Delivered(None)
    assert server.asked == [("127.0.0.1", host.port)], (
        "the connection is kept, and nobody looks the name up again"
    )
    assert [request.headers["cronally-attempt"] for request in host.requests] == ["1", "2"]
    assert not [request for request in host.requests if "proxy-authorization" in request.headers]
    assert not [head for head in server.heads if b"ronally" in head], "it learns nothing of the firing"


async def test_send__a_name_is_the_proxys_to_look_up_if_the_operator_says_so(
    server: ProxyServer, host: ScriptedServer
) -> None:
    server.names["hooks.internal.example"] = "127.0.0.1"
    destination = to(f"http://hooks.internal.example:{host.port}/")
    async with through(server.proxy(), allowed="10.0.0.0/8") as target:
        assert await target.send(destination, make_message()) == Retry(
            "not sent: the host name does not resolve"
        )
    async with through(server.proxy(resolves=True), allowed="10.0.0.0/8") as target:
        assert not (await target.look({"delivery_http_url": "https://hooks.internal.example/"}, "")).warnings
        if not host.url.startswith("https"):
            assert await target.send(destination, make_message()) == Delivered(None)
            assert server.asked == [("hooks.internal.example", host.port)]
        server.asked.clear()
        refused = await target.send(to(f"http://127.0.0.1:{host.port}/"), make_message())
    assert refused == Refused(Refusal.NOT_PUBLIC.detail)
    assert server.asked == []


async def test_send__the_proxy_is_asked_for_no_address_that_is_refused(
    server: ProxyServer, host: ScriptedServer
) -> None:
    async with through(server.proxy(), allowed="10.0.0.0/8") as target:
        assert await target.send(to(host.url), make_message()) == Refused(Refusal.NOT_PUBLIC.detail)
    assert server.asked == []


async def test_send__sns_goes_through_it_but_not_to_the_operators_own_endpoint(server: ProxyServer) -> None:
    destination = Destination(
        "sns",
        {
            "sns_topic": "arn:aws:sns:eu-west-1:123456789012:my-topic",
            "sns_region": "eu-west-1",
            "sns_message": "good morning",
            "sns_access_key_id": "AKIAIOSFODNN7EXAMPLE",
        },
        {"sns_secret_access_key": "secret"},
    )
    server.says = b"HTTP/1.1 502 Bad Gateway\r\n\r\n" if server.scheme == "http" else b"\x05\x04\x00\x01"
    target = SnsTarget(proxy=server.proxy(resolves=True), connect_timeout=30)
    outcome = await target.send(destination, make_message())
    await target.close()
    assert server.asked == [("sns.eu-west-1.amazonaws.com", 443)]
    assert isinstance(outcome, Retry)
    assert outcome.reply is Reply.SILENT
    async with ScriptedServer(answer(500)) as own:
        target = SnsTarget(proxy=server.proxy(), endpoint=own.url)
        await target.send(destination, make_message())
        await target.close()
        assert len(own.requests) == len(server.asked) == 1


@pytest.mark.parametrize("credentials", ["", "cron%40ally:wrong@"])
async def test_send__the_proxy_refuses_the_server(
    server: ProxyServer, host: ScriptedServer, credentials: str
) -> None:
    server.password = True
    async with through(server.proxy(credentials)) as target:
        outcome = await target.send(to(host.url), make_message())
    said = {"http": "answered 407", "socks5": "refuses the server's credentials"}[server.scheme]
    assert outcome == Retry(f"not sent: the server's proxy {said}")
    assert outcome.reply is Reply.NOT_ASKED, "the host is not to blame"


HTTP_ANSWERS = [
    (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nno way", "answered 403", Reply.NOT_ASKED),
    (b"HTTP/1.0 503 Service Unavailable\r\n\r\n", "answered 503", Reply.SILENT),
    (b"HTTP/1.1 504\r\n\r\n", "answered 504", Reply.SILENT),
    (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "did not answer as one", Reply.NOT_ASKED),
    (b"HTTP/1.1 200 OK\r\n\r\nmore", "did not answer as one", Reply.NOT_ASKED),
    (b"SSH-2.0-OpenSSH\r\n\r\n", "did not answer as one", Reply.NOT_ASKED),
    (b"HTTP/1.1 200 OK\r\nX: " + MAX_HEAD * b"x", "did not answer as one", Reply.NOT_ASKED),
]
SOCKS_ANSWERS = [
    (b"\x05\x01\x00\x01" + bytes(6), "the server's proxy failed", Reply.NOT_ASKED),
    (b"\x05\x02\x00\x01" + bytes(6), "the server's proxy does not allow this host", Reply.NOT_ASKED),
    (b"\x05\x03\x00\x01" + bytes(6), "the network cannot be reached", Reply.SILENT),
    (b"\x05\x04\x00\x01" + bytes(6), "the host cannot be reached", Reply.SILENT),
    (b"\x05\x05\x00\x01" + bytes(6), "connection refused", Reply.SILENT),
    (b"\x05\x06\x00\x01" + bytes(6), "the host did not answer", Reply.SILENT),
    (b"\x05\x09\x00\x01" + bytes(6), "the server's proxy answered 9", Reply.NOT_ASKED),
    (b"\x04\x00\x00\x01" + bytes(6), "the server's proxy did not answer as one", Reply.NOT_ASKED),
    (b"\x05\x00\x00\x02" + bytes(6), "the server's proxy did not answer as one", Reply.NOT_ASKED),
]


@pytest.mark.parametrize(
    ("scheme", "says", "said", "reply"),
    [
        *(("http", says, f"the server's proxy {said}", reply) for says, said, reply in HTTP_ANSWERS),
        *(("socks5", *rest) for rest in SOCKS_ANSWERS),
    ],
)
async def test_send__the_proxy_does_not_connect(scheme: str, says: bytes, said: str, reply: Reply) -> None:
    async with ProxyServer(scheme, says=says) as server, through(server.proxy()) as target:
        outcome = await target.send(to("http://127.0.0.1:8080/"), make_message())
    assert outcome == Retry(f"not sent: {said}")
    assert outcome.reply is reply


async def test_send__a_proxy_that_says_nothing_or_trickles_has_the_time_of_a_connection(
    server: ProxyServer,
) -> None:
    server.says = b"" if server.scheme == "socks5" else b"HTTP/1.1 2"
    async with through(server.proxy(), patience=0.05) as target:
        outcome = await target.send(to("http://127.0.0.1:8080/"), make_message())
    assert outcome == Retry("not sent: no connection within 0.05 s")


async def test_send__a_proxy_that_cannot_be_reached_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as bound:  # and nobody listens
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        async with through(parse_proxy(f"http://user:canary@127.0.0.1:{port}")) as target:
            for _ in range(3):
                outcome = await target.send(to("http://127.0.0.1:8080/"), make_message())
                assert outcome == Retry("not sent: the server's proxy cannot be reached")
                assert outcome.reply is Reply.NOT_ASKED
    (record,) = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert "CRONALLY_EGRESS_PROXY" in record.message
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "proxy:3128",
        "http://proxy",
        "https://canary@proxy:3128",
        "socks5h://canary@proxy:1080",
        "http://canary@proxy:99999",
        "http://canary@[::1:3128",
        "http://canary@proxy:3128/path",
        "http://canary@proxy:3128?query",
        f"http://{300 * 'canary'}@proxy:3128",
        "http://cana%3Ary:canary@proxy:3128",
        "http://:canary@proxy:3128",
    ],
)
def test_parse_proxy__refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"socks5://host:port|255 bytes") as caught:
        parse_proxy(text)
    assert "canary" not in str(caught.value)


def test_parse_proxy__its_repr_has_no_secret() -> None:
    assert "canary" not in repr(parse_proxy("socks5://user:canary@[::1]:1080"))
