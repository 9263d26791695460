"""The id of a request: in its answer, in the log, in the audit log.

Invariant: every answer of the application has one. The client's own is taken where it is well formed, so that one id
may go through several servers; it proves nothing, and nothing is looked up by it.
"""

from __future__ import annotations

import re
from typing import Final
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cronally.wire import REQUEST_ID_HEADER

KEY: Final = "cronally.request_id"
_HEADER: Final = REQUEST_ID_HEADER.lower().encode()
_FORM: Final = re.compile(rb"[0-9A-Za-z._-]{1,64}")


class RequestIds:
    """ASGI middleware: gives every request an id, which `request_id_of` finds, and its answer too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = [value for name, value in scope["headers"] if name == _HEADER]
        own = sent[0] if len(sent) == 1 and _FORM.fullmatch(sent[0]) else uuid4().hex.encode()
        scope[KEY] = own.decode()

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                # Another list: that of an answer that is made once is everybody's.
                message = {**message, "headers": [*message["headers"], (_HEADER, own)]}
            await send(message)

        await self._app(scope, receive, answer)


def request_id_of(scope: Scope) -> str | None:
    """The id of a request; None where the application does not give any."""
    return scope.get(KEY)
