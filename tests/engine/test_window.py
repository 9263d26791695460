"""How many sends are under way at once, by how late the event loop is."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.engine.shares import QUICK
from cronally.engine.window import FIRST, LATE, LEAST, Window


def test_late__shrinks_to_the_least_and_grows_again_while_it_is_used() -> None:
    it = Window(FIRST, 512, lambda: 0.0)
    assert it.size == FIRST
    it.learn(LATE * 2, 64)
    assert it.size == 48
    for _ in range(10):
        it.learn(LATE * 2, 64)
    assert it.size == LEAST
    it.learn(0.0, LEAST // 2 - 1)
    assert it.size == LEAST, "what is not used tells nothing"
    looks = 0
    while it.size < 512:
        it.learn(0.0, it.size)
        looks += 1
    assert looks <= 26, "half a second"


def test_few_places__are_never_bounded_below() -> None:
    it = Window(FIRST, 4, lambda: 0.0)
    assert it.size == 4
    it.learn(1.0, 4)
    assert it.size == 4


async def test_no_first_size__is_as_large_as_the_places_always() -> None:
    it = Window(None, 512, lambda: 0.0)
    it.begin(1)
    assert (it.size, it.free, it._timer) == (512, 511, None)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 600))), st.integers(1, 600))
def test_size__stays_between_its_bounds(looks: list[tuple[float, int]], most: int) -> None:
    it = Window(FIRST, most, lambda: 0.0)
    for late, used in looks:
        it.learn(late, used)
        assert min(LEAST, most) <= it.size <= most


async def test_used__counts_what_its_target_does_not_let_wait() -> None:
    now = 0.0
    it = Window(FIRST, 512, lambda: now)
    first, second = it.begin(1), it.begin(1)
    assert (it.used, it.free) == (2, FIRST - 2)
    it.end(second)
    it.end(second)
    assert it.used == 1
    now = QUICK
    assert it.used == 0, "it waits for its target"
    it.end(first)
    assert it.used == 0


async def test_free__in_firings_as_they_went_out_together() -> None:
    it = Window(FIRST, 512, lambda: 0.0)
    for _ in range(200):
        it.end(it.begin(10))
    assert it.free == pytest.approx(10 * FIRST, rel=0.02)


async def test_watch__looks_as_long_as_requests_are_under_way() -> None:
    looked = asyncio.Event()

    class Counted(Window):
        looks = 0

        def learn(self, late: float, used: int) -> None:
            self.looks += 1
            looked.set()

    it = Counted(FIRST, 512, lambda: 0.0)
    request = it.begin(1)
    for wanted in (1, 2):
        await looked.wait()
        looked.clear()
        assert it.looks == wanted
    it.end(request)
    await looked.wait()
    assert it._timer is None, "nothing is under way any more"
