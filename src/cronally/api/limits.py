"""What every request must keep to before anybody looks at it: the size of its head and body, and a plain path.

Invariant: the order of checks is 431, 413, then 404; all of them without reading the path's meaning, the key or the
database. A body that says that it is too large is answered before it has arrived, and a bounded part of it is read and
dropped, so that the client gets to read the answer. One that does not say its size is counted when it is read: after
the signature was checked.
"""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from cronally import errors
from cronally.api.answers import JsonAnswer, failure
from cronally.api.exchange import drop_body
from cronally.api.protocol import MAX_HEAD

MAX_BODY: Final = 1024 * 1024
"""Bytes."""
BODY_TIMEOUT: Final = 30.0
"""Seconds that a body may take to arrive."""
MAX_DISCARDED: Final = 8 * MAX_BODY
DISCARD_TIMEOUT: Final = 5.0
"""How many bytes, and for how many seconds, are read and dropped after a 413."""


BY_NAME: Final = b"/cronjob/by-name/"
"""What a path begins with whose next part is a name, percent-encoded."""


class Limits:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        head, length = _measure(scope)
        if head > MAX_HEAD:
            await _refuse(failure(errors.HeadersTooLarge()), scope, receive, send)
            return
        if length > MAX_BODY:
            await _refuse(failure(errors.PayloadTooLarge()), scope, receive, send)
            return
        path = scope["raw_path"]
        named = path.startswith(BY_NAME)
        if _is_crooked(path, named):
            await failure(errors.NotFound())(scope, receive, send)
            return
        if named:
            # A name stays as it was sent until it is read: a slash in it is no other path.
            scope["path"] = path.decode("ascii", "replace")
        # Routes end in a slash; signatures are over the path as sent.
        if not scope["path"].endswith("/"):
            scope["path"] += "/"
        await self._app(scope, receive, send)


async def read_body(
    receive: Receive, most: int = MAX_BODY, too_large: errors.PayloadTooLarge | None = None
) -> bytes:
    """The whole body. Raises InvalidRequest for one that stops arriving, PayloadTooLarge for one that goes on.

    :param most: bytes
    :param too_large: what is raised for more
    """
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise errors.InvalidRequest("The body was cut short.")
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > most:
                    raise too_large or errors.PayloadTooLarge()
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise errors.InvalidRequest(
            f"The body did not arrive within {BODY_TIMEOUT:.0f} s; send it again."
        ) from None


def _measure(scope: Scope) -> tuple[int, int]:
    """The size of the head as sent, and the declared length of the body."""
    query = scope["query_string"]
    # Two spaces, HTTP/1.1, a line end, and the empty line.
    head = len(scope["method"]) + len(scope["raw_path"]) + (len(query) + 1 if query else 0) + 14
    length = 0
    for name, value in scope["headers"]:
        head += len(name) + len(value) + 4
        if name == b"content-length":
            length = int(value)
    return head, length


def _is_crooked(path: bytes, named: bool) -> bool:
    """Whether a path could mean another one: it is answered as one that does not exist.

    :param named: whether a name stands in it, whose characters may be escaped
    """
    return (
        (b"%" in path and not named)
        or b"//" in path
        or (b"/." in path and any(part in (b".", b"..") for part in path.split(b"/")))
    )


async def _refuse(answer: JsonAnswer, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer whole, but end the response, and with it the connection, only when the client had time to read."""
    await send({"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": True})
    drop_body(scope)
    discarded = 0
    try:
        async with asyncio.timeout(DISCARD_TIMEOUT):
            while discarded <= MAX_DISCARDED:
                message = await receive()
                if message["type"] != "http.request":
                    return
                discarded += len(message.get("body", b""))
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b"", "more_body": False})
