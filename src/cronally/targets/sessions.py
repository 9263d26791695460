"""What is got from somebody with credentials, and used for a while: sessions of roles, access tokens.

Invariant: it is kept in memory alone, by a name that is a hash of all that it was got with; there are `capacity` of
them at most, and the one that was used longest ago goes first. Of one name one question is under way at a time:
whoever else needs the answer waits for it, each for its own time, and a question that nobody waits for any more ends.
So there are never more questions than there are requests that need them.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")

FAILED_SECONDS: Final = 5.0
"""How long what was refused is not asked for again: not every firing of a minute need ask."""
DOUBTED_SECONDS: Final = 60.0
"""How old one is, at the least, that is given up because a request with it was refused, and none was taken before."""


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    """What was said to a question."""

    said: T
    at: float
    """When it was asked, by the monotonic clock."""
    until: float
    """When it is used no longer."""


@dataclass(slots=True, eq=False)
class _Question(Generic[T]):
    """A question that is under way."""

    task: asyncio.Task[T]
    waiting: int = 0
    """How many requests wait for what is said."""


class Sessions(Generic[T]):
    """Keeps what was said. Belongs to one event loop."""

    def __init__(self, monotonic: Callable[[], float], capacity: int) -> None:
        self._monotonic = monotonic
        self._capacity = capacity
        self._kept: OrderedDict[bytes, Kept[T]] = OrderedDict()
        self._asking: dict[bytes, _Question[T]] = {}
        self._tasks: set[asyncio.Task[T]] = set()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, name: bytes) -> T | None:
        """What is kept, and may be used."""
        kept = self._kept.get(name)
        if kept is None or self._monotonic() >= kept.until:
            return None
        self._kept.move_to_end(name)
        return kept.said

    async def get(self, name: bytes, ask: Callable[[], Awaitable[Kept[T]]], ends: float) -> T:
        """What is kept, or is said now. Raises TimeoutError where nothing is said in time.

        :param ask: asks, where nobody does already
        :param ends: until when it is waited for, by the clock of the event loop
        """
        found = self.find(name)
        if found is not None:
            return found
        question = self._asking.get(name)
        if question is None:
            question = self._asking[name] = _Question(asyncio.create_task(self._ask(name, ask)))
            self._tasks.add(question.task)
            question.task.add_done_callback(self._tasks.discard)
        question.waiting += 1
        try:
            async with asyncio.timeout_at(ends):
                # One that gives up must not end the question for the others.
                return await asyncio.shield(question.task)
        finally:
            question.waiting -= 1
            if not question.waiting:
                question.task.cancel()
                if self._asking.get(name) is question:
                    del self._asking[name]

    def keep(self, name: bytes, kept: Kept[T]) -> T:
        """Keep what was said, and return it."""
        self._kept.pop(name, None)
        while len(self._kept) >= self._capacity:
            self._kept.popitem(last=False)
        self._kept[name] = kept
        return kept.said

    def drop(self, name: bytes, said: T | None = None, *, older: float = 0.0) -> None:
        """Give up what is kept.

        :param said: this alone, and nothing that took its place; whatever it is if not given
        :param older: seconds that it is old at the least
        """
        kept = self._kept.get(name)
        if kept is None or (said is not None and kept.said is not said):
            return
        if self._monotonic() >= kept.at + older:
            del self._kept[name]

    async def close(self) -> None:
        """End what is asked, and forget what was said."""
        asking = list(self._tasks)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        self._kept.clear()

    async def _ask(self, name: bytes, ask: Callable[[], Awaitable[Kept[T]]]) -> T:
        return self.keep(name, await ask())
