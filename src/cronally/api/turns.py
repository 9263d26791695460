"""Whose request is worked on next.

Invariant: no request begins, nor is its answer made, before its asker's turn has come. There are four lines: of
requests from strangers, which are addresses that no signed request came from lately, until it is known who asks; of
their probes, which ask whether the server is well; and, from the moment when all of a request has arrived until its
answer is ready, of askers that have used more than a little and of the light, those that have not. The first three have
a share of the time each, so what is light finds the event loop free but for a little that others of the light have
begun. A client that sends or reads slowly holds no turn.

The time of a request is what the event loop spends in it, step by step: other requests that run in between are not
counted. It is taken by the wall clock: asking for the thread's CPU time took a fifth of the loop's. What a thread of a
database in this process spends on it is added. An asker is an account, or the address of a client without one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import Scope

from cronally.api.lines import FairLine, Line

LIGHT: Final = 0.5
"""Seconds: who has used less lately is light, and waits for others that are light alone. Ten requests a second that ask
for little leave an account so."""
PLACE: Final = 0.0005
"""Seconds of work that one place of the light stands for."""
PLACES: Final = 60
"""Places of the light, between all of a request and its answer."""
LENT: Final = 1.0
"""Seconds, after which a light request goes on without its places: it waits for the database and not for its turn."""
AT_ONCE: Final = 2
"""Requests of those that have used more, between all of it and its answer."""
HEAVY: Final = 0.4
"""The share of the event loop's time for those that have used more."""
HEAVY_BURST: Final = 0.02
"""Seconds that they may be ahead of their share."""
STRANGERS: Final = 4
"""Requests of strangers, until it is known who asks."""
STRANGE: Final = 0.5
"""The share of the event loop's time for strangers."""
STRANGE_BURST: Final = 1.0
"""Seconds that strangers may be ahead of it: to a server that has just started everybody is a stranger."""
PROBES: Final = 2
"""Probes of strangers, and of those that have used more."""
PROBE: Final = 0.05
"""The share of the event loop's time for them: 150 a second, or so."""
PROBE_BURST: Final = 0.1
"""Seconds that they may be ahead of it."""
ESTIMATE: Final = 0.005
"""Seconds that a request counts for until it is known what it used: otherwise as many as an asker sends at once would
all find that it has used little. This as long as nothing else is known of it; then, as measured:"""
SHOW: Final = 0.0015
"""A request without parameters."""
SEARCH: Final = 0.008
"""One with parameters in the query: a page, a preview, an explanation."""
CHANGE: Final = 0.006
"""One that changes something."""
BYTE: Final = 50e-9
"""Each byte of a body."""
HALF_LIFE: Final = 10.0
"""Seconds after which half of what an asker has used is forgotten."""
MAX_ASKERS: Final = 10_000

KEY: Final = "cronally.turn"

Spend = Callable[[str, float], object]


