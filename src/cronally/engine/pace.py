"""The pace: how many sends run side by side while their target answers promptly.

More requests at once than it takes to keep the wire busy only cost: at 512 connections a publish takes half as much CPU
again as at 64. But a target that is slow must not hold up the others. So a send holds a place only while it is young.

Invariant: at most `width` sends that are younger than `patience` hold a place; a send that waits gets in as soon as one
ends or grows older than that, accounts in turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from cronally.fairness import Rotation

WIDTH: Final = 96
PATIENCE: Final = 0.015
"""Seconds. A target that never answers lets `WIDTH / PATIENCE` = 6,400 sends a second pass."""


class Pace:
    """Lets sends begin. Belongs to one event loop."""

    def __init__(self, width: int = WIDTH, patience: float = PATIENCE) -> None:
        """
        :param patience: seconds
        """
        self._free = width
        self._patience = patience
        self._waiting: Rotation[asyncio.Future[None]] = Rotation()
        # Young sends in the order in which they began, those that ended still among them until they are passed.
        self._young: deque[Place] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def enter(self, account_id: str = "") -> Place:
        """Wait for a place; give it back with `leave`.

        :param account_id: whose turn it takes
        """
        loop = asyncio.get_running_loop()
        if self._free == 0:
            turn = loop.create_future()
            self._waiting.add(account_id, turn)
            self._watch(loop)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    # It got the place at the same moment: pass it on.
                    self._release()
                raise
        else:
            self._free -= 1
        place = Place(loop.time() + self._patience)
        self._young.append(place)
        # The young before it may all have grown old at one look, which left no send to set the timer by.
        self._watch(loop)
        return place

    def leave(self, place: Place) -> None:
        """End a send; its place goes to who waits longest, unless it grew old and gave it up before."""
        if place.held:
            place.held = False
            self._release()
        while self._young and not self._young[0].held:
            self._young.popleft()

    def _release(self) -> None:
        while self._waiting:
            turn = self._waiting.take()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """While a send waits, look again when the oldest young send grows old."""
        if self._timer is None and self._young and self._waiting:
            self._timer = loop.call_at(self._young[0].until, self._age, loop)

    def _age(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        while self._young and self._waiting and (self._young[0].until <= now or not self._young[0].held):
            self.leave(self._young.popleft())
        self._watch(loop)


class Place:
    """A young send's place."""

    __slots__ = ("held", "until")

    def __init__(self, until: float) -> None:
        self.held = True
        self.until = until
