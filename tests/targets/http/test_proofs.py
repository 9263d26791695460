"""What a host shows of whose it is, over TLS on a real socket: what proves it, what does not, and what may later."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from cronally.targets import connection, dialer
from cronally.targets.egress import Egress
from cronally.targets.host import check_host_and_port
from cronally.targets.http.target import HttpTarget
from cronally.targets.proving import Found, ProvingTarget
from tests.support import scripted
from tests.support.scripted import ScriptedServer, Step, answer
from tests.targets.conftest import Certificate

TEXT = "cronally-host=0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
PATH = "/.well-known/cronally-host/abcdefghijklmnopqrstuv"


@pytest.fixture
async def shows(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[ScriptedServer, HttpTarget]]:
    """A host with TLS, and a target that trusts it and may call it."""
    context = certificate.client_context()
    monkeypatch.setattr(dialer, "client_context", lambda: context)
    monkeypatch.setattr(connection, "BODY_SECONDS", 0.1)
    target = HttpTarget(egress=Egress(["127.0.0.0/8"]), total_timeout=1)
    async with ScriptedServer(answer(404), tls=certificate.server_context()) as server:
        yield server, target
        await target.close()


async def look(shows: tuple[ScriptedServer, HttpTarget]) -> Found:
    server, target = shows
    return await target.find_proof(f"127.0.0.1:{server.port}", PATH, TEXT, "a")


PROVES: dict[str, Step] = {
    "the text": answer(200, TEXT),
    "with a line end": answer(200, f"{TEXT}\r\n", Content_Type="text/plain"),
    "until the end of the connection": scripted.then_cut(
        scripted.raw(b"HTTP/1.1 200 OK\r\n\r\n" + TEXT.encode())
    ),
}
NOT: dict[str, tuple[Step, str, bool]] = {
    "another text": (answer(200, TEXT.lower()), "the page holds another text", True),
    "the text among others": (answer(200, f"<p>{TEXT}</p>"), "the page holds another text", True),
    "twice": (answer(200, f"{TEXT}\n{TEXT}"), "the page holds another text", True),
    "a prefix": (answer(200, TEXT[:-1]), "the page holds another text", True),
    "nothing": (answer(200), "the page holds another text", True),
    "huge": (answer(200, TEXT + "x" * 100_000), "the page holds another text", True),
    "bytes": (answer(200, b"\xff" * 50), "the page holds another text", True),
    "not there": (answer(404, TEXT), "HTTP 404, and no 200", True),
    "forbidden": (answer(401, TEXT), "HTTP 401, and no 200", True),
    "elsewhere": (answer(301, TEXT, Location="https://elsewhere.example/"), "HTTP 301, and no 200", True),
    "another success": (answer(202, TEXT), "HTTP 202, and no 200", True),
    "overloaded": (answer(503, TEXT), "HTTP 503, and no 200", False),
    "too often": (answer(429, TEXT), "HTTP 429, and no 200", False),
    "cut": (scripted.cut, "no answer: the connection was cut", False),
    "garbage": (scripted.raw(b"no HTTP\r\n\r\n"), "no answer: what came back is not HTTP", False),
    "silent": (scripted.hang, "no answer: 1 s have passed", False),
    "trickle": (
        scripted.trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 57\r\n\r\n" + TEXT[:9].encode()),
        "the page was cut off",
        False,
    ),
    "cut in the text": (
        scripted.then_cut(
            scripted.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 57\r\n\r\n" + TEXT[:20].encode())
        ),
        "the page was cut off",
        False,
    ),
}


@pytest.mark.parametrize("how", PROVES)
async def test_find__proves(shows: tuple[ScriptedServer, HttpTarget], how: str) -> None:
    shows[0].script.append(PROVES[how])
    assert await look(shows) == Found()
    (request,) = shows[0].requests
    assert (request.method, request.path, request.body) == ("GET", PATH, b"")
    sent = f"{request.path} {request.headers}"
    assert TEXT not in sent, "who repeats what is asked proves nothing"
    assert TEXT.partition("=")[2] not in sent


@pytest.mark.parametrize("how", NOT)
async def test_find__proves_nothing(shows: tuple[ScriptedServer, HttpTarget], how: str) -> None:
    step, detail, final = NOT[how]
    shows[0].script.append(step)
    found = await look(shows)
    assert found.detail is not None
    assert found.detail.startswith(detail)
    assert found.final is final
    assert TEXT not in found.detail
    assert len(shows[0].requests) == 1, "no redirect is followed, nothing is asked twice"


async def test_find__of_a_certificate_that_nobody_trusts(certificate: Certificate) -> None:
    target = HttpTarget(egress=Egress(["127.0.0.0/8"]), total_timeout=1)
    async with ScriptedServer(answer(200, TEXT), tls=certificate.server_context()) as server:
        found = await target.find_proof(f"127.0.0.1:{server.port}", PATH, TEXT, "a")
    await target.close()
    assert not found.final
    assert (found.detail or "").startswith("not sent: the host's TLS certificate is not valid")
    assert not server.requests


async def test_find__without_tls_asks_nothing() -> None:
    target = HttpTarget(egress=Egress(["127.0.0.0/8"]), total_timeout=1)
    async with ScriptedServer(answer(200, TEXT)) as server:
        found = await target.find_proof(f"127.0.0.1:{server.port}", PATH, TEXT, "a")
    await target.close()
    assert (found.detail or "").startswith("not sent: ")
    assert not server.requests


@pytest.mark.parametrize(
    ("host", "egress"),
    [
        ("127.0.0.1", Egress()),
        ("localhost", Egress()),
        ("hooks.example.com", Egress(denied_hosts=["*.example.com"])),
        ("hooks.example.com:22", Egress()),
    ],
)
async def test_find__of_what_may_not_be_called_asks_nobody(host: str, egress: Egress) -> None:
    target = HttpTarget(egress=egress)
    found = await target.find_proof(host, PATH, TEXT, "a")
    await target.close()
    assert found.final
    assert found.detail is not None
    assert found.detail.startswith("the host ")


async def test_find__of_a_name_that_leads_inside_tells_nothing(certificate: Certificate) -> None:
    """Whatever it led to when it was proven: the address is checked when it is connected to."""
    target = HttpTarget(egress=Egress(["127.0.0.9/32"]), total_timeout=1)
    async with ScriptedServer(answer(200, TEXT), tls=certificate.server_context()) as server:
        found = await target.find_proof(f"127.0.0.1:{server.port}", PATH, TEXT, "a")
    await target.close()
    assert found.final
    assert server.connections == 0


def test_site__is_what_a_proof_is_for() -> None:
    target = HttpTarget(egress=Egress())
    assert isinstance(target, ProvingTarget)
    sites = {
        url: target.receiver({"delivery_http_url": url}).site
        for url in (
            "https://A.example/x?y",
            "https://a.example:443/",
            "https://a.example:8443/",
            "http://a.example/",
        )
    }
    assert list(sites.values()) == ["a.example", "a.example", "a.example:8443", None]
    assert target.receiver({"delivery_http_url": "http://a.example:443/"}).site is None


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("hooks.example.com", "hooks.example.com"),
        ("Hooks.Example.COM:443", "hooks.example.com"),
        ("hooks.example.com:8443", "hooks.example.com:8443"),
    ],
)
def test_host__is_written_in_one_way(text: str, host: str) -> None:
    assert check_host_and_port(text) == host


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            ":443",
            "a.example:",
            "a.example:0",
            "a.example:65536",
            "a.example:x",
            "a.example:1:2",
            "[::1]",
        ),
        *("https://a.example", "a.example/", "a.example/../b", "a.example?x", "a.example#x", "u@a.example"),
        *("a example", "a.example\n", "a\\b", "a%2fb", "ä.example", "a.example\0"),
    ],
)
def test_host__of_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no host|is no name|write it as"):
        check_host_and_port(text)
