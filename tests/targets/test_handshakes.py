"""The work of handshakes beside the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from cronally.targets.handshakes import Handshakes


class Work:
    """Steps that say in which order they ran, and where. The first one waits until all have been added."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.then: list[str] = []
        self.threads: set[int] = set()
        self.begun = threading.Event()
        self.added = threading.Event()
        self.all = asyncio.Event()
        self.count = 0

    def step(self, name: str) -> Callable[[], Callable[[], None]]:
        self.count += 1

        def run() -> Callable[[], None]:
            self.begun.set()
            self.added.wait(60)
            self.threads.add(threading.get_ident())
            self.done.append(name)
            return lambda: self._end(name)

        return run

    def _end(self, name: str) -> None:
        assert threading.current_thread() is threading.main_thread()
        self.then.append(name)
        if len(self.then) == self.count:
            self.all.set()


async def test_accounts__take_turns_in_one_thread_beside_the_event_loop() -> None:
    work = Work()
    those = Handshakes()
    # The first of `a` may have begun before there is anything of the others.
    for name in ("a0", "a1", "a2", "b0", "c0", "b1"):
        those.add(name[0], work.step(name))
    work.added.set()
    await work.all.wait()
    assert work.done == work.then
    assert work.done[0] == "a0"
    assert sorted(work.done[1:4]) == ["a1", "b0", "c0"]
    assert sorted(work.done[4:]) == ["a2", "b1"]
    assert work.threads.isdisjoint({threading.get_ident()})
    assert len(work.threads) == 1
    those.close()


async def test_close__runs_no_more_and_refuses_none() -> None:
    work = Work()
    those = Handshakes()
    those.add("a", work.step("a0"))
    those.add("a", work.step("a1"))
    await asyncio.to_thread(work.begun.wait, 60)
    those.close()
    those.add("a", work.step("a2"))
    work.count = 1
    work.added.set()
    await work.all.wait()
    assert work.done == ["a0"]
