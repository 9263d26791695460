"""Answers: the two envelopes of the API, and the one map from errors to statuses.

Invariant: an answer is complete when it is made. Nothing here is ever cached by a browser or a proxy, because
answers hold secrets.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, Collection, Mapping
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cronally import errors, request_signatures
from cronally.api.exchange import lengthen
from cronally.api.lines import TooManyWait
from cronally.api.turns import take_next_turn
from cronally.contract import export
from cronally.contract.firings import CSV, JSON_LINES, Firing
from cronally.contract.reading import Reading
from cronally.contract.service import Error, Failure
from cronally.contract.writing import Answer, to_json
from cronally.instants import SECOND, format_iso, to_datetime
from cronally.operations import Page
from cronally.wire import ACCEPT_SIGNATURE_HEADER, NEXT_CURSOR_HEADER, SEARCHED_UNTIL_HEADER

_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_HEADERS: Final = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)
_ACCEPT_SIGNATURE: Final = (ACCEPT_SIGNATURE_HEADER.lower().encode(), request_signatures.ACCEPTED.encode())
"""By it a client knows that a server takes signatures of version 2."""
_MEDIA_TYPES: Final[Mapping[Any, str]] = {
    CSV: f"{export.CSV_MEDIA_TYPE}; charset=utf-8",
    JSON_LINES: export.JSON_LINES_MEDIA_TYPE,
}
_RETRY_AFTER: Final = 1
"""Seconds, for an error that passes and does not say when."""

Header = tuple[bytes, bytes]


class JsonAnswer(Response):
    """A JSON body with its headers, put together without Starlette's header mapping: it is on every path."""

    def __init__(self, content: Any, status: int = 200, headers: tuple[Header, ...] = ()) -> None:
        self.status_code = status
        self.background = None
        self.body = _encode(content).encode()
        self.raw_headers = [*_HEADERS, (b"content-length", b"%d" % len(self.body)), *headers]


class TextAnswer(Response):
    """A text with its headers."""

    def __init__(self, text: str, media_type: str, headers: tuple[Header, ...] = ()) -> None:
        self.status_code = 200
        self.background = None
        self.body = text.encode()
        kind = (b"content-type", media_type.encode())
        self.raw_headers = [kind, *_HEADERS[1:], (b"content-length", b"%d" % len(self.body)), *headers]


class ListAnswer(Response):
    """A list in pages: each is read, encoded and sent in a turn of its own, when the one before is on its way.

    So it holds one page at a time, whatever the list holds. HTTP/1.0 has no chunks: there it ends with the connection.
    An error on the way cuts the answer short, and the client sees that it is not whole.
    """

    def __init__(
        self, first: list[Any], rest: AsyncGenerator[list[Any]], only: Collection[str] | None = None
    ) -> None:
        """
        :param only: the keys that are wanted of each; None: all
        """
        self.status_code = 200
        self.background = None
        self.raw_headers = list(_HEADERS)
        self._first = first
        self._rest = rest
        self._only = only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.aclosing(self._parts(scope)) as parts:
            chunked = scope["http_version"] == "1.1"
            if not chunked:
                self.raw_headers.append((b"connection", b"close"))
                lengthen(scope, 0)
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                async for part in parts:
                    if not chunked:
                        lengthen(scope, len(part))
                    await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _parts(self, scope: Scope) -> AsyncGenerator[bytes]:
        async with contextlib.aclosing(self._rest) as rest:
            yield b'{"status":"success","response":[' + _encode_items(self._first, self._only)
            is_empty = not self._first
            while True:
                await take_next_turn(scope)
                items = await anext(rest, None)
                if items is None:
                    break
                if items:
                    yield (b"" if is_empty else b",") + _encode_items(items, self._only)
                    is_empty = False
            yield b"]}"


def _encode_items(items: list[Any], only: Collection[str] | None) -> bytes:
    return ",".join([_encode(to_json(item, only)) for item in items]).encode()


def success(answer: Answer) -> JsonAnswer:
    """What an operation answered."""
    return JsonAnswer({"status": "success", "response": to_json(answer)})


