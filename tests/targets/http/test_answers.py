"""What is kept of an HTTP answer, over real sockets: bounded whatever the receiver does, and without secrets."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from html import escape
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.contract.kept import pack, unpack
from cronally.targets import connection
from cronally.targets.answer import Answer
from cronally.targets.egress import Egress
from cronally.targets.http.answers import MAX_BODY, MAX_HEADER_BYTES, MAX_VALUE, kept_of, secrets_of
from cronally.targets.http.target import HttpTarget
from cronally.targets.target import Delivered, Destination, Kept, Outcome, Refused, Retry, Unknown
from tests.support import scripted
from tests.support.scripted import ScriptedServer, Step, answer, raw, then_cut
from tests.targets.conftest import CANARY, make_message


@pytest.fixture
async def target(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HttpTarget]:
    monkeypatch.setattr(connection, "BODY_SECONDS", 0.3)
    target = HttpTarget(egress=Egress(["127.0.0.0/8"]), total_timeout=30, connections=4, keep_internal=True)
    yield target
    await target.close()


def _to(server: ScriptedServer, keep: str | None = None, method: str = "post") -> Destination:
    more = {} if keep is None else {"delivery_http_keep_answer": keep}
    return Destination("http", {"delivery_http_method": method, "delivery_http_url": server.url, **more})


async def _kept(server: ScriptedServer, target: HttpTarget, step: Step) -> tuple[Outcome, Kept]:
    server.script.append(step)
    found = await target.send(_to(server), make_message())
    assert found.kept is not None
    return found, found.kept


@pytest.mark.parametrize(
    ("keep", "status", "is_kept"),
    [
        (None, 503, True),
        (None, 200, False),
        ("failures", 404, True),
        ("failures", 204, False),
        ("always", 200, True),
        ("always", 302, True),
        ("never", 200, False),
        ("never", 500, False),
    ],
)
async def test_keep__as_the_cron_job_says(
    server: ScriptedServer, target: HttpTarget, keep: str | None, status: int, is_kept: bool
) -> None:
    server.script.append(answer(status, "" if status == 204 else "why", X_Request="7"))
    kept = (await target.send(_to(server, keep), make_message())).kept
    assert (kept is not None) is is_kept
    if kept is not None:
        assert (kept.status, kept.body, kept.cut) == (status, b"why", False)
        assert kept.headers["x-request"] == "7"


async def test_keep__nothing_from_inside_unless_the_operator_says_so(server: ScriptedServer) -> None:
    target = HttpTarget(egress=Egress(["127.0.0.0/8"]), connections=4)
    server.script.append(scripted.trickle(b"HTTP/1.1 500 No\r\nContent-Length: 60000\r\n\r\n"))
    found = await target.send(_to(server, "always"), make_message())
    assert (found, found.kept) == (Retry("HTTP 500"), None)
    await target.close()


async def test_timings__of_a_new_connection_and_of_one_that_was_there(
    server: ScriptedServer, target: HttpTarget
) -> None:
    server.script += [answer(500), answer(500)]
    first, second = [(await target.send(_to(server), make_message())).kept for _ in range(2)]
    assert first is not None
    assert second is not None
    assert server.connections == 1
    timings = first.timings
    assert timings.dns is not None
    assert timings.connect is not None
    assert timings.tls is None
    assert timings.dns + timings.connect + timings.first_byte <= timings.whole
    assert (second.timings.dns, second.timings.connect, second.timings.tls) == (None, None, None)


LONG = b"x" * 60_000
HEAD = b"HTTP/1.1 503 No\r\nContent-Length: 60000\r\n\r\n"
CHUNKED = b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n"


async def _reset_after(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"begun")
    await writer.drain()
    writer.transport.abort()


@pytest.mark.parametrize(
    ("step", "begin"),
    [
        (raw(HEAD + LONG), b"x" * MAX_BODY),
        (raw(HEAD + b"begun"), b"begun"),
        (then_cut(raw(HEAD + b"begun")), b"begun"),
        (scripted.trickle(HEAD), b""),
        (raw(CHUNKED + b"5\r\nbegun\r\nnonsense"), b"begun"),
        (then_cut(raw(CHUNKED + b"5\r\nbegun\r\n")), b"begun"),
        (raw(CHUNKED + b"1\r\nx\r\n" * 20_000), b"x"),
        (_reset_after, b""),
    ],
)
async def test_body__that_does_not_end_changes_nothing(
    server: ScriptedServer, target: HttpTarget, step: Step, begin: bytes
) -> None:
    """The status alone says what becomes of the firing, and the connection is used no more."""
    found, kept = await _kept(server, target, step)
    assert found == Retry("HTTP 503")
    assert kept.cut
    assert kept.body.startswith(begin)
    assert len(kept.body) <= MAX_BODY
    await asyncio.wait_for(server.closed.wait(), 30)
    assert await target.send(_to(server), make_message()) == Delivered(None)
    assert server.connections == 2


async def test_body__of_a_success_that_streams_for_ever_ends_too(
    server: ScriptedServer, target: HttpTarget
) -> None:
    server.script.append(scripted.trickle(b"HTTP/1.1 200 OK\r\n\r\n"))
    found = await target.send(_to(server, "always"), make_message())
    assert found == Delivered(None)
    assert found.kept is not None
    assert found.kept.cut


@pytest.mark.parametrize("step", [scripted.cut, scripted.reset, raw(b"HTTP/1.1 503 N"), raw(b"\0" * 100)])
async def test_head__without_one_nothing_is_kept(
    server: ScriptedServer, target: HttpTarget, step: Step
) -> None:
    server.script.append(then_cut(step))
    found = await target.send(_to(server, "always"), make_message())
    assert isinstance(found, Unknown)
    assert found.kept is None


async def test_head__requests_keep_their_connection(server: ScriptedServer, target: HttpTarget) -> None:
    for status in (200, 503, 200):
        server.script.append(raw(b"HTTP/1.1 %d Status\r\nContent-Length: 500\r\n\r\n" % status))
        found = await target.send(_to(server, "always", "head"), make_message())
        assert found == (Delivered(None) if status == 200 else Retry("HTTP 503"))
        assert found.kept is not None
        assert (found.kept.body, found.kept.cut) == (b"", False)
    assert server.connections == 1


async def test_headers__are_bounded_and_hold_no_secrets(server: ScriptedServer, target: HttpTarget) -> None:
    lines = [
        f"Set-Cookie: a={CANARY}",
        f"X-Api-Key: {CANARY}",
        f"X-Debug: token={CANARY}",
        f"Location: https://user:{quote(CANARY, safe='')}@example.com/in?token={CANARY}",
        "X-Plain: text",
        f"X-Long: {'y' * 3000}",
        *(f"X-{number}: {'z' * 500}" for number in range(20)),
        "X-Last: text",
    ]
    step = raw("\r\n".join(["HTTP/1.1 302 Found", "Content-Length: 0", *lines, "", ""]).encode())
    found, kept = await _kept(server, target, step)
    assert isinstance(found, Refused)
    assert CANARY not in repr(kept.headers)
    assert kept.headers["set-cookie"] == kept.headers["x-api-key"] == kept.headers["x-debug"] == "***"
    assert kept.headers["location"] == "https://***@example.com/in?token=***"
    assert (kept.headers["x-plain"], kept.headers["x-long"]) == ("text", "y" * MAX_VALUE)
    assert "x-last" not in kept.headers
    assert kept.cut
    assert sum(len(name) + len(value) for name, value in kept.headers.items()) <= MAX_HEADER_BYTES


SECRET = f"p&s<{CANARY}"


@pytest.mark.parametrize(
    "echo",
    [
        lambda text: text,
        lambda text: quote(text, safe=""),
        escape,
        lambda text: json.dumps({"a": text}),
        lambda text: base64.b64encode(text.encode()).decode(),
        lambda text: base64.b64encode(f"user:{text}".encode()).decode(),
        lambda text: f"https://user:{quote(text, safe='')}@example.com/?token={quote(text, safe='')}",
    ],
)
async def test_secrets__that_a_receiver_echoes_are_not_kept(
    server: ScriptedServer, target: HttpTarget, echo: Any
) -> None:
    origin, written = server.url.removeprefix("http://"), quote(SECRET, safe="")
    public = {
        "delivery_http_method": "post",
        "delivery_http_url": f"http://***@{origin}/in?token=***&plain=here",
    }
    whole = f"http://user:{written}@{origin}/in?token={written}&plain=here"
    body = f"before {echo(SECRET)} here after"
    server.script.append(answer(500, body, X_Echo=echo(SECRET)))
    kept = (await target.send(Destination("http", public, {"delivery_http_url": whole}), make_message())).kept
    assert kept is not None
    for text in (SECRET, CANARY, written, escape(SECRET), base64.b64encode(SECRET.encode()).decode()):
        assert text not in kept.body.decode() + repr(kept.headers)
    assert kept.body.startswith(b"before ")
    assert kept.body.endswith(b" here after"), "what is shown of the URL is no secret"


@pytest.mark.parametrize("length", [3, 10, 19])
def test_secrets__that_are_cut_through_are_not_kept(length: int) -> None:
    secret = "canary-0123456789abcd"
    secrets = secrets_of([f"https://example.com/{secret}"], "https://example.com/***")
    came = Answer(500, {}, b"=" * 100 + secret[:length].encode(), cut=True)
    assert kept_of(came, secrets).body == b"=" * 100


def test_secrets__too_many_to_look_for_let_nothing_be_kept() -> None:
    url = "https://example.com/" + "/".join(f"part{number}" for number in range(65))
    assert secrets_of([url], "https://example.com/***") is None
    kept = kept_of(Answer(500, {"a": "b"}, b"body"), None)
    assert (kept.status, kept.headers, kept.body, kept.cut) == (500, {}, b"", True)


@given(st.binary(max_size=40), st.booleans())
def test_pack__says_what_was_there(body: bytes, cut: bool) -> None:
    found = unpack(pack({"a": "b"}, body, cut=cut))
    assert (found["headers"], found["cut"]) == ({"a": "b"}, cut)
    if found["encoding"] == "base64":
        assert base64.b64decode(found["body"]) == body
    else:
        assert body.startswith(found["body"].encode())
        assert len(body) - len(found["body"].encode()) <= (3 if cut else 0)


def test_pack__a_text_that_is_cut_within_a_character_stays_a_text() -> None:
    assert unpack(pack({}, "☕".encode()[:-1], cut=True))["body"] == ""
    assert unpack(pack({}, "☕".encode()[:-1], cut=False))["encoding"] == "base64"
    assert unpack(pack({}, os.urandom(64) + b"\xff\xff\xff\xff", cut=True))["encoding"] == "base64"


PASSWORD = "open:ses/ame"
BASIC = "Basic " + base64.b64encode(f"Aladdin:{PASSWORD}".encode()).decode()
SIGNING = [f"whsec_{base64.b64encode(bytes([n]) * 24).decode()}" for n in (1, 255)]


@pytest.mark.parametrize(
    ("secret", "hidden"),
    [
        ({"authorization": "Bearer t0ken-of-it"}, ["t0ken-of-it"]),
        ({"authorization": BASIC}, [PASSWORD, BASIC.removeprefix("Basic ")]),
        ({"headers": json.dumps({f"X-{n}": f"value-{n}-of-it" for n in range(30)})}, ["value-7-of-it"]),
        ({"delivery_http_signing_secret": ",".join(SIGNING)}, SIGNING),
    ],
)
async def test_secrets__of_a_connection_are_not_kept_in_any_way_that_they_are_known(
    server: ScriptedServer, target: HttpTarget, secret: dict[str, str], hidden: list[str]
) -> None:
    ways = [way for text in hidden for way in (text, quote(text, safe=""), json.dumps(text))]
    server.script.append(answer(403, f"Basic or Bearer? Aladdin, not {' '.join(ways)}"))
    plain = _to(server)
    kept = (await target.send(Destination("http", plain.public, secret), make_message())).kept
    assert kept is not None
    # What is no secret of it stays: a word for a kind of credentials, and who calls.
    assert kept.body.startswith(b"Basic or Bearer? Aladdin, not ***")
    assert not [way for way in ways if way.encode() in kept.body]


@given(st.text("ab", max_size=12), st.text("ab", min_size=3, max_size=8))
def test_secrets__of_a_body_that_ends_within_one_nothing_is_kept(came: str, secret: str) -> None:
    kept = kept_of(Answer(500, {}, came.encode(), cut=True), [secret]).body.decode()
    left = came.replace(secret, "***")
    begun = max((n for n in range(3, len(secret)) if left.endswith(secret[:n])), default=0)
    assert kept == left[: len(left) - begun]
