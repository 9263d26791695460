"""The work of handshakes between everything else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from cronally.targets.handshakes import PORTION, Handshakes


class Work:
    """Steps that take a while by a clock of their own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.done: list[str] = []

    def step(self, name: str, seconds: float = PORTION / 4) -> Callable[[], None]:
        def run() -> None:
            self.now += seconds
            self.done.append(name)

        return run


async def test_accounts__take_turns() -> None:
    work = Work()
    those = Handshakes(lambda: 0.0)
    for number in range(3):
        those.add("a", work.step(f"a{number}"))
    those.add("b", work.step("b0"))
    those.add("c", work.step("c0"))
    those.add("b", work.step("b1"))
    assert not work.done, "not in the middle of what goes on"
    await asyncio.sleep(0)
    assert work.done == ["a0", "b0", "c0", "a1", "b1", "a2"]


async def test_portion__and_then_everything_else_has_its_turn() -> None:
    work = Work()
    those = Handshakes(lambda: work.now)
    for number in range(10):
        those.add("a", work.step(str(number)))
    turns = []
    while len(work.done) < 10:
        await asyncio.sleep(0)
        turns.append(len(work.done))
    assert turns == [4, 8, 10]


async def test_portion__one_step_at_least() -> None:
    work = Work()
    those = Handshakes(lambda: work.now)
    those.add("a", work.step("0", seconds=1.0))
    those.add("a", work.step("1", seconds=1.0))
    await asyncio.sleep(0)
    assert work.done == ["0"]
    await asyncio.sleep(0)
    assert work.done == ["0", "1"]


async def test_steps__may_add_more() -> None:
    work = Work()
    those = Handshakes(lambda: work.now)
    those.add("a", lambda: those.add("a", work.step("second")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert work.done == ["second"]
