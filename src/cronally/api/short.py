"""New requests are refused while the process is short of memory.

Invariant: a refused request costs no memory that lasts: its body is dropped as it arrives. Whoever has to find out what
is wrong still gets `/healthz` and `/metrics`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from cronally import errors
from cronally.api.answers import failure

RETRY_AFTER: Final = 5
"""Seconds."""

_ANSWERED: Final = frozenset({"/healthz/", "/metrics/"})


class RefuseWhileShort:
    """ASGI middleware, behind what gives paths their last slash."""

    def __init__(self, app: ASGIApp, is_short: Callable[[], bool]) -> None:
        """
        :param is_short: whether the process is short of memory
        """
        self._app = app
        self._is_short = is_short

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._is_short() and scope["path"] not in _ANSWERED:
            # Not noted as a refusal: who is refused too often is blocked, and none of this is the client's doing.
            problem = errors.Unavailable(
                "The server is short of memory; try again later.", retry_after=RETRY_AFTER
            )
            await failure(problem)(scope, receive, send)
            return
        await self._app(scope, receive, send)
