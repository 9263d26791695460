"""How many sends a node has under way at once: as many as its event loop keeps up with.

Everything that a firing needs takes several turns of the event loop: its tick, its claim, its request. When sends make
a turn long, as a thousand TLS handshakes at one second do, everybody's firings are late by many times that. So what is
claimed is bounded by how late the loop is; the rest waits in the ledger, where accounts take turns.

Invariant: `size` stays between `LEAST` and the node's places. It shrinks by a quarter whenever the loop is later than
`LATE`, and grows by an eighth when it is not and half of the window is used: a node that keeps up is not bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

LATE: Final = 0.02
"""Seconds."""
LOOK: Final = 0.02
"""Seconds between two looks at how late the loop is."""
FIRST: Final = 64
LEAST: Final = 32


class Window:
    """Of one node. Belongs to one event loop."""

    def __init__(self, first: int, most: int, used: Callable[[], int]) -> None:
        """
        :param first: the size before anything is known
        :param most: the node's places in flight
        :param used: tells how many sends are under way that their targets do not let wait
        """
        self._most = most
        self._used = used
        self._timer: asyncio.TimerHandle | None = None
        self.size = min(first, most)

    @property
    def free(self) -> int:
        """How many sends more may begin."""
        return max(0, self.size - self._used())

    def watch(self) -> None:
        """Look at how late the loop is for as long as sends are under way."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            at = loop.time() + LOOK
            self._timer = loop.call_at(at, self._come, loop, at)

    def _come(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        self._timer = None
        used = self._used()
        self.learn(loop.time() - at, used)
        if used:
            self.watch()

    def learn(self, late: float, used: int) -> None:
        """The loop came so many seconds late while so much of the window was used."""
        if late > LATE:
            self.size = max(min(LEAST, self._most), self.size * 3 // 4)
        elif 2 * used >= self.size:
            self.size = min(self._most, self.size + max(1, self.size // 8))
