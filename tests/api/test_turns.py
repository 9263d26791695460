"""Whose request is worked on next."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import pytest
import starlette.requests
from starlette.requests import ClientDisconnect

from cronally import errors
from cronally.api import turns
from cronally.api.addresses import Addresses
from cronally.api.lines import EVERY, MAX_WAITING
from cronally.api.parameters import read_form_or_json, read_nothing, refuse_body
from cronally.api.take_turns import TakeTurns
from cronally.api.turns import (
    AT_ONCE,
    ESTIMATE,
    KEY,
    LIGHT,
    PLACE,
    PLACES,
    PROBES,
    STRANGERS,
    Turn,
    Turns,
    give_up,
    name_asker,
    take_next_turn,
    take_turn,
)
from cronally.fairness import ASKER, out_of_turn

ADDRESS = "192.0.2.1"


def test_used__is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    taken = Turns()
    taken.add("one", 8.0)
    now += turns.HALF_LIFE
    taken.add("other", 1.0)
    assert (taken.used("one"), taken.used("other"), taken.used("nobody")) == (4.0, 1.0, 0.0)


def test_used__is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MAX_ASKERS", 2)
    taken = Turns()
    for asker in ("one", "two", "one", "three"):
        taken.add(asker, 1.0)
    assert [taken.used(asker) for asker in ("one", "two", "three")] == [2.0, 0.0, 1.0]


def _burn(seconds: float) -> None:
    ends = time.thread_time() + seconds
    while time.thread_time() < ends:
        pass


class Request:
    """One request that goes through the middleware."""

    def __init__(
        self, taken: Turns, app: Any, *, known: bool = True, path: str = "/", blocked: bool = False
    ) -> None:
        self.scope: dict[str, Any] = {
            "type": "http",
            "method": "GET",
            "path": path,
            "http_version": "1.1",
            "headers": [],
            "client": (ADDRESS, 4321),
        }
        self.sent: list[Any] = []
        self.headers: list[Any] = []
        self.refused: list[str] = []
        self._work = TakeTurns(
            app,
            taken,
            Addresses(),
            lambda _address: known,
            refused=self.refused.append,
            is_blocked=lambda peer: blocked and peer == ADDRESS,
        )

    async def run(self) -> list[Any]:
        """What was sent: the status of an answer, and the types of its other parts."""

        async def send(message: Any) -> None:
            self.sent.append(message.get("status", message["type"]))
            self.headers += message.get("headers", [])

        await self._work(self.scope, None, send)  # type: ignore[arg-type]
        return self.sent


def occupied() -> Turns:
    """Whose turns are all taken."""
    taken = Turns()
    taken.heavy.free = taken.strangers.free = 0
    return taken


def asks_as(asker: str) -> Any:
    """An application that finds out who asks, and answers nothing."""

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        name_asker(scope, asker)
        await take_turn(scope)

    return app


async def test_middleware__counts_the_steps_of_one_request_alone() -> None:
    clock = iter(range(1000))
    taken = Turns(lambda: float(next(clock)))

    def app(steps: int, asker: str) -> Any:
        async def work(scope: Any, _receive: Any, _send: Any) -> None:
            name_asker(scope, asker)
            for _ in range(steps):
                await asyncio.sleep(0)

        return work

    await asyncio.gather(Request(taken, app(5, "dear")).run(), Request(taken, app(1, "cheap")).run())
    # The clock goes on by one at each look: one for each step, whatever runs between them.
    assert (taken.used("dear"), taken.used("cheap")) == (6.0, 2.0)


async def test_middleware__gives_the_turn_back_before_the_answer_is_sent() -> None:
    taken = Turns()
    taken.add("one", LIGHT)
    free = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        name_asker(scope, "one")
        await take_turn(scope)
        free.append(taken.heavy.free)
        await send({"type": "http.response.start"})
        free.append(taken.heavy.free)
        await send({"type": "http.response.body"})

    assert await Request(taken, app).run() == ["http.response.start", "http.response.body"]
    assert free == [AT_ONCE - 1, AT_ONCE]
    assert taken.heavy.free == AT_ONCE


@pytest.mark.parametrize("error", [RuntimeError("broken"), asyncio.CancelledError()])
@pytest.mark.parametrize("known", [True, False])
async def test_middleware__gives_the_turn_back_whatever_happens(error: BaseException, known: bool) -> None:
    taken = Turns()
    taken.add("one", LIGHT)

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        if known:
            name_asker(scope, "one")
            await take_turn(scope)
        await asyncio.sleep(0)
        raise error

    with pytest.raises(type(error)):
        await Request(taken, app, known=known).run()
    assert (taken.heavy.free, taken.strangers.free) == (AT_ONCE, STRANGERS)


async def test_middleware__who_has_used_little_does_not_wait() -> None:
    taken = occupied()
    taken.add("modest", LIGHT / 2)
    await Request(taken, asks_as("modest")).run()
    await take_turn({})  # a request beside the middleware


async def test_middleware__a_stranger_waits_before_anything_is_done_for_it() -> None:
    taken = occupied()
    began = asyncio.Event()

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        began.set()

    task = asyncio.create_task(Request(taken, app, known=False).run())
    await asyncio.sleep(0)
    assert not began.is_set()
    taken.strangers.leave()
    await task
    assert began.is_set()
    assert taken.strangers.free == 1


async def test_middleware__who_named_itself_holds_no_turn_of_strangers() -> None:
    """So a body that arrives slowly holds up no other stranger."""
    taken = Turns()
    free = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        free.append(taken.strangers.free)
        name_asker(scope, "account")
        free.append(taken.strangers.free)

    await Request(taken, app, known=False).run()
    assert free == [STRANGERS - 1, STRANGERS]


async def test_middleware__an_address_that_used_much_waits_like_an_account() -> None:
    """As one that signed requests come from, and that guesses keys too."""
    taken = occupied()
    taken.add(ADDRESS, LIGHT)
    task = asyncio.create_task(Request(taken, asks_as("account")).run())
    await asyncio.sleep(0)
    assert not task.done()
    taken.heavy.leave()
    await task


async def test_middleware__what_nobody_named_is_the_addresses() -> None:
    clock = iter(range(1000))
    taken = Turns(lambda: float(next(clock)))

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        await asyncio.sleep(0)

    await Request(taken, app, known=False).run()
    assert taken.used(ADDRESS) == 2.0
    with_work = taken.strangers._due - time.monotonic()
    assert with_work > 2.0, "the time of strangers counts for their line"


async def test_middleware__too_many_strangers_are_refused() -> None:
    taken = occupied()
    requests = [Request(taken, asks_as("account"), known=False) for _ in range(MAX_WAITING + 1)]
    tasks = [asyncio.create_task(request.run()) for request in requests]
    done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result()[0] for task in done] == [errors.Unavailable.status]
    (refused,) = (request for request in requests if request.sent)
    assert (b"connection", b"close") in refused.headers
    assert refused.refused == [ADDRESS], "and who floods is noticed"
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize("known", [True, False])
async def test_middleware__whose_client_is_gone_waits_no_longer(known: bool) -> None:
    taken = occupied()
    taken.add("account", LIGHT)
    request = Request(taken, asks_as("account"), known=known)
    task = asyncio.create_task(request.run())
    await asyncio.sleep(0)
    give_up(request.scope)
    with pytest.raises(ClientDisconnect):
        await task
    give_up(request.scope)
    give_up({})
    taken.heavy.leave()
    taken.strangers.leave()
    assert (taken.heavy.free, taken.strangers.free) == (1, 1), "it took no turn"


async def test_middleware__cancelled_while_it_works() -> None:
    taken = Turns()
    taken.add("one", LIGHT)
    entered = asyncio.Event()

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        name_asker(scope, "one")
        await take_turn(scope)
        entered.set()
        await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(Request(taken, app).run())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert taken.heavy.free == AT_ONCE


async def test_middleware__gives_way_before_each_step() -> None:
    ways: list[None] = []

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    scope = {"type": "http", "path": "/", "headers": [], "client": (ADDRESS, 1)}
    middleware = TakeTurns(app, Turns(), Addresses(), lambda _address: True, lambda: ways.append(None))
    await middleware(scope, None, None)  # type: ignore[arg-type]
    assert len(ways) == 3


async def test_middleware__a_blocked_address_loses_its_connection() -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send(
            {"type": "http.response.start", "status": 404, "headers": [(b"connection", b"keep-alive")]}
        )

    request = Request(Turns(), app, blocked=True)
    await request.run()
    assert request.headers == [(b"connection", b"close")]
    request = Request(Turns(), app)
    await request.run()
    assert request.headers == [(b"connection", b"keep-alive")]


async def test_middleware__a_stranger_that_waits_gets_its_turn_among_newer_ones() -> None:
    """Though each of them has used less."""
    taken = occupied()
    taken.add("prober", 0.001)
    old, served = Turn(taken, "prober"), 0
    task = asyncio.create_task(old.begin(True))
    others: set[asyncio.Task[None]] = set()
    while not task.done():
        for number in range(8):
            others.add(asyncio.create_task(Turn(taken, f"{served} {number}").begin(True)))
        await asyncio.sleep(0)
        taken.strangers.leave()
        served += 1
        await asyncio.sleep(0)
    assert served == EVERY
    for other in others:
        other.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@pytest.mark.parametrize("known", [True, False])
async def test_middleware__a_probe_waits_for_no_others(known: bool) -> None:
    taken = occupied()
    taken.add(ADDRESS, LIGHT)
    answered = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        answered.append((scope["path"], taken.probes.free))

    for path in ("/healthz", "/healthz/", "/readyz", "/readyz/"):
        await Request(taken, app, known=known, path=path).run()
        assert answered.pop() == (path, PROBES - 1)
    assert taken.probes.free == PROBES


async def test_middleware__probes_have_a_share_of_their_own() -> None:
    taken = Turns()
    taken.probes.free = 0
    task = asyncio.create_task(Request(taken, asks_as("one"), known=False, path="/healthz").run())
    await asyncio.sleep(0)
    assert not task.done()
    taken.probes.leave()
    await task


async def test_take__requests_that_begin_together_count_for_each_other() -> None:
    """What they use is known when they have ended; meanwhile each counts for an estimate."""
    taken = Turns()
    taken.light.free = 100_000
    taken.heavy.free = 0
    requests = [Turn(taken, "account") for _ in range(200)]
    tasks = [asyncio.create_task(request.take()) for request in requests]
    await asyncio.sleep(0)
    begun = [request for request, task in zip(requests, tasks, strict=True) if task.done()]
    assert len(begun) == pytest.approx(LIGHT / ESTIMATE, abs=1)
    for request in begun:
        request.seconds = 0.001
        request.settle()
    assert taken.used("account") == pytest.approx(0.001 * len(begun))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert taken.used("account") == pytest.approx(0.001 * len(begun)), "who never began counts for nothing"


async def test_take__an_estimate_goes_back_to_who_it_was_counted_for() -> None:
    taken = Turns()
    turn = Turn(taken, ADDRESS)
    await turn.begin(False)
    await turn.take()
    assert taken.used(ADDRESS) == ESTIMATE
    turn.name("account", None)
    assert (taken.used(ADDRESS), taken.used("account")) == (0.0, 0.0)
    await turn.take()
    assert taken.used("account") == ESTIMATE
    turn.settle()
    assert taken.used("account") == 0.0


async def test_take__a_light_request_waits_for_what_others_have_begun() -> None:
    """As long as little of it is at work; and who wants little goes before who wants much."""
    taken = Turns()
    large, small = 40 * PLACE, PLACE
    attack = [Turn(taken, f"account {number % 20}") for number in range(200)]
    tasks = [asyncio.create_task(turn.take(large)) for turn in attack]
    await asyncio.sleep(0)
    begun = [turn for turn, task in zip(attack, tasks, strict=True) if task.done()]
    assert len(begun) == -(-PLACES // 40)
    task = asyncio.create_task(Turn(taken, "bystander").take(small))
    await asyncio.sleep(0)
    assert not task.done()
    begun[0].settle()
    assert taken.light.free <= 0, "two have begun with more than there is"
    begun[1].settle()
    await task
    for turn, one in zip(attack, tasks, strict=True):
        one.cancel()
        turn.settle()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(
    ("method", "query", "body", "expected"),
    [
        ("GET", None, b"", turns.SHOW),
        ("DELETE", None, b"", turns.CHANGE),
        ("GET", "limit=100", b"", turns.SEARCH),
        ("PATCH", None, b"name=" + b"x" * 995, turns.CHANGE + 1000 * turns.BYTE),
    ],
)
async def test_take__what_is_expected_goes_by_the_request(
    method: str, query: str | None, body: bytes, expected: float
) -> None:
    taken = Turns()
    turn = Turn(taken, "account")
    scope = {"type": "http", "method": method, "query_string": (query or "").encode(), "headers": []}

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    request = starlette.requests.Request({**scope, KEY: turn}, receive)
    if body:
        await read_form_or_json(request)
    elif query:
        await refuse_body(request)
    else:
        await read_nothing(request)
    assert taken.used("account") == pytest.approx(expected)
    assert PLACES - taken.light.free == pytest.approx(expected / PLACE, abs=0.5)
    turn.settle()


async def test_take__whose_other_requests_used_much_meanwhile_is_not_light_any_more() -> None:
    taken = occupied()
    taken.light.free = 0
    task = asyncio.create_task(Turn(taken, "account").take())
    await asyncio.sleep(0)
    taken.add("account", LIGHT)
    taken.light.leave()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not task.done()
    assert taken.light.free == 1, "its place is another's"
    taken.heavy.leave()
    await task


async def test_take__places_are_lent_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that hangs in the database holds nothing that the others need."""
    monkeypatch.setattr(turns, "LENT", 0.0)
    taken = Turns()
    turn = Turn(taken, "account")
    await turn.take(PLACES * PLACE)
    assert taken.light.free == 0
    other = Turn(taken, "other")
    await other.take()
    turn.settle()
    other.settle()
    assert taken.light.free == PLACES, "given back once"


