"""A line of requests that wait for a share of the event loop's time.

Invariant: those in a line use no more than its share of the time altogether, but for a burst after a quiet while, and
no more of them than `at_once` are at work. Who has used the least lately goes first; of one asker, who came first.
Every fourth that goes is the one that has waited longest, so everybody's turn comes, whoever comes meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from cronally import errors

MAX_WAITING: Final = 256
"""Requests in a line. Of more, one is refused whose answer has not begun: of the asker with the most in it, of several
the one that has used the most."""
EVERY: Final = 4
"""One of so many turns goes to who has waited longest."""


class TooManyWait(errors.Unavailable):
    """A line is full: this request has to leave it."""

    def __init__(self) -> None:
        super().__init__("The server has too much to do; try again later.")


class Line:
    """Belongs to one event loop."""

    def __init__(
        self,
        used: Callable[[str], float],
        share: float,
        burst: float,
        at_once: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        :param used: what an asker has used lately
        :param share: of the event loop's time
        :param burst: seconds of work that the line may be ahead of its share
        :param at_once: how many may be at work at the same time
        :param clock: seconds, that never go back
        """
        self._used = used
        self._share = share
        self._burst = burst
        self.free = at_once
        """How many more may be at work."""
        self._clock = clock
        self._due = 0.0
        """When the line has used no more than its share."""
        self._waiting: list[tuple[str, asyncio.Future[None], bool]] = []
        """Who waits, for what, and whether it stays whatever happens; who has waited longest stands first."""
        self._served = 0
        """How many of those who waited have had their turn."""
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, asker: str, turn: asyncio.Future[None], *, stays: bool = False) -> None:
        """Wait; `leave` ends the work. Raises TooManyWait when too many wait.

        :param turn: pending; given an exception, it is raised and the place in the line is given up
        :param stays: whether it is never the one to leave when too many wait
        """
        if not self._waiting and self.free > 0 and self._pause() <= 0.0:
            self.free -= 1
            return
        self._waiting.append((asker, turn, stays))
        if len(self._waiting) > MAX_WAITING:
            self._refuse_one()
        self._go_on()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave()
            raise

    def leave(self) -> None:
        """End a work; the next one begins."""
        self.free += 1
        self._go_on()

    def spend(self, seconds: float) -> None:
        """Count what a request in the line has used."""
        self._due = max(self._due, self._clock()) + seconds / self._share

    def _pause(self) -> float:
        return self._due - self._burst / self._share - self._clock()

    def _go_on(self) -> None:
        while self._waiting and self.free > 0 and self._timer is None:
            if (pause := self._pause()) > 0.0:
                self._timer = asyncio.get_running_loop().call_later(pause, self._wake)
                return
            place = 0
            if self._served % EVERY != EVERY - 1:
                place = min(range(len(self._waiting)), key=lambda at: self._used(self._waiting[at][0]))
            _, turn, _ = self._waiting.pop(place)
            if not turn.done():
                self._served += 1
                self.free -= 1
                turn.set_result(None)

    def _wake(self) -> None:
        self._timer = None
        self._go_on()

    def _refuse_one(self) -> None:
        self._waiting = [one for one in self._waiting if not one[1].done()]
        if len(self._waiting) <= MAX_WAITING:
            return
        many = Counter(asker for asker, _, _ in self._waiting)
        place = max(
            (at for at, (_, _, stays) in enumerate(self._waiting) if not stays),
            key=lambda at: (many[self._waiting[at][0]], self._used(self._waiting[at][0])),
            default=None,
        )
        if place is not None:
            _, turn, _ = self._waiting.pop(place)
            turn.set_exception(TooManyWait())
