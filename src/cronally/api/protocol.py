"""Uvicorn's protocol with bounds: on the bytes of a request's head, and on the time that it takes to arrive.

Invariant: no more than 16 KiB of a head, and one read beyond, are ever held. What does not become a request is
answered in JSON and the connection closed, gently enough that the client can read the answer: we stop writing, but
read on for a while, because closing a socket with unread bytes makes the kernel reset it and discard what was sent.
"""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cronally import errors
from cronally.api.answers import raw_failure

MAX_HEAD: Final = 16 * 1024
"""Bytes of request line and headers together."""
HEAD_TIMEOUT: Final = 10.0
"""Seconds that a head may take from its first byte."""
MAX_DISCARDED: Final = 1024 * 1024
DISCARD_TIMEOUT: Final = 3.0
"""How many bytes, and for how many seconds, are read and dropped after the last answer."""

_TOO_LARGE: Final = raw_failure(errors.HeadersTooLarge())
_MALFORMED: Final = raw_failure(
    errors.InvalidRequest(
        "This is no HTTP/1.1 request; check the request line, the headers and the body's framing."
    )
)


class BoundedProtocol(HttpToolsProtocol):
    """Give it to uvicorn as `http=`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # Uvicorn goes by whether anybody would hear it, which a logger below the root always finds.
        self.access_log = self.config.access_log
        # Of the head that is arriving, and how many arrived whole.
        self._head = 0
        self._heads = 0
        self._in_body = False
        self._discarded = 0
        # Nothing more is parsed; and what to say, once what came before is answered.
        self._refused = False
        self._farewell: bytes | None = None
        self._timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # Who connects and says nothing is let go like who says nothing more.
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self._unset_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        unwanted = self._refused or (self._in_body and self.cycle.response_complete)
        if unwanted:
            # It gets a bound, and no more time than it has.
            self._discarded += len(data)
            if self._discarded > MAX_DISCARDED:
                self.transport.close()
                return
        else:
            self._discarded = 0
            self._unset_keepalive_if_required()
        while data and not self._refused:
            room = len(data) if self._in_body else MAX_HEAD + 1 - self._head
            piece, data = data[:room], data[room:]
            self._feed(piece)

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """A client may stop sending (as `nc` does) and still wait for what it asked."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body:
            return None
        if self._farewell is None:
            cycle.keep_alive = False
        return True

    def shutdown(self) -> None:
        if self._refused:
            self.transport.close()
        super().shutdown()

    # What the parser calls.

    def on_headers_complete(self) -> None:
        self._in_body = True
        self._head = 0
        self._heads += 1
        self._unset_timer()
        if b"#" in self.url:
            raise ValueError("a request target has no fragment")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._farewell is not None and (self.cycle.response_complete and not self.pipeline):
            self._say_farewell()

    def _feed(self, data: bytes) -> None:
        heads, in_body = self._heads, self._in_body
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # No other protocol is spoken here, and the parser reads nothing after such a request.
            self._refused = True
            self.cycle.keep_alive = False
            return
        except httptools.HttpParserError:
            self._refuse(_MALFORMED)
            return
        if self._in_body:
            return
        if in_body or self._heads != heads:
            # What this piece may hold of a next head is not counted here; `limits` counts every head exactly.
            self._head = 0
            return
        self._head += len(data)
        if self._head > MAX_HEAD:
            self._refuse(_TOO_LARGE)
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_TIMEOUT, self.transport.close)

    def _refuse(self, answer: bytes) -> None:
        """Parse nothing more; answer when what was asked before is answered, and close."""
        self._refused = True
        self._unset_timer()
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self._farewell = answer
            self._say_farewell()
        elif not cycle.more_body:
            self._farewell = answer
        elif self.pipeline or cycle.response_started:
            # The request whose body broke off cannot be distinguished from what is being written.
            self.transport.close()
        else:
            cycle.disconnected = True
            cycle.message_event.set()
            self._farewell = answer
            self._say_farewell()

    def _say_farewell(self) -> None:
        assert self._farewell is not None  # noqa: S101 - said by the callers
        self._unset_keepalive_if_required()
        self.transport.write(self._farewell)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timer = self.loop.call_later(DISCARD_TIMEOUT, self.transport.close)

    def _unset_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
