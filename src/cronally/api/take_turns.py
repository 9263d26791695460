"""Each request waits for its turn, and is measured.

Invariant: no answer is made outside of a turn, but the one to a request for which a line has no room. That one ends its
connection and counts against its address, and so the connections end of an address that is blocked: who floods has to
connect again, and is not let in.
"""

from __future__ import annotations

import types
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cronally.api.addresses import Addresses
from cronally.api.answers import failure
from cronally.api.lines import TooManyWait
from cronally.api.turns import KEY, Turn, Turns
from cronally.fairness import ASKER

_PROBES: Final = frozenset({"/healthz", "/healthz/", "/readyz", "/readyz/"})


class TakeTurns:
    """ASGI middleware: measures each request, and gives its turn back when an answer, or a part, is ready."""

    def __init__(
        self,
        app: ASGIApp,
        turns: Turns,
        addresses: Addresses,
        is_known: Callable[[str], bool],
        give_way: Callable[[], None] = lambda: None,
        *,
        refused: Callable[[str], object] = lambda _address: None,
        is_blocked: Callable[[str | None], bool] = lambda _peer: False,
    ) -> None:
        """
        :param refused: told the address of a request for which a line has no room
        :param is_blocked: whether so much was refused to a peer that its connections are to end
        :param is_known: whether an address is no stranger's
        :param give_way: called before each step of a request: what goes before requests may make it stand still
        """
        self._app = app
        self._turns = turns
        self._addresses = addresses
        self._is_known = is_known
        self._give_way = give_way
        self._refused = refused
        self._is_blocked = is_blocked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        address = self._addresses.limited(scope)
        peer = scope["client"][0] if scope.get("client") else None
        turn = scope[KEY] = Turn(self._turns, address)

        async def give_back(message: Message) -> None:
            if message["type"] == "http.response.start":
                turn.answering = True
                if self._is_blocked(peer):
                    others = [header for header in message.get("headers", ()) if header[0] != b"connection"]
                    message = {**message, "headers": [*others, (b"connection", b"close")]}
            turn.settle()
            await send(message)

        try:
            await turn.begin(not self._is_known(address), scope["path"] in _PROBES)
        except TooManyWait as problem:
            self._refused(address)
            await failure(problem)(scope, receive, send)
            return
        token = ASKER.set(turn)
        try:
            await _measure(self._app(scope, receive, give_back), turn, self._give_way)
        finally:
            ASKER.reset(token)
            turn.end()


@types.coroutine
def _measure(work: Awaitable[None], turn: Turn, give_way: Callable[[], None]) -> Generator[Any, Any, None]:
    """Run a coroutine, and add the time of each of its steps."""
    steps = work.__await__()
    thrown: BaseException | None = None
    while True:
        give_way()
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
