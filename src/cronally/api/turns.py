"""Whose request is worked on next: the asker's that has used the least time of the event loop lately.

Invariant: of askers that have used more than a little, at most `AT_ONCE` requests are between the moment when all of
them has arrived and the moment when their answer is ready. A request that waits is passed over only for askers that
have used less than its own. A client that sends or reads slowly holds no turn.

The time of a request is what the event loop spends in it, step by step: other requests that run in between are not
counted. It is taken by the wall clock: asking for the thread's CPU time took a fifth of the loop's. An asker is an
account, or the address of a client without one.
"""

from __future__ import annotations

import asyncio
import time
import types
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cronally import errors

AT_ONCE: Final = 2
LIGHT: Final = 0.05
"""Seconds: who has used less lately need not wait for a turn. So two slow answers of the database, which others wait
for, hold up nobody who asks for little."""
HALF_LIFE: Final = 10.0
"""Seconds after which half of what an asker has used is forgotten."""
MAX_WAITING: Final = 256
"""Requests that wait; the asker that has used the most is refused first."""
MAX_ASKERS: Final = 10_000

_KEY: Final = "cronally.turn"

Spend = Callable[[str, float], object]


class Turns:
    """Belongs to one event loop."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """
        :param clock: seconds, that never go back
        """
        self.clock = clock
        self._free = AT_ONCE
        self._used: dict[str, float] = {}
        """Seconds at `_since`, by asker, in the order of the last use."""
        self._since = time.monotonic()
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []

    async def wait(self, asker: str) -> None:
        """Wait for a turn; `leave` gives it back. Raises Unavailable when too many wait."""
        if self._free > 0:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((asker, turn))
        if len(self._waiting) > MAX_WAITING:
            self._refuse_one()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """End a turn; the next one begins."""
        while self._waiting:
            place = min(range(len(self._waiting)), key=lambda at: self.used(self._waiting[at][0]))
            _, turn = self._waiting.pop(place)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def used(self, asker: str) -> float:
        """What an asker has used lately: seconds, of which half is forgotten every `HALF_LIFE`."""
        return self._used.get(asker, 0.0)

    def add(self, asker: str, seconds: float) -> None:
        """Count what a request of the asker has used."""
        self._forget()
        self._used[asker] = self._used.pop(asker, 0.0) + seconds
        if len(self._used) > MAX_ASKERS:
            del self._used[next(iter(self._used))]

    def _forget(self) -> None:
        now = time.monotonic()
        if now - self._since < 1.0:
            return
        share = 0.5 ** ((now - self._since) / HALF_LIFE)
        self._since = now
        self._used = {asker: used * share for asker, used in self._used.items() if used > 1e-4}

    def _refuse_one(self) -> None:
        place = max(range(len(self._waiting)), key=lambda at: self.used(self._waiting[at][0]))
        _, turn = self._waiting.pop(place)
        if not turn.done():
            turn.set_exception(errors.Unavailable("The server has too much to do; try again later."))


class Turn:
    """The turn of one request: put into its scope by `TakeTurns`."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._held = False
        self.asker: str | None = None
        """Set by who finds it out; without one no turn is taken."""
        self.spend: Spend | None = None
        """Set beside it, for one whose seconds are limited."""
        self.seconds = 0.0
        """That were spent on it and are not counted yet."""
        self.clock = turns.clock

    async def take(self) -> None:
        """Wait for the turn. To be called when all of the request has arrived."""
        if self.asker is not None and not self._held and self._turns.used(self.asker) >= LIGHT:
            await self._turns.wait(self.asker)
            self._held = True

    def leave(self) -> None:
        """Give the turn back; nothing happens if there is none."""
        if self._held:
            self._held = False
            self._turns.leave()

    def settle(self) -> None:
        """Give the turn back, and count the seconds that were spent so far."""
        self.leave()
        if self.asker is not None and self.seconds:
            self._turns.add(self.asker, self.seconds)
            if self.spend is not None:
                self.spend(self.asker, self.seconds)
            self.seconds = 0.0


def name_asker(scope: Scope, asker: str, spend: Spend | None = None) -> None:
    """Say who a request is from: the id of an account, or an address.

    :param spend: is told at the end how many seconds were spent on it
    """
    if (turn := scope.get(_KEY)) is not None:
        turn.asker, turn.spend = asker, spend


async def take_turn(scope: Scope) -> None:
    """Wait until the request may be worked on; called when all of it has arrived. Raises Unavailable."""
    if (turn := scope.get(_KEY)) is not None:
        await turn.take()


async def take_next_turn(scope: Scope) -> None:
    """End the request's turn and wait for another one: between two parts of long work. Raises Unavailable."""
    if (turn := scope.get(_KEY)) is not None:
        turn.settle()
        await turn.take()


class TakeTurns:
    """ASGI middleware: measures each request, and gives its turn back when an answer, or a part, is ready."""

    def __init__(self, app: ASGIApp, turns: Turns) -> None:
        self._app = app
        self._turns = turns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        turn = scope[_KEY] = Turn(self._turns)

        async def give_back(message: Message) -> None:
            turn.settle()
            await send(message)

        try:
            await _measure(self._app(scope, receive, give_back), turn)
        finally:
            turn.settle()


@types.coroutine
def _measure(work: Awaitable[None], turn: Turn) -> Generator[Any, Any, None]:
    """Run a coroutine, and add the time of each of its steps."""
    steps = work.__await__()
    thrown: BaseException | None = None
    while True:
        began = turn.clock()
        try:
            awaited = next(steps) if thrown is None else steps.throw(thrown)
        except StopIteration:
            return
        finally:
            turn.seconds += turn.clock() - began
        thrown = None
        try:
            yield awaited
        except BaseException as error:  # what is thrown into the task, a cancellation among it
            thrown = error
