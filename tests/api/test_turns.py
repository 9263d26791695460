"""Whose request is worked on next."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import pytest

from cronally import errors
from cronally.api import turns
from cronally.api.turns import AT_ONCE, LIGHT, MAX_WAITING, TakeTurns, Turns, name_asker, take_turn


async def _occupied() -> Turns:
    taken = Turns()
    for _ in range(AT_ONCE):
        await taken.wait("first")
    return taken


async def _waiting(taken: Turns, *askers: str) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(taken.wait(asker), name=asker) for asker in askers]
    await asyncio.sleep(0)
    return tasks


async def _next(taken: Turns, tasks: list[asyncio.Task[None]]) -> str:
    taken.leave()
    (done,) = (await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED))[0]
    tasks.remove(done)
    return done.get_name()


async def test_turns__go_to_who_has_used_the_least() -> None:
    taken = await _occupied()
    taken.add("greedy", 2.0)
    taken.add("modest", 0.5)
    tasks = await _waiting(taken, "greedy", "greedy", "modest", "new")
    assert [await _next(taken, tasks) for _ in range(4)] == ["new", "modest", "greedy", "greedy"]


async def test_turns__of_one_asker_in_the_order_of_asking() -> None:
    taken = await _occupied()
    tasks = await _waiting(taken, "same", "same")
    first = tasks[0]
    assert await _next(taken, tasks) == "same"
    assert first.done()
    assert not tasks[0].done()
    await _next(taken, tasks)


async def test_turns__a_place_that_nobody_waits_for_is_free() -> None:
    taken = await _occupied()
    taken.leave()
    await taken.wait("anybody")
    (task,) = await _waiting(taken, "late")
    assert not task.done()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    taken.leave()
    await taken.wait("later")


async def test_turns__that_came_at_the_moment_of_a_cancellation_goes_on() -> None:
    taken = await _occupied()
    one, other = await _waiting(taken, "one", "other")
    taken.leave()
    one.cancel()
    await asyncio.wait([one])
    await other


async def test_turns__too_many_wait_and_the_greediest_is_refused() -> None:
    taken = await _occupied()
    taken.add("greedy", 1.0)
    tasks = await _waiting(taken, "greedy", *["modest"] * MAX_WAITING)
    with pytest.raises(errors.Unavailable, match="too much to do"):
        await tasks[0]
    assert not any(task.done() for task in tasks[1:])
    for task in tasks[1:]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


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


async def _run(taken: Turns, app: Any) -> list[str]:
    sent: list[str] = []

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await TakeTurns(app, taken)({"type": "http"}, None, send)  # type: ignore[arg-type]
    return sent


async def test_middleware__counts_the_steps_of_one_request_alone() -> None:
    taken = Turns(time.thread_time)

    def app(seconds: float, asker: str) -> Any:
        async def work(scope: Any, _receive: Any, _send: Any) -> None:
            name_asker(scope, asker)
            await take_turn(scope)
            for _ in range(3):
                _burn(seconds)
                await asyncio.sleep(0)

        return work

    await asyncio.gather(_run(taken, app(0.02, "dear")), _run(taken, app(0.0, "cheap")))
    assert taken.used("dear") > 0.05
    assert taken.used("cheap") < 0.02


async def test_middleware__gives_the_turn_back_before_the_answer_is_sent() -> None:
    taken = Turns()
    taken.add("one", LIGHT)
    free = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        name_asker(scope, "one")
        await take_turn(scope)
        free.append(taken._free)
        await send({"type": "http.response.start"})
        free.append(taken._free)
        await send({"type": "http.response.body"})

    assert await _run(taken, app) == ["http.response.start", "http.response.body"]
    assert free == [AT_ONCE - 1, AT_ONCE]
    assert taken._free == AT_ONCE


@pytest.mark.parametrize("error", [RuntimeError("broken"), asyncio.CancelledError()])
async def test_middleware__gives_the_turn_back_whatever_happens(error: BaseException) -> None:
    taken = Turns()
    taken.add("one", LIGHT)

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        name_asker(scope, "one")
        await take_turn(scope)
        await asyncio.sleep(0)
        raise error

    with pytest.raises(type(error)):
        await _run(taken, app)
    assert taken._free == AT_ONCE


async def test_middleware__who_is_nobody_takes_no_turn() -> None:
    taken = await _occupied()

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        await take_turn(scope)

    await _run(taken, app)
    await take_turn({})  # a request beside the middleware


async def test_middleware__who_has_used_little_does_not_wait() -> None:
    taken = await _occupied()
    taken.add("modest", LIGHT / 2)

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        name_asker(scope, "modest")
        await take_turn(scope)

    await _run(taken, app)


async def test_middleware__cancelled_while_it_waits() -> None:
    taken = Turns()
    taken.add("one", LIGHT)
    entered = asyncio.Event()

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        name_asker(scope, "one")
        await take_turn(scope)
        entered.set()
        await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(_run(taken, app))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert taken._free == AT_ONCE