def accepted(answer: Answer) -> JsonAnswer:
    """What an operation answered that has begun what somebody else goes on with: who gets the mail."""
    return JsonAnswer({"status": "success", "response": to_json(answer)}, 202)


def success_page(page: Page[Any]) -> Response:
    """A part of a list; `next_cursor` stands beside it where there is more. Or a whole list, page by page."""
    if page.rest is not None:
        return ListAnswer(page.items, page.rest, page.only)
    items = [to_json(item, page.only) for item in page.items]
    content: dict[str, Any] = {"status": "success", "response": items}
    if page.next_cursor is not None:
        content["next_cursor"] = page.next_cursor
    if page.searched_until is not None:
        content["searched_until"] = format_iso(page.searched_until)
    return JsonAnswer(content)


def success_firings(page: Page[Firing], reading: Reading[Any]) -> Response:
    """A part of a list of firings in the form that was asked for. Without an envelope, where it goes on is a header.

    A table has its header where the list begins, so that its parts, one after the other, are one table.
    """
    form = reading.values.get("format")
    if form not in _MEDIA_TYPES:
        return success_page(page)
    rows = [to_json(item, page.only) for item in page.items]
    text = export.csv_rows(rows) if form == CSV else export.json_lines(rows)
    if form == CSV and "cursor" not in reading.values:
        text = export.CSV_HEADER + text
    headers: list[Header] = []
    if page.next_cursor is not None:
        headers.append((NEXT_CURSOR_HEADER.lower().encode(), page.next_cursor.encode()))
    if page.searched_until is not None:
        headers.append((SEARCHED_UNTIL_HEADER.lower().encode(), format_iso(page.searched_until).encode()))
    return TextAnswer(text, _MEDIA_TYPES[form], tuple(headers))


def failure(
    error: errors.RequestError,
    *,
    now: int | None = None,
    headers: tuple[Header, ...] = (),
    error_id: str | None = None,
) -> JsonAnswer:
    """The answer that an error makes.

    :param now: an instant; said with a 401, whose reason is often a wrong clock
    :param error_id: finds an internal error in the log
    """
    retry_after = error.retry_after
    server_time = None
    match error:
        case errors.Unauthorized():
            headers += ((b"www-authenticate", b"Cronally"), _ACCEPT_SIGNATURE)
            if now is not None:
                server_time = to_datetime(now - now % SECOND)
        case errors.Unavailable() | errors.RateLimited() if retry_after is None:
            retry_after = _RETRY_AFTER
    match error:
        case errors.PayloadTooLarge() | errors.HeadersTooLarge() | TooManyWait():
            headers += ((b"connection", b"close"),)
    if retry_after is not None:
        headers += ((b"retry-after", b"%d" % retry_after),)
        if isinstance(error, errors.RateLimited) and error.limit is not None:
            policy, state = error.limit.policy, error.limit.reached(retry_after)
            headers += ((b"ratelimit-policy", policy.encode()), (b"ratelimit", state.encode()))
    what = Failure(
        code=error.code,
        message=error.message,
        fields=error.fields,
        server_time=server_time,
        error_id=error_id,
    )
    return JsonAnswer(to_json(Error(error=what)), error.status, headers)


def of_status(status: int, allow: str | None = None) -> JsonAnswer:
    """The answer to what routing refuses: an unknown path, or a method that a path does not have."""
    kind = _BY_STATUS.get(status, errors.InternalError)
    return failure(kind(), headers=((b"allow", allow.encode()),) if allow else ())


def raw_failure(error: errors.RequestError) -> bytes:
    """A whole HTTP/1.1 response after which the connection is closed, for a request that never became one."""
    answer = failure(error)
    headers = dict([*answer.raw_headers, (b"connection", b"close")])
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers.items())
    reason = _REASONS[error.status].encode()
    return b"HTTP/1.1 %d %s\r\n%s\r\n%s" % (error.status, reason, lines, bytes(answer.body))


_BY_STATUS: Final[Mapping[int, type[errors.RequestError]]] = {
    kind.status: kind for kind in (errors.InvalidRequest, errors.NotFound, errors.MethodNotAllowed)
}
_REASONS: Final = {
    400: "Bad Request",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}
