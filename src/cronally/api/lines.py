"""Lines of requests that wait for their turn.

Invariant of each: a request begins only while a place is free, and takes as many as it is expected to cost; of one
asker, who came first goes first. Every fourth that goes is the one that has waited longest, so everybody's turn comes,
whoever comes meanwhile.

In a `Line` requests use no more than its share of the time altogether, but for a burst after a quiet while, and who has
used the least lately goes first. In a `FairLine` all that wait get as much as each other, whatever they used before,
and who wants little waits for little.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cronally import errors

MAX_WAITING: Final = 256
"""Requests in a line. Of more, one is refused whose answer has not begun: of the asker with the most in it, of several
the one that has used the most."""
MAX_ASKERS: Final = 2048
"""Askers that a `FairLine` remembers before it looks which of them it may forget."""
EVERY: Final = 4
"""One of so many turns goes to who has waited longest."""


class TooManyWait(errors.Unavailable):
    """A line is full: this request has to leave it."""

    def __init__(self) -> None:
        super().__init__("The server has too much to do; try again later.")


@dataclass(slots=True)
class _Waiting:
    asker: str
    turn: asyncio.Future[None]
    stays: bool
    """Whatever happens."""
    places: int
    begins: int = 0
    """Places that its asker has got before it, as a `FairLine` counts them."""


class Line:
    """Belongs to one event loop."""

    most: float = MAX_WAITING
    """How many may wait."""

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
        :param at_once: how many places there are; who needs more than are free may begin while one is
        :param clock: seconds, that never go back
        """
        self._used = used
        self._share = share
        self._burst = burst
        self.free = at_once
        """Places; the last who began may have taken more than there were."""
        self._clock = clock
        self._due = 0.0
        """When the line has used no more than its share."""
        self._waiting: list[_Waiting] = []
        """Who has waited longest stands first."""
        self._served = 0
        """How many of those who waited have had their turn."""
        self._timer: asyncio.TimerHandle | None = None

    async def wait(
        self, asker: str, turn: asyncio.Future[None], places: int = 1, *, stays: bool = False
    ) -> None:
        """Wait; `leave` ends the work. Raises TooManyWait when too many wait.

        :param turn: pending; given an exception, it is raised and the place in the line is given up
        :param places: that the request takes
        :param stays: whether it is never the one to leave when too many wait
        """
        if not self._waiting and self.free > 0 and self._pause() <= 0.0:
            self.free -= places
            return
        one = _Waiting(asker, turn, stays, places)
        self._rank(one)
        self._waiting.append(one)
        if len(self._waiting) > self.most:
            self._refuse_one()
        self._go_on()
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave(places)
            else:
                # At once: each turn looks at all that wait, and connections bound only those whose clients are there.
                self._waiting = [other for other in self._waiting if other is not one]
            raise

    def leave(self, places: int = 1) -> None:
        """End a work; the next one begins."""
        self.free += places
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
            one = self._waiting.pop(self._first())
            if not one.turn.done():
                self._served += 1
                self.free -= one.places
                one.turn.set_result(None)

    def _first(self) -> int:
        """Where in the line the one stands that is next."""
        if self._served % EVERY == EVERY - 1:
            return 0
        return min(range(len(self._waiting)), key=lambda at: self._order(self._waiting[at]))

    def _order(self, one: _Waiting) -> float:
        """Who has less goes first."""
        return self._used(one.asker)

    def _rank(self, one: _Waiting) -> None:
        """Note where one that has come stands among the others."""

    def _wake(self) -> None:
        self._timer = None
        self._go_on()

    def _refuse_one(self) -> None:
        self._waiting = [one for one in self._waiting if not one.turn.done()]
        if len(self._waiting) <= self.most:
            return
        many = Counter(one.asker for one in self._waiting)
        place = max(
            (at for at, one in enumerate(self._waiting) if not one.stays),
            key=lambda at: (many[self._waiting[at].asker], self._used(self._waiting[at].asker)),
            default=None,
        )
        if place is not None:
            self._waiting.pop(place).turn.set_exception(TooManyWait())


class FairLine(Line):
    """Everybody in it gets the same: who is next is counted as if all that wait were served a little at a time.

    Then the request goes first that would end first. So who has just come stands behind as much of each of the others
    as it wants itself, however many requests they have and however large they are. Nobody is refused: connections
    bound how many wait.
    """

    most = float("inf")

    def __init__(self, at_once: int) -> None:
        """
        :param at_once: how many places there are; who needs more than are free may begin while one is
        """
        super().__init__(lambda _asker: 0.0, float("inf"), 0.0, at_once)
        self._got = 0
        """Places that everybody has got who wanted them."""
        self._ends: dict[str, int] = {}
        """What each asker will have got with its last request, while anybody waits."""

    def _first(self) -> int:
        self._got = max(self._got, min(one.begins for one in self._waiting))
        return super()._first()

    def _order(self, one: _Waiting) -> float:
        return one.begins + one.places

    def _rank(self, one: _Waiting) -> None:
        if not self._waiting:
            self._ends.clear()
        elif len(self._ends) > MAX_ASKERS:
            self._ends = {asker: end for asker, end in self._ends.items() if end > self._got}
        one.begins = max(self._got, self._ends.get(one.asker, 0))
        self._ends[one.asker] = one.begins + one.places
