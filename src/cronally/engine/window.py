"""How many requests a node has under way at once: as many as its event loop keeps up with.

Everything that a firing needs takes several turns of the event loop: its tick, its claim, its request. When requests
make a turn long, as a thousand TLS handshakes at one second do, everybody's firings are late by many times that. So
what is claimed is bounded by how late the loop is; the rest waits in the ledger, where accounts take turns.

Invariant: `size` stays between `LEAST` and the node's places. It shrinks by a quarter whenever the loop is later than
`LATE`, and grows by an eighth when it is not and half of the window is used: a node that keeps up is not bounded.
Requests that have waited for their targets for longer than is quick (`shares`) do not count: the loop has nothing to do
for them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from cronally.engine.shares import QUICK

LATE: Final = 0.007
"""Seconds."""
LOOK: Final = 0.02
"""Seconds between two looks at how late the loop is."""
FIRST: Final = 64
"""The size of a node that has just started."""
LEAST: Final = 32
AVERAGE: Final = 32
"""How many requests the average of the firings in one goes back."""


class Request:
    """One that is under way."""

    __slots__ = ("counts", "until")

    def __init__(self, until: float) -> None:
        self.counts = True
        self.until = until


class Window:
    """Of one node. Belongs to one event loop."""

    def __init__(self, first: int | None, most: int, monotonic: Callable[[], float]) -> None:
        """
        :param first: the size before anything is known; None for a window that is always `most`
        :param most: the node's places in flight
        :param monotonic: seconds
        """
        self._most = most
        self._adapts = first is not None
        self._monotonic = monotonic
        self._timer: asyncio.TimerHandle | None = None
        self._used = 0
        self._under_way: deque[Request] = deque()
        """In the order in which they began, those that ended still among them until they are passed."""
        self._together = 1.0
        """Firings in one request, lately."""
        self.size = most if first is None else min(first, most)

    @property
    def free(self) -> int:
        """How many firings more may be sent: as many as went out in that many requests lately."""
        return max(0, int((self.size - self.used) * self._together))

    @property
    def used(self) -> int:
        """How many requests are under way that their targets do not let wait."""
        now = self._monotonic()
        while self._under_way and (not self._under_way[0].counts or self._under_way[0].until <= now):
            self.end(self._under_way.popleft())
        return self._used

    def begin(self, firings: int) -> Request:
        """A request with so many firings begins; give it back with `end`."""
        request = Request(self._monotonic() + QUICK)
        self._under_way.append(request)
        self._used += 1
        self._together += (firings - self._together) / AVERAGE
        self._watch()
        return request

    def end(self, request: Request) -> None:
        """A request has ended."""
        if request.counts:
            request.counts = False
            self._used -= 1

    def _watch(self) -> None:
        """Look at how late the loop is for as long as requests are under way."""
        if self._adapts and self._timer is None:
            loop = asyncio.get_running_loop()
            at = loop.time() + LOOK
            self._timer = loop.call_at(at, self._come, loop, at)

    def _come(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        self._timer = None
        used = self.used
        self.learn(loop.time() - at, used)
        if used:
            self._watch()

    def learn(self, late: float, used: int) -> None:
        """The loop came so many seconds late while so much of the window was used."""
        if late > LATE:
            self.size = max(min(LEAST, self._most), self.size * 3 // 4)
        elif 2 * used >= self.size:
            self.size = min(self._most, self.size + max(1, self.size // 8))
