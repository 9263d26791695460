"""The target `sns` against an SNS that follows a script: what the network can do to a publish."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from cronally.targets.answer import MAX_ANSWER_BYTES, MAX_HEAD_BYTES
from cronally.targets.sns.target import SnsTarget
from cronally.targets.target import Delivered, Refused, Retry, Unauthorized, Unknown
from cronally.targets.url import Url, parse_url
from tests.support import scripted
from tests.support.scripted import ScriptedServer, answer
from tests.targets.conftest import (
    ACCESS_KEY_ID,
    CANARY,
    PUBLISHED,
    Certificate,
    make_destination,
    make_message,
    occupied,
)
from tests.targets.sns.test_answers import error

DELIVERED = Delivered("567910cd-659e-55d4-8ccb-5aaf14679dc0")


@pytest.fixture
async def hasty(server: ScriptedServer) -> AsyncIterator[SnsTarget]:
    """A target that waits for 0.8 s at most, with one connection."""
    target = SnsTarget(endpoint=server.url, connect_timeout=0.8, total_timeout=0.8, connections=1)
    yield target
    await target.close()


async def _send(target: SnsTarget) -> object:
    return await target.send(make_destination(), make_message())


async def test_send__request_is_that_of_the_query_protocol(server: ScriptedServer) -> None:
    target = SnsTarget(endpoint=server.url, clock=lambda: 1_795_507_199.75)
    assert await _send(target) == DELIVERED
    await target.close()
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/")
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded; charset=utf-8"
    assert request.headers["x-amz-date"] == "20261124T075959Z"
    assert request.headers["user-agent"].startswith("Cronally/")
    assert request.headers["authorization"].startswith(
        f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY_ID}/20261124/eu-west-1/sns/aws4_request, "
    )
    assert request.headers["accept-encoding"] == "identity"
    assert "cookie" not in request.headers
    form = request.form()
    assert form["Action"] == "Publish"
    assert form["Version"] == "2010-03-31"


async def test_send__many_publishes_share_few_connections(server: ScriptedServer, sns: SnsTarget) -> None:
    outcomes = await asyncio.gather(*(_send(sns) for _ in range(40)))
    assert outcomes == [DELIVERED] * 40
    assert server.connections <= 4


async def test_send__connection_is_used_again_after_an_error(server: ScriptedServer, sns: SnsTarget) -> None:
    server.script.append(answer(400, error("Throttling")))
    assert await _send(sns) == Retry("Throttling: Because.")
    assert await _send(sns) == DELIVERED
    assert server.connections == 1


async def test_send__retry_after(server: ScriptedServer) -> None:
    target = SnsTarget(endpoint=server.url, clock=lambda: 1_795_507_200.0)
    server.script.append(answer(503, Retry_After="120"))
    server.script.append(answer(429, error("Throttled"), Retry_After="Tue, 24 Nov 2026 08:01:30 GMT"))
    assert await _send(target) == Retry("HTTP 503", 120.0)
    assert await _send(target) == Retry("Throttled: Because.", 90.0)
    await target.close()


async def test_send__redirect_is_not_followed(server: ScriptedServer, sns: SnsTarget) -> None:
    server.script.append(answer(307, Location=server.url + "/elsewhere"))
    assert await _send(sns) == Refused("HTTP 307")
    assert len(server.requests) == 1


async def test_send__cookies_are_not_kept(server: ScriptedServer) -> None:
    target = SnsTarget(endpoint=f"http://localhost:{server.port}")  # a jar would keep none of an IP address
    server.script.append(answer(200, PUBLISHED, Set_Cookie="tenant=1; Path=/"))
    assert await _send(target) == await _send(target) == DELIVERED
    assert "cookie" not in server.requests[1].headers
    await target.close()


async def test_send__proxies_of_the_environment_are_not_used(
    server: ScriptedServer, sns: SnsTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert await _send(sns) == DELIVERED


async def test_send__nobody_listens(server: ScriptedServer, sns: SnsTarget) -> None:
    async with ScriptedServer(answer(200)) as gone:
        pass
    target = SnsTarget(endpoint=gone.url)
    assert await _send(target) == Retry("not sent: connection refused")
    await target.close()


async def test_send__host_does_not_resolve() -> None:
    target = SnsTarget(endpoint="http://sns.invalid")  # RFC 6761: never resolves
    assert await _send(target) == Retry("not sent: the host name does not resolve")
    await target.close()


async def test_send__tls_towards_a_plain_server(server: ScriptedServer) -> None:
    server.greeting = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    target = SnsTarget(endpoint=server.url.replace("http:", "https:"))
    assert await _send(target) == Retry("not sent: TLS failed")
    await target.close()


async def test_send__certificate_of_nobody(certificate: Certificate) -> None:
    async with ScriptedServer(answer(200, PUBLISHED), tls=certificate.server_context()) as server:
        target = SnsTarget(endpoint=server.url)
        said = await _send(target)
        assert isinstance(said, Retry)
        assert re.fullmatch(
            r"not sent: the host's TLS certificate is not valid \(self.signed certificate\)", said.detail
        )
        assert server.requests == []
        await target.close()


async def test_send__no_free_connection(server: ScriptedServer) -> None:
    # The first request holds the connection for much longer than the second one waits for it.
    target = SnsTarget(endpoint=server.url, connect_timeout=0.4, total_timeout=2.5, connections=1)
    server.script.append(scripted.hang)
    first = asyncio.create_task(_send(target))
    await server.arrived.wait()
    assert await _send(target) == Retry("not sent: no connection within 0.4 s")
    assert await first == Unknown("no answer: 2.5 s have passed")
    assert len(server.requests) == 1
    await target.close()


async def test_send__time_is_up_before_the_request_is_written(server: ScriptedServer) -> None:
    target = SnsTarget(endpoint=server.url, connect_timeout=5, total_timeout=0.1, connections=1)
    async with occupied(target._pool):
        assert await _send(target) == Retry("not sent: 0.1 s have passed")
    await target.close()


async def test_send__silence_after_the_request(server: ScriptedServer, hasty: SnsTarget) -> None:
    server.script.append(scripted.hang)
    assert await _send(hasty) == Unknown("no answer: 0.8 s have passed")
    assert await _send(hasty) == DELIVERED  # on a new connection
    assert server.connections == 2


@pytest.mark.parametrize("step", [scripted.cut, scripted.reset], ids=["cut", "reset"])
async def test_send__cut_after_the_request(
    server: ScriptedServer, sns: SnsTarget, step: scripted.Step
) -> None:
    server.script.append(step)
    outcome = await _send(sns)
    assert outcome in (
        Unknown("no answer: the connection was cut"),
        Unknown("no answer: connection reset by peer"),
    )
    assert len(server.requests) == 1  # never sent again by itself


async def test_send__cut_before_the_request_was_read(server: ScriptedServer, sns: SnsTarget) -> None:
    # If the bytes were handed over before the cut was seen, this side cannot know that they were not read.
    server.cut_connections = True
    outcome = await _send(sns)
    assert outcome in (
        Retry("not sent: the connection was cut"),
        Unknown("no answer: the connection was cut"),
        Unknown("no answer: connection reset by peer"),
    )
    assert server.requests == []


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n<PublishResponse",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n<Publish",
        b"HTTP/1.1 500 Oops\r\nContent-Length: 400\r\n\r\n<ErrorResponse",
    ],
    ids=["head", "body", "chunk", "error"],
)
async def test_send__cut_within_the_answer(server: ScriptedServer, sns: SnsTarget, data: bytes) -> None:
    server.script.append(scripted.then_cut(scripted.raw(data)))
    outcome = await _send(sns)
    assert isinstance(outcome, Unknown)
    assert outcome.detail == "no answer: the connection was cut"


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Slow: ",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
    ids=["body", "head", "without-length"],
)
async def test_send__slow_trickle(server: ScriptedServer, hasty: SnsTarget, head: bytes) -> None:
    server.script.append(scripted.trickle(head))
    assert await _send(hasty) == Unknown("no answer: 0.8 s have passed")


@pytest.mark.parametrize("status", [200, 400])
async def test_send__huge_answer(server: ScriptedServer, sns: SnsTarget, status: int) -> None:
    server.script.append(answer(status, b"x" * (MAX_ANSWER_BYTES * 64)))
    outcome = await _send(sns)
    assert outcome == (Unknown("answered 200 without a MessageId") if status == 200 else Refused("HTTP 400"))
    assert await _send(sns) == DELIVERED
    assert server.connections == 2  # the rest is not read


async def test_send__compressed_bomb_is_not_inflated(server: ScriptedServer, sns: SnsTarget) -> None:
    server.script.append(answer(200, b"\x1f\x8b" + b"\x00" * 100, Content_Encoding="gzip"))
    assert await _send(sns) == Unknown("answered 200 without a MessageId")


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x15\x03\x03\x00\x02\x02\x50",
        b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Many: 1\r\n" * 5_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    ],
    ids=["ssh", "tls", "long-header", "many-headers", "negative-length"],
)
async def test_send__what_comes_back_is_not_http(server: ScriptedServer, sns: SnsTarget, data: bytes) -> None:
    server.script.append(scripted.raw(data))
    outcome = await _send(sns)
    assert isinstance(outcome, Unknown)
    assert await _send(sns) == DELIVERED


async def test_send__closed_idle_connection_is_not_used_again(server: ScriptedServer, sns: SnsTarget) -> None:
    server.script.append(scripted.then_cut(answer(200, PUBLISHED)))
    assert await _send(sns) == DELIVERED
    await server.closed.wait()
    for _ in range(10):  # one look of the loop at its sockets is enough for the other end to see it
        await asyncio.sleep(0)
    assert await _send(sns) == DELIVERED
    assert (server.connections, len(server.requests)) == (2, 2)


async def test_send__hang_up_that_crosses_the_request(server: ScriptedServer, sns: SnsTarget) -> None:
    assert await _send(sns) == DELIVERED
    server.script.append(scripted.cut)
    assert await _send(sns) == Unknown("no answer: the connection was cut")
    assert len(server.requests) == 2  # once each


async def test_send__cancelled(server: ScriptedServer, sns: SnsTarget) -> None:
    server.script.append(scripted.hang)
    task = asyncio.create_task(_send(sns))
    await server.arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await _send(sns) == DELIVERED


async def test_send__region_that_is_none_any_more(sns: SnsTarget, server: ScriptedServer) -> None:
    outcome = await sns.send(make_destination(region="mars-north-1"), make_message())
    assert outcome == Refused("the region is not a region of AWS; did you mean eu-north-1?")
    assert server.requests == []


async def test_send__secret_that_is_gone(sns: SnsTarget, server: ScriptedServer) -> None:
    outcome = await sns.send(replace(make_destination(), secret={}), make_message())
    assert outcome == Unauthorized("the cron job has no secret access key; give it sns_secret_access_key")
    assert server.requests == []


async def test_send__calls_the_host_of_the_region(monkeypatch: pytest.MonkeyPatch) -> None:
    target = SnsTarget()
    calls: list[Url] = []

    async def request(method: str, url: Url, *_: object, **__: object) -> Retry:
        calls.append(url)
        return Retry("not sent")

    monkeypatch.setattr(target._pool, "request", request)
    for region in ("eu-west-1", "cn-north-1", "us-gov-west-1", "us-iso-east-1"):
        await target.send(make_destination(region=region), make_message())
    await target.close()
    assert calls == [
        parse_url(text)
        for text in (
            "https://sns.eu-west-1.amazonaws.com/",
            "https://sns.cn-north-1.amazonaws.com.cn/",
            "https://sns.us-gov-west-1.amazonaws.com/",
            "https://sns.us-iso-east-1.c2s.ic.gov/",
        )
    ]


@pytest.mark.parametrize(
    "endpoint",
    [
        "sns",
        "ftp://host",
        "http://",
        "http://host/path",
        "http://user:pass@host",
        "http://host?x=1",
        "http://h:x",
    ],
)
def test_endpoint__refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match=r"http\[s\]://host\[:port\]") as caught:
        SnsTarget(endpoint=endpoint)
    assert "pass" not in str(caught.value)


@pytest.mark.parametrize(
    "endpoint", ["http://localhost:5000", "http://localhost:5000/", "https://[::1]:8443"]
)
def test_endpoint__accepted(endpoint: str) -> None:
    SnsTarget(endpoint=endpoint)


async def test_secret__is_in_no_detail_repr_or_request(server: ScriptedServer, sns: SnsTarget) -> None:
    destination = make_destination()
    echoed = f"secret {CANARY}, in words &#x77;{CANARY[1:]}"
    for step in (
        answer(403, error("SignatureDoesNotMatch", f"You sent {CANARY}")),
        answer(400, f"<Code>X</Code><Message>{echoed}</Message>"),
        answer(500, error("InternalError", CANARY)),
        answer(200, CANARY),
        answer(404, CANARY),
        scripted.raw(CANARY.encode() + b"\r\n"),
        scripted.raw(b"HTTP/1.1 200 OK\r\n" + CANARY.encode() + b"\r\n\r\n"),
        scripted.cut,
        scripted.reset,
    ):
        server.script.append(step)
        outcome = await sns.send(destination, make_message())
        assert isinstance(outcome, Retry | Unauthorized | Refused | Unknown)
        assert CANARY not in repr(outcome)
    texts = [
        repr(destination),
        repr(replace(destination)),
        repr(sns),
        repr(vars(sns)),
        repr(vars(sns._signer)),
    ]
    texts += [repr(request) for request in server.requests]
    assert not [text for text in texts if CANARY in text]
