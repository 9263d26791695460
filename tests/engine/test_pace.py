"""The pace: prompt sends are bounded, slow ones hold nobody up, nobody is forgotten."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.engine.pace import Pace, Place

FOREVER = 3600.0


async def _turns(count: int = 5) -> None:
    """Let everything that is ready run."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_pace__lets_in_as_many_as_are_wide_and_the_next_when_one_leaves() -> None:
    pace = Pace(2, FOREVER)
    first, _second = await pace.enter(), await pace.enter()
    third = asyncio.create_task(pace.enter())
    await _turns()
    assert not third.done()
    pace.leave(first)
    await third


async def test_pace__keeps_the_order_of_asking() -> None:
    pace = Pace(1, FOREVER)
    place = await pace.enter()
    order: list[int] = []

    async def send(number: int) -> None:
        mine = await pace.enter()
        order.append(number)
        pace.leave(mine)

    sends = [asyncio.create_task(send(number)) for number in range(10)]
    await _turns()
    pace.leave(place)
    await asyncio.gather(*sends)
    assert order == list(range(10))


async def test_pace__a_send_that_grows_old_gives_its_place_up_once() -> None:
    pace = Pace(1, 0.0)
    old = await pace.enter()
    second = await pace.enter()
    pace.leave(old)
    third = await pace.enter()
    pace.leave(second)
    pace.leave(third)
    # What is free again is the one place there was.
    patient = Pace(1, FOREVER)
    patient._free = pace._free
    await patient.enter()
    waiting = asyncio.create_task(patient.enter())
    await _turns()
    assert not waiting.done()
    waiting.cancel()


async def test_pace__a_cancelled_waiter_loses_no_place() -> None:
    pace = Pace(1, FOREVER)
    place = await pace.enter()
    gone = asyncio.create_task(pace.enter())
    stays = asyncio.create_task(pace.enter())
    await _turns()
    gone.cancel()
    pace.leave(place)
    await stays


async def test_pace__a_waiter_cancelled_as_its_turn_comes_passes_it_on() -> None:
    pace = Pace(1, FOREVER)
    place = await pace.enter()
    gone = asyncio.create_task(pace.enter())
    stays = asyncio.create_task(pace.enter())
    await _turns()
    pace.leave(place)
    gone.cancel()
    await stays
    with pytest.raises(asyncio.CancelledError):
        await gone


@given(st.lists(st.sampled_from(["enter", "leave", "cancel"]), max_size=60), st.integers(1, 4))
def test_pace__never_holds_more_than_its_width(actions: list[str], width: int) -> None:
    async def run() -> None:
        pace = Pace(width, FOREVER)
        waiting: list[asyncio.Task[Place]] = []
        inside: list[Place] = []
        for action in actions:
            if action == "enter":
                waiting.append(asyncio.create_task(pace.enter()))
            elif action == "leave" and inside:
                pace.leave(inside.pop(0))
            elif action == "cancel" and waiting:
                waiting.pop().cancel()
            await _turns()
            inside += [task.result() for task in waiting if task.done() and not task.cancelled()]
            waiting = [task for task in waiting if not task.done()]
            assert len(inside) <= width
            assert not waiting or len(inside) == width
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(run())


async def test_pace__all_that_grow_old_at_one_look_leave_nobody_forgotten() -> None:
    """The loop was busy for longer than the patience; whoever is let in then grows old like any other."""
    pace = Pace(2, 0.001)
    for _ in range(2):
        await pace.enter()
    waiting = [asyncio.create_task(pace.enter()) for _ in range(6)]
    await _turns()
    time.sleep(0.005)  # noqa: ASYNC251 - this is the busy loop
    async with asyncio.timeout(10):
        await asyncio.gather(*waiting)