async def test_name__the_time_of_an_account_is_not_the_strangers() -> None:
    clock = iter(range(1000))
    taken = Turns(lambda: float(next(clock)))

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        await asyncio.sleep(0)
        name_asker(scope, "account")
        await asyncio.sleep(0)

    await Request(taken, app, known=False).run()
    # Of three steps the first one was a stranger's; in the second it said who it is.
    assert (taken.used(ADDRESS), taken.used("account")) == (1.0, 2.0)
    assert taken.strangers._due - time.monotonic() == pytest.approx(1.0 / turns.STRANGE, abs=0.5)


async def test_name__a_stranger_without_an_account_stays_one() -> None:
    clock = iter(range(1000))
    taken = Turns(lambda: float(next(clock)))

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        name_asker(scope, ADDRESS)
        await asyncio.sleep(0)

    await Request(taken, app, known=False).run()
    assert taken.strangers._due - time.monotonic() == pytest.approx(2.0 / turns.STRANGE, abs=0.5)


async def test_count__time_of_another_thread_is_the_askers() -> None:
    taken = Turns(lambda: 0.0)
    asker: Any = None
    spent = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        nonlocal asker
        name_asker(scope, "account", lambda asker, seconds: spent.append((asker, seconds)))
        asker = ASKER.get()
        asker.count(2.0)

    await Request(taken, app).run()
    assert (taken.used("account"), ASKER.get()) == (2.0, None)
    asker.count(1.0)  # of a request whose client is gone
    assert taken.used("account") == 3.0
    assert spent == [("account", 2.0), ("account", 1.0)]


async def test_take_next__whose_answer_has_begun_is_not_refused() -> None:
    taken = occupied()
    taken.add("lists", LIGHT)
    parts = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        name_asker(scope, "lists")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await take_next_turn(scope)
        parts.append("next")

    lists = [asyncio.create_task(Request(taken, app).run()) for _ in range(2)]
    await asyncio.sleep(0)
    others = [asyncio.create_task(Turn(taken, "lists").take()) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sum(task.done() for task in others) == 2
    taken.heavy.leave()
    taken.heavy.leave()
    await asyncio.gather(*lists)
    assert parts == ["next", "next"]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@pytest.mark.parametrize("problem", [None, ValueError()])
async def test_out_of_turn__who_waits_for_what_is_out_there_holds_no_turn(problem: Exception | None) -> None:
    taken = Turns(lambda: 0.0)
    free: list[int] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        await take_turn(scope)
        free.append(taken.light.free)
        with contextlib.suppress(ValueError):
            async with out_of_turn():
                free.append(taken.light.free)
                if problem is not None:
                    raise problem
        free.append(taken.light.free)

    await Request(taken, app).run()
    assert free == [PLACES - 10, PLACES, PLACES - 10]