class Turns:
    """Belongs to one event loop."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """
        :param clock: seconds, that never go back
        """
        self.clock = clock
        self.light = FairLine(PLACES)
        self.heavy = Line(self.used, HEAVY, HEAVY_BURST, AT_ONCE)
        self.strangers = Line(self.used, STRANGE, STRANGE_BURST, STRANGERS)
        self.probes = Line(self.used, PROBE, PROBE_BURST, PROBES)
        self._used: dict[str, float] = {}
        """Seconds at `_since`, by asker, in the order of the last use."""
        self._since = time.monotonic()

    def used(self, asker: str) -> float:
        """What an asker has used lately: seconds, of which half is forgotten every `HALF_LIFE`."""
        return self._used.get(asker, 0.0)

    def add(self, asker: str, seconds: float) -> None:
        """Count what a request of the asker has used, or less than was estimated."""
        self._forget()
        # Of an estimate a little may be forgotten before it is taken back.
        self._used[asker] = max(0.0, self._used.pop(asker, 0.0) + seconds)
        if len(self._used) > MAX_ASKERS:
            del self._used[next(iter(self._used))]

    def _forget(self) -> None:
        now = time.monotonic()
        if now - self._since < 1.0:
            return
        share = 0.5 ** ((now - self._since) / HALF_LIFE)
        self._since = now
        self._used = {asker: used * share for asker, used in self._used.items() if used > 1e-4}


class Turn:
    """The turn of one request: put into its scope by `take_turns.TakeTurns`."""

    def __init__(self, turns: Turns, asker: str) -> None:
        """
        :param asker: the address
        """
        self._turns = turns
        self._line: Line | None = None
        """That it holds places in."""
        self._places = 0
        self._lent: asyncio.TimerHandle | None = None
        self._lines: set[Line] = set()
        """That its time counts for."""
        self._waits: asyncio.Future[None] | None = None
        self.asker = asker
        self.spend: Spend | None = None
        """For an asker whose seconds are limited."""
        self.seconds = 0.0
        """That were spent on it and are not counted yet."""
        self._expected = ESTIMATE
        """Seconds that it will use, or the next part of it."""
        self._estimated = 0.0
        """Seconds that are counted as used by the asker and may be other ones."""
        self.answering = False
        """Whether its answer has begun: it is not refused any more."""
        self._ended = False
        self.clock = turns.clock

    async def begin(self, stranger: bool, probe: bool = False) -> None:
        """Wait until the request may begin. Raises TooManyWait.

        :param probe: whether it asks how the server is: it waits for no others
        """
        if probe and (stranger or self._turns.used(self.asker) >= LIGHT):
            await self._enter(self._turns.probes)
        elif stranger:
            await self._enter(self._turns.strangers)
        else:
            if self._turns.used(self.asker) >= LIGHT:
                await self._enter(self._turns.heavy)
            self._estimate(ESTIMATE)

    def name(self, asker: str, spend: Spend | None) -> None:
        """Say who asks: the time from now on counts for that one, and no turn is held any more."""
        if asker == self.asker:  # a stranger that has no account stays one
            self.leave()
            self._estimate(0.0)
        else:
            self.settle()
            self._lines.clear()
        self.asker, self.spend = asker, spend

    async def take(self, expected: float | None = None) -> None:
        """Wait for the turn. To be called when all of the request has arrived. Raises TooManyWait.

        :param expected: seconds that it will use; as many as the part before by default
        """
        self._expected = self._expected if expected is None else expected
        if self._line is None:
            if self._turns.used(self.asker) < LIGHT:
                await self._enter(self._turns.light, max(1, round(self._expected / PLACE)))
                self._lent = asyncio.get_running_loop().call_later(LENT, self.leave)
            # Meanwhile its other requests may have used much.
            if self._turns.used(self.asker) >= LIGHT:
                self.leave()
                await self._enter(self._turns.heavy)
        self._estimate(self._expected)

    def _estimate(self, seconds: float) -> None:
        """Count so much as used by the asker, instead of what was estimated before."""
        if seconds != self._estimated:
            self._turns.add(self.asker, seconds - self._estimated)
            self._estimated = seconds

    async def _enter(self, line: Line, places: int = 1) -> None:
        self._waits = asyncio.get_running_loop().create_future()
        try:
            await line.wait(self.asker, self._waits, places, stays=self.answering)
        finally:
            self._waits = None
        self._line, self._places = line, places
        self._lines.add(line)

    def give_up(self) -> None:
        """Wait no longer: the client is gone. What waits gets a ClientDisconnect."""
        if self._waits is not None and not self._waits.done():
            self._waits.set_exception(ClientDisconnect())

    def leave(self) -> None:
        """Give the turn back; nothing happens if there is none."""
        if self._lent is not None:
            self._lent.cancel()
            self._lent = None
        if self._line is not None:
            line, self._line = self._line, None
            line.leave(self._places)

    def count(self, seconds: float) -> None:
        """Count seconds that another thread has spent on it."""
        self.seconds += seconds
        if self._ended:
            self.settle()

    def end(self) -> None:
        """Settle at last; what is counted later is settled at once."""
        self._ended = True
        self.settle()

    def settle(self) -> None:
        """Give the turn back, and count the seconds that were spent so far."""
        seconds, self.seconds = self.seconds, 0.0
        if seconds or self._estimated:
            self._turns.add(self.asker, seconds - self._estimated)
            self._estimated = 0.0
        if seconds:
            for line in self._lines:
                line.spend(seconds)
            if self.spend is not None:
                self.spend(self.asker, seconds)
        self.leave()


def name_asker(scope: Scope, asker: str, spend: Spend | None = None) -> None:
    """Say who a request is from: the id of an account, or an address.

    :param spend: is told at the end how many seconds were spent on it
    """
    if (turn := scope.get(KEY)) is not None:
        turn.name(asker, spend)


def give_up(scope: Scope) -> None:
    """The client of a request is gone: it waits for no turn."""
    if (turn := scope.get(KEY)) is not None:
        turn.give_up()


async def take_turn(scope: Scope, expected: float = ESTIMATE) -> None:
    """Wait until the request may be worked on; called when all of it has arrived. Raises TooManyWait.

    :param expected: seconds that it will use
    """
    if (turn := scope.get(KEY)) is not None:
        await turn.take(expected)


async def take_next_turn(scope: Scope) -> None:
    """End the request's turn and wait for another one: between two parts of long work. Raises TooManyWait."""
    if (turn := scope.get(KEY)) is not None:
        turn.settle()
        await turn.take()
