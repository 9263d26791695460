"""The operator's notice in every answer, as a header, and at `/status`.

Invariant: no request but that of `/status` waits for it, and none costs a statement: what is known is read anew at most
once in `KEPT_FOR` seconds, by whoever asks then, in the background; while the database does not answer what was known
stands.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cronally.contract.service import Status
from cronally.wire import NOTICE_HEADER

KEPT_FOR: Final = 2.0
PATIENCE: Final = 2.0
"""Seconds; for so long `/status` waits for a database that does not answer, and tells then what was known."""

_HEADER: Final = NOTICE_HEADER.lower().encode()
_log = logging.getLogger(__name__)


class KnownNotice:
    """What stands, as one process knows it. Belongs to one event loop."""

    def __init__(self, read: Callable[[], Awaitable[Status]]) -> None:
        self._read = read
        self._reading: asyncio.Task[None] | None = None
        self._read_at: float | None = None
        self.status = Status()

    def look(self) -> Status:
        """What is known; begin to read it anew if that is old."""
        now = asyncio.get_running_loop().time()
        if self._reading is None and (self._read_at is None or now - self._read_at >= KEPT_FOR):
            self._read_at = now
            self._reading = asyncio.create_task(self._renew(), name="notice")
        return self.status

    async def renewed(self) -> None:
        """Wait until what is being read is known."""
        self.look()
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=PATIENCE)

    async def _renew(self) -> None:
        try:
            self.status = await self._read()
        except Exception:
            _log.debug("the notice cannot be read", exc_info=True)
        finally:
            self._reading = None


class ShowNotice:
    """ASGI middleware: adds the header while a notice stands."""

    def __init__(self, app: ASGIApp, known: KnownNotice) -> None:
        self._app = app
        self._known = known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (text := self._known.look().notice) is None:
            await self._app(scope, receive, send)
            return

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (_HEADER, text.encode("ascii"))]}
            await send(message)

        await self._app(scope, receive, add)
