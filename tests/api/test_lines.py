"""A line of requests that wait for their share of the time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally import errors
from cronally.api.lines import EVERY, MAX_ASKERS, MAX_WAITING, FairLine, Line, TooManyWait


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def line_of(used: dict[str, float] | None = None, **options: Any) -> Line:
    """A line with one place that nobody is ahead of."""
    given = used or {}
    return Line(lambda asker: given.get(asker, 0.0), **{"share": 0.5, "burst": 0.1, "at_once": 1, **options})


async def wait(line: Line, asker: str) -> None:
    await line.wait(asker, asyncio.get_running_loop().create_future())


async def waiting(line: Line, *askers: str) -> list[asyncio.Task[None]]:
    """Those who wait; the place is taken."""
    await wait(line, "first")
    tasks = [asyncio.create_task(wait(line, asker), name=asker) for asker in askers]
    await asyncio.sleep(0)
    return tasks


async def next_of(line: Line, tasks: list[asyncio.Task[None]]) -> str:
    line.leave()
    (done,) = (await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED))[0]
    tasks.remove(done)
    return done.get_name()


async def end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_line__goes_to_who_has_used_the_least() -> None:
    line = line_of({"greedy": 2.0, "modest": 0.5})
    tasks = await waiting(line, "greedy", "greedy", "modest", "new")
    assert [await next_of(line, tasks) for _ in range(4)] == ["new", "modest", "greedy", "greedy"]


async def test_line__of_one_asker_in_the_order_of_asking() -> None:
    line = line_of()
    tasks = await waiting(line, "same", "same")
    first, second = tasks
    await next_of(line, tasks)
    assert first.done()
    assert not second.done()
    await next_of(line, tasks)


async def test_line__every_fourth_turn_is_the_longest_waitings() -> None:
    """However many come that have used less."""
    line = line_of({"old": 1.0, "older": 2.0})
    tasks = await waiting(line, "older", "old")
    order = []
    for number in range(8):
        tasks.append(asyncio.create_task(wait(line, f"new {number}"), name=f"new {number}"))
        await asyncio.sleep(0)
        order.append(await next_of(line, tasks))
    assert order == ["new 0", "new 1", "new 2", "older", "new 3", "new 4", "new 5", "old"]
    await end(tasks)


async def test_line__whose_answer_has_begun_is_not_refused() -> None:
    line = line_of({"begun": 9.0})
    await wait(line, "first")
    loop = asyncio.get_running_loop()
    begun = [loop.create_task(line.wait("begun", loop.create_future(), stays=True)) for _ in range(2)]
    others = [loop.create_task(wait(line, str(number))) for number in range(MAX_WAITING)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not any(task.done() for task in begun)
    refused = [task for task in others if task.done()]
    assert len(refused) == 2
    assert all(isinstance(task.exception(), TooManyWait) for task in refused)
    await end(begun + others)


async def test_line__of_answers_that_have_begun_none_is_refused() -> None:
    line = line_of()
    await wait(line, "first")
    loop = asyncio.get_running_loop()
    begun = [
        loop.create_task(line.wait("begun", loop.create_future(), stays=True)) for _ in range(MAX_WAITING + 1)
    ]
    await asyncio.sleep(0)
    assert not any(task.done() for task in begun)
    await end(begun)


async def test_line__a_place_that_nobody_waits_for_is_free() -> None:
    line = line_of()
    (task,) = await waiting(line, "late")
    await end([task])
    line.leave()
    await wait(line, "later")
    assert line.free == 0


async def test_line__a_turn_that_came_at_the_moment_of_a_cancellation_goes_on() -> None:
    line = line_of()
    one, other = await waiting(line, "one", "other")
    line.leave()
    one.cancel()
    await asyncio.wait([one])
    await other


async def test_line__who_is_given_up_takes_no_place() -> None:
    line = line_of()
    await wait(line, "first")
    turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(line.wait("gone", turn))
    (other,) = [asyncio.create_task(wait(line, "other"))]
    await asyncio.sleep(0)
    turn.set_exception(ConnectionError())
    with pytest.raises(ConnectionError):
        await task
    line.leave()
    await other
    line.leave()
    assert line.free == 1


@pytest.mark.parametrize("line", [line_of(), FairLine(1)], ids=["line", "fair"])
async def test_line__who_is_gone_leaves_nothing_behind(line: Line) -> None:
    """While no place is free, too: otherwise clients that connect again and again would make it ever longer."""
    await wait(line, "first")
    loop = asyncio.get_running_loop()
    for number in range(3):
        turn: asyncio.Future[None] = loop.create_future()
        task = loop.create_task(line.wait("gone", turn))
        await asyncio.sleep(0)
        if number:
            turn.set_exception(ConnectionError())
        else:
            task.cancel()
        await asyncio.wait([task])
    assert not line._waiting
    assert line.free == 0


async def test_line__too_many_wait_and_one_of_who_waits_most_is_refused() -> None:
    line = line_of({"alone": 9.0})
    tasks = await waiting(line, "alone", "many", "many", *map(str, range(MAX_WAITING - 2)))
    with pytest.raises(errors.Unavailable, match="too much to do"):
        await tasks.pop(1)
    assert not any(task.done() for task in tasks)
    await end(tasks)


async def test_line__of_as_many_each_the_greediest_is_refused() -> None:
    line = line_of({"greedy": 9.0})
    tasks = await waiting(line, "greedy", *map(str, range(MAX_WAITING)))
    with pytest.raises(errors.Unavailable):
        await tasks.pop(0)
    await end(tasks)


async def test_line__who_is_gone_is_not_counted_before_one_is_refused() -> None:
    line = line_of()
    tasks = await waiting(line, *map(str, range(MAX_WAITING)))
    await end(tasks[:1])
    one_more = asyncio.create_task(wait(line, "one more"))
    await asyncio.sleep(0)
    assert not any(task.done() for task in (*tasks[1:], one_more))
    await end([*tasks[1:], one_more])


async def test_line__that_has_used_its_share_waits_with_its_places_free() -> None:
    clock = Clock()
    line = line_of(clock=clock, burst=0.01, share=0.5)
    line.spend(0.02)  # 0.04 s of the line's time, of which the burst covers 0.02
    task = asyncio.create_task(wait(line, "one"))
    await asyncio.sleep(0)
    assert not task.done()
    assert line.free == 1
    clock.now += 0.03
    await task
    assert line.free == 0


async def test_line__that_was_quiet_may_be_ahead_by_the_burst_only() -> None:
    clock = Clock()
    line = line_of(clock=clock, burst=0.1, share=0.5)
    clock.now += 3600.0
    line.spend(0.09)
    await wait(line, "one")
    line.leave()
    line.spend(0.02)
    assert line._pause() == pytest.approx(0.02)


@given(st.lists(st.tuples(st.floats(0.0, 0.2), st.floats(0.0, 0.5)), max_size=50))
def test_line__never_lets_more_begin_than_its_share(work: list[tuple[float, float]]) -> None:
    """Against the sum of all that began: at any moment the share of the time since the start, and the burst."""
    clock = Clock()
    line = line_of(clock=clock, burst=0.1, share=0.25)
    started, spent = clock.now, 0.0
    for cost, quiet in work:
        clock.now += max(0.0, line._pause())
        assert spent <= 0.25 * (clock.now - started) + 0.1 + 1e-6
        line.spend(cost)
        spent += cost
        clock.now += quiet


async def queue(line: Line, *wanted: tuple[str, int]) -> list[asyncio.Task[None]]:
    """Those who wait, each for so many places."""
    loop = asyncio.get_running_loop()
    tasks = [
        loop.create_task(line.wait(asker, loop.create_future(), places), name=asker)
        for asker, places in wanted
    ]
    await asyncio.sleep(0)
    return tasks


async def served(line: Line, tasks: list[asyncio.Task[None]], places: dict[str, int]) -> str:
    """End the work of the one place that is lent; who goes next."""
    line.leave(line_taken(line))
    (done,) = (await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED))[0]
    tasks.remove(done)
    assert line_taken(line) == places[done.get_name()]
    return done.get_name()


def line_taken(line: Line) -> int:
    return 1 - line.free


async def test_fair_line__little_stands_behind_little_of_each_of_the_others() -> None:
    """However many requests they have begun with, and have used nothing before."""
    line, places = FairLine(1), {"first": 1, "large": 40, "other": 40, "small": 3}
    await wait(line, "first")
    tasks = await queue(line, *[("large", 40), ("other", 40)] * 10)
    assert await served(line, tasks, places) in ("large", "other")
    tasks += await queue(line, ("small", 3))
    assert await served(line, tasks, places) == "small"
    tasks += await queue(line, *[("small", 3)] * 30)
    order = [await served(line, tasks, places) for _ in range(20)]
    # The rest is every fourth turn, which is the longest waiting's, and no more of `small` than the others got.
    assert 12 <= order.count("small") <= 15
    await end(tasks)


async def test_fair_line__all_get_as_much() -> None:
    """Counted in places, not in requests."""
    line, places = FairLine(1), {"first": 1, "large": 8, "small": 2}
    await wait(line, "first")
    tasks = await queue(line, *[("large", 8)] * 20, *[("small", 2)] * 80)
    got = {"large": 0, "small": 0}
    for _ in range(50):
        one = await served(line, tasks, places)
        got[one] += places[one]
    assert got["small"] == pytest.approx(got["large"], abs=2 * EVERY * 8)
    await end(tasks)


async def test_fair_line__who_comes_late_does_not_catch_up() -> None:
    """It gets as much as the others from then on, not what they got before."""
    line, places = FairLine(1), {"first": 1, "old": 10, "new": 10}
    await wait(line, "first")
    tasks = await queue(line, *[("old", 10)] * 30)
    for _ in range(15):
        await served(line, tasks, places)
    tasks += await queue(line, *[("new", 10)] * 15)
    order = [await served(line, tasks, places) for _ in range(12)]
    # Every fourth turn is the longest waiting's.
    assert order.count("new") <= 6
    await end(tasks)


async def test_fair_line__who_was_served_before_it_was_full_owes_nothing() -> None:
    line, places = FairLine(1), {"first": 1, "old": 5, "new": 5}
    for _ in range(100):
        await line.wait("old", asyncio.get_running_loop().create_future(), 1)
        line.leave()
    await wait(line, "first")
    tasks = await queue(line, ("old", 5), ("new", 5))
    assert await served(line, tasks, places) == "old"
    await end(tasks)


async def test_fair_line__a_large_one_begins_while_a_place_is_free() -> None:
    line = FairLine(2)
    await line.wait("small", asyncio.get_running_loop().create_future(), 1)
    await line.wait("large", asyncio.get_running_loop().create_future(), 40)
    (task,) = await queue(line, ("late", 1))
    line.leave(1)
    await asyncio.sleep(0)
    assert not task.done()
    line.leave(40)
    await task
    assert line.free == 1


async def test_fair_line__the_longest_waiting_goes_though_others_come_for_ever() -> None:
    line, places = FairLine(1), {"first": 1, "large": 1000}
    await wait(line, "first")
    tasks = await queue(line, ("large", 1000))
    for number in range(EVERY):
        places[f"new {number}"] = 1
        tasks += await queue(line, (f"new {number}", 1))
    order = [await served(line, tasks, places) for _ in range(EVERY)]
    assert order == ["new 0", "new 1", "new 2", "large"]
    await end(tasks)


async def test_fair_line__refuses_nobody() -> None:
    line = FairLine(1)
    tasks = await waiting(line, *["many"] * (3 * MAX_WAITING))
    assert not any(task.done() for task in tasks)
    await end(tasks)


async def test_fair_line__remembers_askers_while_they_matter() -> None:
    line = FairLine(1)
    await wait(line, "first")
    tasks = await queue(line, ("stays", 1000))
    for number in range(MAX_ASKERS + 2):
        tasks += await queue(line, (str(number), 1))
        line._got = number  # as if others had been served
    assert len(line._ends) < MAX_ASKERS
    assert "stays" not in line._ends or line._ends["stays"] > line._got - 1
    await end(tasks)


async def test_fair_line__a_cancelled_one_gives_its_places_back() -> None:
    line = FairLine(3)
    await line.wait("first", asyncio.get_running_loop().create_future(), 3)
    (task,) = await queue(line, ("gone", 40))
    line.leave(3)
    task.cancel()
    await asyncio.wait([task])
    assert line.free == 3


async def test_fair_line__of_many_requests_of_one_asker_the_second_stands_behind_anothers_first() -> None:
    line, places = FairLine(1), {"first": 1, "many": 5, "one": 5}
    await wait(line, "first")
    tasks = await queue(line, *[("many", 5)] * 3, ("one", 5))
    assert [await served(line, tasks, places) for _ in range(4)] == ["many", "one", "many", "many"]
