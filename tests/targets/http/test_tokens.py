"""Requests with access tokens, over real sockets: a receiver, and a token endpoint that follows a script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from cronally.targets import connection
from cronally.targets.egress import Egress
from cronally.targets.http.grants import BEFORE_END, DEFAULT_LIFETIME, Grant
from cronally.targets.http.target import HttpTarget
from cronally.targets.http.tokens import MAX_HOLD, Tokens
from cronally.targets.proxy import parse_proxy
from cronally.targets.sessions import DOUBTED_SECONDS, FAILED_SECONDS, Kept, Sessions
from cronally.targets.target import Delivered, Destination, Outcome, Reply, Retry, Unauthorized
from tests.support import scripted
from tests.support.scripted import ScriptedServer, Step, answer, json_answer, raw, then_cut
from tests.targets.conftest import CANARY, SCHEDULED_AT, make_message

SECRET = f"{CANARY}/client"


def given(number: int = 0, **changes: Any) -> Step:
    token = {"access_token": f"{CANARY}token{number}", "token_type": "Bearer", "expires_in": 3600, **changes}
    return json_answer(200, {name: value for name, value in token.items() if value is not None})


class Clock:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class World:
    """A receiver, a token endpoint, and the target that asks both."""

    def __init__(self, receiver: ScriptedServer, endpoint: ScriptedServer) -> None:
        self.receiver = receiver
        self.endpoint = endpoint
        self.clock = Clock()
        self.target = self.made()
        self.grant = Grant(f"{endpoint.url}/token", "me", SECRET)

    def made(self, **given: Any) -> HttpTarget:
        settings = {"egress": Egress(["127.0.0.0/8"]), "total_timeout": 5, "keep_internal": True, **given}
        target = HttpTarget(clock=lambda: SCHEDULED_AT / 1e6, **settings)
        self.use(target)
        return target

    def use(self, target: HttpTarget, **given: Any) -> None:
        """Let its tokens age by the clock that is moved by hand."""
        tokens = target._tokens
        keeps = {"keep_internal": tokens._keeps_internal, "clock": tokens._clock, **given}
        target._tokens = Tokens(tokens._pool, tokens._egress, monotonic=self.clock, **keeps)

    def destination(self, account: str = "me", **changes: Any) -> Destination:
        public = {"delivery_http_method": "post", "delivery_http_url": f"{self.receiver.url}/in"}
        return Destination("http", public, {"grant": replace(self.grant, **changes).sealed()}, account)

    async def send(self, destination: Destination | None = None) -> Outcome:
        return await self.target.send(destination or self.destination(), make_message())

    @property
    def sent(self) -> list[str]:
        """The tokens that the receiver got, by their numbers."""
        begin = f"Bearer {CANARY}token"
        return [one.headers["authorization"].removeprefix(begin) for one in self.receiver.requests]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with ScriptedServer(answer(200)) as receiver, ScriptedServer(given()) as endpoint:
        made = World(receiver, endpoint)
        yield made
        await made.target.close()


async def test_send__asks_for_a_token_and_sends_it(world: World) -> None:
    assert await world.send() == Delivered(None)
    (asked,) = world.endpoint.requests
    assert (asked.method, asked.path) == ("POST", "/token")
    assert asked.headers["authorization"].startswith("Basic ")
    assert asked.form() == {"grant_type": "client_credentials"}
    assert world.sent == ["0"]
    assert CANARY not in repr(world.destination())


async def test_token__is_used_until_shortly_before_it_ends(world: World) -> None:
    world.endpoint.script.extend([given(1), given(2, expires_in=None), given(3)])
    for _ in range(2):
        await world.send()
    world.clock.now += 3600 - BEFORE_END - 1
    await world.send()
    world.clock.now += 1
    await world.send()
    world.clock.now += DEFAULT_LIFETIME - 1
    await world.send()
    world.clock.now += 1
    await world.send()
    assert world.sent == ["1", "1", "1", "2", "2", "3"]
    assert len(world.endpoint.requests) == 3


async def test_token__fifty_at_once_ask_for_one(world: World) -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def hesitate(writer: asyncio.StreamWriter) -> None:
        asked.set()
        await go.wait()
        await given()(writer)

    world.endpoint.otherwise = hesitate
    sending = [asyncio.create_task(world.send()) for _ in range(50)]
    await asked.wait()
    sending[0].cancel()  # whoever asked first may go: the others still get theirs
    go.set()
    found = await asyncio.gather(*sending, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [Delivered(None)] * 49
    assert len(world.endpoint.requests) == 1
    assert world.sent == ["0"] * 49


@pytest.mark.parametrize(
    "changes",
    [
        {"account": "another"},
        {"client_id": "other"},
        {"client_secret": "other"},
        {"scope": "a"},
        {"audience": "a"},
        {"client_authentication": "body"},
    ],
)
async def test_token__is_nobody_elses_and_of_no_change(world: World, changes: dict[str, str]) -> None:
    world.endpoint.script.extend([given(1), given(2)])
    await world.send()
    await world.send(world.destination(**changes))
    await world.send()
    assert world.sent == ["1", "2", "1"]


async def test_tokens__are_bounded(world: World) -> None:
    world.use(world.target, capacity=2)
    for scope in ("1", "2", "1", "3"):
        await world.send(world.destination(scope=scope))
    assert (len(world.target._tokens), len(world.endpoint.requests)) == (2, 3)
    await world.send(world.destination(scope="1"))
    assert len(world.endpoint.requests) == 3


async def test_refused__a_token_that_was_taken_before_is_thrown_away_once(world: World) -> None:
    world.endpoint.script.extend([given(1), given(2), given(3)])
    assert await world.send() == Delivered(None)
    world.receiver.otherwise = answer(401, f"Bearer {CANARY}token1 is over")
    found = await world.send()
    again = "HTTP 401: the access token is not taken any more; the next attempt gets a new one"
    assert found == Retry(again)
    assert found.kept is not None
    assert CANARY.encode() not in found.kept.body
    # The new one is refused, too: that is no matter of the token.
    for _ in range(3):
        assert await world.send() == Unauthorized("HTTP 401")
    assert world.sent == ["1", "1", "2", "2", "2"]
    # The receiver may only not have known it yet; when it is old it is given up.
    world.clock.now += DOUBTED_SECONDS
    assert await world.send() == Unauthorized("HTTP 401")
    world.receiver.otherwise = answer(200)
    assert await world.send() == Delivered(None)
    assert world.sent[-2:] == ["2", "3"]


async def test_refused__those_under_way_throw_away_their_own_token_alone(world: World) -> None:
    world.endpoint.script.extend([given(1), given(2)])
    await world.send()
    arrived, go = asyncio.Semaphore(0), asyncio.Event()

    async def refuse(writer: asyncio.StreamWriter) -> None:
        arrived.release()
        await go.wait()
        await answer(401)(writer)

    world.receiver.script.extend([answer(401), refuse, refuse])
    late = [asyncio.create_task(world.send()) for _ in range(3)]
    first, _ = await asyncio.wait(late, return_when=asyncio.FIRST_COMPLETED)
    for _ in range(2):
        await arrived.acquire()
    assert await world.send() == Delivered(None)
    go.set()
    assert all(isinstance(found, Retry) for found in await asyncio.gather(*late))
    assert len(first) == 1
    assert await world.send() == Delivered(None)
    assert world.sent == ["1", "1", "1", "1", "2", "2"]


async def test_refused__as_the_cron_job_wants_it(world: World) -> None:
    await world.send()
    world.receiver.otherwise = answer(401)
    wanted = world.destination()
    of_job = {**wanted.public, "delivery_http_success": ("401",)}
    assert await world.send(replace(wanted, public=of_job)) == Delivered(None)
    of_job = {**wanted.public, "delivery_http_refused_statuses": ("401",)}
    found = await world.send(replace(wanted, public=of_job))
    assert type(found).__name__ == "Refused"
    assert len(world.endpoint.requests) == 1
    await world.send()
    assert len(world.endpoint.requests) == 2, "it was thrown away all the same"


@pytest.mark.parametrize(
    ("step", "kind", "said"),
    [
        (json_answer(401, {"error": "invalid_client"}), Unauthorized, "HTTP 401: invalid_client"),
        (json_answer(400, {"error": "unauthorized_client"}), Unauthorized, "HTTP 400: unauthorized_client"),
        (answer(302, Location="http://127.0.0.1:1/"), Unauthorized, "redirects are not followed"),
        (answer(404), Unauthorized, "HTTP 404"),
        (answer(500), Retry, "HTTP 500"),
        (answer(200, "<html>"), Retry, "no JSON object"),
        (given(access_token=None), Retry, "without an access_token"),
        (given(access_token="a\r\nX: 1"), Retry, "cannot stand in a header"),
        (given(token_type="mac"), Retry, "not Bearer"),
        (given(expires_in=-1), Retry, "no number of seconds"),
        (answer(200, "x" * 100_000), Retry, "more than 32,768 bytes"),
        (raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 40_000), Retry, "the head of the answer is longer"),
        (raw(b"\x16\x03\x01" * 50), Retry, "is not HTTP"),
        (scripted.cut, Retry, "the connection was cut"),
        (scripted.reset, Retry, "no answer: "),
        (then_cut(raw(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"access')), Retry, "not all of them"),
    ],
)
async def test_endpoint__what_goes_wrong_is_said_and_not_asked_again_for_seconds(
    world: World, step: Step, kind: type[Outcome], said: str
) -> None:
    world.endpoint.script.append(step)
    found = await world.send()
    assert isinstance(found, kind)
    assert isinstance(found, Retry | Unauthorized)
    assert found.detail.startswith("not sent: no access token: " if kind is Retry else "no access token: ")
    assert said in found.detail
    assert CANARY not in found.detail
    assert await world.send() == found
    assert len(world.endpoint.requests) == 1
    world.clock.now += FAILED_SECONDS
    assert await world.send() == Delivered(None)
    assert world.sent == ["0"]


async def test_endpoint__that_trickles_has_two_seconds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BODY_SECONDS", 0.05)
    world.endpoint.script.append(scripted.trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{"))
    found = await world.send()
    assert isinstance(found, Retry)
    assert "not all of them in time" in found.detail


async def test_endpoint__that_hangs_takes_no_more_than_the_time_of_the_request(world: World) -> None:
    world.endpoint.otherwise = scripted.hang
    wanted = world.destination()
    short = replace(wanted, public={**wanted.public, "delivery_http_timeout": 50_000})
    found = await world.send(short)
    assert found == Retry("not sent: the token endpoint gave no access token in the time of the request")
    # Its account has as few places as one whose receiver hangs.
    assert found.reply is Reply.SILENT
    # Nobody waits for it any more, so it is asked no longer, and has no connection.
    sessions = world.target._tokens._sessions
    assert not sessions._asking
    await asyncio.gather(*sessions._tasks, return_exceptions=True)
    assert world.target._pool._busy == 0
    assert not world.receiver.requests


async def test_endpoint__the_pool_ends_what_hangs(world: World) -> None:
    await world.target.close()
    world.target = world.made(total_timeout=0.1)
    world.endpoint.otherwise = scripted.hang
    found = await world.send()
    assert isinstance(found, Retry)
    assert found.reply is Reply.SILENT
    assert not world.receiver.requests


@pytest.mark.parametrize(("asked", "held"), [("60", 60.0), ("1", FAILED_SECONDS), ("86400", MAX_HOLD)])
async def test_endpoint__that_asks_to_wait_is_let_wait(world: World, asked: str, held: float) -> None:
    world.endpoint.script.append(answer(429, Retry_After=asked))
    found = await world.send()
    assert found == Retry("not sent: no access token: the token endpoint answered HTTP 429", float(asked))
    world.clock.now += held - 1
    assert await world.send() == found
    world.clock.now += 1
    assert await world.send() == Delivered(None)
    assert len(world.endpoint.requests) == 2


async def test_endpoint__at_an_address_that_is_not_public_says_its_status_alone(world: World) -> None:
    await world.target.close()
    world.target = world.made(keep_internal=False)
    world.endpoint.otherwise = json_answer(401, {"error": "invalid_client", "error_description": "inside"})
    found = await world.send()
    assert found == Unauthorized("no access token: the token endpoint answered HTTP 401")


async def test_endpoint__only_where_the_operator_lets_requests_go(world: World) -> None:
    await world.target.close()
    world.target = world.made(egress=Egress())
    found = await world.send()
    assert isinstance(found, Unauthorized)
    assert found.detail.startswith("no access token: the host's address is not public")
    await world.target.close()
    world.target = world.made(egress=Egress(["127.0.0.0/8"], denied_hosts=["localhost"]))
    elsewhere = world.destination(token_url=f"http://localhost:{world.endpoint.port}/token")
    found = await world.send(elsewhere)
    assert isinstance(found, Unauthorized)
    assert "CRONALLY_HTTP_DENIED_HOSTS" in found.detail
    assert not world.endpoint.requests
    assert not world.receiver.requests


async def test_endpoint__through_the_operators_proxy(world: World) -> None:
    """The proxy is a server that takes nothing: what matters is who is asked."""
    async with ScriptedServer(answer(403)) as proxy:
        await world.target.close()
        world.target = world.made(proxy=parse_proxy(proxy.url))
        found = await world.send()
        assert isinstance(found, Retry)
        (asked,) = proxy.requests
        assert (asked.method, asked.path) == ("CONNECT", f"127.0.0.1:{world.endpoint.port}")
    assert not world.endpoint.requests


async def test_answer__that_is_kept_has_no_token(world: World) -> None:
    echo = json.dumps({"authorization": f"Bearer {CANARY}token0", "secret": SECRET})
    world.receiver.otherwise = answer(500, echo, X_Echo=f"{CANARY}token0")
    found = await world.send()
    assert isinstance(found, Retry)
    assert found.kept is not None
    assert CANARY.encode() not in found.kept.body
    assert CANARY not in str(found.kept.headers)


async def test_close__ends_what_is_asked(world: World) -> None:
    world.endpoint.otherwise = scripted.hang
    sending = asyncio.create_task(world.send())
    await world.endpoint.arrived.wait()
    await world.target.close()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert len(world.target._tokens) == 0


async def test_sessions__a_question_ends_when_nobody_waits_for_it() -> None:
    sessions, asking, never = Sessions[str](lambda: 0.0, 8), asyncio.Event(), asyncio.Event()

    async def ask() -> Kept[str]:
        asking.set()
        await never.wait()
        return Kept("said", 0.0, 1.0)

    later = asyncio.get_running_loop().time() + 60
    waiting = [asyncio.create_task(sessions.get(b"a", ask, later)) for _ in range(2)]
    await asking.wait()
    (question,) = sessions._asking.values()
    for task in waiting:
        assert not question.task.cancelled()
        task.cancel()
        await asyncio.wait([task])
    await asyncio.wait([question.task])
    assert question.task.cancelled()
    assert not sessions._asking
    never.set()
    assert await sessions.get(b"a", ask, later) == "said"
    assert sessions.find(b"a") == "said"
    await sessions.close()
