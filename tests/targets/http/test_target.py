"""The target `http`, over real sockets to a server that follows a script."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import pytest

from cronally.targets.build import TARGETS, build_targets
from cronally.targets.egress import Egress, Refusal
from cronally.targets.http.target import HttpTarget
from cronally.targets.target import (
    Delivered,
    Destination,
    Outcome,
    Receiver,
    Refused,
    Reply,
    Retry,
    Unauthorized,
    Unknown,
)
from cronally.wire import header_text
from tests.support import scripted
from tests.support.scripted import ScriptedServer, answer
from tests.targets.conftest import CRONJOB_ID, SCHEDULED_AT, make_message, occupied


@pytest.fixture
async def target() -> AsyncIterator[HttpTarget]:
    target = HttpTarget(
        egress=Egress(["127.0.0.0/8"]),
        connect_timeout=10,
        total_timeout=10,
        connections=4,
        clock=lambda: SCHEDULED_AT / 1e6,
    )
    yield target
    await target.close()


def _to(url: str, method: str = "post") -> Destination:
    return Destination("http", {"delivery_http_method": method, "delivery_http_url": url})


def test_build_targets__names_and_timeouts() -> None:
    targets = build_targets(
        sns_endpoint="http://localhost:5000", egress=Egress(["10.0.0.0/8"]), total_timeout=7
    )
    assert (
        list(targets)
        == [target.name for target in TARGETS]
        == [*("sns", "http", "sqs", "lambda", "events", "stepfunctions", "kinesis", "ecs", "aws")]
    )
    for name, target in targets.items():
        assert target.name == name
        assert target.request_timeout == 7


async def test_build_targets__need_no_event_loop_and_close_unused() -> None:
    for target in build_targets().values():
        await target.close()


async def test_check__what_is_right(target: HttpTarget) -> None:
    url = {"delivery_http_url": "https://example.com/hook?token=1"}
    for parameters in ({"delivery_http_method": "post", **url}, url, {"delivery_http_method": "post"}, {}):
        assert target.check(parameters) == {}


def test_check__what_is_wrong() -> None:
    assert HttpTarget(egress=Egress()).check({"delivery_http_url": "ftp://x"}) == {
        "delivery_http_url": "is no URL of a web server; give one like https://example.com/hook"
    }


async def test_send__post(server: ScriptedServer, target: HttpTarget) -> None:
    message = make_message(cronjob_name="jeden Morgen ☕", attempt=2)
    assert await target.send(_to(server.url + "/hook?token=a%20b"), message) == Delivered(None)
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/hook?token=a%20b")
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body) == {
        "firing_id": message.firing_id,
        "cronjob_id": CRONJOB_ID,
        "cronjob_name": "jeden Morgen ☕",
        "scheduled_at": "2026-11-24T08:00:00Z",
        "attempt": 2,
    }
    assert request.headers["idempotency-key"] == request.headers["cronally-firing-id"] == message.firing_id
    assert request.headers["cronally-cronjob-id"] == CRONJOB_ID
    assert unquote(request.headers["cronally-cronjob-name"]) == "jeden Morgen ☕"
    assert request.headers["cronally-scheduled-at"] == "2026-11-24T08:00:00Z"
    assert request.headers["cronally-attempt"] == "2"


async def test_send__secrets_go_out_whole_and_user_info_as_a_header(
    server: ScriptedServer, target: HttpTarget
) -> None:
    origin = server.url.removeprefix("http://")
    whole = f"http://a%20user:p%40ss:w%C3%B6rd@{origin}/hook?token=a%20b&x=/?"
    public = {"delivery_http_method": "get", "delivery_http_url": f"http://***@{origin}/hook?token=***&x=/?"}
    destination = Destination("http", public, {"delivery_http_url": whole})
    assert await target.send(destination, make_message()) == Delivered(None)
    (request,) = server.requests
    assert request.path == "/hook?token=a%20b&x=/?"
    assert request.headers["host"] == origin
    given = base64.b64decode(request.headers["authorization"].removeprefix("Basic "))
    assert given.decode() == "a user:p@ss:wörd"
    assert target.receiver(public) == target.receiver({**public, "delivery_http_url": whole})


async def test_send__without_user_info_there_is_no_authorization(
    server: ScriptedServer, target: HttpTarget
) -> None:
    assert await target.send(_to(server.url), make_message()) == Delivered(None)
    assert "authorization" not in server.requests[0].headers


async def test_send__get(server: ScriptedServer, target: HttpTarget) -> None:
    assert await target.send(_to(server.url, "get"), make_message()) == Delivered(None)
    (request,) = server.requests
    assert (request.method, request.path, request.body) == ("GET", "/", b"")
    assert request.headers["cronally-firing-id"] == make_message().firing_id
    assert "content-length" not in request.headers
    assert "content-type" not in request.headers


@pytest.mark.parametrize(
    "name", ["plain name", "50% off", " edges ", "a\tb", "Grüße", "a\r\nX-Injected: 1", "\ud800"]
)
def test_header_text__decodes_to_the_name(name: str) -> None:
    text = header_text(name)
    assert text.isascii()
    assert text.isprintable()
    assert unquote(text) == name.replace("\ud800", "?")


def test_header_text__plain_names_stay_readable() -> None:
    assert header_text("nightly report (EU)") == "nightly report (EU)"


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, Delivered(None)),
        (202, Delivered(None)),
        (204, Delivered(None)),
        (301, Refused("HTTP 301: redirects are not followed; give the URL that it leads to")),
        (308, Refused("HTTP 308: redirects are not followed; give the URL that it leads to")),
        (400, Refused("HTTP 400")),
        (401, Unauthorized("HTTP 401")),
        (403, Unauthorized("HTTP 403")),
        (404, Refused("HTTP 404", final=False)),
        (405, Refused("HTTP 405")),
        (408, Retry("HTTP 408", 30.0)),
        (410, Refused("HTTP 410")),
        (425, Retry("HTTP 425", 30.0)),
        (429, Retry("HTTP 429", 30.0)),
        (500, Retry("HTTP 500", 30.0)),
        (503, Retry("HTTP 503", 30.0)),
    ],
)
async def test_send__status(
    server: ScriptedServer, target: HttpTarget, method: str, status: int, expected: Outcome
) -> None:
    server.script.append(answer(status, Retry_After="30", Location="http://127.0.0.1:1/"))
    assert await target.send(_to(server.url, method), make_message()) == expected
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("value", "after"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("999999999", 86_400.0),
        ("Tue, 24 Nov 2026 08:02:00 GMT", 120.0),
        ("Tue, 24 Nov 2026 07:00:00 GMT", 0.0),
        ("Tue, 24 Nov 9999 07:00:00 GMT", 86_400.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("Tue, 99 Nov 2026 99:99:99 GMT", None),
        ("9" * 41, None),
        ("", None),
    ],
)
async def test_send__retry_after(
    server: ScriptedServer, target: HttpTarget, value: str, after: float | None
) -> None:
    server.script.append(answer(503, Retry_After=value))
    assert await target.send(_to(server.url), make_message()) == Retry("HTTP 503", after)


async def test_send__nothing_of_the_body_is_told(server: ScriptedServer, target: HttpTarget) -> None:
    server.script.append(answer(500, "inside information", X_Inside="information"))
    assert "nformation" not in repr(await target.send(_to(server.url), make_message()))


@pytest.mark.parametrize("method", ["get", "post"])
async def test_send__status_is_enough_however_slow_the_body(
    server: ScriptedServer, target: HttpTarget, method: str
) -> None:
    server.script.append(scripted.trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n"))
    assert await target.send(_to(server.url, method), make_message()) == Delivered(None)
    await asyncio.wait_for(server.closed.wait(), 30)


async def test_send__slow_requests_to_a_host_leave_room_for_others_to_it(server: ScriptedServer) -> None:
    """Tenants share hosts: the 64 that one of them may send at a time are not all that the host gets."""
    target = HttpTarget(egress=Egress(["127.0.0.0/8"]), connect_timeout=30, total_timeout=30, connections=65)
    server.script.extend([scripted.hang] * 64)
    slow = [asyncio.create_task(target.send(_to(server.url), make_message())) for _ in range(64)]
    while len(server.requests) < 64:
        server.arrived.clear()
        await server.arrived.wait()
    assert await target.send(_to(server.url), make_message()) == Delivered(None)
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    await target.close()


async def test_send__connection_is_used_again(server: ScriptedServer, target: HttpTarget) -> None:
    for _ in range(3):
        assert await target.send(_to(server.url), make_message()) == Delivered(None)
    assert server.connections == 1


@pytest.mark.parametrize("method", ["get", "post"])
async def test_send__cut_is_not_repeated(server: ScriptedServer, target: HttpTarget, method: str) -> None:
    assert await target.send(_to(server.url, method), make_message()) == Delivered(None)
    server.script.append(scripted.cut)
    outcome = await target.send(_to(server.url, method), make_message())
    assert outcome == Unknown("no answer: the connection was cut")
    assert len(server.requests) == 2


@pytest.mark.parametrize("method", ["get", "post"])
async def test_send__silence(server: ScriptedServer, method: str) -> None:
    target = HttpTarget(egress=Egress(["127.0.0.0/8"]), total_timeout=0.8)
    server.script.append(scripted.hang)
    assert await target.send(_to(server.url, method), make_message()) == Unknown(
        "no answer: 0.8 s have passed"
    )
    await target.close()


@pytest.mark.parametrize("method", ["get", "post"])
async def test_send__time_is_up_before_the_request_is_written(server: ScriptedServer, method: str) -> None:
    target = HttpTarget(egress=Egress(["127.0.0.0/8"]), total_timeout=0.1, connections=1)
    async with occupied(target._pool):
        assert await target.send(_to(server.url, method), make_message()) == Retry(
            "not sent: 0.1 s have passed"
        )
    await target.close()


@pytest.mark.parametrize("method", ["get", "post"])
async def test_send__nobody_listens(target: HttpTarget, method: str) -> None:
    async with ScriptedServer(answer(200)) as gone:
        pass
    assert await target.send(_to(gone.url, method), make_message()) == Retry("not sent: connection refused")


async def test_send__host_does_not_resolve(target: HttpTarget) -> None:
    outcome = await target.send(_to("https://nothing.invalid/"), make_message())
    assert outcome == Retry("not sent: the host name does not resolve")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
async def test_send__address_is_checked_when_it_is_connected_to(server: ScriptedServer, host: str) -> None:
    # No matter how the URL came into the database, or where its name leads by now.
    target = HttpTarget(egress=Egress())
    outcome = await target.send(_to(f"http://{host}:{server.port}/"), make_message())
    assert outcome == Refused(Refusal.NOT_PUBLIC.detail)
    assert outcome.reply is Reply.UNFIT
    assert server.connections == 0
    await target.close()


async def test_send__a_host_that_the_operator_denies_by_now(server: ScriptedServer) -> None:
    target = HttpTarget(egress=Egress(["127.0.0.0/8"], denied_hosts=["localhost"]))
    assert isinstance(await target.send(_to(server.url), make_message()), Delivered)
    outcome = await target.send(_to(f"http://LOCALHOST:{server.port}/"), make_message())
    assert outcome == Refused(Refusal.HOST.detail)
    assert len(server.requests) == 1
    await target.close()


async def test_send__name_that_leads_inside_since_it_was_given(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [("93.184.215.14", 0), ("127.0.0.1", 0)]
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda *_: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in answers],
    )
    target = HttpTarget(egress=Egress())
    outcome = await target.send(_to(f"http://rebinding.example.com:{server.port}/"), make_message())
    assert outcome == Refused(Refusal.NOT_PUBLIC.detail)
    assert outcome.reply is Reply.UNFIT
    assert server.connections == 0
    await target.close()


async def test_send__vetted_address_is_the_one_that_is_called(
    server: ScriptedServer, target: HttpTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookups: list[object] = []

    def getaddrinfo(host: object, *_: object) -> list[tuple[object, ...]]:
        lookups.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    url = f"http://receiver.example.com:{server.port}/"
    assert await target.send(_to(url), make_message()) == Delivered(None)
    assert server.requests[0].headers["host"] == f"receiver.example.com:{server.port}"
    assert lookups == ["receiver.example.com"]


@pytest.mark.parametrize(
    ("url", "name", "host", "site"),
    [
        (
            "https://Hooks.Example.com/a?b",
            "http:hooks.example.com:443",
            "hooks.example.com",
            "hooks.example.com",
        ),
        (
            "https://hooks.example.com:8443/",
            "http:hooks.example.com:8443",
            "hooks.example.com",
            "hooks.example.com:8443",
        ),
        ("http://hooks.example.com:8080/", "http:hooks.example.com:8080", "hooks.example.com", None),
        ("http://[::1]:80/", "http:::1:80", "::1", None),
    ],
)
async def test_receiver__is_a_port_of_a_host_and_limits_are_the_hosts(
    url: str, name: str, host: str, site: str | None
) -> None:
    target = HttpTarget(egress=Egress())
    public = {"delivery_http_method": "get", "delivery_http_url": url}
    assert target.receiver(public) == Receiver(name, host, name, site=site)


async def test_timeout__of_the_cron_job_is_shorter_than_the_servers(server: ScriptedServer) -> None:
    target = HttpTarget(egress=Egress(["127.0.0.0/8"]), total_timeout=30)
    server.script.append(scripted.hang)
    own = Destination("http", {**_to(server.url).public, "delivery_http_timeout": 300_000})
    assert await target.send(own, make_message()) == Unknown("no answer: 0.3 s have passed")
    assert await target.send(own, make_message()) == Delivered(None)
    await target.close()


async def test_timeout__is_never_longer_than_the_servers(server: ScriptedServer) -> None:
    target = HttpTarget(egress=Egress(["127.0.0.0/8"]), total_timeout=0.3)
    server.script.append(scripted.hang)
    own = Destination("http", {**_to(server.url).public, "delivery_http_timeout": 30_000_000})
    assert await target.send(own, make_message()) == Unknown("no answer: 0.3 s have passed")
    await target.close()


async def test_timeout__that_is_longer_than_the_servers_where_its_sender_says_so(
    server: ScriptedServer,
) -> None:
    target = HttpTarget(egress=Egress(["127.0.0.0/8"]), total_timeout=0.2, longest=0.6)
    public = {**_to(server.url).public, "delivery_http_timeout": 500_000}
    assert target.receiver(public).long == 0.5
    assert target.receiver({**public, "delivery_http_timeout": 900_000_000}).long == 0.6
    assert target.receiver({**public, "delivery_http_timeout": 200_000}).long is None
    assert HttpTarget(egress=Egress(), total_timeout=0.2).receiver(public).long is None
    server.script.extend([scripted.hang] * 3)
    for seconds, passed in ((None, "0.2"), (0.5, "0.5"), (0.3, "0.3")):
        destination = Destination("http", public, seconds=seconds)
        assert await target.send(destination, make_message()) == Unknown(f"no answer: {passed} s have passed")
    assert target.request_timeout == 0.2
    await target.close()


async def test_timeout__that_is_long_leaves_no_more_time_to_connect(server: ScriptedServer) -> None:
    target = HttpTarget(egress=Egress(["127.0.0.0/8"]), total_timeout=0.1, longest=60, connections=1)
    destination = Destination(
        "http", {**_to(server.url).public, "delivery_http_timeout": 60_000_000}, seconds=60
    )
    async with occupied(target._pool):
        assert await target.send(destination, make_message()) == Retry("not sent: 0.1 s have passed")
    await target.close()


async def test_connection__is_kept_alive_by_tcp(
    server: ScriptedServer, target: HttpTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host says nothing for 15 minutes: what stands on the way must not forget the connection meanwhile."""
    made: list[socket.socket] = []
    connect = asyncio.get_running_loop().sock_connect

    async def watch(opened: socket.socket, address: Any) -> None:
        made.append(opened)
        await connect(opened, address)

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", watch)
    assert await target.send(_to(server.url), make_message()) == Delivered(None)
    (opened,) = made
    assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30


async def test_check__a_timeout_that_the_server_does_not_allow(target: HttpTarget) -> None:
    assert target.check({"delivery_http_timeout": 10_000_000}) == {}
    assert target.check({"delivery_http_timeout": 10_000_001}) == {
        "delivery_http_timeout": "is longer than a request of this server may take; give 10s at most"
    }
    patient = HttpTarget(egress=Egress(), longest=900)
    assert patient.check({"delivery_http_timeout": 900_000_000}) == {}
    assert patient.check({"delivery_http_timeout": 900_000_001}) == {
        "delivery_http_timeout": "is longer than a request of this server may take; give 15m at most"
    }
