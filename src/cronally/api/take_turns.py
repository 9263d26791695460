"""Each request waits for its turn, and is measured."""

from __future__ import annotations

import types
from collections.abc import Awaitable, Callable, Generator
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cronally import errors
from cronally.api.addresses import Addresses
from cronally.api.answers import failure
from cronally.api.turns import KEY, Turn, Turns


class TakeTurns:
    """ASGI middleware: measures each request, and gives its turn back when an answer, or a part, is ready."""

    def __init__(
        self,
        app: ASGIApp,
        turns: Turns,
        addresses: Addresses,
        is_known: Callable[[str], bool],
        give_way: Callable[[], None] = lambda: None,
    ) -> None:
        """
        :param is_known: whether an address is no stranger's
        :param give_way: called before each step of a request: what goes before requests may make it stand still
        """
        self._app = app
        self._turns = turns
        self._addresses = addresses
        self._is_known = is_known
        self._give_way = give_way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        address = self._addresses.limited(scope)
        turn = scope[KEY] = Turn(self._turns, address)

        async def give_back(message: Message) -> None:
            turn.settle()
            await send(message)

        try:
            await turn.begin(not self._is_known(address))
        except errors.Unavailable as problem:
            await failure(problem)(scope, receive, send)
            return
        try:
            await _measure(self._app(scope, receive, give_back), turn, self._give_way)
        finally:
            turn.settle()


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
